"""Send destinations the counts to reconcile by: per gateway, lane and hour, those that changed since the last report.

The counts are absolute, so that a report that arrives twice, or part of one, does no harm. An hour of long ago is told
again when a backlog has changed it. Where nothing has changed, a report without counts says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import httpx
import msgspec
from sqlalchemy.orm import Session

from fleet.ledger import service as ledger
from fleet.ledger.models import Tally
from fleet.relay import document, service
from fleet.relay.delivery import DeliveryError, deliver
from fleet.relay.models import Destination
from fleet.relay.service import LANES

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 5.0
AGAIN_S = 300.0
"""Until a report that was not taken is tried again."""
ROWS = 2000
SETTLED_NS = 60_000_000_000
"""What changed within the last minute may be changing still, and waits for the next report."""


class Access(Protocol):
    """The database, as `fleet.relay.program.Relay` reaches it. Both give None or False while it does not answer."""

    async def query(self, work: Callable[[Session], T]) -> T | None:
        """Read."""

    async def write(self, work: Callable[[Session], None]) -> bool:
        """Write."""


class Report(msgspec.Struct, frozen=True):
    """A report that is due: what changed from ``since_ns`` up to ``to_ns``."""

    destination_id: int
    name: str
    url: str
    since_ns: int
    to_ns: int


class Reporter:
    """Reports to all destinations that take counts, one after the other: it is seldom, and never urgent."""

    def __init__(self, access: Access, clock: Callable[[], int], every_s: float) -> None:
        self._access = access
        self._clock = clock
        self._every_ns = int(every_s * 1e9)
        self._again_at: dict[int, float] = {}

    async def run(self, client: httpx.AsyncClient) -> None:
        """Report until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            for report in await self._access.query(self._find_due) or []:
                if self._again_at.get(report.destination_id, 0.0) <= loop.time():
                    await self._try(client, report)
            await asyncio.sleep(LOOK_S)

    def _find_due(self, session: Session) -> list[Report]:
        to_ns = self._clock() - SETTLED_NS
        return [
            Report(row.id, row.name, row.counts_url, row.counted_ns, to_ns)
            for row in service.list_enabled(session)
            if row.counts_url and to_ns - row.counted_ns >= self._every_ns
        ]

    async def _try(self, client: httpx.AsyncClient, report: Report) -> None:
        try:
            await self._send(client, report)
        except DeliveryError as error:
            if report.destination_id not in self._again_at:
                log.warning("destination %s does not take the counts, trying on: %s", report.name, error)
            self._again_at[report.destination_id] = asyncio.get_running_loop().time() + AGAIN_S
            return
        self._again_at.pop(report.destination_id, None)

    async def _send(self, client: httpx.AsyncClient, report: Report) -> None:
        """Send all parts of a report and note it. Raises DeliveryError."""
        part, last, more = 0, None, True
        while more:
            found = await self._access.query(partial(_read, report=report, last=last))
            if found is None:
                return  # the database does not answer: the whole report comes again
            rows, more = found
            key = document.counts_key(report.name, report.since_ns, report.to_ns, part)
            body = document.write_counts(report.name, report.since_ns, report.to_ns, part, rows, more)
            await deliver(client, report.url, key, body)
            part, last = part + 1, rows[-1] if rows else None
        await self._access.write(lambda session: _note(session, report))


def _read(session: Session, report: Report, last: Tally | None) -> tuple[list[Tally], bool]:
    """Return the rows of the next part, and whether more come after it."""
    rows = list(ledger.changed(session, LANES, report.since_ns, report.to_ns, last, ROWS + 1))
    return rows[:ROWS], len(rows) > ROWS


def _note(session: Session, report: Report) -> None:
    row = session.get(Destination, report.destination_id)
    if row is not None:
        row.counted_ns = report.to_ns
