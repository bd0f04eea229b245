"""Signs of life: what is said, to whom, how often, and that a loop that stands still says nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import find_watchdog_s, tell, watched


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    words: list[str] = []
    while True:
        try:
            words.append(listener.recv(100).decode())
        except BlockingIOError:
            return words


async def test_an_agent_says_that_it_is_ready_and_then_that_it_lives(listener: socket.socket) -> None:
    async def work() -> str:
        words: list[str] = []
        while words.count("WATCHDOG=1") < 3:
            words += heard(listener)
            await asyncio.sleep(0.005)
        return words[0]

    surroundings = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "30000"}
    assert await watched(work(), surroundings) == "READY=1"


async def test_a_loop_that_stands_still_says_nothing(listener: socket.socket) -> None:
    async def work() -> list[str]:
        await asyncio.sleep(0)
        heard(listener)
        time.sleep(0.1)  # noqa: ASYNC251 - it stands still, on purpose
        return heard(listener)

    assert await watched(work(), {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "10000"}) == []


async def test_when_the_work_is_over_so_are_the_signs_of_life(listener: socket.socket) -> None:
    surroundings = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "3000"}
    await watched(asyncio.sleep(0), surroundings)
    await asyncio.sleep(0)
    heard(listener)
    await asyncio.sleep(0.02)
    assert heard(listener) == []


async def test_what_the_work_raises_comes_through() -> None:
    async def work() -> None:
        raise KeyError("it")

    with pytest.raises(KeyError):
        await watched(work(), {})


def test_an_abstract_name_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")
        tell("READY=1", {"NOTIFY_SOCKET": "@" + listener.getsockname()[1:].decode()})
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody", "x" * 200])
def test_that_nobody_listens_stops_nothing(address: str) -> None:
    tell("READY=1", {"NOTIFY_SOCKET": address})


@pytest.mark.parametrize(
    ("surroundings", "seconds"),
    [({}, 0), ({"WATCHDOG_USEC": "30000000"}, 30), ({"WATCHDOG_USEC": "soon"}, 0), ({"WATCHDOG_USEC": ""}, 0)],
)
def test_the_watchdog_time_is_read(surroundings: dict[str, str], seconds: float) -> None:
    assert find_watchdog_s(surroundings) == seconds
