"""Sums over the last while, in constant memory, and how much of it is known."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from edge.quality import NS

PARTS = 600
"""Ten minutes at one reading a second are exact; of what is longer or denser, readings of one part leave together."""


class Window:
    """Sums of ``width`` numbers per reading over the last ``window_s``.

    A reading stands for the time since the one before it, if that is at most a third of the window: that much is
    ``known``. The time of a reading that is not valid, and of a longer silence, is not.
    """

    def __init__(self, window_s: float, width: int) -> None:
        self._window_ns = int(window_s * NS)
        self._part_ns = max(self._window_ns // PARTS, 1)
        self._gap_ns = self._window_ns // 3
        self._parts: deque[tuple[int, list[float]]] = deque()
        self._sums = [0.0] * (width + 3)
        self._dropped = 0
        self._last_ns: int | None = None

    def put(self, mono_ns: int, row: Sequence[float] | None, *, uncertain: bool = False, bridges: bool = False) -> None:
        """Take a reading, None if it is not valid.

        One that ``bridges`` tells of all the time since the one before; when in a long time it was, is uncertain.
        """
        elapsed_ns = 0 if self._last_ns is None else max(mono_ns - self._last_ns, 0)
        part = mono_ns // self._part_ns
        self._expire(part - PARTS)
        if row is None:
            if not bridges:
                self._last_ns = mono_ns
            return
        self._last_ns = mono_ns
        is_long = elapsed_ns > self._gap_ns
        known_ns = 0 if is_long and not bridges else min(elapsed_ns, self._window_ns)
        self._add(part, (known_ns, 1.0, float(uncertain or (is_long and bridges)), *row))

    def _add(self, part: int, row: Sequence[float]) -> None:
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append((part, [0.0] * len(row)))
        newest = self._parts[-1][1]
        for index, number in enumerate(row):
            newest[index] += number
            self._sums[index] += number

    def _expire(self, oldest: int) -> None:
        while self._parts and self._parts[0][0] <= oldest:
            _, row = self._parts.popleft()
            for index, number in enumerate(row):
                self._sums[index] -= number
            self._dropped += 1
        if self._dropped > PARTS or not self._parts:  # so that rounding does not add up for years
            self._dropped = 0
            columns = zip(*(row for _, row in self._parts), strict=True)
            self._sums = [math.fsum(column) for column in columns] or [0.0] * len(self._sums)

    @property
    def known(self) -> float:
        """Which share of the window is known."""
        return self._sums[0] / self._window_ns

    @property
    def count(self) -> int:
        """How many valid readings are in it."""
        return round(self._sums[1])

    @property
    def is_uncertain(self) -> bool:
        """Whether one of them is uncertain."""
        return self._sums[2] > 0.5

    @property
    def sums(self) -> Sequence[float]:
        """The sums, in the order of the rows."""
        return self._sums[3:]
