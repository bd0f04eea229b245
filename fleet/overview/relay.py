"""How far each destination is behind."""

from __future__ import annotations

import sqlalchemy as sa

from fleet.overview.pages import RelayLine
from fleet.overview.sources import NS, Sources
from fleet.readings.models import Record
from fleet.relay import service as relay
from fleet.relay.service import LaneStatus
from wire.record import Lane


def list_relay(sources: Sources) -> tuple[RelayLine, ...]:
    """Every enabled destination: what waits, for how long, and what went wrong last."""
    lanes: dict[str, list[LaneStatus]] = {}
    for status in relay.status(sources.session):
        lanes.setdefault(status.destination, []).append(status)
    return tuple(
        _line(sources, row.name, row.url, lanes.get(row.name, [])) for row in relay.list_enabled(sources.session)
    )


def _line(sources: Sources, name: str, url: str, lanes: list[LaneStatus]) -> RelayLine:
    waiting = [_find_oldest(sources, each.lane, each.position) for each in lanes if each.behind]
    oldest = [at for at in waiting if at is not None]
    failed = max((each for each in lanes if each.failures), key=lambda each: each.last_try_ns or 0, default=None)
    return RelayLine(
        name=name,
        url=url,
        behind=sum(each.behind for each in lanes),
        lag_s=max(sources.now_ns - min(oldest), 0) / NS if oldest else 0.0,
        cursors=tuple((each.lane, each.position) for each in lanes),
        delivered_ns=max((each.last_ok_ns for each in lanes if each.last_ok_ns is not None), default=None),
        last_error=failed.last_error if failed else "",
        error_ns=failed.last_try_ns if failed else None,
    )


def _find_oldest(sources: Sources, lane: Lane, position: int) -> int | None:
    """When the oldest record that waits was received."""
    query = sa.select(Record.received_ns).where(Record.lane == lane.value, Record.id > position)
    return sources.session.scalar(query.order_by(Record.id).limit(1))
