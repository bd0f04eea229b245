"""Send a destination the counts to reconcile by: per gateway, lane and hour, those that changed since the last report.

The counts are absolute, so that a report that arrives twice, or part of one, does no harm. An hour of long ago is told
again when a backlog has changed it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import httpx
import msgspec
from sqlalchemy.orm import Session

from fleet.ledger import service as ledger
from fleet.relay import document
from fleet.relay.delivery import DeliveryError, deliver
from fleet.relay.models import Destination

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


class Due(msgspec.Struct, frozen=True):
    """A report that is due: what changed after ``after_ns`` and up to ``to_ns``."""

    destination_id: int
    name: str
    url: str
    after_ns: int
    to_ns: int


class Reporter:
    """Run `run` beside the lanes of a destination."""

    def __init__(self, access: Access, clock: Callable[[], int], every_s: float) -> None:
        self._access = access
        self._clock = clock
        self._every_ns = int(every_s * 1e9)
        self._failing = False

    async def run(self, client: httpx.AsyncClient, destination_id: int) -> None:
        """Report for ever."""
        while True:
            due = await self._access.query(lambda session: self._find_due(session, destination_id))
            taken = await self._report(client, due) if due is not None else True
            await asyncio.sleep(LOOK_S if taken else AGAIN_S)

    def _find_due(self, session: Session, destination_id: int) -> Due | None:
        row = session.get(Destination, destination_id)
        to_ns = self._clock() - SETTLED_NS
        if row is None or not row.counts_url or to_ns - row.counted_ns < self._every_ns:
            return None
        return Due(row.id, row.name, row.counts_url, row.counted_ns, to_ns)

    async def _report(self, client: httpx.AsyncClient, due: Due) -> bool:
        skip = 0
        while True:
            rows = await self._access.query(
                lambda session, skip=skip: ledger.changed(session, due.after_ns, due.to_ns, skip, ROWS)
            )
            if rows is None:
                return False
            if not rows:
                break
            key = document.counts_key(due.name, due.after_ns, due.to_ns, skip)
            try:
                await deliver(client, due.url, key, document.write_counts(due.name, due.to_ns, rows))
            except DeliveryError as error:
                if not self._failing:
                    log.warning("destination %s does not take the counts, trying on: %s", due.name, error)
                self._failing = True
                return False
            skip += len(rows)
        self._failing = False
        return await self._access.write(lambda session: _note(session, due))


def _note(session: Session, due: Due) -> None:
    row = session.get(Destination, due.destination_id)
    if row is not None:
        row.counted_ns = due.to_ns
