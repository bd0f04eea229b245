"""The instrument of one station: scans in, what it measures as motion and as counts out to analyser and packets.

Times are monotonic, of when a sample was taken. A scan of an instrument with a clock of its own comes later than that,
and says UTC by that clock: then the monotonic time is the one at which this machine's clock said the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from drivers.base import Scan
from edge.stations.settings import Channel, Station
from seismic.analyser import Analyser
from seismic.packet import Channel as Stream
from seismic.packet import Packet, Packetiser, TimeQuality
from seismic.report import Level, Report
from seismic.settings import AnalyserSettings
from wire.sample import Quality, Value

COUNTS_MOST = 2**31 - 1
"""Waveforms have 32 bits; a count beyond is no sample."""
SLEW_NS = 20_000_000
"""By how much, a second at most, an own clock is shifted against ours: less than samples jitter."""
SET_NS = 60_000_000_000
"""Beyond that one of the clocks has been set."""
QUIET_TICKS, QUIET_TICKS_OWN = 3, 30
"""Ticks without a sample after which the instrument has fallen silent: one with a clock of its own sends records, which
take their time to fill."""
BAD = int(Quality.BAD)


class Instrument:
    """Takes a scan for every sample, so `take` does nothing that can be done later.

    ``missing`` is the quality of what is measured while there are no samples, 0 while there are; ``packets`` gathers
    those that are complete; ``newest_ns`` is when the newest sample was taken.
    """

    def __init__(self, settings: Station, clock: TimeQuality) -> None:
        self.missing = int(Quality.BAD_INPUT)
        self.packets: list[Packet] = []
        self.newest_ns = 0
        self.motion: list[float | None] = []
        """The newest sample of the analysed components, in m/s2 or m/s."""
        self._columns = [(one.column, one.sensitivity) for one in settings.channels]
        self._analysed = [(place, settings.channels[place]) for place in settings.analysed]
        self._factors = [(place, one.column, one.factor) for place, one in self._analysed]
        analyser = _with_full_scale(settings.analyser, [one for _, one in self._analysed])
        streams = [Stream(one.stream, _clips_at(one, analyser.full_scale_m_s2)) for one in settings.channels]
        self._packetiser = Packetiser(streams, settings.rate_hz)
        self._packetiser.tell(clock)
        self._own: TimeQuality | None = None
        """The instrument's own clock, by the newest scan."""
        self._offset_ns = clock.offset_ns
        """UTC by the own clock less monotonic."""
        self._analyser = Analyser(settings.rate_hz, [one.component for _, one in self._analysed], analyser)
        self._has_heard = False
        self._quiet_ticks = 0

    def take(self, scan: Scan) -> Report | None:
        """Take the samples of one time."""
        values, quality = scan.values, scan.quality
        counts = [
            self._count(values[column], sensitivity) if quality[column] < BAD else None
            for column, sensitivity in self._columns
        ]
        if counts.count(None) == len(counts):  # no sample: how long there was none, the next one tells
            self.missing = max(BAD, *quality)
            self.packets += self._packetiser.flush()
            return None
        self.missing = 0
        self._has_heard = True
        self.newest_ns = at_ns = scan.mono_ns if scan.clock is None else self._read_clock(scan.mono_ns, scan.clock)
        self.packets += self._packetiser.take(scan.mono_ns, counts)
        self.motion = [
            None if counts[place] is None else values[column] * factor  # type: ignore[operator]  # what counts is a number
            for place, column, factor in self._factors
        ]
        return self._analyser.take(at_ns, self.motion)

    def _read_clock(self, mono_ns: int, own: TimeQuality) -> int:
        """Say when a sample was taken, by the instrument's own clock: never later than it came, whatever that says."""
        if own is not self._own:
            self._own = own
            self.packets += self._packetiser.tell(own)
        if own.offset_ns is None:
            return mono_ns
        if self._offset_ns is None:
            self._offset_ns = own.offset_ns
        return min(mono_ns, mono_ns + own.offset_ns - self._offset_ns)

    def wall_at(self, at_ns: int) -> int | None:
        """Give UTC by the instrument's own clock; None if it has none."""
        has_own = self._own is not None and self._own.offset_ns is not None and self._offset_ns is not None
        return at_ns + self._offset_ns if has_own and self._offset_ns is not None else None

    def taken_at(self, packet: Packet) -> int:
        """Say when the first sample of a packet was taken, on the monotonic clock."""
        if packet.start_ns is None or self._own is None or self._offset_ns is None:
            return packet.mono_ns
        return min(packet.mono_ns, packet.start_ns - self._offset_ns)

    @staticmethod
    def _count(value: Value, sensitivity: float) -> int | None:
        if type(value) is not float and type(value) is not int:
            return None
        count = value * sensitivity
        return round(count) if -COUNTS_MOST <= count <= COUNTS_MOST else None

    def tick(self, now_ns: int, clock: TimeQuality) -> Report | None:
        """Let time pass, about a second: hear of the clock, and find out whether the instrument has fallen silent."""
        if self._own is None:
            self.packets += self._packetiser.tell(clock)
        self._follow(clock.offset_ns)
        self._quiet_ticks = 0 if self._has_heard else self._quiet_ticks + 1
        self._has_heard = False
        if self._quiet_ticks < (QUIET_TICKS if self._own is None else QUIET_TICKS_OWN):
            return None
        self.missing = self.missing or int(Quality.BAD_TIMEOUT)
        self.packets += self._packetiser.flush()
        return self._analyser.tick(now_ns)

    def _follow(self, ours_ns: int | None) -> None:
        """Keep what monotonic times are made of in step with this machine's clock, unnoticed by the analyser."""
        if ours_ns is None or self._offset_ns is None:
            self._offset_ns = self._offset_ns if ours_ns is None else ours_ns
            return
        off_ns = ours_ns - self._offset_ns
        self._offset_ns += off_ns if abs(off_ns) > SET_NS else max(-SLEW_NS, min(SLEW_NS, off_ns))

    def finish(self, reason: str) -> Report | None:
        """End: no sample will come any more."""
        self.packets += self._packetiser.flush()
        return self._analyser.finish(reason)

    def level(self) -> Level:
        """How things stand at the newest sample."""
        return self._analyser.level()


def _with_full_scale(analyser: AnalyserSettings, channels: Iterable[Channel]) -> AnalyserSettings:
    """Where its configuration does not say it, the analyser hears from the profile where the instrument clips."""
    ends = [one.clips_at / one.sensitivity * one.factor for one in channels if one.clips_at is not None]
    if analyser.full_scale_m_s2 is not None or not ends:
        return analyser
    return msgspec.structs.replace(analyser, full_scale_m_s2=min(ends))


def _clips_at(channel: Channel, full_scale_m_s2: float | None) -> int | None:
    """At which count its values end; None where nobody has said it."""
    if channel.clips_at is not None:
        return channel.clips_at
    if full_scale_m_s2 is None or channel.component.quantity != "acceleration":
        return None
    return round(full_scale_m_s2 / channel.factor * channel.sensitivity)
