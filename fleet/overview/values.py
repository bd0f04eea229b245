"""The newest value and the history of tags, the access rate, and how late records come."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Tag
from fleet.live import LiveValue
from fleet.overview.figures import Access, Point
from fleet.overview.figures import Reading as Newest
from fleet.overview.known import Known
from fleet.overview.sources import NS, Sources
from fleet.readings import service as readings
from fleet.readings.models import Reading, Record
from wire.sample import is_good

FRESH_WITHIN_S = 2 * 3600
"""A good value older than this no longer counts as delivered: twice the slowest usual poll of an hour."""
LAG_WITHIN_S = 600
LAG_RECORDS = 2000
"""Delivery lag is that of the records received in the last ten minutes, the newest 2000 at most."""
CHART_POINTS = 600
TAGS_AT_ONCE = 10_000
"""In one query: databases take no more than some 32,000 parameters."""


def measure_access(sources: Sources, known: Iterable[Known]) -> dict[str, Access]:
    """Count, by gateway, the registered tags and those that deliver good data.

    A tag delivers good data if its gateway is online and its newest value is good and fresh.
    """
    registered: dict[str, dict[str, int]] = {}
    query = sa.select(Tag.gateway, Tag.name, Tag.id).where(Tag.listed)
    for gateway, name, tag_id in sources.session.execute(query):
        registered.setdefault(gateway, {})[name] = tag_id
    access = {}
    for row in known:
        tags = registered.get(row.name, {})
        newest = read_newest(sources, row.name, tags) if row.online(sources.now_ns) else {}
        good = sum(delivers(value, sources.now_ns) for value in newest.values())
        access[row.name] = Access(sector=row.sector, good=good, registered=len(tags))
    return access


def delivers(value: Newest, now_ns: int) -> bool:
    """Tell whether a tag's newest value counts as delivered: good, and not too old."""
    fresh = value.time_ns is None or now_ns - value.time_ns <= FRESH_WITHIN_S * NS
    return fresh and is_good(value.quality)


def sum_access(sector: str, parts: Iterable[Access]) -> Access:
    """Add up the counts of some gateways."""
    held = list(parts)
    return Access(sector=sector, good=sum(part.good for part in held), registered=sum(part.registered for part in held))


def read_newest(sources: Sources, gateway: str, tags: Mapping[str, int]) -> dict[str, Newest]:
    """The newest value of some tags {name: id}: from memory, else the last committed one."""
    return read_newest_of(sources, {gateway: tags})[gateway]


def read_newest_of(sources: Sources, tags: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Newest]]:
    """The same of many gateways, {gateway: {name: id}}: the database is asked for all of them together."""
    found: dict[str, dict[str, Newest]] = {}
    missing: list[int] = []
    for gateway, of_gateway in tags.items():
        snapshot = sources.live.snapshot(gateway)
        found[gateway] = {name: live_reading(snapshot[name]) for name in of_gateway if name in snapshot}
        missing += [tag_id for name, tag_id in of_gateway.items() if name not in found[gateway]]
    stored: dict[int, Newest] = {}
    for begin in range(0, len(missing), TAGS_AT_ONCE):
        stored |= _read_stored(sources.session, missing[begin : begin + TAGS_AT_ONCE])
    for gateway, of_gateway in tags.items():
        found[gateway].update({name: stored[tag_id] for name, tag_id in of_gateway.items() if tag_id in stored})
    return found


def live_reading(value: LiveValue) -> Newest:
    """A value from memory as pages show it."""
    return Newest(value.value, value.quality, value.at_ns)


def _read_stored(session: Session, tag_ids: Collection[int]) -> dict[int, Newest]:
    newest = (
        sa.select(Reading.tag_id, sa.func.max(Reading.at_ns).label("at_ns"))
        .where(Reading.tag_id.in_(tag_ids))
        .group_by(Reading.tag_id)
        .subquery()
    )
    query = sa.select(Reading.tag_id, Reading.value, Reading.text, Reading.quality, Reading.at_ns).join(
        newest, sa.and_(Reading.tag_id == newest.c.tag_id, Reading.at_ns == newest.c.at_ns)
    )
    return {
        tag_id: Newest(text if value is None else value, quality, at_ns)
        for tag_id, value, text, quality, at_ns in session.execute(query)
    }


def measure_lag(sources: Sources) -> float | None:
    """The 99th percentile of received - captured over the newest records, in s; None without any."""
    query = (
        sa.select(Record.received_ns - Record.captured_ns)
        .where(Record.received_ns >= sources.now_ns - LAG_WITHIN_S * NS, Record.captured_ns.is_not(None))
        .where(Record.id > sa.select(sa.func.max(Record.id) - LAG_RECORDS).scalar_subquery())
    )
    lags = sorted(sources.session.scalars(query))
    return max(lags[math.ceil(len(lags) * 0.99) - 1], 0) / NS if lags else None


def read_history(session: Session, tag_id: int, begin_ns: int, end_ns: int) -> tuple[Point, ...]:
    """A tag in at most `CHART_POINTS` equal stretches of time, without the empty ones."""
    found = readings.series(session, tag_id, begin_ns, end_ns, CHART_POINTS)
    return tuple(Point(part.at_ns, part.min, part.mean, part.max) for part in found)
