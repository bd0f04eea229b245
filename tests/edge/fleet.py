"""A fleet of a few lines for the agent's tests: it keeps what it gets in memory and can be told to misbehave."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

import aiomqtt

from wire import codec
from wire.conversation import Ack, Batch, Greet, Hello, Refused, Welcome
from wire.health import Health
from wire.parts import Assembler, Part
from wire.record import Lane, Record, decode_record
from wire.sample import Live
from wire.topics import Down, Up, format_topic, parse_topic, up_filter
from wire.twin import Desired, Reported


class ScriptedFleet:
    def __init__(self, port: int) -> None:
        self._port = port
        self._session = 0
        self.cursors: dict[str, dict[Lane, int]] = defaultdict(lambda: defaultdict(int))
        self.records: dict[tuple[str, Lane, int], Record] = {}
        self.arrivals: list[tuple[Lane, Batch]] = []
        self.tombstones: list[Batch] = []
        self.hellos: list[Hello] = []
        self.live: dict[str, object] = {}
        self.reports: list[Reported] = []
        self.healths: list[Health] = []
        self.parts = 0
        self._assembler = Assembler()
        self.forget_acks = 0
        self.lose_batches = 0
        self.is_deaf = False
        self.changed = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ScriptedFleet:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._serve(ready))
        await asyncio.wait_for(ready.wait(), 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _serve(self, ready: asyncio.Event) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            self._client = client
            await client.subscribe(up_filter(), qos=1)
            ready.set()
            async for message in client.messages:
                topic = parse_topic(str(message.topic))
                assert isinstance(message.payload, bytes)
                await self._take(topic.gateway, topic.kind, message.payload)
                self.changed.set()

    async def _take(self, gateway: str, kind: Up | Down, payload: bytes) -> None:
        match kind:
            case Up.HELLO:
                self.hellos.append(codec.decode(payload, Hello))
                if not self.is_deaf:
                    await self._welcome(gateway, self.hellos[-1].id)
            case Up.BATCH:
                await self._take_batch(gateway, codec.decode(payload, Batch))
            case Up.PART:
                self.parts += 1
                whole = self._assembler.take(gateway, codec.decode(payload, Part))
                if whole is not None:
                    await self._take(gateway, *whole)
            case Up.LIVE:
                self.live.update(codec.decode(payload, Live).tags)
            case Up.REPORTED:
                self.reports.append(codec.decode(payload, Reported))
            case Up.HEALTH:
                self.healths.append(codec.decode(payload, Health))

    async def _welcome(self, gateway: str, hello: str) -> None:
        self._session += 1
        cursors = {epoch: dict(lanes) for epoch, lanes in self.cursors.items()}
        welcome = Welcome(
            session=str(self._session),
            window=131072,
            time=time.time_ns(),
            cursors=cursors,
            joins_parts=True,
            hello=hello,
        )
        await self.send(gateway, Down.WELCOME, welcome)

    async def _take_batch(self, gateway: str, batch: Batch) -> None:
        if batch.session != str(self._session):
            await self.send(gateway, Down.GREET, Greet(reason="unknown session", session=batch.session))
            return
        if self.lose_batches:
            self.lose_batches -= 1
            return
        self.arrivals.append((batch.lane, batch))
        cursor = self.cursors[batch.epoch][batch.lane]
        if batch.first > cursor + 1:
            refusal = Refused(
                session=batch.session, round=batch.round, epoch=batch.epoch, lane=batch.lane, expected=cursor + 1
            )
            await self.send(gateway, Down.REFUSED, refusal)
            return
        if batch.tombstone is not None:
            self.tombstones.append(batch)
            cursor = max(cursor, batch.last)
        for seq, item in enumerate(batch.items, batch.first):
            if seq > cursor:
                key = (batch.epoch, batch.lane, seq)
                assert key not in self.records
                self.records[key] = decode_record(item)
                cursor = seq
        self.cursors[batch.epoch][batch.lane] = cursor
        if self.forget_acks:
            self.forget_acks -= 1
            return
        ack = Ack(session=batch.session, epoch=batch.epoch, lane=batch.lane, committed=cursor)
        await self.send(gateway, Down.ACK, ack)

    async def send(self, gateway: str, kind: Down, message: codec.Message) -> None:
        assert self._client is not None
        await self._client.publish(format_topic(gateway, kind), codec.encode(message), qos=1)

    async def want(self, gateway: str, version: int, config: dict[str, object]) -> None:
        await self.send(gateway, Down.DESIRED, Desired(version=version, config=config))

    async def until(self, condition, timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.2)

    def of_lane(self, lane: Lane) -> list[Record]:
        return [record for (_, other, _), record in sorted(self.records.items()) if other is lane]

    def missing(self) -> list[tuple[str, Lane, int]]:
        """Holes below the newest seq of each epoch and lane, those under tombstones left out."""
        declared = {
            (batch.epoch, batch.lane, seq) for batch in self.tombstones for seq in range(batch.first, batch.last + 1)
        }
        heads: dict[tuple[str, Lane], int] = defaultdict(int)
        for epoch, lane, seq in self.records:
            heads[epoch, lane] = max(heads[epoch, lane], seq)
        return [
            (epoch, lane, seq)
            for (epoch, lane), head in heads.items()
            for seq in range(1, head + 1)
            if (epoch, lane, seq) not in self.records and (epoch, lane, seq) not in declared
        ]
