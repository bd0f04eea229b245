"""Ingest: one reader of what all gateways send, workers that commit it, and the answers after the commit.

    broker -> reader -> shard by hash(gateway) -> backlog -> worker: some in one transaction -> acks

One gateway's messages always go the same way, so they keep their order. The reader puts parts together and
decodes nothing else. There is one ingest per fleet: two would each mint sessions and greet the other's gateways for
ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from zlib import crc32

import aiomqtt
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from fleet.backlog import Incoming
from fleet.bootstrap import Services
from fleet.broker_client import connect
from fleet.commands import service as commands
from fleet.configs import service as configs
from fleet.counts import Counts
from fleet.courier import Courier
from fleet.db import parse_url
from fleet.metrics import IngestMetrics
from fleet.rollouts import offering
from fleet.shard import Shard
from fleet.worker import Answer
from wire.codec import decode, encode
from wire.errors import WireError
from wire.parts import Assembler, Part
from wire.topics import Down, Up, format_topic, live_filter, parse_topic
from wire.twin import Desired

log = logging.getLogger(__name__)

QUEUED_MAX = 10_000
"""Most messages between the connection and the reader, which takes them out at once."""
WORKERS = {"sqlite": 1, "postgresql": 2}
"""How many processes decode and commit. SQLite has one writer, and a second one would only wait for it."""
RECONNECT_MAX_S = 10.0
DESIRED_POLL_S = 1.0
DESIRED_AGAIN_NS = 30_000_000_000
T = TypeVar("T")
SUBSCRIPTIONS = [(live_filter(kind), 1) for kind in (Up.HELLO, Up.BATCH, Up.REPORTED, Up.PART, Up.PROGRESS)]


class Ingest:
    """The program. `run` until cancelled."""

    def __init__(self, services: Services, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.metrics = IngestMetrics(self.registry)
        self._services = services
        url = parse_url(services.settings.database())
        count = services.settings.ingest_workers or WORKERS[url.get_backend_name()]
        self.shards = [
            Shard(services.settings.database(), self.metrics, self._answer, self._note_database) for _ in range(count)
        ]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="downlink")
        self._client: aiomqtt.Client | None = None
        self._parts = Assembler()
        self._couriers = (
            Courier(services, self._in_thread, commands.outstanding, Down.COMMAND),
            Courier(services, self._in_thread, lambda session, _: offering.find_offers(session), Down.TARGET),
        )
        self._sent_ns: dict[tuple[str, int], int] = {}
        self._desired_fault = ""
        self._database_up = True
        self._told_broker_down = False

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz."""
        broker_up = self._client is not None
        return {"ok": self._database_up and broker_up, "database": self._database_up, "broker": broker_up}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, shard in enumerate(self.shards):
                    group.create_task(shard.run(), name=f"shard-{number}")
                group.create_task(self._stay_connected(), name="connection")
        finally:
            self._thread.shutdown(wait=True)

    async def _stay_connected(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        delay_s = 0.2
        while True:
            try:
                async with self._connected() as client:
                    delay_s = 0.2
                    await self._serve(client)
            except* aiomqtt.MqttError as errors:
                self._lost_broker(errors.exceptions[0])
            if task.cancelling():  # a group that was cancelled and lost its connection, too, tells of the latter alone
                raise asyncio.CancelledError
            # Jitter, so that the programs of one fleet do not knock at the same instant.
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
            delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        async with connect(self._services.settings, "ingest", queued=QUEUED_MAX) as client:
            await client.subscribe([*SUBSCRIPTIONS, *((live_filter(kind), 0) for kind in (Up.HEALTH, Up.CHECKLIST))])
            self._client, self._told_broker_down = client, False
            self.metrics.broker_up.set(1)
            log.info("connected to the broker")
            try:
                yield client
            finally:
                self._client = None

    def _lost_broker(self, error: Exception) -> None:
        self.metrics.broker_up.set(0)
        if not self._told_broker_down:
            host, port, _ = self._services.settings.broker()
            log.warning("broker %s:%d cannot be reached, trying on: %s", host, port, error)
        self._told_broker_down = True

    async def _serve(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._offer_desired(client), name="desired")
            for courier in self._couriers:
                group.create_task(courier.run(client), name=courier.kind)
            # Not a task: one that fails while the group waits for it at its end leaves us counted as cancelled.
            await self._read(client)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self._sort(str(message.topic), message.payload)

    def _sort(self, topic: str, payload: bytes) -> None:
        try:
            parsed = parse_topic(topic)
        except WireError as error:
            self.metrics.add(Counts(undecodable={"topic": 1}))
            log.debug("ignored: %s", error)
            return
        assert isinstance(parsed.kind, Up)
        whole = self._join(parsed.gateway, payload) if parsed.kind is Up.PART else (parsed.kind, payload)
        if whole is not None:
            kind, payload = whole
            shard = self.shards[crc32(parsed.gateway.encode()) % len(self.shards)]
            incoming = Incoming(format_topic(parsed.gateway, kind), payload, self._services.clock())
            shard.put(parsed.gateway, kind, incoming)

    def _join(self, gateway: str, payload: bytes) -> tuple[Up, bytes] | None:
        """Return the message that a part completes. One that belongs to none goes on as it is, into quarantine."""
        try:
            return self._parts.take(gateway, decode(payload, Part))
        except WireError:
            return Up.PART, payload

    def _note_database(self) -> None:
        fault = next(filter(None, (self._desired_fault, *(shard.fault for shard in self.shards))), "")
        self.metrics.database_up.set(not fault)
        if not fault and not self._database_up:
            log.info("the database commits again")
        elif fault and self._database_up:
            log.error("the database does not commit; nothing is acknowledged, gateways will resend: %s", fault)
        self._database_up = not fault

    async def _answer(self, answers: list[Answer]) -> None:
        """Tell gateways what was committed. Without a broker nobody hears it: they send again, and are told then."""
        client = self._client
        if client is None:
            return
        welcomed = {answer.gateway for answer in answers if answer.kind is Down.WELCOME}
        self._sent_ns = {key: at for key, at in self._sent_ns.items() if key[0] not in welcomed}
        for courier in self._couriers:
            courier.greet(welcomed)
        sends = (client.publish(format_topic(a.gateway, a.kind), a.payload, qos=1) for a in answers)
        with suppress(aiomqtt.MqttError):  # the task that reads ends with the same error, and connects again
            await asyncio.gather(*sends)

    async def _offer_desired(self, client: aiomqtt.Client) -> None:
        while True:
            now_ns = self._services.clock()
            for gateway, desired in await self._outstanding():
                key = (gateway, desired.version)
                if not 0 <= now_ns - self._sent_ns.get(key, -DESIRED_AGAIN_NS) < DESIRED_AGAIN_NS:
                    await client.publish(format_topic(gateway, Down.DESIRED), encode(desired), qos=1)
                    self._sent_ns[key] = now_ns
            await asyncio.sleep(DESIRED_POLL_S)

    async def _outstanding(self) -> list[tuple[str, Desired]]:
        def read() -> list[tuple[str, Desired]]:
            with self._services.database.reading() as session:
                rows = configs.outstanding(session)
                return [(row.gateway, Desired(version=row.version, config=row.config)) for row in rows]

        self._desired_fault = ""
        try:
            return await self._in_thread(read)
        except SQLAlchemyError as error:
            self._desired_fault = str(error)
            return []
        finally:
            self._note_database()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
