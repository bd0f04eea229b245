"""The instrument of one station: scans in, what it measures as motion and as counts out to analyser and packets."""

from __future__ import annotations

from drivers.base import Scan
from edge.stations.settings import Channel, Station
from seismic.analyser import Analyser
from seismic.packet import Channel as Stream
from seismic.packet import Packet, Packetiser, TimeQuality
from seismic.report import Level, Report
from wire.sample import Quality, Value

COUNTS_MOST = 2**31 - 1
"""Waveforms have 32 bits; a count beyond is no sample."""
QUIET_TICKS = 3
"""Ticks without a sample after which the instrument has fallen silent."""
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
        full_scale = settings.analyser.full_scale_m_s2
        streams = [Stream(one.stream, _clips_at(one, full_scale)) for one in settings.channels]
        self._packetiser = Packetiser(streams, settings.rate_hz)
        self._packetiser.tell(clock)
        self._analyser = Analyser(settings.rate_hz, [one.component for _, one in self._analysed], settings.analyser)
        self._has_heard = False
        self._quiet_ticks = 0

    def take(self, scan: Scan) -> Report | None:
        """Take the samples of one time."""
        values, quality = scan.values, scan.quality
        counts = [
            self._count(values[column], sensitivity) if quality[column] < BAD else None
            for column, sensitivity in self._columns
        ]
        self._has_heard = True
        self.newest_ns = at_ns = scan.mono_ns
        if counts.count(None) == len(counts):
            self.missing = max(BAD, *quality)
        else:
            self.missing = 0
        self.packets += self._packetiser.take(at_ns, counts)
        self.motion = [
            None if counts[place] is None else values[column] * factor  # type: ignore[operator]  # what counts is a number
            for place, column, factor in self._factors
        ]
        return self._analyser.take(at_ns, self.motion)

    @staticmethod
    def _count(value: Value, sensitivity: float) -> int | None:
        if type(value) is not float and type(value) is not int:
            return None
        count = value * sensitivity
        return round(count) if -COUNTS_MOST <= count <= COUNTS_MOST else None

    def tick(self, now_ns: int, clock: TimeQuality) -> Report | None:
        """Let time pass, about a second: hear of the clock, and find out whether the instrument has fallen silent."""
        self.packets += self._packetiser.tell(clock)
        self._quiet_ticks = 0 if self._has_heard else self._quiet_ticks + 1
        self._has_heard = False
        if self._quiet_ticks < QUIET_TICKS:
            return None
        self.missing = self.missing or int(Quality.BAD_TIMEOUT)
        self.packets += self._packetiser.flush()
        return self._analyser.tick(now_ns)

    def finish(self, reason: str) -> Report | None:
        """End: no sample will come any more."""
        self.packets += self._packetiser.flush()
        return self._analyser.finish(reason)

    def level(self) -> Level:
        """How things stand at the newest sample."""
        return self._analyser.level()


def _clips_at(channel: Channel, full_scale_m_s2: float | None) -> int | None:
    """At which count an acceleration ends; None where nobody has said it."""
    if full_scale_m_s2 is None or channel.component.quantity != "acceleration":
        return None
    return round(full_scale_m_s2 / channel.factor * channel.sensitivity)
