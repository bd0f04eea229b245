"""Sends what the conversation says is due: hello, batches, the reported twin."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from edge.clock import SystemClock
from edge.conversation import Conversation, Sent
from edge.errors import SpoolError
from edge.metering import Traffic
from edge.outlet import Outlet
from edge.release import RELEASE
from edge.spool import Slice, spans
from edge.store import Store
from edge.updates.updater import Updater
from wire import codec
from wire.conversation import Batch, Hello
from wire.record import Lane
from wire.topics import Up
from wire.twin import Reported

log = logging.getLogger(__name__)

TICK_S = 0.5
UNAFFORDABLE_S = 5.0
"""So long the reported twin waits before it asks again whether a metered link has room for it."""
PUBLISHES_MOST = 20
"""Batches of measurements on their way to the broker at once; measured best on Mosquitto. Alarms need no place."""


class Identity(msgspec.Struct, frozen=True):
    """What the hello says about this gateway."""

    gateway: str
    machine: str
    boot: str


class Sender:
    """Three tasks of the uplink, for one connection after the other."""

    def __init__(
        self,
        outlet: Outlet,
        talk: Conversation,
        store: Store,
        identity: Identity,
        clock: SystemClock,
        report: Callable[[], Reported],
        updater: Updater | None,
        *,
        tell_mode: Callable[[], Coroutine[Any, Any, None]],
        keepalive_s: float,
    ) -> None:
        self._outlet = outlet
        self._talk = talk
        self._store = store
        self._identity = identity
        self._clock = clock
        self._report = report
        self._updater = updater
        self._tell_mode = tell_mode
        self._keepalive_s = keepalive_s
        self._alive_at = 0.0
        self._unaffordable_bytes = 0
        self.wake = asyncio.Event()
        """Set it when an answer has come."""
        self.report_due = asyncio.Event()
        self.fault = ""

    async def send(self) -> None:
        """Say hello and send batches, until cancelled."""
        async with asyncio.TaskGroup() as publishes:
            while True:
                self.wake.clear()
                try:
                    await self._send_due(publishes)
                    self.fault = ""
                except SpoolError as error:  # the connection is fine: look again at the next tick
                    if str(error) != self.fault:
                        log.warning("the spool gives no records: %s", error)
                    self.fault = str(error)
                await self._wait()

    async def _send_due(self, publishes: asyncio.TaskGroup) -> None:
        now = time.monotonic()
        if self._store.committed.is_set():
            self._store.committed.clear()
            self._talk.update(await self._store.marks())
        if self._talk.is_hello_due(now):
            await self._say_hello()
        if self._talk.expire(now):
            log.info("no answer from the fleet: sending again")
        if self._outlet.meter.update(now, self._talk.measured_rate):
            publishes.create_task(self._tell_mode())
        if now - self._alive_at >= self._keepalive_s:
            self._alive_at = now
            self._outlet.note_answer()
        await self._send_pending(publishes)

    async def _wait(self) -> None:
        """Wait for new records, an answer, or the next look at the clock."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.wake, self._store.committed)]
        try:
            await asyncio.wait(waits, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _say_hello(self) -> None:
        marks = await self._store.marks()
        self._talk.update(marks)
        offered = self._talk.offer()
        hello = Hello(
            gateway=self._identity.gateway,
            boot=self._identity.boot,
            release=RELEASE,
            machine=self._identity.machine,
            clock=self._clock.state(),
            epochs={epoch: lanes for epoch, lanes in spans(marks).items() if epoch in offered},
            id=secrets.token_hex(8),
            session=self._talk.continues,
        )
        payload = codec.encode(hello)
        self._outlet.may_send(Up.HELLO, payload, Traffic.ALARMS)
        self._talk.hello_sent(hello.id)
        await self._outlet.send(Up.HELLO, payload)

    async def _send_pending(self, publishes: asyncio.TaskGroup) -> None:
        while (plan := self._talk.next_batch(self._allowance())) is not None:
            if plan.lane is not Lane.ALARMS and self._talk.unconfirmed >= PUBLISHES_MOST:
                return
            planned_in = self._talk.round
            records = await self._store.read(plan)
            session = self._talk.session
            if records is None or session is None:
                return
            if self._talk.round != planned_in:
                continue  # the fleet spoke while we read: the plan is void
            payload = codec.encode(self._batch(records, session))
            if not self._may_send(plan.lane, payload):
                return
            sent = self._talk.sent(plan, records.last, len(payload), time.monotonic())
            publishes.create_task(self._publish(payload, sent))

    def _allowance(self) -> int:
        """Octets that the meter has for measurements; none while they do not do for the batch that was read last."""
        return self._outlet.meter.allowance(time.monotonic(), self._unaffordable_bytes)

    def _may_send(self, lane: Lane, payload: bytes) -> bool:
        if lane is Lane.ALARMS:
            return self._outlet.may_send(Up.BATCH, payload, Traffic.ALARMS)
        may = self._outlet.may_send(Up.BATCH, payload, Traffic.RECORDS)
        self._unaffordable_bytes = 0 if may else len(payload)
        return may

    async def _publish(self, payload: bytes, sent: Sent) -> None:
        if sent.lane is Lane.ALARMS:  # nothing is more urgent, and in parts they would end a batch that goes so
            await self._outlet.send(Up.BATCH, payload)
        else:
            await self._outlet.send_in_parts(Up.BATCH, payload, self._talk.window)
        self._talk.puback(sent)

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

    async def send_reports(self) -> None:
        """Send the reported twin whenever that is due, until cancelled; never before it is known how it may go."""
        await self._outlet.welcomed.wait()
        while True:
            await self.report_due.wait()
            payload = codec.encode(self._report())
            if self._outlet.may_send(Up.REPORTED, payload, Traffic.RECORDS):
                self.report_due.clear()
                await self._outlet.send_in_parts(Up.REPORTED, payload, self._outlet.part_bytes)
            else:
                await asyncio.sleep(UNAFFORDABLE_S)

    async def send_progress(self) -> None:
        """Tell how far updates are whenever that is due, until cancelled. What is lost is told again when asked for."""
        await self._outlet.welcomed.wait()
        while self._updater is not None:
            await self._updater.due.wait()
            for told in self._updater.take_untold():
                payload = codec.encode(told)
                if self._outlet.may_send(Up.PROGRESS, payload, Traffic.RECORDS):
                    await self._outlet.send(Up.PROGRESS, payload)
