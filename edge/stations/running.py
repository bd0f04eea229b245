"""One station at work: its instrument, its quakes, the packets that are sent, and what its tags show."""

from __future__ import annotations

import logging

import msgspec

from drivers.base import Scan
from edge.stations.instrument import Instrument
from edge.stations.levels import Levels
from edge.stations.quake import Partner, Told, Watch
from edge.stations.recording import Recording
from edge.stations.settings import TAGS, Station
from seismic.packet import Packet, TimeQuality
from seismic.report import Level, Report
from wire.health import GroupHealth
from wire.sample import Quality, Value, is_bad

log = logging.getLogger(__name__)
NS = 1_000_000_000
HEARTBEAT_NS = 10 * NS
"""At least so often the tags have a value."""
LATE_NS = 30 * NS
"""Samples older than this concern no alarm: they are of what is long over, from behind a link that was cut."""
LEVELS_NS = NS
"""A structure may swing on after the ground has had its peak."""
LAG_NS = 3 * NS
"""A station whose samples are so much older than another's cannot confirm it."""
RATE_PART = 0.02
"""An instrument whose rate is further from what was said is not what it is taken for: all figures are wrong."""
REST: tuple[Value, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
"""What the tags show while there is no quake: PGA, PGV, PGD, both intensities, grade, triggered."""


class Running:
    """A station, by ``settings``. When `take` or `tick` tell something, and at ``due_ns``, what follows is due:
    `hear`, `decide`, `show`, `tell`.
    """

    def __init__(self, settings: Station, clock: TimeQuality) -> None:
        self.settings = settings
        self.due_ns = 0
        self.recorded: list[Packet] = []
        """All packets, for the disk."""
        self.sent: list[Packet] = []
        """Those that are to be sent."""
        self.watch = Watch(settings.within_s)
        self._instrument = Instrument(settings, clock)
        self._missing = self._instrument.missing
        self._recording = Recording(settings.span, is_continuous=settings.continuous)
        self.doubt = ""
        """Why no figure can be trusted; empty if nothing is known to be wrong."""
        self._good = self._bad = 0
        self.below: list[tuple[Levels, int]] = []
        """Of the stations that stand above this one, and which component they compare."""
        self.levels = _levels_of(settings)
        """How it moves against the level below."""

    def adopt(self, settings: Station) -> bool:
        """Go on by other settings, if they leave the instrument and how it is judged as they were; tell whether.

        Whoever changes what is kept or sent while the ground moves must not lose the quake: an analyser that begins in
        the middle of it takes it for noise.
        """
        before = self.settings
        if settings.of_instrument != before.of_instrument:
            return False
        if settings != before:
            self.due_ns = 0
        if (settings.structure, settings.compared) != (before.structure, before.compared):
            self.levels = _levels_of(settings)
        self.watch.wait(settings.within_s)
        self._recording.change(settings.span, is_continuous=settings.continuous)
        self.settings = settings
        return True

    @property
    def newest_ns(self) -> int:
        """When the newest sample was taken."""
        return self._instrument.newest_ns

    @property
    def is_missing(self) -> bool:
        """Whether there are no samples."""
        return bool(self._missing)

    @property
    def health(self) -> GroupHealth:
        """The accounting of its own group: as many scans are due as it made."""
        return GroupHealth(due=self._good + self._bad, good=self._good, bad=self._bad)

    def take(self, scan: Scan) -> Report | None:
        """Take the samples of one time."""
        report = self._pass_on(self._instrument.take(scan))
        if self._missing:
            return report
        if self.levels is not None and self.settings.compared is not None:
            self.levels.take_upper(self.newest_ns, self._instrument.motion[self.settings.compared])
        for levels, compared in self.below:
            levels.take_lower(self.newest_ns, self._instrument.motion[compared])
        return report

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
            packets = [
                msgspec.structs.replace(packet, mono_ns=instrument.taken_at(packet)) for packet in instrument.packets
            ]
            self._watch_rate(packets[-1].rate_hz)
            self.recorded += packets
            self.sent += filter(None, map(self._recording.put, packets))
            instrument.packets.clear()
        return report

    def _watch_rate(self, rate_hz: float) -> None:
        said_hz, before = self.settings.rate_hz, self.doubt
        is_other = abs(rate_hz / said_hz - 1) > RATE_PART
        self.doubt = f"{rate_hz:g} samples a second come, not {said_hz:g}" if is_other else ""
        if bool(self.doubt) != bool(before):
            log.warning("station %s: %s", self.settings.name, self.doubt or f"{said_hz:g} samples a second come again")

    def is_late(self, now_ns: int) -> bool:
        """Tell whether samples come, but too late to raise an alarm."""
        return not self._missing and now_ns - self.newest_ns > LATE_NS

    def wall_at(self, at_ns: int) -> int | None:
        """Give UTC by the instrument's own clock; None if it has none."""
        return self._instrument.wall_at(at_ns)

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

    def plan(self, at_ns: int) -> None:
        """Say when the tags are to have a value again."""
        decide_ns = self.watch.decide_ns
        self.due_ns = at_ns + (LEVELS_NS if self.watch.accepted and self.levels else HEARTBEAT_NS)
        if decide_ns is not None:
            self.due_ns = min(self.due_ns, decide_ns)

    def show(self, at_ns: int, *, is_late: bool = False) -> Scan:
        """Make the scan of its tags."""
        width, missing, quake = len(self.settings.columns), self._missing, self.watch.accepted
        if missing or is_late:
            self._bad += 1
            quality = missing or int(Quality.BAD_TIMEOUT)
            return Scan(self.settings.group, at_ns, (None,) * width, (quality,) * width)
        self._good += 1
        level = self._instrument.level()
        values, quality = REST, _rest_quality(level)
        if quake is not None:
            last = quake.last
            peaks = (last.pga_gal, last.pgv_cm_s, last.pgd_cm)
            values, quality = (*peaks, last.intensity_gb, last.intensity_jma, last.grade, 1), int(last.quality)
        if self.doubt:
            quality = max(quality, int(Quality.UNCERTAIN_INCONSISTENT))
        values, qualities = (*values, level.noise_gal), (quality,) * len(TAGS)
        if self.levels is not None:
            parts = self.levels.show(is_quake=quake is not None)
            values += parts
            qualities += tuple(quality if part is not None else int(Quality.BAD_INPUT) for part in parts)
        return Scan(self.settings.group, at_ns, values, qualities)


def _levels_of(settings: Station) -> Levels | None:
    return None if settings.structure is None else Levels(settings.rate_hz, settings.structure)


def _rest_quality(level: Level) -> int:
    """The quality of what is shown between quakes. An alarm does not clear on a partial value: that is right until it
    is known how the ground moves, and wrong when two of three components are at rest."""
    if is_bad(level.quality):
        return int(level.quality)
    if not level.is_settled:
        return int(Quality.UNCERTAIN_PARTIAL)
    return int(Quality.UNCERTAIN_INPUT if level.quality == Quality.UNCERTAIN_PARTIAL else level.quality)
