"""Read values back: series for charts, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError
from fleet.readings.models import Quarantined, Reading

BUCKETS_MAX = 5000


class Point(msgspec.Struct, frozen=True):
    """One bucket of a series: its begin, and the smallest, largest, mean and last value in it."""

    at_ns: int
    min: float
    max: float
    mean: float
    last: float


def series(session: Session, tag_id: int, start_ns: int, end_ns: int, buckets: int) -> list[Point]:
    """Return a tag's values from ``start_ns`` up to ``end_ns`` in equal parts, without those that are empty."""
    if not 0 <= start_ns < end_ns < 2**63:
        raise InvalidError("'from' must lie before 'to'")
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidError(f"ask for 1 to {BUCKETS_MAX} buckets")
    width = -(-(end_ns - start_ns) // buckets)
    if session.get_bind().dialect.name == "sqlite":
        # The portable // wraps the division in a call of FLOOR where the driver divides as floats; here both are
        # integers, and SQLite's own / is an integer division and twice as fast over a month of seconds.
        bucket = sa.literal_column(f"(reading.at_ns - {int(start_ns)}) / {int(width)}", sa.BigInteger).label("bucket")
    else:
        bucket = ((Reading.at_ns - start_ns) // width).label("bucket")
    parts = (
        sa.select(
            bucket,
            sa.func.min(Reading.value).label("low"),
            sa.func.max(Reading.value).label("high"),
            sa.func.avg(Reading.value).label("mean"),
            sa.func.max(Reading.at_ns).label("last_ns"),
        )
        .where(
            Reading.tag_id == tag_id,
            Reading.at_ns >= start_ns,
            Reading.at_ns < end_ns,
            Reading.value.is_not(None),
        )
        .group_by(sa.text("bucket"))
        .subquery()
    )
    query = (
        sa.select(parts, Reading.value.label("last"))
        .join(Reading, sa.and_(Reading.tag_id == tag_id, Reading.at_ns == parts.c.last_ns, Reading.value.is_not(None)))
        .order_by(parts.c.bucket, Reading.record_id)
    )
    # Two records of one time give two rows: the later one stays.
    found = {
        row.bucket: Point(start_ns + row.bucket * width, row.low, row.high, row.mean, row.last)
        for row in session.execute(query)
    }
    return list(found.values())


def quarantined(session: Session, gateway: str | None, before: int | None, limit: int) -> Sequence[Quarantined]:
    """Return what could not be read, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(Quarantined).order_by(Quarantined.id.desc()).limit(limit)
    if gateway is not None:
        query = query.where(Quarantined.gateway == gateway)
    if before is not None:
        query = query.where(Quarantined.id < before)
    return session.scalars(query).all()
