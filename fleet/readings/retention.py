"""Prune what is old: raw values become minutes, minutes become hours, and records go once every destination has them.

A value stands in exactly one of the three tables: it leaves one and is joined to the next in the same transaction, and
what is joined is what the database says it has deleted, so that nothing that arrives meanwhile is swallowed. What
arrives later than its time is kept finds its minute there already, and is joined to it in the next turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from fleet.gateways.models import Tag
from fleet.readings.models import LostMinute, Quarantined, Reading, ReadingHour, ReadingMinute, Record
from fleet.readings.parts import DAY_NS, HOUR_NS, MINUTE_NS, Part, fold, join, one
from wire.record import Lane
from wire.sample import Quality

ROWS = 2000
"""About as many rows change in one transaction: a writer of SQLite makes all others wait."""
TAG_COST = 25
"""Looking at a tag costs about as much as so many rows."""
QUARANTINE_ROWS = 200
"""What is in quarantine may be 64 KiB a row."""
QUARANTINED_MOST = 20_000
"""Rows kept of one gateway: one that sends garbage for months must not fill the disk."""
HELD_MOST = 100_000
"""Records that are older than kept are counted up to here."""
Parts = type[ReadingMinute] | type[ReadingHour]


class Step(msgspec.Struct, frozen=True):
    """What becomes of old rows of ``source``: put together into ``target`` by ``width_ns``, or, without one, nothing.

    Its border moves by ``every_ns`` at a time, so that each tag is looked at that seldom.
    """

    source: type[Reading] | Parts | type[LostMinute]
    target: Parts | None
    width_ns: int
    every_ns: int

    def border(self, before_ns: int) -> int:
        """Return the time before which rows are old, if they are kept until ``before_ns``."""
        return before_ns - before_ns % self.every_ns


VALUES = Step(Reading, ReadingMinute, MINUTE_NS, HOUR_NS)
MINUTES = Step(ReadingMinute, ReadingHour, HOUR_NS, DAY_NS)
HOURS = Step(ReadingHour, None, HOUR_NS, DAY_NS)
LOST_MINUTES = Step(LostMinute, None, MINUTE_NS, DAY_NS)


class Pruned(msgspec.Struct, frozen=True):
    """What one transaction did: the first ``tags`` of those given are done, ``rows`` rows went."""

    tags: int
    rows: int


def find_due(session: Session, step: Step, border_ns: int) -> list[int]:
    """Return the tags that have old rows."""
    old = sa.select(step.source.at_ns).where(step.source.tag_id == Tag.id, _is_old(step, Tag.id, border_ns))
    return list(session.scalars(sa.select(Tag.id).where(old.exists()).order_by(Tag.id)))


def prune(session: Session, step: Step, tag_ids: Sequence[int], border_ns: int) -> Pruned:
    """Deal with old rows of the first of these tags, as many as one transaction may hold."""
    rows = 0
    for index, tag_id in enumerate(tag_ids):
        most = ROWS - rows - index * TAG_COST
        if most <= 0:
            return Pruned(index, rows)
        taken = _take(session, step.source, tag_id, _is_old(step, tag_id, border_ns), most)
        if step.target is not None:
            _join(session, step.target, tag_id, fold(_read(taken), step.width_ns))
        rows += len(taken)
        if len(taken) >= most:
            return Pruned(index, rows)
    return Pruned(len(tag_ids), rows)


def _is_old(step: Step, tag_id: Any, border_ns: int) -> sa.ColumnElement[bool]:
    """Of values, the newest one of a tag is never old: it says when the tag was last heard."""
    source: Any = step.source
    old: sa.ColumnElement[bool] = source.at_ns < border_ns
    if source is not Reading:
        return old
    every: Any = aliased(Reading)
    newest = sa.select(sa.func.max(every.at_ns)).where(every.tag_id == tag_id).correlate(Tag).scalar_subquery()
    return sa.and_(old, Reading.at_ns < newest)


def find_ahead(session: Session, now_ns: int) -> list[int]:
    """Return the tags that have values dated later than now, whose records have gone."""
    ahead = sa.select(Reading.at_ns).where(Reading.tag_id == Tag.id, _is_ahead(now_ns))
    return list(session.scalars(sa.select(Tag.id).where(ahead.exists()).order_by(Tag.id)))


def prune_ahead(session: Session, tag_id: int, now_ns: int) -> int:
    """Delete values that a wrong clock dated later than now, once their records have gone. Returns how many.

    They would not be old for years. No minute can honestly hold them.
    """
    return len(_take(session, Reading, tag_id, _is_ahead(now_ns), ROWS))


def _is_ahead(now_ns: int) -> sa.ColumnElement[bool]:
    oldest = sa.select(sa.func.min(Record.id)).where(Record.lane == Lane.MEASUREMENTS.value).scalar_subquery()
    return sa.and_(Reading.at_ns > now_ns, Reading.record_id < oldest)


def _take(session: Session, source: Any, tag_id: int, which: sa.ColumnElement[bool], most: int) -> list[sa.RowMapping]:
    """Delete the first ``most`` of a tag's rows, and return what was deleted in the order of their time."""
    which = sa.and_(source.tag_id == tag_id, which)
    key = [column for column in source.__table__.primary_key if column.name != "tag_id"]
    last = session.execute(sa.select(*key).where(which).order_by(*key).offset(most - 1).limit(1)).first()
    if last is not None:
        which = sa.and_(which, sa.tuple_(*key) <= sa.tuple_(*last))
    deleted = session.execute(sa.delete(source.__table__).where(which).returning(*source.__table__.c))
    return sorted(deleted.mappings(), key=lambda row: tuple(row[column.name] for column in key))


