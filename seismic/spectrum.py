"""Response spectrum: how hard the event shook oscillators of the usual periods, sample by sample."""

from __future__ import annotations

import math

PERIODS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Natural periods in s, from a low house to a building of 300 m."""

DAMPING = 0.05


class Oscillators:
    """Oscillators of 5 % damping at `PERIODS`, driven by the two horizontal accelerations.

    The response to an acceleration that runs straight between samples is exact: N. C. Nigam, P. C. Jennings,
    Calculation of response spectra from strong-motion earthquake records, BSSA 59 (1969), 909-922. Both components are
    one complex number, so that the largest length of the relative displacement is that in the worst direction: RotD100
    of D. M. Boore, Orientation-independent, nongeometric-mean measures of seismic intensity from two horizontal
    components of motion, BSSA 100 (2010), 1830-1835.
    """

    __slots__ = ("_last", "_one", "_states", "_two")

    def __init__(self, rate_hz: float) -> None:
        self._states: list[list[complex]] = [[*_recurrence(period, 1 / rate_hz), 0j, 0j] for period in PERIODS]
        self._one = self._two = 0j
        self._last = [0.0] * len(PERIODS)

    def step(self, east: float, north: float) -> None:
        """Take the accelerations of one sample in m/s2; of a single component, the other is 0."""
        now, one, two = complex(east, north), self._one, self._two
        largest = self._last
        for at, state in enumerate(self._states):
            c1, c2, d0, d1, d2, u1, u2 = state
            u = c1 * u1 + c2 * u2 + d0 * now + d1 * one + d2 * two
            state[6], state[5] = u1, u
            size = abs(u)
            if size > largest[at]:
                largest[at] = size
        self._two, self._one = one, now

    @property
    def psa_gal(self) -> tuple[float, ...]:
        """Pseudo-acceleration at each of `PERIODS`: omega^2 times the largest relative displacement."""
        return tuple(100 * size * (2 * math.pi / t) ** 2 for size, t in zip(self._last, PERIODS, strict=True))


def _recurrence(period_s: float, dt: float) -> tuple[float, float, float, float, float]:
    """Coefficients of u[n] = c1 u[n-1] + c2 u[n-2] + d0 a[n] + d1 a[n-1] + d2 a[n-2].

    Nigam and Jennings step the pair (u, du/dt) by two matrices; without du/dt the same steps are this recurrence.
    """
    w, h = 2 * math.pi / period_s, DAMPING
    root = math.sqrt(1 - h * h)
    wd, decay = w * root, math.exp(-h * w * dt)
    sine, cosine = math.sin(wd * dt), math.cos(wd * dt)
    ramp, level, lag = (2 * h * h - 1) / (w * w * dt), 1 / (w * w), 2 * h / (w**3 * dt)
    slope, fall = cosine - h / root * sine, wd * sine + h * w * cosine
    a11, a12 = decay * (h / root * sine + cosine), decay * sine / wd
    a21, a22 = -w / root * decay * sine, decay * slope
    p0 = decay * ((ramp + h / w) * sine / wd + (lag + level) * cosine) - lag
    p1 = -decay * (ramp * sine / wd + lag * cosine) - level + lag
    q0 = decay * ((ramp + h / w) * slope - (lag + level) * fall) + level / dt
    q1 = -decay * (ramp * slope - lag * fall) - level / dt
    return a11 + a22, a12 * a21 - a11 * a22, p1, p0 - a22 * p1 + a12 * q1, a12 * q0 - a22 * p0
