"""The uplink: carries the conversation over MQTT. Decisions are in `edge.conversation` and `edge.metering`.

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

from edge.broker import BrokerClient
from edge.clock import SystemClock
from edge.conversation import Conversation
from edge.errors import NotConnectedError, SpoolError
from edge.live import Newest
from edge.metering import Meter
from edge.outlet import Outlet
from edge.sender import PUBLISHES_MOST, Identity, Sender
from edge.settings import UplinkSettings
from edge.showing import Showing
from edge.store import Store
from edge.trust import explain, make_context
from edge.updates.updater import Updater
from wire import codec
from wire.checklist import Check
from wire.command import Command
from wire.conversation import Ack, Greet, Refused, Welcome
from wire.errors import WireError
from wire.health import Health, LinkHealth
from wire.record import Lane
from wire.topics import Down, Up, down_filter, parse_topic
from wire.twin import Desired, Reported
from wire.update import Target

log = logging.getLogger(__name__)

# The MQTT library logs each lost connection and queued call as its own; ours is the line that says what it means.
logging.getLogger("mqtt").setLevel(logging.CRITICAL)

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 15.0
BACKOFF_ALARMS_MOST_S = 3.0
"""While records of lane A wait it knocks more often: they are due at the fleet within seconds of the link's return."""
CONNECT_TIMEOUT_S = 10.0
LOOK_S = 0.5
"""Between two looks whether an alarm has come while it waits to connect again."""
SEND_BUFFER_BYTES = 64 * 1024
TCP_NOTSENT_LOWAT = 25
"""tcp(7) on Linux: octets in the send buffer that have not left; Python 3.11 has no name for it."""
UNSENT_MOST_BYTES = 4096
"""What was handed over can no longer be overtaken, so the kernel is handed little more than it can send."""
PUBLISHED_MOST = PUBLISHES_MOST * 5
"""Messages of any kind that may wait for a PUBACK: records of lane A never wait for those of others."""
MODES = {
    "budget": ("alarms-only", "the budget of the link is used up"),
    "rate": ("alarms-only", "the link is slower than [uplink] alarms_only_below_bytes_per_s"),
    "": ("alarms-only-over", "measurements are sent again"),
}


