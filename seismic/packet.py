"""Packets: consecutive samples of one stream at a fixed rate, and the cutting of a station's samples into them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from seismic import packing
from seismic.errors import SeismicError
from wire.record import WaveFlag, WaveformRecord

NS = 1_000_000_000


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


class Packetiser:
    """Cuts the samples of one station into packets.

    `take` gets one sample of every channel at a time, None where there is no value; each gets into exactly one packet.
    """

    def __init__(self, channels: Sequence[Channel], rate_hz: float, packet_s: float = 1.0) -> None:
        self._channels = channels
        self._rate_hz = rate_hz
        self._most = max(1, round(packet_s * rate_hz))
        self._clock = TimeQuality()
        self._rows: list[tuple[int, Sequence[int | None]]] = []

    def tell(self, clock: TimeQuality) -> None:
        """Take how the clock stands; call it about once a second."""
        self._clock = clock

    def take(self, mono_ns: int, counts: Sequence[int | None]) -> list[Packet]:
        """Take one sample of each channel; return the packets that it completes."""
        self._rows.append((mono_ns, counts))
        return self.flush() if len(self._rows) >= self._most else []

    def flush(self) -> list[Packet]:
        """Return what was held back: the samples have ended."""
        rows, self._rows = self._rows, []
        packets = []
        for at, channel in enumerate(self._channels):
            have = [(mono_ns, counts[at]) for mono_ns, counts in rows]
            counts = array("i", [count for _, count in have if count is not None])
            if counts:
                mono_ns = rows[0][0]
                offset = self._clock.offset_ns
                start_ns = None if offset is None else offset + mono_ns
                packets.append(
                    Packet(
                        channel.stream, start_ns, mono_ns, self._rate_hz, counts, self._clock.timing, self._clock.flags
                    )
                )
        return packets


__all__: Sequence[str] = (
    "Channel", "Packet", "Packetiser", "TimeQuality", "WaveFlag", "from_record", "spell_ns", "to_record",
)  # fmt: skip
