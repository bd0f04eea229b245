"""One component from its raw values to what the analyser sums up: conditioned, without its baseline, filtered."""

from __future__ import annotations

from collections.abc import Sequence

from seismic.conditioning import SPIKE_LEAST, Conditioner
from seismic.filters import Cascade, Section
from seismic.motion import Band, broad
from seismic.report import Component
from seismic.settings import AnalyserSettings
from seismic.trigger import Averages

MOST = {"acceleration": 1000.0, "velocity": 100.0}
"""m/s2 and m/s that no instrument measures: such a value is none."""

LEAST_JUMP = {"acceleration": SPIKE_LEAST, "velocity": SPIKE_LEAST / 50}
"""5 gal, and 1 mm/s: what 5 gal are at 8 Hz."""

BASELINE_S = 60.0
"""Time in which the baseline follows a drift, between events."""

FROZEN_S, FROZEN_LEAST = 0.2, 0.01
"""A value that repeats for so long, away from the baseline by more than 1 gal, is not the ground's."""

FLAT_N, FLAT_LEAST, FLAT_STEP = 2, 0.2, 0.05
"""Three equal values beyond 20 gal, reached by a step of 5 % of them or more, are a top that was clipped: motion slows
down before it turns. The values stay, as the least that it can have been."""

ONE_SIDED_S = 8.0
"""Half a period of 0.0625 Hz, below the band: what stays on one side for longer is an offset, not motion."""

SLOW_S = 1.0
"""Time constant that an offset is measured with."""

SWING = 0.2
"""Motion swings: the lesser of its two sides is at least this share of the greater one."""


class Channel:
    """The state of one component. `step` once per sample time; then the outputs hold until the next one.

    ``is_present`` tells whether there is a value and it counts: the baseline is known and the filters have forgotten
    that they began. ``wander`` is the mean square of the displacement in m2 while it is quiet: noise, integrated twice.
    ``frozen`` counts as the counters of the conditioner do.
    """

    def __init__(
        self, component: Component, settings: AnalyserSettings, rate_hz: float, sections: Sequence[Section]
    ) -> None:
        self.component = component
        self._rate_hz = rate_hz
        self._is_velocity = component.quantity == "velocity"
        self.conditioner = Conditioner(
            rate_hz,
            MOST[component.quantity],
            LEAST_JUMP[component.quantity],
            None if self._is_velocity else settings.full_scale_m_s2,
            round(settings.dead_s * rate_hz),
        )
        self._sections = sections
        self.band = Band(rate_hz)
        self.broad = broad(rate_hz)
        self.averages = Averages(settings.trigger, rate_hz)
        self._settle_n = round(settings.settle_s * rate_hz)
        self._bridge_n = round(settings.bridge_s * rate_hz)
        self._frozen_n = round(FROZEN_S * rate_hz)
        self._one_sided_n = round(ONE_SIDED_S * rate_hz)
        self._by_baseline = 1 / (BASELINE_S * rate_hz)
        self._by_slow = 1 / (SLOW_S * rate_hz)
        self.frozen = 0
        self.reset()

    def reset(self) -> None:
        """Forget the motion and the baseline: what comes next is a new beginning."""
        self.conditioner.reset()
        self._before: float | None = None
        self._missing_n = 0
        self._settle()

    def _settle(self) -> None:
        """Begin a new baseline."""
        self.baseline = 0.0
        self._seen_n = 0
        self.averages.reset()
        self._begin()

    def _begin(self) -> None:
        """Come to rest at the baseline."""
        self.band.reset()
        self.broad.reset()
        self.jma = Cascade(self._sections)
        self._slow = 0.0
        self._side, self._side_n, self._quiet = 1.0, 0, self.averages.long
        self.weighted = 0.0
        self.is_present = False
        self.wander = 0.0
        self.least = self.greatest = 0.0

    def watch_swing(self) -> None:
        """Begin to look how far the motion goes to each side."""
        self.least = self.greatest = 0.0

    @property
    def swings(self) -> bool:
        """Whether it has gone to both sides since `watch_swing`, as ground does and an offset does not."""
        lesser, greater = sorted((-self.least, self.greatest))
        return lesser >= SWING * greater > 0

    def step(self, raw: float | None, is_learning: bool, is_quiet: bool) -> None:
        """Take the raw value of one sample time.

        ``is_learning`` is false while an event runs; ``is_quiet`` is false from its onset on: a first swing to one side
        is not to move the baseline.
        """
        value = self.conditioner.take(raw)
        if self._is_velocity:
            before, self._before = self._before, value
            value = None if value is None or before is None else (value - before) * self._rate_hz
        if value is None:
            self._miss()
            return
        if self._missing_n:
            if self._missing_n > self._bridge_n:
                self._settle()
            self._missing_n = 0
        if self._seen_n < self._settle_n:
            self._seen_n += 1
            self.baseline += (value - self.baseline) / self._seen_n
            return
        value -= self.baseline
        if self.conditioner.held_n >= FLAT_N and self._is_flat(abs(value)):
            self.is_present = False
            return
        self._filter(value)
        high = self.band.high.acceleration
        self.averages.step(high * high, is_learning)
        if is_quiet:
            self.baseline += self._by_baseline * value
            displacement = self.broad.displacement
            self.wander += self._by_baseline * (displacement * displacement - self.wander)
        self._watch(is_learning)

    def _is_flat(self, size: float) -> bool:
        """Count a flat top. Tells whether it has lasted for too long to be one."""
        conditioner = self.conditioner
        if conditioner.held_n == FLAT_N and size > FLAT_LEAST and conditioner.entered > FLAT_STEP * size:
            conditioner.clipped += 1
        if conditioner.held_n >= self._frozen_n and size > FROZEN_LEAST:
            self.frozen += 1
            return True
        return False

    def _miss(self) -> None:
        self.is_present = False
        if not self.conditioner.is_dead:  # one that stands still and moves again has kept its baseline
            self._missing_n += 1

    def _filter(self, value: float) -> None:
        if self._seen_n < 2 * self._settle_n:
            self._seen_n += 1
        self.is_present = self._seen_n >= 2 * self._settle_n
        self.band.step(value)
        self.broad.step(value)
        self.weighted = self.jma.step(value)

    def _watch(self, is_learning: bool) -> None:
        """Look at the two sides of the motion; an offset that stays becomes the baseline, unless an event runs."""
        smooth = self.band.smooth
        if smooth > self.greatest:
            self.greatest = smooth
        elif smooth < self.least:
            self.least = smooth
        self._slow += self._by_slow * (smooth - self._slow)
        if smooth * self._side < 0:
            self._side, self._side_n, self._quiet = -self._side, 0, self.averages.long
            return
        self._side_n += 1
        if self._side_n >= self._one_sided_n and abs(self._slow) > FROZEN_LEAST and is_learning:
            self.baseline += self._slow
            self.averages.calm(self._quiet)
            self._begin()

    @property
    def is_one_sided(self) -> bool:
        """Whether it has been on one side for longer than any motion in the band."""
        return self._side_n >= self._one_sided_n and abs(self._slow) > FROZEN_LEAST
