"""The supervisor, and ending tasks that swallow a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from edge import supervise
from edge.supervise import end, heed_cancellation


async def test_work_that_breaks_down_is_journalled_and_started_again(monkeypatch) -> None:
    monkeypatch.setattr(supervise, "RESTART_FIRST_S", 0.01)
    journal: list[tuple[str, str]] = []
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("unforeseen")
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise.supervise("work", work, lambda event, detail: journal.append((event, detail))))
    await asyncio.sleep(0.2)
    await end(task)
    assert runs == 3
    assert journal == [("task-restarted", "work: ValueError: unforeseen")] * 2


async def test_task_that_swallows_a_cancellation_is_ended_all_the_same(monkeypatch) -> None:
    monkeypatch.setattr(supervise, "CANCEL_AGAIN_S", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 3


async def test_end_that_is_cancelled_itself_ends_its_tasks_all_the_same() -> None:
    async def stubborn() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert task.done()


async def test_task_whose_answer_and_cancellation_coincide_ends_a_group_all_the_same() -> None:
    answered = asyncio.Event()

    async def ask_for_ever() -> None:
        while True:
            with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does before Python 3.12
                await answered.wait()
            heed_cancellation()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask_for_ever())

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
