"""How long records have been held, by a clock that cannot jump: seconds that pass while the agent runs.

The machine's own clock may be at 1970 when a record is stored and set an hour later, or be a year ahead for a while. By
it, delivered records would be forgotten at once, or never. These seconds go on from the newest record in the file, so a
machine that was switched off keeps its records longer, never shorter.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Age:
    """Begins at ``newest_s``, the age that was written last; an empty file begins anywhere, for example now."""

    def __init__(self, newest_s: int | None, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._ahead_s = (time.time() if newest_s is None else newest_s) - mono_s()

    def now_s(self) -> int:
        """The age of what is stored now, in s."""
        return int(self._ahead_s + self._mono_s())
