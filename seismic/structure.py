"""What a building or a bridge does: drift between two levels, and the frequency that it swings with by itself."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from seismic.errors import SeismicError
from seismic.motion import Band

BINS_A_SIDE = 20
"""Frequencies looked at on each side of the reference."""

REMEMBERED = 4
"""Windows that the spectrum is a mean of, the newest weighing most: one alone scatters like noise."""

PEAK_OVER_MEAN = 3.0
"""A peak lower than this over the mean of its surroundings is none."""


class StructureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a structure. The reference frequency is that of its fundamental mode when it was sound."""

    reference_hz: Annotated[
        float, Meta(gt=0.05, le=10, description="frequency of the fundamental mode when the structure was sound")
    ]
    width: Annotated[
        float, Meta(gt=0.05, le=0.5, description="share of the reference on each side in which the mode is looked for")
    ] = 0.3
    window_periods: Annotated[
        float, Meta(ge=20, le=1000, description="periods of the mode that one look at its frequency takes")
    ] = 60.0


class Structure:
    """Compares one horizontal component of an upper and a lower level, sample by sample, in constant memory.

    Drift is the difference of the two displacements, each integrated twice in the band of 0.1 to 10 Hz: what is slower,
    a lasting displacement among it, cannot be had from accelerations. Raises SeismicError if the rate is too low.
    """

    def __init__(self, rate_hz: float, settings: StructureSettings) -> None:
        if settings.reference_hz * (1 + settings.width) >= rate_hz / 4:
            raise SeismicError(f"{rate_hz:g} samples/s are too few for a mode at {settings.reference_hz:g} Hz")
        self._settings = settings
        self._lower, self._upper = Band(rate_hz), Band(rate_hz)
        self._start: tuple[float, float] | None = None
        self.mode = Mode(rate_hz, settings)
        self.drift_mm = self.peak_drift_mm = 0.0

    def take(self, upper: float | None, lower: float | None) -> None:
        """Take the accelerations of one time in m/s2. One that is missing leaves all as it was."""
        if upper is None or lower is None or not math.isfinite(upper) or not math.isfinite(lower):
            return
        if self._start is None:
            self._start = upper, lower
        self._upper.step(upper - self._start[0])
        self._lower.step(lower - self._start[1])
        self.drift_mm = 1000 * (self._upper.high.displacement - self._lower.high.displacement)
        self.peak_drift_mm = max(self.peak_drift_mm, abs(self.drift_mm))
        self.mode.take(self._upper.high.acceleration)

    def forget_peak(self) -> None:
        """Begin a new event."""
        self.peak_drift_mm = 0.0

    @property
    def frequency_shift_percent(self) -> float | None:
        """How far the fundamental frequency is from its reference; None before a window is full or without a peak."""
        found_hz = self.mode.frequency_hz
        return None if found_hz is None else 100 * (found_hz / self._settings.reference_hz - 1)


class Mode:
    """Follows the frequency of a structure's own vibration: a spectrum about the reference, window after window.

    Each bin is Goertzel's recursion (Amer. Math. Monthly 65, 1958, 34-35) over a Hann window; the powers of some
    windows are averaged as P. D. Welch does (IEEE Trans. Audio Electroacoust. 15, 1967, 70-73). The peak lies on a
    parabola through the logarithms of the three highest bins.
    """

    def __init__(self, rate_hz: float, settings: StructureSettings) -> None:
        middle, width = settings.reference_hz, settings.width
        self._step_hz = middle * width / BINS_A_SIDE
        self._first_hz = middle - BINS_A_SIDE * self._step_hz
        bins = range(2 * BINS_A_SIDE + 1)
        self._turns = [2 * math.cos(2 * math.pi * (self._first_hz + at * self._step_hz) / rate_hz) for at in bins]
        self._window = round(settings.window_periods / middle * rate_hz)
        self._states = [[turn, 0.0, 0.0] for turn in self._turns]
        self._at = 0
        self._powers: list[float] | None = None
        self.frequency_hz: float | None = None

    def take(self, value: float) -> None:
        """Take a sample of the structure's motion."""
        value *= 0.5 - 0.5 * math.cos(2 * math.pi * self._at / self._window)
        for state in self._states:
            turn, one, two = state
            state[1], state[2] = value + turn * one - two, one
        self._at += 1
        if self._at == self._window:
            self._finish()

    def _finish(self) -> None:
        powers = [one * one + two * two - turn * one * two for turn, one, two in self._states]
        before = self._powers
        if before is None:
            self._powers = powers
        else:
            share = 1 / REMEMBERED
            self._powers = [old + share * (new - old) for old, new in zip(before, powers, strict=True)]
        self._at = 0
        for state in self._states:
            state[1] = state[2] = 0.0
        self.frequency_hz = self._peak(self._powers)

    def _peak(self, powers: list[float]) -> float | None:
        at = max(range(len(powers)), key=powers.__getitem__)
        if not 0 < at < len(powers) - 1 or powers[at] < PEAK_OVER_MEAN * sum(powers) / len(powers):
            return None
        left, top, right = (math.log(max(power, 1e-300)) for power in powers[at - 1 : at + 2])
        bend = left - 2 * top + right
        return self._first_hz + self._step_hz * (at + (0.5 * (left - right) / bend if bend else 0.0))
