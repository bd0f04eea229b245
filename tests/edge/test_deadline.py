"""A limit on work, in virtual time."""

from __future__ import annotations

import asyncio
import math

import pytest

from edge.deadline import Deadline
from tests.edge.virtual import now_s, run


def test_work_in_time_is_left_alone_and_work_beyond_is_broken_off() -> None:
    async def story() -> None:
        deadline = Deadline()
        for _ in range(100):
            with deadline.within(10):
                await asyncio.sleep(1)
        began = now_s()
        with pytest.raises(TimeoutError), deadline.within(10):
            await asyncio.sleep(1e6)
        assert now_s() - began == pytest.approx(10)
        with deadline.within(10):
            await asyncio.sleep(9)

    run(story)


def test_shorter_limit_after_a_longer_one_holds() -> None:
    async def story() -> None:
        deadline = Deadline()
        with deadline.within(30):
            await asyncio.sleep(0)
        began = now_s()
        with pytest.raises(TimeoutError), deadline.within(5):
            await asyncio.sleep(1e6)
        assert now_s() - began == pytest.approx(5)

    run(story)


def test_deadline_of_earlier_work_does_not_break_off_later_work() -> None:
    async def story() -> None:
        deadline = Deadline()
        with deadline.within(10):
            await asyncio.sleep(9)
        await asyncio.sleep(0.5)
        with deadline.within(10):
            await asyncio.sleep(9.9)

    run(story)


def test_work_without_a_limit_may_take_for_ever() -> None:
    async def story() -> None:
        deadline = Deadline()
        with deadline.within(math.inf):
            await asyncio.sleep(1e6)

    run(story)


def test_cancellation_from_outside_stays_one() -> None:
    async def story() -> None:
        deadline = Deadline()

        async def work() -> None:
            with deadline.within(10):
                await asyncio.sleep(1e6)

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        late = asyncio.create_task(work())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(10, late.cancel)
        with pytest.raises(asyncio.CancelledError):
            await late

    run(story)


def test_error_of_the_work_passes() -> None:
    async def story() -> None:
        deadline = Deadline()
        with pytest.raises(ValueError, match="bug"), deadline.within(10):
            raise ValueError("bug")
        await asyncio.sleep(20)

    run(story)
