"""Process values as functions of time: a slow swing, some noise, and an excursion when a scenario asks for one."""

from __future__ import annotations

import math
import random

import msgspec


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """What a value does on a quiet day: ``base`` +- ``swing`` over ``period_s``, with Gaussian ``noise``.

    ``growth`` is added each second since the machine started, as of a counter.
    """

    base: float
    swing: float = 0.0
    period_s: float = 600.0
    phase: float = 0.0
    noise: float = 0.0
    growth: float = 0.0


class Excursion(msgspec.Struct, frozen=True, kw_only=True):
    """A trapezium: up to ``peak`` in ``rise_s``, there for ``hold_s``, back in ``fall_s``."""

    peak: float
    rise_s: float
    hold_s: float
    fall_s: float

    def share(self, elapsed_s: float) -> float:
        """How much of the way to the peak, 0..1, after this time."""
        if elapsed_s < self.rise_s:
            return max(0.0, elapsed_s / self.rise_s)
        falling_s = elapsed_s - self.rise_s - self.hold_s
        return 1.0 if falling_s <= 0 else max(0.0, 1.0 - falling_s / self.fall_s)


class Signal:
    """One process value. Time is monotonic ns; noise is seeded, so that two runs look alike."""

    def __init__(self, swing: Swing, seed: str) -> None:
        self._swing = swing
        self._random = random.Random(seed)
        self._excursion: Excursion | None = None
        self._since_ns = 0

    def start(self, excursion: Excursion, at_ns: int) -> None:
        """Begin an excursion; one that runs is replaced."""
        self._excursion, self._since_ns = excursion, at_ns

    def value(self, at_ns: int) -> float:
        """Give the value at a time."""
        swing = self._swing
        angle = 2 * math.pi * at_ns / 1e9 / swing.period_s + swing.phase
        quiet = swing.base + swing.growth * at_ns / 1e9
        quiet += swing.swing * math.sin(angle) + self._random.gauss(0.0, swing.noise)
        if self._excursion is None:
            return quiet
        return quiet + (self._excursion.peak - swing.base) * self._excursion.share((at_ns - self._since_ns) / 1e9)
