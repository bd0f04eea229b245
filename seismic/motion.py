"""What the ground does, from its acceleration: the band of 0.1 to 10 Hz, velocity and displacement, and their peaks."""

from __future__ import annotations

import math

from seismic.filters import butterworth

BAND_HZ = (0.1, 10.0)
BAND_ORDER = 2
"""GB/T 17742-2020 annex A asks for 0.1 to 10 Hz; the order and that the filter runs one way are ours."""

BROAD_HZ = 0.075
"""Corner of the high-pass of early warning (Wu and Kanamori); spectra are taken behind it as well."""


class HighPass:
    """A Butterworth high-pass of two poles that gives acceleration, velocity and displacement at once.

    Velocity and displacement are integrals by the trapezoidal rule, V(z) = dt/2 (1 + 1/z) / (1 - 1/z) A(z). Both zeros
    of the filter are at z = 1 and cancel the poles of two integrals: the three are sums over the same inner state,
    nothing drifts and nothing has to be corrected, however long it runs.
    """

    __slots__ = ("_a1", "_a2", "_gain", "_half", "_one", "_square", "_two", "acceleration", "displacement", "velocity")

    def __init__(self, a1: float, a2: float, gain: float, rate_hz: float) -> None:
        self._a1, self._a2, self._gain = a1, a2, gain
        self._half = 0.5 / rate_hz
        self._square = self._half * self._half
        self.reset()

    def reset(self) -> None:
        """Come to rest at zero."""
        self._one = self._two = 0.0
        self.acceleration = self.velocity = self.displacement = 0.0

    def step(self, value: float) -> None:
        """Take a sample in m/s2. What comes out is in m/s2, m/s and m."""
        one, two = self._one, self._two
        now = self._gain * value - self._a1 * one - self._a2 * two
        self.acceleration = now - one - one + two
        self.velocity = self._half * (now - two)
        self.displacement = self._square * (now + one + one + two)
        self._two, self._one = one, now


class Band:
    """The band of the intensity scale: a low-pass of two poles, then a `HighPass`. ``smooth`` is what stands between.

    The zeros of the two are those of ``butterworth(2, "band", BAND_HZ)``: the product is that filter.
    """

    __slots__ = ("_a1", "_a2", "_b0", "_b1", "_b2", "_one", "_two", "high", "smooth")

    def __init__(self, rate_hz: float) -> None:
        low, high = butterworth(BAND_ORDER, "band", BAND_HZ, rate_hz)
        level = (low.b0 + low.b1 + low.b2) / (1 + low.a1 + low.a2)
        self._b0, self._b1, self._b2 = low.b0 / level, low.b1 / level, low.b2 / level
        self._a1, self._a2 = low.a1, low.a2
        self.high = HighPass(high.a1, high.a2, level, rate_hz)
        self.reset()

    def reset(self) -> None:
        """Come to rest at zero."""
        self._one = self._two = self.smooth = 0.0
        self.high.reset()

    def step(self, value: float) -> None:
        """Take a sample in m/s2, less its baseline."""
        out = self._b0 * value + self._one
        self._one = self._b1 * value - self._a1 * out + self._two
        self._two = self._b2 * value - self._a2 * out
        self.smooth = out
        self.high.step(out)


def broad(rate_hz: float) -> HighPass:
    """Make the high-pass of 0.075 Hz."""
    (section,) = butterworth(2, "high", [BROAD_HZ], rate_hz)
    return HighPass(section.a1, section.a2, section.b0, rate_hz)


class Peaks:
    """The largest lengths of the vectors of acceleration, velocity and displacement so far, in m/s2, m/s, m."""

    __slots__ = ("_a", "_d", "_v", "at_ns")

    def __init__(self) -> None:
        self._a = self._v = self._d = 0.0
        self.at_ns = 0

    def take(self, at_ns: int, a: float, v: float, d: float) -> None:
        """Take the squared lengths of the three vectors at one time."""
        if a > self._a:
            self._a, self.at_ns = a, at_ns
        if v > self._v:
            self._v = v
        if d > self._d:
            self._d = d

    @property
    def acceleration(self) -> float:
        """PGA in m/s2."""
        return math.sqrt(self._a)

    @property
    def velocity(self) -> float:
        """PGV in m/s."""
        return math.sqrt(self._v)

    @property
    def displacement(self) -> float:
        """PGD in m."""
        return math.sqrt(self._d)
