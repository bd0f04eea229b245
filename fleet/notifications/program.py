"""Notify: decides once a second who is to be told of what, and sends, each contact in a task of its own.

    alarms, journal -> plan -> notices -> a message per contact -> sent    -> noted, in one transaction each
                                                              `-> failed  -> the same message again, later

What dies between sending and noting sends the same message again under the same key: at least once, never not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.errors import SetupError
from fleet.metrics import NotifyMetrics
from fleet.notifications import queue, service
from fleet.notifications.delivery import TIMEOUT_S, Errand, UndeliveredError, deliver
from fleet.notifications.rules import Contact, Rules, read
from fleet.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S = 1.0
PRUNE_EVERY = 3600
"""Turns between two prunings."""
DATABASE_PAUSE_S = 0.5


def find_rules(settings: Settings) -> Path:
    """Return where the rules stand. Raises SetupError if no file is set."""
    if not settings.notify_rules:
        raise SetupError(
            "no rules of notification are set", hint='write notify_rules = "notify.toml" in fleet.toml, and that file'
        )
    return settings.data_dir / settings.notify_rules


class Notify:
    """The program. `run` until cancelled."""

    def __init__(self, services: Services, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._metrics = NotifyMetrics(self.registry)
        self._services = services
        self._path = find_rules(services.settings)
        self._rules: Rules | None = None
        self._stamp = 0
        self._mistake = ""
        self._database_up = True
        self._thread = ThreadPoolExecutor(max_workers=2, thread_name_prefix="notify")

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz. A contact that is down is its own affair."""
        return {
            "ok": self._database_up and not self._mistake,
            "database": self._database_up,
            "rules": self._mistake or "ok",
        }

    async def run(self) -> None:
        """Decide and send until cancelled."""
        tasks: dict[Contact, asyncio.Task[None]] = {}
        turn = 0
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as client:
                while True:
                    await self.load_rules()
                    await self.decide()
                    self._reconcile(client, tasks)
                    if turn % PRUNE_EVERY == 0:
                        await self._write(lambda session: service.prune(session, self._services.clock()))
                    turn += 1
                    await asyncio.sleep(EVERY_S)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            self._thread.shutdown(wait=True)

    async def decide(self) -> None:
        """Take one turn: write down the notices that are due by now. Without rules the journal waits to be read."""
        now_ns, rules = self._services.clock(), self._rules
        if rules is None:
            return
        found = await self._read(lambda session: queue.plan(session, rules, now_ns))
        if found is not None and not found.is_empty:
            await self._write(lambda session: queue.carry_out(session, found, now_ns))
            self._metrics.notices.inc(len(found.due))
        waiting = await self._read(service.count_waiting)
        if waiting is not None:
            self._metrics.waiting.set(waiting)

    async def send(self, client: httpx.AsyncClient, contact: Contact) -> bool:
        """Send what there is for a contact now, and note what came of it. False unless something has arrived."""
        now_ns = self._services.clock()
        if await self._read(lambda session: service.is_due(session, contact, now_ns)):
            await self._write(lambda session: service.make_message(session, contact, now_ns))
        outgoing = await self._read(lambda session: service.find_outgoing(session, contact, now_ns))
        if outgoing is None or self._rules is None:
            return False
        errand = Errand(self._rules, contact, outgoing.message, now_ns, outgoing.earlier)
        try:
            await deliver(client, errand)
        except UndeliveredError as error:
            reason = str(error)
            log.warning("contact %s was not reached, trying on: %s", contact.name, reason)
            self._metrics.failures.labels(contact.name).inc()
            await self._write(
                lambda session: service.note_failed(session, outgoing.message_id, reason, self._services.clock())
            )
            return False
        self._metrics.sent.labels(contact.name).inc()
        # A success that is not noted would be sent again at once, over and over: wait for the database instead.
        while not await self._write(
            lambda session: service.note_sent(session, outgoing.message_id, self._services.clock())
        ):
            continue
        return True

    async def load_rules(self) -> None:
        """Read the rules anew if their file has changed. With a mistake in it, those from before go on."""
        try:
            stamp = self._path.stat().st_mtime_ns
        except OSError:
            stamp = -1
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._rules, self._mistake = read(self._path), ""
        except SetupError as error:
            self._mistake = str(error)
            log.error("what was read before goes on: %s", error)
            return
        known = [contact.name for contact in self._rules.contacts]
        log.info("%d contacts and %d rules", len(known), len(self._rules.rules))
        await self._write(lambda session: service.retire(session, known, self._services.clock()))

    def _reconcile(self, client: httpx.AsyncClient, tasks: dict[Contact, asyncio.Task[None]]) -> None:
        contacts = self._rules.contacts if self._rules else ()
        for contact in [contact for contact in tasks if contact not in contacts]:
            tasks.pop(contact).cancel()
        for contact in contacts:
            running = tasks.get(contact)
            if running is not None and running.done():
                running.result()  # a fault nobody foresaw ends the program; its parent starts it again
            if running is None:
                tasks[contact] = asyncio.create_task(self._serve(client, contact), name=f"notify {contact.name}")

    async def _serve(self, client: httpx.AsyncClient, contact: Contact) -> None:
        while True:
            if not await self.send(client, contact):
                await asyncio.sleep(EVERY_S)

    async def _read(self, work: Callable[[Session], T]) -> T | None:
        """Read from the database; None while it does not answer."""

        def read_it() -> T:
            with self._services.database.reading() as session:
                return work(session)

        return await self._in_thread(read_it)

    async def _write(self, work: Callable[[Session], object]) -> bool:
        """Write to the database; False while it does not answer."""

        def write_it() -> bool:
            with self._services.database.writing() as session:
                work(session)
            return True

        return bool(await self._in_thread(write_it))

    async def _in_thread(self, work: Callable[[], T]) -> T | None:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except SQLAlchemyError as error:
            if self._database_up:
                log.error("the database does not answer, notify waits: %s", error)
            self._database_up = False
            await asyncio.sleep(DATABASE_PAUSE_S)
            return None
        if not self._database_up:
            log.info("the database answers again")
        self._database_up = True
        return result