def _read(rows: Sequence[sa.RowMapping]) -> list[Part]:
    """Read rows of any of the three tables. What has no usable value leaves nothing."""
    if rows and "count" in rows[0]:
        return [Part(**{name: row[name] for name in Part.__struct_fields__}) for row in rows]
    usable = (row for row in rows if row["value"] is not None and row["quality"] < int(Quality.BAD))
    return [one(row["at_ns"], row["value"]) for row in usable]


def _join(session: Session, table: Parts, tag_id: int, parts: Sequence[Part]) -> None:
    begins = [part.at_ns for part in parts]
    found: sa.Select[Any] = sa.select(table).where(table.tag_id == tag_id, table.at_ns.in_(begins)).with_for_update()
    there = {row.at_ns: row for row in session.scalars(found)}
    new = []
    for part in parts:
        row = there.get(part.at_ns)
        if row is None:
            new.append({"tag_id": tag_id, **msgspec.structs.asdict(part)})
            continue
        earlier = Part(**{name: getattr(row, name) for name in Part.__struct_fields__})
        for name, figure in msgspec.structs.asdict(join(part.at_ns, [earlier, part])).items():
            setattr(row, name, figure)
    if new:
        session.execute(sa.insert(table), new)
    session.flush()


def prune_records(session: Session, before_ns: int, taken: int | None) -> int:
    """Delete the oldest measurements received before ``before_ns``. Returns how many. Lane A stays.

    ``taken`` is the position up to which every destination has them, None where there is no destination.
    """
    oldest = sa.select(Record.id, Record.received_ns).where(Record.lane == Lane.MEASUREMENTS.value)
    if taken is not None:
        oldest = oldest.where(Record.id <= taken)
    ids = [row.id for row in session.execute(oldest.order_by(Record.id).limit(ROWS)) if row.received_ns < before_ns]
    if ids:
        session.execute(sa.delete(Record).where(Record.id.in_(ids)))
    return len(ids)


def count_old_records(session: Session, before_ns: int) -> int:
    """Count the measurements received before ``before_ns`` that are still there, `HELD_MOST` at most."""
    oldest = sa.select(Record.received_ns).where(Record.lane == Lane.MEASUREMENTS.value).order_by(Record.id)
    held = oldest.limit(HELD_MOST).subquery()
    count = sa.select(sa.func.count()).select_from(held).where(held.c.received_ns < before_ns)
    first = session.scalar(oldest.limit(1))
    return 0 if first is None or first >= before_ns else session.scalar(count) or 0


def prune_quarantine(session: Session, before_ns: int) -> int:
    """Delete what went to quarantine before ``before_ns``, the oldest first. Returns how many."""
    oldest = sa.select(Quarantined.id, Quarantined.received_ns).order_by(Quarantined.id).limit(QUARANTINE_ROWS)
    return _forget(session, [row.id for row in session.execute(oldest) if row.received_ns < before_ns])


def prune_crowded(session: Session) -> int:
    """Delete the oldest of gateways that have more than `QUARANTINED_MOST` rows in quarantine. Returns how many."""
    count = sa.func.count()
    crowded = sa.select(Quarantined.gateway, count).group_by(Quarantined.gateway).having(count > QUARANTINED_MOST)
    ids: list[int] = []
    for gateway, held in session.execute(crowded).all():
        most = min(held - QUARANTINED_MOST, QUARANTINE_ROWS - len(ids))
        oldest = sa.select(Quarantined.id).where(Quarantined.gateway == gateway).order_by(Quarantined.id)
        ids += session.scalars(oldest.limit(most))
    return _forget(session, ids)


def _forget(session: Session, ids: Sequence[int]) -> int:
    if ids:
        session.execute(sa.delete(Quarantined).where(Quarantined.id.in_(ids)))
    return len(ids)
