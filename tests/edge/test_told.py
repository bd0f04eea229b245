"""A gateway without a clock takes the time of the fleet's welcome, and only then."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import SET_FLOOR_NS, SystemClock
from edge.live import Newest
from edge.settings import SpoolSettings, UplinkSettings
from edge.store import Store
from edge.uplink import Identity, Uplink
from wire.codec import encode
from wire.conversation import Greet, Welcome
from wire.topics import Down, format_topic

GATEWAY = "gw-test-0001"
NOW = SET_FLOOR_NS + 10**18


class Client:
    """A broker's client that has these messages."""

    def __init__(self, *messages: tuple[Down, Any]) -> None:
        self._messages = messages

    @property
    async def messages(self) -> AsyncIterator[Any]:
        for kind, message in self._messages:
            yield SimpleNamespace(topic=format_topic(GATEWAY, kind), payload=encode(message))


async def read(tmp_path: Path, clock: SystemClock, *messages: tuple[Down, Any]) -> None:
    store = await Store.open(tmp_path / "spool.sqlite3", SpoolSettings(), clock)
    uplink = Uplink(
        UplinkSettings(url="mqtt://127.0.0.1:1"),
        Identity(GATEWAY, "m-1", clock.boot),
        store,
        Newest(clock.wall_at),
        password="",
        ca_file=None,
        clock=clock,
        take_command=lambda _: pytest.fail("no command is due"),
        health=lambda: pytest.fail("no health is due"),
        report=lambda: pytest.fail("no report is due"),
        take_desired=lambda _: pytest.fail("nothing is desired"),
        jitter=random.Random(1),
    )
    await uplink._read(Client(*messages))  # type: ignore[arg-type]
    await store.close()


@pytest.mark.parametrize(("wall_ns", "quality"), [(0, "told"), (NOW - 10**15, "holdover")])
async def test_welcome_tells_the_time_to_a_gateway_that_has_none(tmp_path: Path, wall_ns: int, quality: str) -> None:
    clock = SystemClock(lambda: 5, lambda: wall_ns, lambda: False)
    await read(tmp_path, clock, (Down.GREET, Greet(reason="new")))
    assert clock.state().quality == ("unset" if quality == "told" else quality)
    await read(tmp_path, clock, (Down.WELCOME, Welcome(session="s", window=1000, time=NOW, cursors={})))
    assert clock.state().quality == quality
    assert clock.wall_at(5) == (NOW if quality == "told" else wall_ns)
