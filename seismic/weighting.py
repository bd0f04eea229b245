"""JMA intensity by its definition, from a whole record: what the recursive form of `seismic.intensity` approximates."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from itertools import zip_longest

from seismic.intensity import JMA_HELD_S, intensity_jma

SAMPLES_MOST = 1 << 17
"""Longer records are judged by the recursive form: a transform of so many takes about a second."""


def jma_by_definition(components: Sequence[Sequence[float]], rate_hz: float) -> float:
    """Weigh the spectrum of each component, and find what the vector of them reaches for 0.3 s in total.

    Components are in m/s2, less their mean. Source: Japan Meteorological Agency, notice 4 of 1996. The filter is real
    and has no phase, so that two components are weighed as one of complex values. Zeros are appended up to the next
    power of two.
    """
    length = max(len(component) for component in components)
    points = 1 << max(1, (length - 1).bit_length())
    weights = [_weight(min(k, points - k) * rate_hz / points) / points for k in range(points)]
    squares = [0.0] * length
    for first in range(0, len(components), 2):
        pair = components[first : first + 2]
        joined = [complex(*values) for values in zip_longest(*pair, fillvalue=0.0)]
        spectrum = _transform(joined + [0j] * (points - len(joined)))
        weighed = _transform([(value * weight).conjugate() for value, weight in zip(spectrum, weights, strict=True)])
        squares = [sum_ + value.real**2 + value.imag**2 for sum_, value in zip(squares, weighed, strict=False)]
    squares.sort(reverse=True)
    needed = max(1, round(JMA_HELD_S * rate_hz))
    held = squares[needed - 1] if needed <= length else 0.0
    return intensity_jma(100 * math.sqrt(held))


def _weight(hz: float) -> float:
    """The effect of period, the high cut and the low cut, as the notice has them."""
    if hz == 0:
        return 0.0
    y = (hz / 10) ** 2
    high_cut = 1 + y * (0.694 + y * (0.241 + y * (0.0557 + y * (0.009664 + y * (0.00134 + y * 0.000155)))))
    return math.sqrt((1 - math.exp(-((hz / 0.5) ** 3))) / (hz * high_cut))


def _transform(values: list[complex]) -> list[complex]:
    """Fourier transform of 2^n values, by halves."""
    count = len(values)
    if count == 1:
        return values
    even, odd = _transform(values[::2]), _transform(values[1::2])
    step = -2j * math.pi / count
    turned = [cmath.exp(step * k) * value for k, value in enumerate(odd)]
    return [a + b for a, b in zip(even, turned, strict=True)] + [a - b for a, b in zip(even, turned, strict=True)]
