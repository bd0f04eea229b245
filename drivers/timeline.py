"""Times of an instrument's own clock, as times of ours."""

from __future__ import annotations

LATE_NS = 2_000_000_000
GROWTH = 1024
"""How late a packet may be held to be, and the share of its lateness that the measure grows by."""


class Timeline:
    """Puts an instrument's times on our monotonic clock: the shortest way that a packet took measures all.

    So samples that were held up with others, in a switch or by us, keep their distances. The measure grows slowly, so
    that it follows a clock that drifts, and at once where it is wrong by more than LATE_NS.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def place(self, at_ns: int, mono_ns: int) -> int:
        """Give the monotonic time of an instrument's time whose packet came at ``mono_ns``; never after that."""
        offset_ns = mono_ns - at_ns
        if self._offset_ns is not None and 0 < (late_ns := offset_ns - self._offset_ns) < LATE_NS:
            offset_ns = self._offset_ns + late_ns // GROWTH
        self._offset_ns = offset_ns
        return at_ns + offset_ns

    def show(self, at_ns: int) -> int:
        """Give the monotonic time of a time, as measured so far; there must be a measure."""
        assert self._offset_ns is not None
        return at_ns + self._offset_ns