class _AskedToLeaveError(Exception):
    """Ends the connection because somebody asked for that; it is built again like any other."""


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
        take_command: Callable[[Command], None],
        updater: Updater | None = None,
        jitter: random.Random,
        cert_file: Path | None = None,
        key_file: Path | None = None,
        checks: Callable[[], tuple[Check, ...]] = tuple,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._store = store
        self._password = password
        self._ca_file, self._cert_file, self._key_file = ca_file, cert_file, key_file
        self._clock = clock
        self._take_desired = take_desired
        self._take_command = take_command
        self._updater = updater
        self._jitter = jitter
        self._talk = Conversation()
        self._meter = Meter(
            budget_bytes_per_day=settings.budget_bytes_per_day,
            burst_bytes=settings.burst_bytes,
            alarms_only_below_bytes_per_s=settings.alarms_only_below_bytes_per_s,
            now=time.monotonic(),
        )
        self._outlet = Outlet(identity.gateway, self._talk, self._meter, is_tls=settings.is_tls)
        self._showing = Showing(
            self._outlet, self._talk, newest, health, checks, live_s=settings.live_s, health_s=settings.health_s
        )
        self._sender = Sender(
            self._outlet,
            self._talk,
            store,
            identity,
            clock,
            report,
            updater,
            tell_mode=self._tell_mode,
            keepalive_s=settings.keepalive_s,
        )
        self._owes_report = True
        self._leave = asyncio.Event()
        self.is_connected = False
        self._fault = ""
        self.rejected = 0
        self.floor_ns = 0
        """The newest UTC in ns that is known to be past: no broker of ours shows a certificate that expired before."""

    @property
    def fault(self) -> str:
        """What keeps records from going, empty when well."""
        return self._fault or self._sender.fault

    @property
    def has_session(self) -> bool:
        """Whether the fleet has welcomed this gateway."""
        return self._talk.session is not None

    @property
    def pending(self) -> int:
        """Records that the fleet has not committed yet."""
        return self._talk.pending

    def link(self) -> LinkHealth:
        """How the link is, and what it may still carry."""
        bucket = self._meter.bucket
        return LinkHealth(
            sent_bytes=self._meter.sent_bytes,
            rate_bytes_per_s=self._talk.rate,
            alarms_only=self._meter.alarms_only,
            budget_left_bytes=None if bucket is None else int(bucket.level),
            overdrawn_bytes=0 if bucket is None else bucket.overdrawn_bytes,
        )

    def ask_report(self) -> None:
        """Send the reported twin again."""
        self._sender.report_due.set()

    def reconnect(self) -> None:
        """End the connection; it is built again with a new hello."""
        self._leave.set()

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
            await self._pause(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)

    async def _pause(self, backoff_s: float) -> None:
        """Wait before the next attempt, spread by chance; less long once an alarm waits."""
        share, began = 0.5 + self._jitter.random(), time.monotonic()
        while True:
            most_s = BACKOFF_ALARMS_MOST_S if self._has_alarms else BACKOFF_MOST_S
            left_s = began + min(backoff_s, most_s) * share - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, LOOK_S))

    @property
    def _has_alarms(self) -> bool:
        account = self._store.figures.accounts.get(Lane.ALARMS)
        return account is not None and account.pending > 0

    def _note_fault(self, error: NotConnectedError) -> None:
        if str(error) != self._fault:
            log.warning("%s. %s", error, error.hint)
            self._fault = str(error)

    async def _connect(self) -> None:
        fault: BaseException | None = None
        try:
            async with self._client() as client:
                await client.subscribe(down_filter(self._identity.gateway), qos=1)
                log.info("connected to the broker at %s", self._settings.url)
                self._begin(client)
                await self._converse(client)
        except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
            fault = _first(group)
        except* _AskedToLeaveError:
            log.info("connecting anew, as asked")
        finally:
            self.is_connected = False
            self._talk.connect(time.monotonic())
        if fault is not None:  # raised out here: an except* clause would wrap it in a group of its own
            raise NotConnectedError(
                f"broker {self._settings.url}: {explain(fault)}",
                hint="Records wait in the spool, local alarms go on; check [uplink], the identity and the link.",
            )

    def _begin(self, client: aiomqtt.Client) -> None:
        self.is_connected = True
        self._fault = ""
        self._owes_report = True
        self._leave.clear()
        self._outlet.attach(client)
        self._talk.connect(time.monotonic())

    async def _converse(self, client: aiomqtt.Client) -> None:
        showing, sender = self._showing, self._sender
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(client), name="uplink.read")
            tasks.create_task(self._wait_to_leave(), name="uplink.leave")
            for work in (
                sender.send,
                sender.send_reports,
                sender.send_progress,
                showing.send_live,
                showing.send_health,
                showing.send_checklist,
            ):
                tasks.create_task(work(), name=f"uplink.{work.__name__}")

    async def _wait_to_leave(self) -> None:
        await self._leave.wait()
        raise _AskedToLeaveError

    def _client(self) -> aiomqtt.Client:
        tls = self._make_context() if self._settings.is_tls else None
        return BrokerClient(
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
            max_inflight_messages=PUBLISHED_MOST,
            max_queued_outgoing_messages=PUBLISHED_MOST,
            socket_options=[
                (socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES),
                (socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MOST_BYTES),
            ],
        )

    def _make_context(self) -> ssl.SSLContext:
        is_synced = self._clock.state().quality == "synced"
        files = self._ca_file, self._cert_file, self._key_file
        return make_context(*files, is_synced=is_synced, floor_ns=self.floor_ns)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self._outlet.note_answer()
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
                self._owes_report = True
            case Down.DESIRED:
                await self._take_desired(codec.decode(payload, Desired))
            case Down.COMMAND:
                self._take_command(codec.decode(payload, Command))
            case Down.TARGET:
                if self._updater is not None:
                    self._updater.take(codec.decode(payload, Target))
            case _:
                log.debug("a message of kind %s is not for a gateway", kind)
        self._sender.wake.set()

    async def _take_welcome(self, welcome: Welcome) -> None:
        self._clock.tell(welcome.time)
        self._talk.update(await self._store.marks())
        await self._store.set_committed(self._talk.welcome(welcome))
        log.info("welcomed by the fleet, %d records pending", self._talk.pending)
        self._outlet.note_welcome(joins_parts=welcome.joins_parts)
        if self._owes_report:
            self._owes_report = False
            self.ask_report()

    async def _tell_mode(self) -> None:
        """Say that only alarms go, or that everything does again: in lane A, and by health, which is shed next."""
        event, detail = MODES[self._meter.alarms_only]
        log.warning("%s: %s", event, detail)
        self._store.put_audit(event, detail)
        await self._showing.tell_health()


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
