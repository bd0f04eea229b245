"""What leaves on a thin link, put together as ingest does it: parts of one batch never end another."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

from edge.conversation import Conversation, Plan, Sent
from edge.metering import Meter
from edge.outlet import Outlet
from edge.sender import Sender
from edge.spool import Mark
from wire.codec import decode
from wire.conversation import Welcome
from wire.parts import Assembler, Part
from wire.record import Lane
from wire.topics import Up, parse_topic

GATEWAY = "gw-test-0001"


class Broker:
    """Takes a message each time that the test says so, and gives what a fleet would then have whole."""

    def __init__(self) -> None:
        self.whole: list[tuple[Up, bytes]] = []
        self._assembler = Assembler()
        self._turn = asyncio.Semaphore(0)

    async def publish(self, topic: str, payload: bytes, **_: Any) -> None:
        kind = parse_topic(topic).kind
        assert isinstance(kind, Up)
        arrived = self._assembler.take(GATEWAY, decode(payload, Part)) if kind is Up.PART else (kind, payload)
        if arrived is not None:
            self.whole.append(arrived)
        await self._turn.acquire()

    async def take(self, messages: int) -> None:
        for _ in range(messages):
            self._turn.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def begin() -> tuple[Conversation, Sender, Broker]:
    talk, broker = Conversation(), Broker()
    talk.connect(0.0)
    talk.update([Mark(epoch="e1", lane=lane, first=1, head=1000, committed=0) for lane in Lane])
    talk.offer()
    talk.welcome(Welcome(session="s", window=131_072, time=0, cursors={}))
    meter = Meter(budget_bytes_per_day=0, burst_bytes=0, alarms_only_below_bytes_per_s=0, now=0.0)
    outlet = Outlet(GATEWAY, talk, meter, is_tls=False)
    outlet.attach(cast("Any", broker))
    outlet.note_welcome(joins_parts=True)
    nothing = cast("Any", SimpleNamespace())
    return (
        talk,
        Sender(outlet, talk, nothing, nothing, nothing, nothing, None, tell_mode=nothing, keepalive_s=60.0),
        broker,
    )


def sent(talk: Conversation, lane: Lane, last: int, payload: bytes) -> Sent:
    return talk.sent(Plan("e1", lane, 0, len(payload)), last, len(payload), 0.0)


async def test_alarms_larger_than_the_window_arrive_and_end_no_batch_that_is_on_its_way_in_parts() -> None:
    talk, sender, broker = begin()
    rng = random.Random(1)
    measurements, alarms = rng.randbytes(3 * talk.window), rng.randbytes(2 * talk.window)
    async with asyncio.TaskGroup() as publishes:
        publishes.create_task(sender._publish(measurements, sent(talk, Lane.MEASUREMENTS, 9, measurements)))
        await broker.take(2)
        publishes.create_task(sender._publish(alarms, sent(talk, Lane.ALARMS, 9, alarms)))
        await broker.take(100)
    assert sorted(broker.whole) == sorted([(Up.BATCH, alarms), (Up.BATCH, measurements)])


async def test_second_batch_in_parts_waits_for_the_first() -> None:
    talk, sender, broker = begin()
    rng = random.Random(2)
    batches = [rng.randbytes(3 * talk.window) for _ in range(2)]
    async with asyncio.TaskGroup() as publishes:
        for last, payload in enumerate(batches, 8):
            publishes.create_task(sender._publish(payload, sent(talk, Lane.MEASUREMENTS, last, payload)))
            await broker.take(2)
        await broker.take(100)
    assert broker.whole == [(Up.BATCH, payload) for payload in batches]
