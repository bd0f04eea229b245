"""What the first seconds of the P wave tell on site: Pd, tau_c, and an estimate of the magnitude."""

from __future__ import annotations

import math

WINDOW_S = 3.0
FIRST_S = 0.4
"""When the first word of the P wave goes out: half a second after the trigger is asked for."""

TAU_C_SLOPE, TAU_C_OFFSET, TAU_C_ERROR = 3.373, 5.787, 0.412
"""M = 3.373 lg tau_c + 5.787, standard error 0.412, of 54 events in Japan, California and Taiwan of M 4.1 to 8.3:
Y.-M. Wu, H. Kanamori, Development of an earthquake early warning system using real-time strong motion signals,
Sensors 8 (2008), 1-9."""

PD_LEAST_CM, PD_OVER_NOISE = 0.05, 5.0
"""Below, or below five times the rms of the displacement before it, tau_c is the period of noise that was integrated
twice: no magnitude is told. Ours, not of the paper."""

MAGNITUDE_LEAST, MAGNITUDE_MOST = 4.0, 8.5
"""Where the relation was made, rounded; outside nothing is told."""


class PWave:
    """The vertical motion behind a high-pass of 0.075 Hz, from the trigger on for 3 s.

    Pd is the largest displacement. tau_c = 2 pi sqrt(integral of d^2 / integral of v^2): H. Kanamori, Real-time
    seismology and earthquake damage mitigation, Annu. Rev. Earth Planet. Sci. 33 (2005), 195-214.
    """

    __slots__ = ("_d2", "_least_cm", "_left", "_pd", "_v2")

    def __init__(self, rate_hz: float, noise_m: float) -> None:
        self._least_cm = max(PD_LEAST_CM, 100 * PD_OVER_NOISE * noise_m)
        self._left = round(WINDOW_S * rate_hz)
        self._d2 = self._v2 = self._pd = 0.0

    def step(self, velocity: float, displacement: float) -> None:
        """Take a sample in m/s and m. Those behind the window change nothing."""
        if self._left > 0:
            self._left -= 1
            self._v2 += velocity * velocity
            self._d2 += displacement * displacement
            self._pd = max(self._pd, abs(displacement))

    @property
    def is_complete(self) -> bool:
        """Whether the window is full: before, Pd may still grow and tau_c is not told."""
        return self._left == 0

    @property
    def pd_cm(self) -> float:
        """Pd so far."""
        return 100 * self._pd

    @property
    def tau_c_s(self) -> float | None:
        """The period tau_c; None before the window is full."""
        if not self.is_complete or self._v2 <= 0:
            return None
        return 2 * math.pi * math.sqrt(self._d2 / self._v2)

    @property
    def magnitude(self) -> float | None:
        """The estimate from tau_c; None where the relation does not hold."""
        tau_c_s = self.tau_c_s
        if not tau_c_s or self.pd_cm < self._least_cm:
            return None
        magnitude = TAU_C_SLOPE * math.log10(tau_c_s) + TAU_C_OFFSET
        return magnitude if MAGNITUDE_LEAST <= magnitude <= MAGNITUDE_MOST else None
