"""How long a gateway without a connection waits before it tries again."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.live import Newest
from edge.settings import SpoolSettings, UplinkSettings
from edge.store import Store
from edge.uplink import Identity, Uplink
from tests.edge.records import event


async def test_gateway_that_waits_to_connect_again_hurries_once_an_alarm_waits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("edge.uplink.BACKOFF_ALARMS_MOST_S", 0.01)
    monkeypatch.setattr("edge.uplink.LOOK_S", 0.01)
    clock = SystemClock()
    store = await Store.open(tmp_path / "spool.sqlite3", SpoolSettings(), clock)
    uplink = Uplink(
        UplinkSettings(url="mqtt://127.0.0.1:1"),
        Identity("gw-test-0001", "m-1", clock.boot),
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
    pause = asyncio.create_task(uplink._pause(3600.0))
    await asyncio.sleep(0.1)
    assert not pause.done()
    store.put_event(event(1)[1])
    await store.commit()
    await asyncio.wait_for(pause, 10)
    await store.close()
