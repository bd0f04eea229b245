"""The uplink: carries the conversation over MQTT. All decisions are in `edge.conversation`; here are only the wires.

One connection, these tasks: read (answers of the fleet), send (hello and batches), live, health, report. Any of them
failing ends the connection, and it is built again with backoff. MQTT is a pipe: clean session, nothing rests on the
broker's memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiomqtt

from edge.clock import SystemClock
from edge.conversation import Conversation, Sent
from edge.errors import NotConnectedError, SpoolError
from edge.live import Newest, Pace
from edge.release import RELEASE
from edge.settings import UplinkSettings
from edge.spool import Slice, spans
from edge.store import Store
from wire import codec
from wire.conversation import Ack, Batch, Greet, Hello, Refused, Welcome
from wire.errors import WireError
from wire.health import Health
from wire.topics import Down, Up, down_filter, format_topic, parse_topic
from wire.twin import Desired, Reported

log = logging.getLogger(__name__)

# The MQTT library logs each lost connection and queued call as its own; ours is the line that says what it means.
logging.getLogger("mqtt").setLevel(logging.CRITICAL)

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 15.0
TICK_S = 0.5
CONNECT_TIMEOUT_S = 10.0
PUBACK_MOST_S = 120.0
"""A broker that holds back a PUBACK this long is as good as gone: connect again."""
PUBLISHES_MOST = 20
"""Batches on their way to the broker at once; measured best on Mosquitto."""
SEND_BUFFER_BYTES = 64 * 1024
LIVE_BACKLOG_BYTES = 32 * 1024
"""Live values are shed while more than this is in flight."""


class Identity:
    """What the hello says about this gateway."""

    def __init__(self, gateway: str, machine: str, boot: str) -> None:
        self.gateway = gateway
        self.machine = machine
        self.boot = boot


class Uplink:
    """Run `run` as a task; `ask_report` when the configuration has changed."""

    def __init__(
        self,
        settings: UplinkSettings,
        identity: Identity,
        store: Store,
        newest: Newest,
        *,
        password: str,
        ca_file: Path | None,
        clock: SystemClock,
        health: Callable[[], Health],
        report: Callable[[], Reported],
        take_desired: Callable[[Desired], Awaitable[None]],
        jitter: random.Random,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._store = store
        self._newest = newest
        self._password = password
        self._ca_file = ca_file
        self._clock = clock
        self._health = health
        self._report = report
        self._take_desired = take_desired
        self._jitter = jitter
        self._talk = Conversation()
        self._wake = asyncio.Event()
        self._report_due = asyncio.Event()
        self._slots = asyncio.Semaphore(PUBLISHES_MOST)
        self.is_connected = False
        self.fault = ""
        self.rejected = 0

    @property
    def has_session(self) -> bool:
        """Whether the fleet has welcomed this gateway."""
        return self._talk.session is not None

    @property
    def pending(self) -> int:
        """Records that the fleet has not committed yet."""
        return self._talk.pending

    def ask_report(self) -> None:
        """Send the reported twin again."""
        self._report_due.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            began = time.monotonic()
            try:
                await self._connect()
            except NotConnectedError as error:
                self._note_fault(error)
            if time.monotonic() - began > BACKOFF_MOST_S:
                backoff_s = BACKOFF_FIRST_S
            await asyncio.sleep(backoff_s * (0.5 + self._jitter.random()))
            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)

    def _note_fault(self, error: NotConnectedError) -> None:
        if str(error) != self.fault:
            log.warning("%s. %s", error, error.hint)
            self.fault = str(error)

    async def _connect(self) -> None:
        fault: BaseException | None = None
        try:
            async with self._client() as client:
                await client.subscribe(down_filter(self._identity.gateway), qos=1)
                log.info("connected to the broker at %s", self._settings.url)
                self.is_connected = True
                self.fault = ""
                self._talk.connect(time.monotonic())
                async with asyncio.TaskGroup() as tasks:
                    for work in (self._read, self._send, self._send_live, self._send_health, self._send_reports):
                        tasks.create_task(work(client), name=f"uplink.{work.__name__}")
        except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
            fault = _first(group)
        finally:
            self.is_connected = False
            self._talk.connect(time.monotonic())
        if fault is not None:  # raised out here: an except* clause would wrap it in a group of its own
            raise NotConnectedError(
                f"broker {self._settings.url}: {fault or type(fault).__name__}",
                hint="Records wait in the spool, local alarms go on; check [uplink] url, token_file and the link.",
            )

    def _client(self) -> aiomqtt.Client:
        tls = ssl.create_default_context(cafile=self._ca_file) if self._settings.is_tls else None
        return aiomqtt.Client(
            self._settings.host,
            self._settings.port,
            username=self._identity.gateway,
            password=self._password or None,
            identifier=self._identity.gateway,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=self._settings.keepalive_s,
            timeout=CONNECT_TIMEOUT_S,
            tls_context=tls,
            max_queued_outgoing_messages=PUBLISHES_MOST * 4,
            socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)],
        )

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                await self._take(parse_topic(str(message.topic)).kind, payload)
            except WireError as error:
                self.rejected += 1
                log.warning("message on %s rejected: %s", message.topic, error)
            except SpoolError as error:
                log.warning("the fleet's answer on %s could not be kept: %s", message.topic, error)

    async def _take(self, kind: Up | Down, payload: bytes) -> None:
        now = time.monotonic()
        match kind:
            case Down.ACK:
                moved = self._talk.ack(codec.decode(payload, Ack), now)
                if moved is not None:
                    await self._store.set_committed([moved])
            case Down.REFUSED:
                self._talk.refused(codec.decode(payload, Refused))
            case Down.WELCOME:
                await self._take_welcome(codec.decode(payload, Welcome))
            case Down.GREET:
                greet = codec.decode(payload, Greet)
                log.info("the fleet asks for a hello: %s", greet.reason)
                self._talk.greet(greet, now)
            case Down.DESIRED:
                await self._take_desired(codec.decode(payload, Desired))
            case _:
                log.debug("a message of kind %s is not for a gateway", kind)
        self._wake.set()

    async def _take_welcome(self, welcome: Welcome) -> None:
        self._clock.tell(welcome.time)
        self._talk.update(await self._store.marks())
        await self._store.set_committed(self._talk.welcome(welcome))
        log.info("welcomed by the fleet, %d records pending", self._talk.pending)
        self._report_due.set()

    async def _send(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as publishes:
            while True:
                self._wake.clear()
                try:
                    await self._send_due(client, publishes)
                except SpoolError as error:  # the connection is fine: look again at the next tick
                    if str(error) != self.fault:
                        log.warning("the spool gives no records: %s", error)
                    self.fault = str(error)
                await self._wait()

    async def _send_due(self, client: aiomqtt.Client, publishes: asyncio.TaskGroup) -> None:
        if self._store.committed.is_set():
            self._store.committed.clear()
            self._talk.update(await self._store.marks())
        if self._talk.is_hello_due(time.monotonic()):
            await self._say_hello(client)
        if self._talk.expire(time.monotonic()):
            log.info("no answer from the fleet: sending again")
        await self._send_pending(client, publishes)

    async def _wait(self) -> None:
        """Wait for new records, an answer, or the next look at the clock."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._wake, self._store.committed)]
        try:
            await asyncio.wait(waits, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _say_hello(self, client: aiomqtt.Client) -> None:
        marks = await self._store.marks()
        self._talk.update(marks)
        hello = Hello(
            gateway=self._identity.gateway,
            boot=self._identity.boot,
            release=RELEASE,
            machine=self._identity.machine,
            clock=self._clock.state(),
            epochs=spans(marks),
        )
        await self._publish(client, Up.HELLO, codec.encode(hello))

    async def _send_pending(self, client: aiomqtt.Client, publishes: asyncio.TaskGroup) -> None:
        while (plan := self._talk.next_batch()) is not None and not self._slots.locked():
            planned_in = self._talk.round
            records = await self._store.read(plan)
            session = self._talk.session
            if records is None or session is None:
                return
            if self._talk.round != planned_in:
                continue  # the fleet spoke while we read: the plan is void
            payload = codec.encode(self._batch(records, session))
            sent = self._talk.sent(plan, records.last, len(payload), time.monotonic())
            await self._slots.acquire()
            publishing = publishes.create_task(self._publish_batch(client, payload, sent))
            publishing.add_done_callback(self._release_slot)  # also of a task that is cancelled before it begins

    async def _publish_batch(self, client: aiomqtt.Client, payload: bytes, sent: Sent) -> None:
        await self._publish(client, Up.BATCH, payload)
        self._talk.puback(sent)

    def _release_slot(self, _publishing: asyncio.Task[None]) -> None:
        self._slots.release()

    def _batch(self, records: Slice, session: str) -> Batch:
        return Batch(
            session=session,
            round=self._talk.round,
            epoch=records.epoch,
            lane=records.lane,
            first=records.first,
            items=records.items,
            boot=records.boot,
            clock=self._clock.state() if records.boot == self._identity.boot else records.clock,
            layouts=records.layouts,
            tombstone=records.tombstone,
        )

    async def _publish(self, client: aiomqtt.Client, kind: Up, payload: bytes, qos: int = 1) -> None:
        topic = format_topic(self._identity.gateway, kind)
        await client.publish(topic, payload, qos=qos, timeout=PUBACK_MOST_S)

    async def _send_live(self, client: aiomqtt.Client) -> None:
        live, pace = self._newest.snapshot(), Pace()
        while True:
            if live.tags and self._talk.octets_in_flight < LIVE_BACKLOG_BYTES:
                await self._publish(client, Up.LIVE, codec.encode(live), qos=0)
            await asyncio.sleep(pace.pause_s(len(live.tags), time.monotonic()))
            await self._newest.changed.wait()
            await asyncio.sleep(self._settings.live_s)
            live = self._newest.take()

    async def _send_health(self, client: aiomqtt.Client) -> None:
        while True:
            await self._publish(client, Up.HEALTH, codec.encode(self._health()), qos=0)
            await asyncio.sleep(self._settings.health_s)

    async def _send_reports(self, client: aiomqtt.Client) -> None:
        while True:
            await self._report_due.wait()
            self._report_due.clear()
            await self._publish(client, Up.REPORTED, codec.encode(self._report()))


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
