"""Derived tags: formulas over readings of one device, in constant memory. Pure; time is that of the readings.

A formula takes the readings of its tags each time all of them are new, and returns value and quality. Readings that
are bad are passed over. `edge.formulas` says what each formula takes.

    mean, vector     too little of the window known: BAD_INPUT, no value
    gust, rain_sum   not all of the window known: UNCERTAIN_PARTIAL, the value so far: the true one is not below it
    all              an uncertain reading went in: UNCERTAIN_INPUT
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from drivers.base import Scan
from edge.extremes import Extremes
from edge.formulas import GUST_S
from edge.quality import NS, finite
from edge.rain import Amounts, Counter
from edge.settings import DerivedGroup, DerivedTag
from edge.window import PARTS, Window
from wire.sample import Quality, Value, is_good

Reading = tuple[Value, int]
"""Value and quality."""

NO_VALUE: Reading = (None, int(Quality.BAD_INPUT))
VALID_SHARE = 0.66
"""A mean needs two thirds of its samples (WMO-No. 8, volume V, on automatic stations)."""
WHOLE_SHARE = 0.95
"""From here on a window counts as known: a poll that comes late now and then is no gap."""
GUST_READINGS = 3
"""Readings that make a 3 s mean."""
CALM = 1e-6
"""m/s: a vector mean below it has no direction."""

MAGNUS_A, MAGNUS_B = 17.62, 243.12
"""Saturation vapour pressure over water 6.112 exp(A t / (B + t)) hPa, t in degC (WMO-No. 8, volume I, annex 4.B)."""
MAGNUS_LEAST, MAGNUS_MOST = -45.0, 60.0
"""degC between which that holds."""


class Formula(Protocol):
    """One derived tag's computation and its memory."""

    def take(self, readings: Sequence[Reading], mono_ns: int) -> Reading:
        """Take new readings of all its tags; return the result at ``mono_ns``."""
        ...


def dew_point(temperature: float, humidity: float) -> float | None:
    """Dew point in degC of air at ``temperature`` degC and ``humidity`` % (over water), None where no formula holds."""
    if not (MAGNUS_LEAST <= temperature <= MAGNUS_MOST and humidity > 0):
        return None
    gamma = math.log(min(humidity, 100.0) / 100) + MAGNUS_A * temperature / (MAGNUS_B + temperature)
    return MAGNUS_B * gamma / (MAGNUS_A - gamma)


def to_vector(speed: float, direction: float) -> tuple[float, float]:
    """Where wind goes to, east and north, that comes from ``direction`` (degrees clockwise from north)."""
    angle = math.radians(direction)
    return -speed * math.sin(angle), -speed * math.cos(angle)


def to_direction(east: float, north: float) -> float:
    """Where wind of a vector comes from: above 0 to 360 degrees, 0 when calm (WMO code table 0877)."""
    if math.hypot(east, north) < CALM:
        return 0.0
    return math.degrees(math.atan2(-east, -north)) % 360.0 or 360.0


class DewPoint:
    """See `dew_point`. Humidity above 100 % counts as 100 %."""

    def take(self, readings: Sequence[Reading], mono_ns: int) -> Reading:  # noqa: ARG002 - it has no memory
        """Take temperature and humidity; return the dew point."""
        numbers, uncertain = read_numbers(readings)
        value = None if numbers is None else dew_point(*numbers)
        return NO_VALUE if value is None else (value, grade(uncertain=uncertain))


class Mean:
    """Mean over a window. ``parts`` turns the readings into ``width`` numbers to average, ``make`` the means back."""

    def __init__(
        self, window_s: float, width: int, parts: Callable[..., tuple[float, ...]], make: Callable[..., float]
    ) -> None:
        self._window = Window(window_s, width)
        self._parts = parts
        self._make = make

    def take(self, readings: Sequence[Reading], mono_ns: int) -> Reading:
        """Take readings; return the mean."""
        numbers, uncertain = read_numbers(readings)
        window = self._window
        window.put(mono_ns, None if numbers is None else self._parts(*numbers), uncertain=uncertain)
        if window.known < VALID_SHARE:
            return NO_VALUE
        count = window.count
        return self._make(*(total / count for total in window.sums)), grade(uncertain=window.is_uncertain)


