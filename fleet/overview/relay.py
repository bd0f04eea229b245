"""How far each destination is behind."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from fleet.overview.pages import RelayLine
from fleet.overview.sources import NS, Sources
from fleet.readings.models import Record
from fleet.relay.models import Destination, RelayCursor
from wire.record import Lane

BEHIND_MOST = 100_000
"""Waiting records are counted up to here; beyond, the exact number changes nothing."""


def list_relay(sources: Sources) -> tuple[RelayLine, ...]:
    """Every enabled destination: what waits, for how long, and what went wrong last."""
    cursors: dict[int, dict[Lane, RelayCursor]] = {}
    for cursor in sources.session.scalars(sa.select(RelayCursor)):
        if cursor.lane in set(Lane):
            cursors.setdefault(cursor.destination_id, {})[Lane(cursor.lane)] = cursor
    query = sa.select(Destination).where(Destination.enabled).order_by(Destination.name)
    return tuple(_relay_line(sources, row, cursors.get(row.id, {})) for row in sources.session.scalars(query))


def _relay_line(sources: Sources, row: Destination, cursors: Mapping[Lane, RelayCursor]) -> RelayLine:
    behind, oldest = 0, None
    for lane in (Lane.ALARMS, Lane.MEASUREMENTS):
        position = cursors[lane].position if lane in cursors else 0
        waiting = sa.select(Record.id).where(Record.lane == lane, Record.id > position)
        number = sources.session.scalar(sa.select(sa.func.count()).select_from(waiting.limit(BEHIND_MOST).subquery()))
        if number:
            behind += number
            received = sources.session.scalar(
                sa.select(Record.received_ns)
                .where(Record.lane == lane, Record.id > position)
                .order_by(Record.id)
                .limit(1)
            )
            oldest = min(at for at in (oldest, received) if at is not None)
    failed = max((c for c in cursors.values() if c.failures), key=lambda c: c.last_try_ns or 0, default=None)
    return RelayLine(
        name=row.name,
        url=row.url,
        behind=behind,
        lag_s=0.0 if oldest is None else max(sources.now_ns - oldest, 0) / NS,
        cursors=tuple((lane, cursor.position) for lane, cursor in sorted(cursors.items())),
        delivered_ns=max((c.last_ok_ns for c in cursors.values() if c.last_ok_ns is not None), default=None),
        last_error=failed.last_error if failed else "",
        error_ns=failed.last_try_ns if failed else None,
    )
