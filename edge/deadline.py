"""A limit on how long one piece of work may take, for work that hardly ever takes that long.

`asyncio.timeout` sets a timer and cancels it each time. Here one timer serves all: it goes off once per limit, looks
whether the work of the moment has had its time, and sets itself again.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class Deadline:
    """Use as ``with deadline.within(seconds): await ...``, one at a time. Past that the block ends in TimeoutError."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._until = 0.0
        self._has_passed = False
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def within(self, most_s: float) -> Deadline:
        """Begin to measure."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + most_s
        if self._timer is None or self._rings_at > self._until:
            self._set(loop)
        return self

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if not self._has_passed:
            return
        self._has_passed = False
        assert task is not None
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._until == math.inf:
            return
        self._rings_at = self._until
        self._timer = loop.call_at(self._rings_at, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._task is None or self._has_passed:
            return  # nothing is under way: the next to begin sets the timer
        if loop.time() < self._until:
            self._set(loop)
            return
        self._has_passed = True
        self._task.cancel()
