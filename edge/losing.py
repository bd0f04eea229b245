"""Whether the spool is losing data: one alarm from the first record given up until a while after the last. Pure."""

from __future__ import annotations

CALM_NS = 300_000_000_000
"""The alarm is over when nothing was given up for so long."""


class LosingData:
    """``lost`` is what the spool had given up before; ``is_raised`` whether the alarm was up then."""

    def __init__(self, lost: int, *, is_raised: bool = False) -> None:
        self._lost = lost
        self._is_raised = is_raised
        self._last_ns: int | None = None

    def update(self, lost: int, mono_ns: int) -> str | None:
        """Take the count of records given up; return ``raised`` or ``cleared`` if that changes the alarm.

        The count falls when the fleet has been told and the spool forgets.
        """
        has_grown, self._lost = lost > self._lost, lost
        if has_grown or self._last_ns is None:
            self._last_ns = mono_ns
        if has_grown and not self._is_raised:
            self._is_raised = True
            return "raised"
        if self._is_raised and mono_ns - self._last_ns >= CALM_NS:
            self._is_raised = False
            return "cleared"
        return None
