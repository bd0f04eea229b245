"""Upkeep: prunes what is old, clears the fleet's own alarms when what raised them has ended, and makes the list of
revoked certificates anew.

Everything is done in small transactions with a rest as long as each took, so that ingest never waits for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.authority.store import find as find_authority
from fleet.bootstrap import Services
from fleet.certificates.publishing import publish_crl
from fleet.diagnosis import service as diagnosis
from fleet.errors import SetupError
from fleet.ledger import service as ledger
from fleet.metrics import UpkeepMetrics
from fleet.quakes import service as quakes
from fleet.readings import retention
from fleet.readings.parts import DAY_NS, HOUR_NS
from fleet.readings.retention import Pruned, Step
from fleet.relay import service as relay
from fleet.releases.repository import utc_now
from fleet.releases.service import find_repository
from fleet.settings import Settings
from fleet.waveforms import retention as waveforms
from provisioning.authority import Purpose
from wire.record import Lane

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S = 60.0
REST_LEAST_S = 0.02
"""Least pause between two transactions of the same turn."""


class Upkeep:
    """The program. `run` until cancelled, or `tend` once."""

    def __init__(self, services: Services, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._metrics = UpkeepMetrics(self.registry)
        self._services = services
        self._database_up = True
        self._longest_s = 0.0
        self._borders: dict[Step, int] = {}
        self._hour = 0

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz."""
        return {"ok": self._database_up, "database": self._database_up}

    async def run(self) -> None:
        """Take a turn every minute."""
        while True:
            try:
                await self.tend()
                if not self._database_up:
                    log.info("the database answers again")
                self._database_up = True
            except SQLAlchemyError as error:
                if self._database_up:
                    log.error("the database does not answer, upkeep waits: %s", error)
                self._database_up = False
            await asyncio.sleep(EVERY_S)

    async def tend(self) -> int:
        """Take one turn. Returns how many rows went. Raises SQLAlchemyError if the database does not answer."""
        settings, now_ns = self._services.settings, self._services.clock()
        self._longest_s = 0.0
        await self._write(partial(own.clear_calm, now_ns=now_ns))
        await self._write(partial(quakes.settle_silent, now_ns=now_ns))
        raw_ns = now_ns - settings.keep_raw_days * DAY_NS
        taken = await self._read(partial(relay.taken_by_all, lane=Lane.MEASUREMENTS))
        rows = await self._drain("record", partial(retention.prune_records, before_ns=raw_ns, taken=taken))
        waveforms_ns = now_ns - settings.keep_waveforms_days * DAY_NS
        rows += await self._drain("record", partial(waveforms.prune, before_ns=waveforms_ns))
        rows += self._count("diagnosis_part", await self._write(partial(diagnosis.prune, before_ns=waveforms_ns)))
        for step, kept_ns in _plan(settings, now_ns):
            rows += await self._prune_tags(step, step.border(kept_ns))
        if now_ns // HOUR_NS != self._hour:
            rows += await self._prune_rest(settings, now_ns)
            await asyncio.to_thread(self._publish_crl)
            await asyncio.to_thread(self._renew_releases)
            self._hour = now_ns // HOUR_NS
        held = await self._read(partial(retention.count_old_records, before_ns=raw_ns))
        self._metrics.held_by.set(held)
        self._metrics.longest.set(self._longest_s)
        self._metrics.turns.inc()
        return rows

    async def _prune_tags(self, step: Step, border_ns: int) -> int:
        """Take a step for every tag that has old rows, once for each border."""
        if self._borders.get(step) == border_ns:
            return 0
        waiting: Sequence[int] = await self._read(partial(retention.find_due, step=step, border_ns=border_ns))
        rows = 0
        while waiting:
            work = partial(retention.prune, step=step, tag_ids=waiting, border_ns=border_ns)
            done: Pruned = await self._write(work)
            waiting = waiting[done.tags :]
            rows += self._count(step.source.__tablename__, done.rows)
        self._borders[step] = border_ns
        return rows

    async def _prune_rest(self, settings: Settings, now_ns: int) -> int:
        """Prune what is looked at once an hour."""
        quarantine_ns = now_ns - settings.keep_quarantine_days * DAY_NS
        hours_ns = now_ns - settings.keep_hours_days * DAY_NS
        rows = await self._drain("quarantine", partial(retention.prune_quarantine, before_ns=quarantine_ns))
        rows += await self._drain("quarantine", retention.prune_crowded)
        rows += self._count("tally", await self._write(partial(ledger.prune_counts, before_ns=hours_ns)))
        for tag_id in await self._read(partial(retention.find_ahead, now_ns=now_ns)):
            rows += await self._drain("reading", partial(retention.prune_ahead, tag_id=tag_id, now_ns=now_ns))
        return rows

    def _renew_releases(self) -> None:
        """Keep the signed metadata of releases fresh: gateways take none that is older than a week."""
        try:
            if find_repository(self._services).renew(utc_now(self._services.clock())):
                log.info("snapshot and timestamp of the releases are signed anew")
        except SetupError as error:
            log.error("the metadata of releases cannot be signed anew: %s. %s", error, error.hint)

    def _publish_crl(self) -> None:
        """Have brokers find a list of revoked certificates that is good for a week, where there is an authority."""
        if find_authority(self._services.settings, Purpose.GATEWAYS, "crt").exists():
            try:
                publish_crl(self._services)
            except SetupError as error:
                log.error("the list of revoked certificates is not made anew: %s. %s", error, error.hint)

    async def _drain(self, table: str, work: Callable[[Session], int]) -> int:
        """Do it again until there is nothing left to do."""
        rows = 0
        while done := await self._write(work):
            rows += self._count(table, done)
        return rows

    def _count(self, table: str, rows: int) -> int:
        self._metrics.pruned.labels(table).inc(rows)
        return rows

    async def _read(self, work: Callable[[Session], T]) -> T:
        def read() -> T:
            with self._services.database.reading() as session:
                return work(session)

        return await asyncio.to_thread(read)

    async def _write(self, work: Callable[[Session], T]) -> T:
        """Do something in a transaction, and rest as long as it took: whoever waits comes between."""

        def write() -> tuple[T, float]:
            with self._services.database.writing() as session:
                began = time.monotonic()
                result = work(session)
            return result, time.monotonic() - began

        result, took_s = await asyncio.to_thread(write)
        self._longest_s = max(self._longest_s, took_s)
        await asyncio.sleep(max(took_s, REST_LEAST_S))
        return result


def _plan(settings: Settings, now_ns: int) -> list[tuple[Step, int]]:
    """Return the steps in their order, each with the time until which its rows are kept."""
    kept_days = [
        (retention.VALUES, settings.keep_raw_days),
        (retention.MINUTES, settings.keep_minutes_days),
        (retention.LOST_MINUTES, settings.keep_minutes_days),
        (retention.HOURS, settings.keep_hours_days),
    ]
    return [(step, now_ns - days * DAY_NS) for step, days in kept_days]