class Gust:
    """Highest 3 s mean of the wind speed in a window (WMO-No. 8, volume I, chapter 5)."""

    def __init__(self, window_s: float) -> None:
        self._short = Window(GUST_S, 1)
        self._window = Window(window_s, 0)
        self._highest = Extremes(int(window_s * NS), PARTS)

    def take(self, readings: Sequence[Reading], mono_ns: int) -> Reading:
        """Take a speed; return the gust."""
        numbers, uncertain = read_numbers(readings)
        self._short.put(mono_ns, numbers)
        self._window.put(mono_ns, None if numbers is None else (), uncertain=uncertain)
        self._highest.expire(mono_ns)
        if numbers is not None and self._short.count >= GUST_READINGS:
            self._highest.put(self._short.sums[0] / self._short.count, mono_ns)
        if not self._highest:
            return NO_VALUE
        return self._highest.high, grade_bound(self._window)


class RainSum:
    """Rain in a window, in mm, from a counter or from amounts."""

    def __init__(self, window_s: float, source: Counter | Amounts) -> None:
        self._source = source
        self._window = Window(window_s, 1)

    def take(self, readings: Sequence[Reading], mono_ns: int) -> Reading:
        """Take what the gauge tells; return the sum."""
        numbers, uncertain = read_numbers(readings)
        amount = None if numbers is None else self._source.take(numbers[0], mono_ns)
        bridges = isinstance(self._source, Counter)
        self._window.put(mono_ns, None if amount is None else (amount,), uncertain=uncertain, bridges=bridges)
        if not self._window.count:
            return NO_VALUE
        return max(self._window.sums[0], 0.0), grade_bound(self._window)


def read_numbers(readings: Sequence[Reading]) -> tuple[list[float] | None, bool]:
    """Return the numbers of readings, None if any has none, and whether one of them is uncertain."""
    numbers = [number for value, quality in readings if (number := finite(value, quality)) is not None]
    if len(numbers) < len(readings):
        return None, False
    return numbers, any(not is_good(quality) for _, quality in readings)


def grade(*, uncertain: bool) -> int:
    """The quality of a result, by that of what went in."""
    return int(Quality.UNCERTAIN_INPUT if uncertain else Quality.GOOD)


def grade_bound(window: Window) -> int:
    """The quality of a result that can only be too low while not all of its window is known."""
    return int(Quality.UNCERTAIN_PARTIAL) if window.known < WHOLE_SHARE else grade(uncertain=window.is_uncertain)


FORMULAS: Mapping[str, Callable[[DerivedTag, float], Formula]] = {
    "dew_point": lambda _tag, _window_s: DewPoint(),
    "mean": lambda _tag, window_s: Mean(window_s, 1, lambda value: (value,), lambda mean: mean),
    "gust": lambda _tag, window_s: Gust(window_s),
    "vector_speed": lambda _tag, window_s: Mean(window_s, 2, to_vector, math.hypot),
    "vector_direction": lambda _tag, window_s: Mean(window_s, 2, to_vector, to_direction),
    "rain_sum": lambda tag, window_s: RainSum(window_s, Counter(tag.wrap) if tag.kind == "counter" else Amounts()),
}


class Deriver:
    """The derived tags of one group. ``places`` tells group and column of every tag that they are made of."""

    def __init__(self, group: DerivedGroup, places: Mapping[str, tuple[str, int]]) -> None:
        self._name = group.name
        self._inputs = frozenset(group.inputs)
        self._formulas = [
            (FORMULAS[tag.formula](tag, tag.window_s or 0.0), [places[of] for of in tag.of]) for tag in group.tags
        ]
        self._fresh: dict[str, Scan] = {}

    def take(self, scan: Scan) -> Scan | None:
        """Take a checked scan of an input group. Once every one has a new scan, return the derived one, at its time."""
        fresh = self._fresh
        fresh[scan.group] = scan
        if len(fresh) < len(self._inputs):
            return None
        results = [
            formula.take([(fresh[group].values[at], fresh[group].quality[at]) for group, at in of], scan.mono_ns)
            for formula, of in self._formulas
        ]
        self._fresh = {}
        return Scan(self._name, scan.mono_ns, tuple(value for value, _ in results), tuple(good for _, good in results))
