"""Prune what is old: raw values become minutes, minutes become hours, and records go once every destination has them.

A value is always in exactly one of the three tables, because it is put together and deleted in the same transaction.
What arrives later than its time is kept finds its minute there already and is joined to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.models import Reading, ReadingHour, ReadingMinute, Record
from fleet.readings.parts import HOUR_NS, MINUTE_NS, Part, fold, join, one
from wire.record import Lane
from wire.sample import Quality

DAY_NS = 24 * HOUR_NS
ROWS = 5000
"""About as many rows are read or deleted at once: a writer of SQLite makes all others wait."""
Table = type[ReadingMinute] | type[ReadingHour]


def prune_records(session: Session, before_ns: int, taken: int | None) -> int:
    """Delete the oldest measurements received before ``before_ns``. Returns how many.

    ``taken`` is the position up to which every destination has them, None where there is no destination. Lane A stays.
    """
    oldest = (
        sa.select(Record.id, Record.received_ns)
        .where(Record.lane == Lane.MEASUREMENTS.value)
        .order_by(Record.id)
        .limit(ROWS)
    )
    if taken is not None:
        oldest = oldest.where(Record.id <= taken)
    ids = [row.id for row in session.execute(oldest) if row.received_ns < before_ns]
    if ids:
        session.execute(sa.delete(Record).where(Record.id >= ids[0], Record.id <= ids[-1], Record.id.in_(ids)))
    return len(ids)


def prune_values(session: Session, tag_id: int, before_ns: int) -> int:
    """Put the oldest raw values of a tag together by minutes, those before ``before_ns``. Returns how many went."""
    rows = _oldest(session, Reading, tag_id, before_ns - before_ns % MINUTE_NS)
    usable = [one(row.at_ns, row.value) for row in rows if row.value is not None and row.quality < int(Quality.BAD)]
    _merge(session, ReadingMinute, tag_id, fold(usable, MINUTE_NS))
    return _delete(session, Reading, tag_id, rows)


def prune_minutes(session: Session, tag_id: int, before_ns: int) -> int:
    """Put the oldest minutes of a tag together by hours, those before ``before_ns``. Returns how many went."""
    rows = _oldest(session, ReadingMinute, tag_id, before_ns - before_ns % HOUR_NS)
    parts = [Part(row.at_ns, row.count, row.low, row.high, row.mean, row.last) for row in rows]
    _merge(session, ReadingHour, tag_id, fold(parts, HOUR_NS))
    return _delete(session, ReadingMinute, tag_id, rows)


def prune_hours(session: Session, tag_id: int, before_ns: int) -> int:
    """Delete the oldest hours of a tag, those before ``before_ns``. Returns how many went."""
    return _delete(session, ReadingHour, tag_id, _oldest(session, ReadingHour, tag_id, before_ns - before_ns % HOUR_NS))


def _oldest(session: Session, table: type[Reading] | Table, tag_id: int, before_ns: int) -> Sequence[Any]:
    """The first rows of a tag, never only some of those of one time."""
    columns = table.__table__
    query = sa.select(columns).where(columns.c.tag_id == tag_id, columns.c.at_ns < before_ns).limit(ROWS)
    key = [columns.c.at_ns, columns.c.record_id] if table is Reading else [columns.c.at_ns]
    rows = session.execute(query.order_by(*key)).all()
    if len(rows) == ROWS and rows[0].at_ns != rows[-1].at_ns:
        return [row for row in rows if row.at_ns != rows[-1].at_ns]
    return rows


def _merge(session: Session, table: Table, tag_id: int, parts: Sequence[Part]) -> None:
    for part in parts:
        there = session.get(table, (tag_id, part.at_ns))
        if there is None:
            session.add(table(tag_id=tag_id, at_ns=part.at_ns, **_figures(part)))
            continue
        earlier = Part(part.at_ns, there.count, there.low, there.high, there.mean, there.last)
        for name, figure in _figures(join(part.at_ns, [earlier, part])).items():
            setattr(there, name, figure)
    session.flush()


def _figures(part: Part) -> dict[str, float]:
    return {"count": part.count, "low": part.low, "high": part.high, "mean": part.mean, "last": part.last}


def _delete(session: Session, table: type[Reading] | Table, tag_id: int, rows: Sequence[Any]) -> int:
    if rows:
        columns = table.__table__
        session.execute(sa.delete(table).where(columns.c.tag_id == tag_id, columns.c.at_ns <= rows[-1].at_ns))
    return len(rows)
