"""The supervisor: a task that breaks down in a way nobody foresaw is logged, journalled and started again, alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger(__name__)

RESTART_FIRST_S = 0.5
RESTART_MOST_S = 30.0
CANCEL_AGAIN_S = 0.5


async def supervise(
    name: str, work: Callable[[], Awaitable[None]], journal: Callable[[str, str], None] = lambda _event, _detail: None
) -> None:
    """Run ``work`` until cancelled; restart it with backoff when it fails. ``journal`` gets (event, detail)."""
    pause_s = RESTART_FIRST_S
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await work()
            detail = "ended"
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            log.exception("task %s broke down and is started again", name)
        journal("task-restarted", f"{name}: {detail}")
        if loop.time() - began > RESTART_MOST_S:
            pause_s = RESTART_FIRST_S
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, RESTART_MOST_S)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended: one may lose a cancellation to another failure, or to an answer that comes in
    the same moment. Whoever cancels this meanwhile waits until they have ended, too."""
    is_cancelled = False
    while pending := {task for task in tasks if not task.done()}:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


def heed_cancellation() -> None:
    """Raise CancelledError if the running task is being cancelled; call after waiting for what may lose a cancellation.

    `asyncio.wait_for` before Python 3.12 returns an answer that comes in the same moment; a task group, which cancels
    but once, would then wait for its task for ever. Not for a task with a group of its own: before Python 3.13 that
    leaves it counted as cancelled when a child fails at its end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
