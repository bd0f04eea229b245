"""The uplink's own bookkeeping, without a broker."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from edge.live import Newest
from edge.settings import UplinkSettings
from edge.store import Store
from edge.uplink import PUBLISHES_MOST, Identity, Uplink
from tests.edge.records import LAYOUT, scan
from tests.edge.test_store import SETTINGS, Steady
from wire.conversation import Welcome
from wire.record import ScanRecord


class Broker:
    """A client that takes for ever to publish."""

    async def publish(self, *_: Any, **__: Any) -> None:
        await asyncio.Event().wait()


async def send_until_the_link_breaks(uplink: Uplink) -> None:
    async with asyncio.TaskGroup() as publishes:
        await uplink._send_pending(Broker(), publishes)  # type: ignore[arg-type]
        raise OSError("the link broke")


async def test_batches_cancelled_before_they_began_give_their_slots_back(tmp_path: Path) -> None:
    clock = Steady()
    store = await Store.open(tmp_path / "spool.sqlite3", SETTINGS, clock)
    uplink = Uplink(
        UplinkSettings(url="mqtt://127.0.0.1:1"), Identity("gw-0000001", "m", "b"), store, Newest(clock.wall_at),
        password="", ca_file=None, clock=clock, health=lambda: None, report=lambda: None,  # type: ignore[arg-type, return-value]
        take_desired=lambda _: asyncio.sleep(0), jitter=random.Random(1),
    )  # fmt: skip
    for number in range(2000):
        record = scan(number)[1]
        assert isinstance(record, ScanRecord)
        store.put_scan(record, LAYOUT)
    await store.commit()
    for _ in range(PUBLISHES_MOST + 5):
        await uplink._take_welcome(Welcome(session="s", window=131072, time=0, cursors={}))
        with pytest.raises(ExceptionGroup):
            await send_until_the_link_breaks(uplink)
    await uplink._take_welcome(Welcome(session="s", window=131072, time=0, cursors={}))
    assert not uplink._slots.locked()
    await store.close()
