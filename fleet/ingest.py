"""Ingest: one reader of what all gateways send, one thread that commits, and the answers after the commit.

    broker -> messages (in order) -> some of them in one transaction -> acks

There is one ingest process per fleet. Two would each mint sessions and greet the other's gateways for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiomqtt
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from fleet.bootstrap import Services
from fleet.broker_client import connect
from fleet.commands.courier import Courier
from fleet.committer import Committer, DatabaseDownError, Incoming, Reply
from fleet.configs import service as configs
from fleet.metrics import IngestMetrics
from wire.codec import encode
from wire.topics import Down, Up, format_topic, live_filter
from wire.twin import Desired

log = logging.getLogger(__name__)

QUEUED_MAX = 2000
"""Most messages waiting for the database; more are dropped and sent again by the edges."""
TURN_MESSAGES = 256
TURN_OCTETS = 8 * 1024 * 1024
"""Most taken from the queue at once. How much of it one transaction holds is the committer's to say."""
RECONNECT_MAX_S = 10.0
DESIRED_POLL_S = 1.0
T = TypeVar("T")
DESIRED_AGAIN_NS = 30_000_000_000
SUBSCRIPTIONS = [(live_filter(kind), 1) for kind in (Up.HELLO, Up.BATCH, Up.REPORTED, Up.PART)]


class Ingest:
    """The program. `run` until cancelled."""

    def __init__(self, services: Services, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.metrics = IngestMetrics(self.registry)
        self._services = services
        self._committer = Committer(services.database, self.metrics, services.clock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._courier = Courier(services, self._in_thread)
        self._sent_ns: dict[tuple[str, int], int] = {}
        self._database_up = True
        self._broker_up = False
        self._told_broker_down = False

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz."""
        return {"ok": self._database_up and self._broker_up, "database": self._database_up, "broker": self._broker_up}

    async def run(self) -> None:
        """Serve until cancelled; reconnects to the broker with backoff."""
        delay_s = 0.2
        try:
            while True:
                try:
                    async with self._connected() as client:
                        delay_s = 0.2
                        await self._serve(client)
                except* aiomqtt.MqttError as errors:
                    self._lost_broker(errors.exceptions[0])
                # Jitter, so that the programs of one fleet do not knock at the same instant.
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
                delay_s = min(delay_s * 2, RECONNECT_MAX_S)
        finally:
            self._thread.shutdown(wait=True)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        async with connect(self._services.settings, "ingest", queued=QUEUED_MAX) as client:
            await client.subscribe([*SUBSCRIPTIONS, (live_filter(Up.HEALTH), 0)])
            self._broker_up, self._told_broker_down = True, False
            self.metrics.broker_up.set(1)
            log.info("connected to the broker")
            yield client

    def _lost_broker(self, error: Exception) -> None:
        self._broker_up = False
        self.metrics.broker_up.set(0)
        if not self._told_broker_down:
            host, port, _ = self._services.settings.broker()
            log.warning("broker %s:%d cannot be reached, trying on: %s", host, port, error)
        self._told_broker_down = True

    async def _serve(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(client), name="read")
            group.create_task(self._offer_desired(client), name="desired")
            group.create_task(self._courier.run(client), name="commands")

    async def _read(self, client: aiomqtt.Client) -> None:
        async for first in client.messages:
            incoming = [self._incoming(first)]
            octets = len(incoming[0].payload)
            while len(client.messages) and len(incoming) < TURN_MESSAGES and octets < TURN_OCTETS:
                incoming.append(self._incoming(await anext(client.messages)))
                octets += len(incoming[-1].payload)
            while incoming:
                replies, taken = await self._commit(incoming)
                await asyncio.gather(*(self._answer(client, reply) for reply in replies))
                del incoming[:taken]

    def _incoming(self, message: aiomqtt.Message) -> Incoming:
        return Incoming(str(message.topic), message.payload, self._services.clock())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _commit(self, incoming: list[Incoming]) -> tuple[list[Reply], int]:
        try:
            replies, taken = await self._in_thread(partial(self._committer.commit_some, incoming))
        except DatabaseDownError as error:
            self.metrics.dropped.inc(len(incoming))
            self._note_database(up=False, reason=str(error))
            return [], len(incoming)
        self.metrics.transactions.inc()
        self._note_database(up=True)
        return replies, taken

    def _note_database(self, *, up: bool, reason: str = "") -> None:
        self.metrics.database_up.set(up)
        if up and not self._database_up:
            log.info("the database commits again")
        elif not up and self._database_up:
            log.error("the database does not commit; nothing is acknowledged, gateways will resend: %s", reason)
        self._database_up = up

    async def _answer(self, client: aiomqtt.Client, reply: Reply) -> None:
        await client.publish(format_topic(reply.gateway, reply.kind), encode(reply.message), qos=1)
        if reply.kind is Down.WELCOME:
            self._sent_ns = {key: at for key, at in self._sent_ns.items() if key[0] != reply.gateway}

    async def _offer_desired(self, client: aiomqtt.Client) -> None:
        while True:
            now_ns = self._services.clock()
            for gateway, desired in await self._outstanding():
                key = (gateway, desired.version)
                if now_ns - self._sent_ns.get(key, -DESIRED_AGAIN_NS) >= DESIRED_AGAIN_NS:
                    await client.publish(format_topic(gateway, Down.DESIRED), encode(desired), qos=1)
                    self._sent_ns[key] = now_ns
            await asyncio.sleep(DESIRED_POLL_S)

    async def _outstanding(self) -> list[tuple[str, Desired]]:
        def read() -> list[tuple[str, Desired]]:
            with self._services.database.reading() as session:
                rows = configs.outstanding(session)
                return [(row.gateway, Desired(version=row.version, config=row.config)) for row in rows]

        try:
            return await self._in_thread(read)
        except SQLAlchemyError as error:
            self._note_database(up=False, reason=str(error))
            return []
