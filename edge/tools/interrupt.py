"""Ctrl-C at a line: the exchange under way is finished first, so that no late answer meets whoever asks next."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def stop_on_interrupt() -> AsyncIterator[asyncio.Event]:
    """Yield an event that the first Ctrl-C sets; the second cancels the task at once."""
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def wait_for(stop: asyncio.Event, seconds: float | None) -> None:
    """Wait until ``stop`` is set or the time is over; for ever without a time."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
