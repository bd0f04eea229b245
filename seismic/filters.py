"""Recursive filters: Butterworth by the bilinear transform, and sections in a row that take one sample at a time.

Source: A. V. Oppenheim, R. W. Schafer, Discrete-Time Signal Processing, 3rd ed., sections 7.1.2 (bilinear transform)
and 7.1.3 (Butterworth), 6.3 (direct forms).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from seismic.errors import SeismicError

Kind = Literal["low", "high", "band"]


class Section(NamedTuple):
    """Two poles and two zeros: H(z) = (b0 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2)."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float


def butterworth(order: int, kind: Kind, corners_hz: Sequence[float], rate_hz: float) -> tuple[Section, ...]:
    """Design a filter that is 3 dB down at its corners: one for ``low`` and ``high``, two for ``band``.

    The gain stands in the first section. A band of even order is low-pass sections followed by high-pass ones, whose
    zeros are both at z = 1: an integral over such a section is exact (`seismic.motion.HighPass`). Raises SeismicError.
    """
    corners = [float(corner) for corner in corners_hz]
    if order < 1 or len(corners) != (2 if kind == "band" else 1):
        raise SeismicError(f"a {kind} filter of order {order} cannot have the corners {corners}")
    if corners != sorted(set(corners)) or not 0 < corners[0] <= corners[-1] < rate_hz / 2:
        raise SeismicError(
            f"corners {corners} Hz do not fit {rate_hz:g} samples/s",
            hint="corners rise and lie between 0 and half of the rate",
        )
    warped = [2 * rate_hz * math.tan(math.pi * corner / rate_hz) for corner in corners]
    poles = _analogue_poles(order, kind, warped)
    digital = [(2 * rate_hz + pole) / (2 * rate_hz - pole) for pole in poles]
    at_one = {"low": 0, "high": len(digital), "band": order}[kind]
    sections = _pair(digital, at_one)
    centre = {"low": 0.0, "high": math.pi, "band": 2 * math.atan(math.sqrt(math.prod(warped)) / (2 * rate_hz))}[kind]
    gain = 1 / abs(response(sections, centre))
    first = sections[0]
    return (first._replace(b0=first.b0 * gain, b1=first.b1 * gain, b2=first.b2 * gain), *sections[1:])


def response(sections: Sequence[Section], angle: float) -> complex:
    """Tell what sections in a row do to a sine of ``angle`` radians a sample."""
    back = cmath.exp(-1j * angle)
    answer = complex(1)
    for b0, b1, b2, a1, a2 in sections:
        answer *= (b0 + (b1 + b2 * back) * back) / (1 + (a1 + a2 * back) * back)
    return answer


def _analogue_poles(order: int, kind: Kind, warped: Sequence[float]) -> list[complex]:
    prototype = [cmath.exp(1j * math.pi * (2 * k + order + 1) / (2 * order)) for k in range(order)]
    if kind == "low":
        return [warped[0] * pole for pole in prototype]
    if kind == "high":
        return [warped[0] / pole for pole in prototype]
    width, middle = warped[1] - warped[0], math.sqrt(warped[0] * warped[1])
    halves = [pole * width / 2 for pole in prototype]
    return [half + sign * cmath.sqrt(half * half - middle * middle) for half in halves for sign in (1, -1)]


def _pair(poles: Sequence[complex], at_one: int) -> list[Section]:
    """Pair poles to sections, the fastest first; the last ``at_one`` zeros are at z = 1, the others at z = -1."""
    real = sorted(pole.real for pole in poles if abs(pole.imag) < 1e-12)
    pairs = [(-2 * pole.real, abs(pole) ** 2, abs(pole - 1)) for pole in poles if pole.imag >= 1e-12]
    pairs += [(-(one + two), one * two, min(1 - one, 1 - two)) for one, two in zip(real[::2], real[1::2], strict=False)]
    pairs.sort(key=lambda pair: -pair[2])
    singles = [(-real[-1], 0.0, 0.0)] if len(real) % 2 else []
    zeros = [-1.0] * (len(poles) - at_one) + [1.0] * at_one
    sections = []
    for a1, a2, _ in pairs:
        one, two = zeros.pop(0), zeros.pop(0)
        sections.append(Section(1.0, -(one + two), one * two, a1, a2))
    sections += [Section(1.0, -zeros.pop(0), 0.0, a1, a2) for a1, a2, _ in singles]
    return sections


class Cascade:
    """Sections in a row, one sample at a time (transposed direct form II). At rest until settled."""

    __slots__ = ("_states",)

    def __init__(self, sections: Sequence[Section]) -> None:
        self._states = [[*section, 0.0, 0.0] for section in sections]

    def settle(self, value: float) -> None:
        """Put the filter into the state that it reaches when the input has always been ``value``."""
        for state in self._states:
            b0, b1, b2, a1, a2 = state[:5]
            out = value * (b0 + b1 + b2) / (1 + a1 + a2)
            state[5:] = [out - b0 * value, b2 * value - a2 * out]
            value = out

    def step(self, value: float) -> float:
        """Take a sample, give what comes out at its time."""
        for state in self._states:
            b0, b1, b2, a1, a2, one, two = state
            out = b0 * value + one
            state[5] = b1 * value - a1 * out + two
            state[6] = b2 * value - a2 * out
            value = out
        return value
