"""What was committed of one gateway, hour by hour: the figures to reconcile by."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from fleet.gateways import service as gateways
from fleet.ledger import service as ledger
from fleet.ledger.models import Tally
from fleet.ledger.service import HOUR_NS
from fleet.overview.labels import name_places
from fleet.overview.sources import Sources

HOURS = 24


class CountsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a day, newest hour first. ``older`` is where the page before ends, None without older counts."""

    gateway: str
    title: str
    rows: tuple[Tally, ...]
    older: int | None


def find_counts(sources: Sources, gateway: str, before_ns: int | None = None) -> CountsPage:
    """Gather the day up to ``before_ns``, by default up to now. Raises NotFoundError for an unregistered gateway."""
    session = sources.session
    gateways.get(session, gateway)
    to_ns = sources.now_ns if before_ns is None else before_ns
    from_ns = max(to_ns - to_ns % HOUR_NS - (HOURS - 1) * HOUR_NS, 0)
    rows = ledger.counts(session, gateway, from_ns, to_ns) if from_ns < to_ns else ()
    older = sa.select(sa.func.max(Tally.hour_ns)).where(Tally.gateway == gateway, Tally.hour_ns < from_ns)
    newest_ns = session.scalar(older)
    return CountsPage(
        gateway=gateway,
        title=name_places(session, {gateway})[gateway][0],
        rows=tuple(sorted(rows, key=lambda row: (-row.hour_ns, row.lane))),
        older=None if newest_ns is None else newest_ns + HOUR_NS,
    )
