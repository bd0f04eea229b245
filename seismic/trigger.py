"""When motion begins and ends: a recursive short-term average of energy against a long-term one.

Source: M. Withers et al., A comparison of select trigger algorithms for automated global seismic phase and event
detection, BSSA 88 (1998), 95-106 (recursive STA/LTA); obspy's ``recursive_sta_lta`` computes the same averages.
"""

from __future__ import annotations

import math

from seismic.settings import TriggerSettings


class Averages:
    """The two averages of one component's energy. The long one is a plain mean until its window is full."""

    __slots__ = ("_by_long", "_by_short", "_seen", "_window", "long", "short")

    def __init__(self, settings: TriggerSettings, rate_hz: float) -> None:
        self._by_short = 1 / max(1.0, settings.sta_s * rate_hz)
        self._by_long = 1 / max(1.0, settings.lta_s * rate_hz)
        self._window = round(settings.lta_s * rate_hz)
        self.reset()

    def reset(self) -> None:
        """Know nothing."""
        self._seen = 0
        self.short = self.long = 0.0

    def step(self, square: float, is_learning: bool) -> None:
        """Take the square of a sample. The long average learns while no event runs."""
        self.short += self._by_short * (square - self.short)
        if not is_learning:
            return
        if self._seen < self._window:
            self._seen += 1
            self.long += (square - self.long) / self._seen
        else:
            self.long += self._by_long * (square - self.long)

    def accept(self) -> None:
        """Take the present motion for the new quiet."""
        self.long = self.short

    def calm(self, long: float | None = None) -> None:
        """Forget the present motion: what comes next is not its sequel. ``long`` is what was quiet before."""
        if long is not None:
            self.long = long
        self.short = self.long


class Trigger:
    """Judges the sums of the averages of all components. ``onset_ns`` is when the ratio rose, None while it is low.

    Energies are in (m/s2)^2. The floor keeps what no one would call an earthquake from triggering however quiet it was
    before; the onset is dated by the ratio alone, which rises earlier than the floor is passed.
    """

    __slots__ = ("_floor", "_off", "_on", "onset_ns", "ratio", "short")

    def __init__(self, settings: TriggerSettings) -> None:
        self._on, self._off = settings.on_ratio, settings.off_ratio
        self._floor = (settings.floor_gal / 100) ** 2
        self.onset_ns: int | None = None
        self.ratio = self.short = 0.0

    def reset(self) -> None:
        """Forget an onset."""
        self.onset_ns = None

    def take(self, at_ns: int, short: float, long: float) -> bool:
        """Take the two sums of one time. Tells whether they trigger."""
        self.short = short
        self.ratio = ratio = short / long if long > 0 else (math.inf if short > 0 else 0.0)
        if ratio < self._off:
            self.onset_ns = None
        elif ratio > self._on:
            if self.onset_ns is None:
                self.onset_ns = at_ns
            return short >= self._floor
        return False

    @property
    def is_over(self) -> bool:
        """Whether the motion is no more than what was there before, or too little to matter."""
        return self.ratio < self._off or self.short < self._floor / 4
