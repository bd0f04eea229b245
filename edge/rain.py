"""Rain from what a gauge tells: a total that grows, begins anew and wraps, or an amount each time."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.quality import NS

RAIN_MOST_PER_MIN = 40.0
"""mm: more cannot fall (WMO-No. 8 and Zahumensky's guidelines give 0 to 40 mm/min as the range of 1 min rain)."""
RAIN_MOST_UNSEEN = 500.0
"""mm: a larger difference, after however long a silence, is another counter rather than rain."""


def rain_most(elapsed_ns: int) -> float:
    """Return what can have fallen in a time, at least what can fall in a minute."""
    return min(RAIN_MOST_PER_MIN * max(elapsed_ns / (60 * NS), 1.0), RAIN_MOST_UNSEEN)


def no_most(_elapsed_ns: int) -> float:
    """Return what can come in a time where nothing is known of that: of a flow, a dose, a count."""
    return math.inf


Most = Callable[[int], float]
"""What can come in a time, in ns."""


class Counter:
    """Turns a total into amounts, in its unit. ``wrap`` is the total at which it begins again at 0; ``most`` says what
    can have come in a time.

    A reading that does not follow from the one before waits for the next: if that fits the old total it was a glitch
    and nothing is lost, if it fits the new one the counter was set anew.
    """

    def __init__(self, wrap: float | None, most: Most = rain_most) -> None:
        self._wrap = wrap
        self._most = most
        self._last: tuple[float, int] | None = None
        self._odd: tuple[float, int] | None = None

    def take(self, total: float, mono_ns: int) -> float | None:
        """Take a total; return what has come since the last reading that counted, None if that cannot be told yet."""
        amount = self._since(self._last, total, mono_ns)
        if amount is None:
            amount = self._accept_new(total, mono_ns)
        if amount is None:
            self._odd = (total, mono_ns)
            return None
        self._last, self._odd = (total, mono_ns), None
        return amount

    def _since(self, before: tuple[float, int] | None, total: float, mono_ns: int) -> float | None:
        """The amount between two totals, None if the one does not follow from the other."""
        if before is None:
            return None
        last, last_ns = before
        amount = total - last
        if amount < 0 and self._wrap is not None:
            amount += self._wrap
        return amount if 0 <= amount <= self._most(mono_ns - last_ns) else None

    def _accept_new(self, total: float, mono_ns: int) -> float | None:
        """Where a new count is confirmed, all that it shows has fallen since it began at 0; else it began anywhere."""
        if self._last is None:
            return 0.0
        amount = self._since(self._odd, total, mono_ns)
        if amount is None or self._odd is None:
            return None
        last, last_ns = self._last
        began_at_zero = self._odd[0] < last and self._odd[0] <= self._most(self._odd[1] - last_ns)
        return amount + self._odd[0] if began_at_zero else amount


class Amounts:
    """Takes amounts as they are, unless so much cannot have come."""

    def __init__(self, most: Most = rain_most) -> None:
        self._most = most
        self._last_ns: int | None = None

    def take(self, amount: float, mono_ns: int) -> float | None:
        """Take an amount; return it, None if it cannot be."""
        elapsed_ns = 0 if self._last_ns is None else mono_ns - self._last_ns
        if not 0 <= amount <= self._most(elapsed_ns):
            return None
        self._last_ns = mono_ns
        return amount
