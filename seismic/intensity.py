"""How strong an earthquake was at a place: GB/T 17742-2020 from the peaks, JMA from a weighted acceleration."""

from __future__ import annotations

import math
from typing import NamedTuple

from seismic.errors import SeismicError
from seismic.filters import Section

LEAST, MOST = 1.0, 12.0
SWITCH = 6.0
"""From here on velocity alone tells the damage, if acceleration agrees (GB/T 17742-2020 annex A)."""

JMA_HELD_S = 0.3
"""How long in total the weighted acceleration must have reached the value that counts."""

PLACES = 3
"""Decimals that an intensity is told with: one by the standard, more so that its growth is seen."""


def intensity_gb(pga_m_s2: float, pgv_m_s: float) -> float:
    """Instrumental intensity by GB/T 17742-2020 annex A, 1 to 12.

    I_A = 3.17 lg PGA + 6.59, I_V = 3.00 lg PGV + 9.77, of the vectors of three components in m/s2 and m/s, 0.1 to
    10 Hz. I = I_V if both are 6 or more, else their mean. The standard gives one decimal.
    """
    if pga_m_s2 <= 0 or pgv_m_s <= 0:
        return LEAST
    by_acceleration = 3.17 * math.log10(pga_m_s2) + 6.59
    by_velocity = 3.00 * math.log10(pgv_m_s) + 9.77
    both = min(by_acceleration, by_velocity) >= SWITCH
    intensity = by_velocity if both else (by_acceleration + by_velocity) / 2
    return min(max(intensity, LEAST), MOST)


def intensity_jma(held_gal: float) -> float:
    """Instrumental intensity of JMA: I = 2 lg a0 + 0.94 with a0 in gal, reached for 0.3 s in total.

    Source: Japan Meteorological Agency, notice 4 of 1996. Below 0.1 gal nothing is told: -1.06 and no less, as there is
    no motion that anybody feels or an instrument of this kind measures.
    """
    return 2 * math.log10(max(held_gal, 0.1)) + 0.94


def grade_of(intensity: float) -> int:
    """The class by GB/T 17742: class n is from n - 0.5 up to, not including, n + 0.5 (its table of PGA and PGV)."""
    return int(min(max(math.floor(intensity + 0.5), LEAST), MOST))


class Grade:
    """The class with hysteresis: it rises at once, and falls only when intensity is below it by a deadband.

    The formula is not monotonic about VI: a growing event can lose intensity as its velocity reaches VI.
    """

    __slots__ = ("_deadband", "now")

    def __init__(self, deadband: float) -> None:
        self._deadband = deadband
        self.now = 1

    def take(self, intensity: float) -> int:
        """Take an intensity, give the class."""
        grade = grade_of(intensity)
        if grade > self.now or intensity < self.now - 0.5 - self._deadband:
            self.now = grade
        return self.now


class _Corners(NamedTuple):
    """Corner frequencies in Hz, dampings and gain of the filter of Kunugi et al., table 1."""

    f0: float = 0.45
    f1: float = 7.0
    f2: float = 0.5
    f3: float = 12.0
    f4: float = 20.0
    f5: float = 30.0
    h2a: float = 1.0
    h2b: float = 0.75
    h3: float = 0.9
    h4: float = 0.6
    h5: float = 0.6
    gain: float = 1.262


def jma_sections(rate_hz: float) -> tuple[Section, ...]:
    """Design the filter of JMA intensity for samples as they come, acceleration in, weighted acceleration out.

    Source: T. Kunugi, S. Aoi, H. Nakamura, W. Suzuki, N. Morikawa, H. Fujiwara, An improved approximating filter for
    real-time calculation of seismic intensity, Zisin 65 (2013), 223-230. Raises SeismicError below 40 samples/s.
    """
    if not rate_hz >= 40:
        raise SeismicError(f"{rate_hz:g} samples/s are too few for intensities", hint="sample at 50 to 1000 a second")
    of, n, m = _Corners(), rate_hz, rate_hz * rate_hz
    w0, w1, w2 = (2 * math.pi * corner for corner in (of.f0, of.f1, of.f2))
    first = _section(
        (4 * m + 2 * w1 * n, -8 * m, 4 * m - 2 * w1 * n),
        (8 * m + (4 * w0 + 2 * w1) * n + w0 * w1, 2 * w0 * w1 - 16 * m, 8 * m - (4 * w0 + 2 * w1) * n + w0 * w1),
    )
    second = _section(
        (4 * m + 8.5 * w1 * n + w1 * w1, 2 * w1 * w1 - 8 * m, 4 * m - 8.5 * w1 * n + w1 * w1),
        (16 * m + 17 * w1 * n + w1 * w1, 2 * w1 * w1 - 32 * m, 16 * m - 17 * w1 * n + w1 * w1),
    )
    third = _section(_resonance(of.h2a, w2, n), _resonance(of.h2b, w2, n))
    lows = [
        _section((w * w, 10 * w * w, w * w), _resonance(damping, w, n))
        for damping, w in ((of.h3, 2 * math.pi * of.f3), (of.h4, 2 * math.pi * of.f4), (of.h5, 2 * math.pi * of.f5))
    ]
    first = first._replace(b0=first.b0 * of.gain, b1=first.b1 * of.gain, b2=first.b2 * of.gain)
    return (first, second, third, *lows)


def _resonance(damping: float, w: float, n: float) -> tuple[float, float, float]:
    """s^2 + 2 h w s + w^2, made discrete as the paper does it (its equation of the second-order elements)."""
    return 12 * n * n + 12 * damping * w * n + w * w, 10 * w * w - 24 * n * n, 12 * n * n - 12 * damping * w * n + w * w


def _section(above: tuple[float, float, float], below: tuple[float, float, float]) -> Section:
    a0, a1, a2 = below
    return Section(above[0] / a0, above[1] / a0, above[2] / a0, a1 / a0, a2 / a0)


class Exceedance:
    """The value that samples have reached for 0.3 s in total, in constant memory: a histogram of logarithmic bins.

    A bin is 1/400 of a decade wide and told by its middle: within 0.3 %, 0.0025 of JMA intensity.
    """

    __slots__ = ("_counts", "_least", "_needed", "_top")

    PER_DECADE = 400
    LEAST_GAL, DECADES = 0.1, 5

    def __init__(self, rate_hz: float) -> None:
        self._needed = max(1, round(JMA_HELD_S * rate_hz))
        self._counts = [0] * (self.PER_DECADE * self.DECADES)
        self._least = self.LEAST_GAL**2
        self._top = 0

    def take(self, square_gal2: float) -> None:
        """Take the squared length of the weighted vector."""
        if square_gal2 <= self._least:
            return
        at = int((math.log10(square_gal2 / self._least)) * (self.PER_DECADE / 2))
        if at >= len(self._counts):
            at = len(self._counts) - 1
        self._counts[at] += 1
        if at > self._top:
            self._top = at

    @property
    def held_gal(self) -> float:
        """What was reached for 0.3 s in total; 0.1 gal if nothing larger was."""
        seen = 0
        for at in range(self._top, -1, -1):
            seen += self._counts[at]
            if seen >= self._needed:
                return self.LEAST_GAL * 10 ** ((at + 0.5) / self.PER_DECADE)
        return self.LEAST_GAL
