"""What an instrument served and what has arrived of it: dense counters against sets of numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

COUNTER_MODULUS = 1 << 16
"""Poll counters travel in one 16-bit register or field and wrap."""


class Numbers:
    """A set of positive whole numbers kept as disjoint ranges, small as long as the numbers are nearly dense."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.count = 0

    def add(self, number: int) -> bool:
        """Add a number; False if it was there already."""
        at = bisect_right(self._starts, number) - 1
        if at >= 0 and number <= self._ends[at]:
            return False
        joins_left = at >= 0 and self._ends[at] == number - 1
        joins_right = at + 1 < len(self._starts) and self._starts[at + 1] == number + 1
        if joins_left and joins_right:
            self._ends[at] = self._ends.pop(at + 1)
            del self._starts[at + 1]
        elif joins_left:
            self._ends[at] = number
        elif joins_right:
            self._starts[at + 1] = number
        else:
            self._starts.insert(at + 1, number)
            self._ends.insert(at + 1, number)
        self.count += 1
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    @property
    def highest(self) -> int:
        """The largest number, 0 if there is none."""
        return self._ends[-1] if self._ends else 0

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of ``first..last`` that are not in the set."""
        expected = first
        for start, end in zip(self._starts, self._ends, strict=True):
            if start > last:
                break
            if start > expected:
                yield expected, start - 1
            expected = max(expected, end + 1)
        if expected <= last:
            yield expected, last


class Unwrapped:
    """The full numbers behind a counter that wraps at 65,536, seen roughly in order."""

    def __init__(self) -> None:
        self.numbers = Numbers()
        self.last = 0
        """The full number of the counter that was added last."""
        self._newest = 0

    def add(self, counter: int) -> bool:
        """Add a counter as it came over the wire; False if its full number was there already."""
        step = (counter - self._newest) % COUNTER_MODULUS
        if step >= COUNTER_MODULUS // 2 and self._newest:
            step -= COUNTER_MODULUS
        self.last = number = self._newest + step
        self._newest = max(self._newest, number)
        return self.numbers.add(number)


class Ledger:
    """What one instrument served: scans numbered 1, 2, 3 ..., each with the same number of values.

    ``counter`` is the tag by which the number travels; ``group`` is the scan group as the gateway names it.
    """

    def __init__(self, gateway: str, group: str, *, values: int, counter: str) -> None:
        self.gateway = gateway
        self.group = group
        self.values = values
        self.counter = counter
        self.head = 0
        self._withdrawn = Numbers()
        self.repeated = Numbers()
        """Numbers that were served more than once, because nobody said that they had arrived."""

    @property
    def name(self) -> str:
        """Gateway and scan group."""
        return f"{self.gateway}/{self.group}"

    @property
    def scans(self) -> int:
        """How many scans were served whole."""
        return self.head - self._withdrawn.count

    @property
    def samples(self) -> int:
        """How many values were served."""
        return self.scans * self.values

    def number_next(self) -> int:
        """Take the next number for a scan that is about to be served."""
        self.head += 1
        return self.head

    def withdraw(self, number: int) -> None:
        """Take back a number whose scan could not be handed over whole."""
        self._withdrawn.add(number)

    def lost(self, arrived: Numbers) -> list[tuple[int, int]]:
        """List the ranges of numbers that were served and have not arrived."""
        ranges: list[tuple[int, int]] = []
        for first, last in arrived.missing(1, self.head):
            ranges.extend(self._withdrawn.missing(first, last))
        return ranges

    def unexpected(self, arrived: Numbers) -> int:
        """Count the numbers that arrived though nobody served them."""
        served = self.scans - sum(last - first + 1 for first, last in self.lost(arrived))
        return arrived.count - served


def wire_counter(number: int) -> int:
    """Give the 16 bits of a number that go over the wire."""
    return number % COUNTER_MODULUS
