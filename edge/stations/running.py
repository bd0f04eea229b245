"""One station at work: its instrument, its quakes, the packets that are sent, and what its tags show."""

from __future__ import annotations

from drivers.base import Scan
from edge.stations.instrument import Instrument
from edge.stations.quake import Partner, Told, Watch
from edge.stations.recording import Recording
from edge.stations.settings import Station
from seismic.packet import Packet, TimeQuality
from seismic.report import Report
from wire.health import GroupHealth
from wire.sample import Quality, Value, is_bad

NS = 1_000_000_000
HEARTBEAT_NS = 10 * NS
"""At least so often the tags have a value."""
LAG_NS = 3 * NS
"""A station whose samples are so much older than another's cannot confirm it."""
PARTIAL = int(Quality.UNCERTAIN_PARTIAL)
REST: tuple[Value, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
"""What the tags show while there is no quake: PGA, PGV, PGD, both intensities, grade, triggered."""


class Running:
    """A station, by ``settings``. When `take` or `tick` tell something, and at ``due_ns``, what follows is due:
    `hear`, `decide`, `show`, `tell`.
    """

    def __init__(self, settings: Station) -> None:
        within_s = settings.coincidence.within_s if settings.coincidence else 0.0
        self.settings = settings
        self.due_ns = 0
        self.recorded: list[Packet] = []
        """All packets, for the disk."""
        self.sent: list[Packet] = []
        """Those that are to be sent."""
        self.watch = Watch(within_s)
        self._instrument = Instrument(settings)
        self._missing = self._instrument.missing
        self._recording = Recording(
            int(settings.pre_s * NS), int(settings.post_s * NS), int(within_s * NS), is_continuous=settings.continuous
        )
        self._good = self._bad = 0

    @property
    def newest_ns(self) -> int:
        """When the newest sample was taken."""
        return self._instrument.newest_ns

    @property
    def health(self) -> GroupHealth:
        """The accounting of its own group: as many scans are due as it made."""
        return GroupHealth(due=self._good + self._bad, good=self._good, bad=self._bad)

    def take(self, scan: Scan) -> Report | None:
        """Take the samples of one time."""
        return self._pass_on(self._instrument.take(scan))

    def tick(self, now_ns: int, clock: TimeQuality) -> Report | None:
        """Let time pass, about a second."""
        return self._pass_on(self._instrument.tick(now_ns, clock))

    def finish(self, reason: str) -> Report | None:
        """End: the station is taken down, or becomes another."""
        return self._pass_on(self._instrument.finish(reason))

    def _pass_on(self, report: Report | None) -> Report | None:
        instrument = self._instrument
        if instrument.missing != self._missing:
            self._missing, self.due_ns = instrument.missing, 0
        if instrument.packets:
            self.recorded += instrument.packets
            self.sent += filter(None, map(self._recording.put, instrument.packets))
            instrument.packets.clear()
        return report

    def resume(self, now_ns: int) -> None:
        """Go on sending the waveform of a quake whose end an earlier start of the agent did not see."""
        self._recording.end(now_ns)

    def as_partner(self, of_ns: int) -> Partner:
        """How it stands for another station, whose newest sample was taken at ``of_ns``."""
        level = self._instrument.level()
        return Partner(
            name=self.settings.name,
            onset_ns=self.watch.onset_ns,
            is_triggered=self.watch.is_triggered,
            is_deaf=bool(self._missing)
            or not level.is_settled
            or is_bad(level.quality)
            or of_ns - self.newest_ns > LAG_NS,
        )

    def tell(self) -> list[Told]:
        """Return what is to be recorded, and begin or end with sending packets."""
        quake = self.watch.accepted
        if quake is not None and not self._recording.is_on:
            self.sent += self._recording.begin(quake.first.onset_at_ns)
        elif quake is None and self._recording.is_on:
            self._recording.end(self.newest_ns)
        return self.watch.take_told()

    def show(self, at_ns: int) -> Scan:
        """Make the scan of its tags."""
        decide_ns = self.watch.decide_ns
        self.due_ns = at_ns + HEARTBEAT_NS if decide_ns is None else min(decide_ns, at_ns + HEARTBEAT_NS)
        width = len(self.settings.columns)
        if self._missing:
            self._bad += 1
            return Scan(self.settings.group, at_ns, (None,) * width, (self._missing,) * width)
        self._good += 1
        level, quake = self._instrument.level(), self.watch.accepted
        quality = level.quality or (0 if level.is_settled else PARTIAL)
        values = REST
        if quake is not None:
            last = quake.last
            quality = last.quality
            values = (
                last.pga_gal,
                last.pgv_cm_s,
                last.pgd_cm,
                last.intensity_gb,
                last.intensity_jma,
                last.grade,
                1,
            )
        return Scan(self.settings.group, at_ns, (*values, level.noise_gal), (quality,) * width)
