"""Which rules a scan is about, and which of its values have to be looked at: nearly none.

Each column has a band of values between which no limit of its tag has anything to do, and only what lies outside is
fed to the limits. Rules of other kinds look at every value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from drivers.base import Scan
from edge.alarm_settings import LIMITS
from edge.alarms.conditions import NOTHING
from edge.alarms.watched import Watched
from wire.sample import Value


class Columns:
    """The rules of one group by column."""

    def __init__(self, rules: dict[int, list[Watched]], width: int) -> None:
        limits = {index: [one for one in column if one.rule.level in LIMITS] for index, column in rules.items()}
        others = {index: [one for one in column if one.rule.level not in LIMITS] for index, column in rules.items()}
        self._always = [(index, column) for index, column in others.items() if column]
        self._indexes = tuple(index for index, column in limits.items() if column)
        self._rules = tuple(limits[index] for index in self._indexes)
        self._is_whole = len(self._indexes) == width
        self._lows = [-math.inf] * len(self._indexes)
        self._highs = [math.inf] * len(self._indexes)
        for place in range(len(self._indexes)):
            self.narrow(place)

    def find(self, scan: Scan) -> Iterator[tuple[Watched, Value, int]]:
        """Yield each rule that a value of the scan may matter to, with value and quality.

        Its band is taken anew when the next one is asked for.
        """
        for index, column in self._always:
            for one in column:
                yield one, scan.values[index], scan.quality[index]
        values = scan.values if self._is_whole else [scan.values[index] for index in self._indexes]
        if self._is_quiet(values):
            return
        for place, value in enumerate(values):
            if _lies_between(self._lows[place], value, self._highs[place]):
                continue
            quality = scan.quality[self._indexes[place]]
            for one in self._rules[place]:
                yield one, value, quality
            self.narrow(place)

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield the name of each rule that has a band, and its place for `narrow`."""
        for place, column in enumerate(self._rules):
            for one in column:
                yield one.name, place

    def _is_quiet(self, values: Sequence[Value]) -> bool:
        """Tell whether every value is a number strictly within its band."""
        try:
            for value, low, high in zip(values, self._lows, self._highs, strict=True):
                if not low < value < high:  # type: ignore[operator]  # what cannot be compared is caught below
                    return False
        except TypeError:
            return False
        return True

    def narrow(self, place: int) -> None:
        """Take the band of a column anew, after one of its rules has changed."""
        low, high = -math.inf, math.inf
        for one in self._rules[place]:
            band = one.band
            low, high = max(low, band[0]), min(high, band[1])
        self._lows[place], self._highs[place] = (low, high) if low < high else NOTHING


def _lies_between(low: float, value: Value, high: float) -> bool:
    return value is not None and not isinstance(value, str) and low < value < high
