"""Fills the web program's live values: from the broker what gateways send, from the database whether alarms changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

import aiomqtt
import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from fleet.alarms.service import find_newest
from fleet.bootstrap import Services
from fleet.broker_client import connect
from fleet.gateways.models import Gateway
from fleet.live import LiveHealth, LiveValue
from wire.codec import decode
from wire.errors import WireError
from wire.health import Health
from wire.sample import Live as LiveMessage
from wire.topics import Up, live_filter, parse_topic

log = logging.getLogger(__name__)

QUEUED_MAX = 1000
ALARMS_POLL_S = 0.5
REGISTERED_POLL_S = 5.0
RECONNECT_S = 1.0


class LiveFeed:
    """A thread with an event loop of its own. `start` once, `stop` once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="livefeed", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._registered: frozenset[str] = frozenset()
        self.broker_up = False
        self.database_up = True

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(timeout=5)

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._feed())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _feed(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_database(), name="watch database")
            group.create_task(self._read_broker(), name="read broker")

    async def _read_broker(self) -> None:
        while True:
            try:
                async with connect(self._services.settings, "web", queued=QUEUED_MAX) as client:
                    await client.subscribe([(live_filter(Up.LIVE), 0), (live_filter(Up.HEALTH), 0)])
                    self.broker_up = True
                    async for message in client.messages:
                        self._take(message)
            except aiomqtt.MqttError as error:
                if self.broker_up:
                    log.warning("broker lost, live values stand still: %s", error)
            self.broker_up = False
            await asyncio.sleep(RECONNECT_S)

    def _take(self, message: aiomqtt.Message) -> None:
        try:
            topic = parse_topic(str(message.topic))
            if topic.gateway not in self._registered:
                return
            if topic.kind is Up.LIVE:
                live = decode(message.payload, LiveMessage)
                values = {tag: LiveValue(*entry) for tag, entry in live.tags.items()}
                self._services.live.put_values(topic.gateway, values)
            elif topic.kind is Up.HEALTH:
                document = msgspec.json.decode(msgspec.json.encode(decode(message.payload, Health)))
                self._services.live.put_health(topic.gateway, LiveHealth(document, self._services.clock()))
        except WireError as error:
            log.debug("ignored: %s", error)

    async def _watch_database(self) -> None:
        newest: int | None = None
        polls = 0
        every = int(REGISTERED_POLL_S / ALARMS_POLL_S)
        while True:
            try:
                found = await asyncio.to_thread(self._newest_event)
                if newest is not None and found != newest:
                    self._services.live.note_alarms()
                newest = found
                if polls % every == 0:
                    self._registered = await asyncio.to_thread(self._gateways)
                polls += 1
                self.database_up = True
            except SQLAlchemyError as error:
                if self.database_up:
                    log.error("the database does not answer: %s", error)
                self.database_up = False
            await asyncio.sleep(ALARMS_POLL_S)

    def _newest_event(self) -> int:
        with self._services.database.reading() as session:
            return find_newest(session)

    def _gateways(self) -> frozenset[str]:
        with self._services.database.reading() as session:
            return frozenset(session.scalars(sa.select(Gateway.name)))
