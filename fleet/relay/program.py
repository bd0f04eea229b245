"""Relay: one loop per destination and lane, so that alarms never wait behind measurements.

    outbox after the cursor -> request -> 2xx -> cursor moves, in one transaction
                                       -> anything else -> the same request again, later

A request that the destination refuses stays at the head and is shown: nothing is skipped in silence. Counts
to reconcile by go beside (`fleet.relay.reporter`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.metrics import RelayMetrics
from fleet.relay import document, service
from fleet.relay.delivery import DeliveryError, deliver
from fleet.relay.reporter import Reporter
from wire.record import Lane

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = {Lane.ALARMS: 0.1, Lane.MEASUREMENTS: 0.5}
DESTINATIONS_POLL_S = 2.0
BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 60.0
BACKOFF_ALARMS_MAX_S = 10.0


class Request(msgspec.Struct, frozen=True):
    """What is being handed over: kept as it is until the destination has taken it."""

    key: str
    body: bytes
    last: int
    count: int


class Target(msgspec.Struct, frozen=True):
    """One destination and lane."""

    destination_id: int
    name: str
    url: str
    lane: Lane


class Relay:
    """The program. `run` until cancelled."""

    def __init__(
        self,
        services: Services,
        registry: CollectorRegistry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._metrics = RelayMetrics(self.registry)
        self._services = services
        self._transport = transport
        self._thread = ThreadPoolExecutor(max_workers=2, thread_name_prefix="relay")
        self._database_up = True
        self._failing: set[Target] = set()

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz. A destination that is down is its own affair."""
        return {"ok": self._database_up, "database": self._database_up, "failing": len(self._failing)}

    async def run(self) -> None:
        """Serve all enabled destinations until cancelled."""
        timeout = httpx.Timeout(self._services.settings.relay_timeout_s)
        reporter = Reporter(self, self._services.clock, self._services.settings.counts_every_h * 3600)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, transport=self._transport, trust_env=False) as client,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(reporter.run(client), name="relay counts")
                await self._serve_all(client)
        finally:
            self._thread.shutdown(wait=True)

    async def _serve_all(self, client: httpx.AsyncClient) -> None:
        tasks: dict[Target, asyncio.Task[None]] = {}
        try:
            while True:
                await self._reconcile(client, tasks)
                await asyncio.sleep(DESTINATIONS_POLL_S)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _reconcile(self, client: httpx.AsyncClient, tasks: dict[Target, asyncio.Task[None]]) -> None:
        wanted = await self.query(_targets)
        if wanted is None:
            return
        for target in [target for target in tasks if target not in wanted]:
            tasks.pop(target).cancel()
        for target in wanted:
            running = tasks.get(target)
            if running is not None and running.done():
                running.result()  # a fault nobody foresaw ends the program; its parent starts it again
            if running is None:
                name = f"relay {target.name} {target.lane}"
                tasks[target] = asyncio.create_task(self._serve(client, target), name=name)

    async def _serve(self, client: httpx.AsyncClient, target: Target) -> None:
        delay_s = BACKOFF_MIN_S
        most_s = BACKOFF_ALARMS_MAX_S if target.lane is Lane.ALARMS else BACKOFF_MAX_S
        while True:
            request = await self.query(lambda session: self._next(session, target))
            if request is None:
                await asyncio.sleep(POLL_S[target.lane])
                continue
            while not await self._hand_over(client, target, request):
                # Jitter, so that the lanes of many destinations do not knock at once.
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
                delay_s = min(delay_s * 2, most_s)
            delay_s = BACKOFF_MIN_S

    def _next(self, session: Session, target: Target) -> Request | None:
        settings = self._services.settings
        most = settings.relay_alarm_batch if target.lane is Lane.ALARMS else settings.relay_batch
        after = service.position(session, target.destination_id, target.lane)
        rows = service.next_rows(session, target.lane, after, most)
        if not rows:
            return None
        known: dict[tuple[str, bytes], service.Columns | None] = {}

        def find_columns(gateway: str, layout_id: bytes) -> service.Columns | None:
            if (gateway, layout_id) not in known:
                known[gateway, layout_id] = service.columns(session, gateway, layout_id)
            return known[gateway, layout_id]

        key, body = document.build(target.name, rows, find_columns)
        return Request(key, body, rows[-1].position, len(rows))

    async def _hand_over(self, client: httpx.AsyncClient, target: Target, request: Request) -> bool:
        labels = (target.name, target.lane.value)
        try:
            await deliver(client, target.url, request.key, request.body)
        except DeliveryError as error:
            reason = str(error)
            self._metrics.failures.labels(*labels).inc()
            if target not in self._failing:
                log.warning("destination %s does not take lane %s, trying on: %s", target.name, target.lane, reason)
            self._failing.add(target)
            await self.write(
                lambda session: service.note_failed(
                    session, target.destination_id, target.lane, reason, self._services.clock()
                )
            )
            return False
        noted = await self.write(lambda session: self._note(session, target, request))
        if noted:
            self._metrics.relayed.labels(*labels).inc(request.count)
            if target in self._failing:
                log.info("destination %s takes lane %s again", target.name, target.lane)
            self._failing.discard(target)
        return noted  # not noted: sent again under the same key

    def _note(self, session: Session, target: Target, request: Request) -> None:
        now_ns = self._services.clock()
        service.note_delivered(session, target.destination_id, target.lane, request.last, request.count, now_ns)
        behind = service.count_behind(session, target.lane, request.last)
        self._metrics.behind.labels(target.name, target.lane.value).set(behind)

    async def query(self, work: Callable[[Session], T]) -> T | None:
        """Read from the database; None while it does not answer."""

        def read() -> T:
            with self._services.database.reading() as session:
                return work(session)

        return await self._in_thread(read)

    async def write(self, work: Callable[[Session], None]) -> bool:
        """Write to the database; False while it does not answer."""

        def write() -> bool:
            with self._services.database.writing() as session:
                work(session)
            return True

        return bool(await self._in_thread(write))

    async def _in_thread(self, work: Callable[[], T]) -> T | None:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except SQLAlchemyError as error:
            if self._database_up:
                log.error("the database does not answer, relay waits: %s", error)
            self._database_up = False
            await asyncio.sleep(BACKOFF_MIN_S)
            return None
        if not self._database_up:
            log.info("the database answers again")
        self._database_up = True
        return result


def _targets(session: Session) -> list[Target]:
    return [Target(row.id, row.name, row.url, lane) for row in service.list_enabled(session) for lane in service.LANES]
