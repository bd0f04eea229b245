"""Read values back: series for charts, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError, NotFoundError
from fleet.readings.items import INT_MAX
from fleet.readings.models import Quarantined, Reading, ReadingHour, ReadingMinute
from fleet.readings.parts import Part, join
from wire.sample import Quality

BUCKETS_MAX = 5000
PartTable = type[ReadingMinute] | type[ReadingHour]
PARTS: tuple[PartTable, ...] = (ReadingHour, ReadingMinute)
SEEK_FROM_NS = 30_000_000_000
"""Parts at least this wide are read one by one from SQLite."""


_usable = sa.and_(Reading.value.is_not(None), Reading.quality < int(Quality.BAD))
"""A bad value is kept for people to look at, but no chart is drawn through it."""


class Point(msgspec.Struct, frozen=True):
    """One bucket of a series: its begin, and the smallest, largest, mean and last value in it."""

    at_ns: int
    min: float
    max: float
    mean: float
    last: float


def series(session: Session, tag_id: int, start_ns: int, end_ns: int, buckets: int) -> list[Point]:
    """Return a tag's values from ``start_ns`` up to ``end_ns`` in equal parts, without those that are empty.

    Bad values are left out. Of values that are no longer kept one by one, their minute or hour counts where it begins.
    """
    if not 0 <= start_ns < end_ns < 2**63:
        raise InvalidError("'from' must lie before 'to'")
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidError(f"ask for 1 to {BUCKETS_MAX} buckets")
    width = -(-(end_ns - start_ns) // buckets)
    if session.get_bind().dialect.name == "sqlite" and width >= SEEK_FROM_NS:
        values = _seek(session, tag_id, start_ns, end_ns, width)
    else:
        values = _group(session, tag_id, start_ns, end_ns, width)
    found: dict[int, dict[str, Part]] = {}
    older = ((table.__tablename__, _group_parts(session, table, tag_id, start_ns, end_ns, width)) for table in PARTS)
    for source, rows in (*older, (Reading.__tablename__, values)):
        for row in rows:
            # Two records of one time give two rows: the later one stays.
            begin = start_ns + row.bucket * width
            part = Part(begin, row.number, row.low, row.high, float(row.mean), row.last, row.last_ns)
            found.setdefault(row.bucket, {})[source] = part
    whole = (join(start_ns + bucket * width, list(found[bucket].values())) for bucket in sorted(found))
    return [Point(part.at_ns, part.low, part.high, part.mean, part.last) for part in whole]


def _group(session: Session, tag_id: int, start_ns: int, end_ns: int, width: int) -> Iterable[sa.Row[Any]]:
    """Read all parts in one pass. The database sorts rows into parts, which is slow where there are millions."""
    in_range = sa.and_(Reading.tag_id == tag_id, Reading.at_ns >= start_ns, Reading.at_ns < end_ns)
    parts = (
        sa.select(
            ((Reading.at_ns - start_ns) // width).label("bucket"),
            sa.func.count().label("number"),
            sa.func.min(Reading.value).label("low"),
            sa.func.max(Reading.value).label("high"),
            sa.func.avg(Reading.value).label("mean"),
            sa.func.max(Reading.at_ns).label("last_ns"),
        )
        .where(in_range, _usable)
        .group_by(sa.text("bucket"))
        .subquery()
    )
    is_last = sa.and_(Reading.tag_id == tag_id, Reading.at_ns == parts.c.last_ns, _usable)
    query = sa.select(parts, Reading.value.label("last")).join(Reading, is_last)
    return session.execute(query.order_by(parts.c.bucket, Reading.record_id))


def _group_parts(
    session: Session, table: PartTable, tag_id: int, start_ns: int, end_ns: int, width: int
) -> Iterable[sa.Row[Any]]:
    """Read minutes or hours in one pass, as `_group` reads values."""
    in_range = sa.and_(table.tag_id == tag_id, table.at_ns >= start_ns, table.at_ns < end_ns)
    parts = (
        sa.select(
            ((table.at_ns - start_ns) // width).label("bucket"),
            sa.cast(sa.func.sum(table.count), sa.BigInteger).label("number"),
            sa.func.min(table.low).label("low"),
            sa.func.max(table.high).label("high"),
            (sa.func.sum(table.mean * table.count) / sa.func.sum(table.count)).label("mean"),
            sa.func.max(table.at_ns).label("newest_ns"),
        )
        .where(in_range)
        .group_by(sa.text("bucket"))
        .subquery()
    )
    is_newest = sa.and_(table.tag_id == tag_id, table.at_ns == parts.c.newest_ns)
    return session.execute(sa.select(parts, table.last, table.last_ns).join(table, is_newest))


def _seek(session: Session, tag_id: int, start_ns: int, end_ns: int, width: int) -> Iterable[sa.Row[Any]]:
    """Read part after part along the key: SQLite then sorts nothing, and a month of seconds takes half the time."""
    for bucket in range(-(-(end_ns - start_ns) // width)):
        begin = start_ns + bucket * width
        row = session.execute(
            _PART, {"tag": tag_id, "bucket": bucket, "begin": begin, "end": min(begin + width, end_ns)}
        )
        part = row.one()
        if part.number:
            yield part


_in_part = sa.and_(
    Reading.tag_id == sa.bindparam("tag"),
    Reading.at_ns >= sa.bindparam("begin"),
    Reading.at_ns < sa.bindparam("end"),
    _usable,
)
_newest_first = sa.select(Reading).where(_in_part).order_by(Reading.at_ns.desc(), Reading.record_id.desc()).limit(1)
_PART = sa.select(
    sa.bindparam("bucket", type_=sa.BigInteger).label("bucket"),
    sa.func.count().label("number"),
    sa.func.min(Reading.value).label("low"),
    sa.func.max(Reading.value).label("high"),
    sa.func.avg(Reading.value).label("mean"),
    sa.func.max(Reading.at_ns).label("last_ns"),
    _newest_first.with_only_columns(Reading.value).scalar_subquery().label("last"),
).where(_in_part)


def quarantined(session: Session, gateway: str | None, before: int | None, limit: int) -> Sequence[Quarantined]:
    """Return what could not be read, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(Quarantined).order_by(Quarantined.id.desc()).limit(limit)
    if gateway is not None:
        query = query.where(Quarantined.gateway == gateway)
    if before is not None:
        query = query.where(Quarantined.id < before)
    return session.scalars(query).all()


def find_quarantined(session: Session, number: int) -> Quarantined:
    """Return one thing that could not be read. Raises NotFoundError."""
    row = session.get(Quarantined, number) if number <= INT_MAX else None
    if row is None:
        raise NotFoundError(f"there is nothing numbered {number} in quarantine")
    return row
