"""Packets: consecutive samples of one stream at a fixed rate, and the cutting of a station's samples into them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby
from operator import and_, or_
from typing import NamedTuple

import msgspec

from seismic import packing
from seismic.errors import SeismicError
from seismic.sampleclock import NS, SampleClock
from seismic.soundness import Watch
from wire.record import WaveFlag, WaveformRecord

PACKET_MOST_S = 2.0


class Packet(msgspec.Struct, frozen=True):
    """Samples of one stream, ``NET.STA.LOC.CHA``. ``counts`` are int32, an ``array("i")`` wherever we make it.

    The first sample was taken at ``start_ns`` UTC (None: nobody has told this boot the time) and ``mono_ns`` of the
    boot that recorded it (0 if it comes from a file or from elsewhere); the others follow at ``rate_hz``. ``timing`` is
    the quality of the times, 0 to 100 %, -1 if nobody knows; ``flags`` are of `wire.record.WaveFlag`.
    """

    stream: str
    start_ns: int | None
    mono_ns: int
    rate_hz: float
    counts: Sequence[int]
    timing: int = -1
    flags: int = 0

    @property
    def end_ns(self) -> int | None:
        """When the next sample is due, in UTC."""
        return None if self.start_ns is None else self.start_ns + spell_ns(len(self.counts), self.rate_hz)


def spell_ns(samples: float, rate_hz: float) -> int:
    """Tell how long samples take at a rate."""
    return round(samples * NS / rate_hz)


def to_record(packet: Packet) -> WaveformRecord:
    """Make the lane W record of a packet. Raises SeismicError if its samples cannot be packed."""
    return WaveformRecord(
        packet.stream,
        packet.mono_ns,
        packet.start_ns,
        packet.rate_hz,
        len(packet.counts),
        packing.ENCODING,
        packing.pack(packet.counts),
        packet.timing,
        packet.flags,
    )


def from_record(record: WaveformRecord) -> Packet:
    """Read a lane W record. Raises SeismicError for an encoding that is not ours, or samples that are none."""
    if record.encoding != packing.ENCODING:
        raise SeismicError(f"waveform of {record.stream} is in '{record.encoding}', not {packing.ENCODING}")
    if not 0 < record.rate_hz < float("inf"):
        raise SeismicError(f"waveform of {record.stream} has {record.rate_hz} samples a second")
    counts = packing.unpack(record.payload, record.samples)
    return Packet(record.stream, record.wall_ns, record.mono_ns, record.rate_hz, counts, record.timing, record.flags)


class TimeQuality(msgspec.Struct, frozen=True):
    """How a machine's monotonic clock relates to UTC: ``offset_ns`` is UTC less monotonic, None while unknown.

    ``timing`` and ``flags`` go into the packets, as there.
    """

    offset_ns: int | None = None
    timing: int = -1
    flags: int = 0


class Channel(msgspec.Struct, frozen=True):
    """One component of a station. ``clips_at`` is the count, of either sign, at which its digitiser ends."""

    stream: str
    clips_at: int | None = None


class Sample(NamedTuple):
    """One sample of every channel, as it was handed over."""

    counts: Sequence[int | None]
    clock: TimeQuality


class Packetiser:
    """Cuts the samples of one station into packets of ``packet_s`` (2 at most), dated by when the samples were taken.

    Each sample gets into exactly one packet. A packet ends early where samples are missing, came twice or out of
    order, where the clock was set, where the rate changes, and for one channel where it has no value; the next one then
    says `WaveFlag.GAP_BEFORE`, as the first of all does. See `seismic.sampleclock`.
    """

    def __init__(self, channels: Sequence[Channel], rate_hz: float, packet_s: float = 1.0) -> None:
        self._streams = [channel.stream for channel in channels]
        self._watches = [Watch(rate_hz, channel.clips_at) for channel in channels]
        self._has_gap = [True] * len(channels)
        self._packet_s = min(packet_s, PACKET_MOST_S)
        self._rate_hz = rate_hz
        self._clock = TimeQuality()
        self._times = SampleClock(rate_hz)
        self._held: list[Sample] = []

    def tell(self, clock: TimeQuality) -> list[Packet]:
        """Take how the clock stands, about once a second; return packets if the time has become known or unknown."""
        packets = self.flush() if (clock.offset_ns is None) != (self._clock.offset_ns is None) else []
        self._clock = clock
        return packets

    def take(self, mono_ns: int, counts: Sequence[int | None]) -> list[Packet]:
        """Take one sample of each channel, None where there is no value; return the packets that are complete.

        No value at all is no sample: the instrument is silent, and what was held back comes out.
        """
        if all(count is None for count in counts):
            return self.flush()
        new = self._times.take(mono_ns + (self._clock.offset_ns or 0))
        self._held.append(Sample(counts, self._clock))
        packets = self._cut(new) if new else []
        most = max(1, round(self._packet_s * self._rate_hz))
        while self._times.settled >= most:
            packets += self._emit(most)
        return packets

    def flush(self) -> list[Packet]:
        """Return what was held back: the samples end here, for now or for ever."""
        new = self._times.settle()
        packets = self._cut(new) if new else []
        packets += self._emit(len(self._held))
        self._break()
        self._times.restart()
        return packets

    def _cut(self, new: int) -> list[Packet]:
        """End the segment before the last ``new`` samples."""
        packets = self._emit(len(self._held) - new)
        is_back = self._times.step()
        self._break()
        if is_back:
            packets += self._emit(new - 1)
            self._times.step()
            self._break()
        return packets

    def _break(self) -> None:
        self._has_gap = [True] * len(self._streams)
        for watch in self._watches:
            watch.interrupt()

    def _emit(self, samples: int) -> list[Packet]:
        if not samples:
            return []
        held, segment = self._held[:samples], self._times.segment(samples)
        del self._held[:samples]
        self._rate_hz = _rate(self._rate_hz, segment.period_ns, samples)
        packets: list[Packet] = []
        for channel in range(len(self._streams)):
            for start, end in _runs([sample.counts[channel] for sample in held]):
                self._has_gap[channel] |= start > 0
                packets.append(self._packet(channel, held[start:end], segment.at_ns(start)))
            self._has_gap[channel] |= held[-1].counts[channel] is None
        self._times.drop(samples)
        return packets

    def _packet(self, channel: int, samples: Sequence[Sample], at_ns: float) -> Packet:
        counts = array("i", [count for sample in samples if (count := sample.counts[channel]) is not None])
        offset_ns = samples[0].clock.offset_ns
        timing, flags = _quality({sample.clock for sample in samples})
        if self._has_gap[channel]:
            flags |= WaveFlag.GAP_BEFORE
            self._watches[channel].interrupt()
        self._has_gap[channel] = False
        flags |= self._watches[channel].look(counts)
        start_ns = round(at_ns)
        return Packet(
            self._streams[channel],
            None if offset_ns is None else start_ns,
            start_ns - (offset_ns or 0),
            self._rate_hz,
            counts,
            timing,
            int(flags),
        )


def _runs(counts: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Yield from where to where there are values."""
    start = 0
    for is_missing, run in groupby(counts, key=lambda count: count is None):
        end = start + sum(1 for _ in run)
        if not is_missing:
            yield start, end
        start = end


def _quality(clocks: set[TimeQuality]) -> tuple[int, WaveFlag]:
    """Tell the quality of a packet's times: the worst of its samples'."""
    flags = [WaveFlag(clock.flags) for clock in clocks]
    doubts = reduce(or_, flags) & WaveFlag.TIME_QUESTIONABLE
    return min(clock.timing for clock in clocks), reduce(and_, flags) & WaveFlag.CLOCK_LOCKED | doubts


def _rate(said_hz: float, period_ns: float, samples: int) -> float:
    """Tell the rate of a packet: as said before, as long as that dates its last sample within a quarter of a period."""
    if abs(NS / said_hz - period_ns) * samples <= period_ns / 4:
        return said_hz
    return round(NS / period_ns, 3)


__all__: Sequence[str] = (
    "NS", "Channel", "Packet", "Packetiser", "TimeQuality", "WaveFlag", "from_record", "spell_ns", "to_record",
)  # fmt: skip
