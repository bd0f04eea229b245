"""The lowest and the highest of the values of the last while, in constant memory."""

from __future__ import annotations

PARTS = 32


class Extremes:
    """Extremes over a sliding window of ``window_ns``, kept to a ``parts``-th of it: at least the window, at most one
    part more.

    Of the values in one part of time only the extreme ones are kept, and of the parts only those that no later one
    outdoes, so that there is nothing to search and never more than ``parts`` + 1 values on either side.
    """

    __slots__ = ("_highs", "_lows", "_part_ns", "_parts", "high", "low")

    def __init__(self, window_ns: int, parts: int = PARTS) -> None:
        self._parts = parts
        self._part_ns = max(window_ns // parts, 1)
        self._lows: list[tuple[int, float]] = []
        self._highs: list[tuple[int, float]] = []
        self.low = self.high = 0.0
        """The lowest and the highest value, as of the last call. Ask only if there is one."""

    def put(self, value: float, mono_ns: int) -> None:
        """Take a value. Times do not go back."""
        part = mono_ns // self._part_ns
        lows, highs = self._lows, self._highs
        while lows and lows[-1][1] >= value:
            lows.pop()
        while highs and highs[-1][1] <= value:
            highs.pop()
        # What is left at the end outdoes this value; within the same part it also lasts as long.
        if not lows or lows[-1][0] != part:
            lows.append((part, value))
        if not highs or highs[-1][0] != part:
            highs.append((part, value))
        oldest = part - self._parts
        if lows[0][0] < oldest or highs[0][0] < oldest:
            self._drop(oldest)
        self.low, self.high = lows[0][1], highs[0][1]

    def expire(self, mono_ns: int) -> None:
        """Forget what is older than the window at a time."""
        self._drop(mono_ns // self._part_ns - self._parts)
        if self._lows:
            self.low, self.high = self._lows[0][1], self._highs[0][1]

    def _drop(self, oldest: int) -> None:
        lows, highs = self._lows, self._highs
        while lows and lows[0][0] < oldest:
            del lows[0]
        while highs and highs[0][0] < oldest:
            del highs[0]

    def clear(self) -> None:
        """Begin anew."""
        self._lows.clear()
        self._highs.clear()

    def __bool__(self) -> bool:
        return bool(self._lows)
