"""What an instrument is told has arrived is on disk: a sender that forgets it then loses nothing."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drivers.hj212.packet import frame, parse
from edge.acquisition import Acquisition
from edge.errors import SpoolFullError
from edge.live import Newest
from edge.settings import SpoolSettings
from edge.store import Store
from tests.edge.test_pipeline import configuration
from tests.edge.test_store import MemorySpool, Steady
from tests.servers import free_port
from wire.record import Lane

MN = "010000A8900016F000169DC0"


def document(port: int) -> dict[str, Any]:
    tag = {"name": "ph", "code": "w01001", "alarm": [{"level": "high", "limit": 9.0}]}
    return {
        "bus": [{"name": "loggers", "kind": "hj212", "url": f"listen://127.0.0.1:{port}"}],
        "device": [{"name": "outfall", "bus": "loggers", "mn": MN, "group": [{"name": "present", "tag": [tag]}]}],
    }


def upload(ph: float, age_s: int = 1) -> bytes:
    now = datetime.now(UTC) + timedelta(hours=8)
    sent, sampled = now.strftime("%Y%m%d%H%M%S%f")[:17], (now - timedelta(seconds=age_s)).strftime("%Y%m%d%H%M%S")
    data = f"DataTime={sampled};w01001-Rtd={ph},w01001-Flag=N"
    return frame(f"QN={sent};ST=21;CN=2011;PW=123456;MN={MN};Flag=5;CP=&&{data}&&")


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


def stored(spool: MemorySpool, lane: Lane) -> int:
    return sum(of is lane for commit in spool.commits for of, _ in commit)


@pytest.mark.parametrize("ph", [7.1, 9.5], ids=["reading", "alarm"])
async def test_sender_is_answered_once_its_reading_is_stored_and_not_while_it_cannot_be(ph) -> None:
    port, spool = free_port(), MemorySpool()
    spool.fault, spool.events_have_room = SpoolFullError("the spool is full", hint="free space"), True
    clock = Steady()
    store = Store(spool, ThreadPoolExecutor(max_workers=1), SpoolSettings(commit_s=60), clock)  # type: ignore[arg-type]
    acquisition = Acquisition(configuration(document(port)), store, Newest(clock.wall_at), clock, {}, random.Random(1))
    running = asyncio.create_task(acquisition.run())
    reader, writer = await connect(port)

    packet = upload(ph)
    writer.write(packet)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 0.3)
    assert [alarm.name for alarm in acquisition.alarms()] == (["outfall.ph:high"] if ph > 9 else []), "alarms go first"
    assert stored(spool, Lane.MEASUREMENTS) == 0

    spool.fault = None
    writer.write(packet)
    answered = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    assert parse(answered, 0).cn == "9014"
    assert stored(spool, Lane.MEASUREMENTS) == 1, "what is repeated is stored once, and before the answer"
    assert stored(spool, Lane.ALARMS) == (1 if ph > 9 else 0)

    running.cancel()
    await asyncio.wait([running])
    writer.close()
    await store.close()
