"""Keep what tombstones tell of the minutes under them, so that a chart shows what is left of lost measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.items import VALUE_MAX, FindLayout
from fleet.readings.models import LostMinute
from wire.conversation import Clock, Minute
from wire.record import Layout

TIME_MAX = 2**63 - 1
TagIds = Callable[[Layout, bytes], Mapping[str, int]]


def keep(
    session: Session,
    minutes: tuple[Minute, ...],
    clock: Clock,
    find_layout: FindLayout,
    find_ids: TagIds,
    *,
    is_new: bool,
) -> int:
    """Add minutes to those known; returns how many columns were taken.

    ``is_new`` says that none of them was told before. Otherwise they overlap with what was, and of each tag and minute
    the fuller account stands. Minutes of a boot that has not learned the time, and columns that make no sense, are
    left out: their records are counted as lost all the same.
    """
    taken = 0
    for minute in minutes:
        layout = find_layout(minute.layout)
        at_ns = None if clock.offset_ns is None else minute.mono_ns + clock.offset_ns
        if layout is None or at_ns is None or not 0 <= at_ns <= TIME_MAX:
            continue
        columns = (minute.counts, minute.lows, minute.highs, minute.means)
        if {len(column) for column in columns} != {len(layout.tags)}:
            continue
        ids = find_ids(layout, minute.layout)
        for tag, count, low, high, mean in zip(layout.tags, *columns, strict=True):
            if 0 < count <= TIME_MAX and low is not None and high is not None and mean is not None:
                taken += _add(session, ids[tag], at_ns, (count, low, high, mean), is_new=is_new)
    return taken


def _add(session: Session, tag_id: int, at_ns: int, told: tuple[int, float, float, float], *, is_new: bool) -> bool:
    count, low, high, mean = told
    if not all(math.isfinite(number) and abs(number) <= VALUE_MAX for number in told[1:]):
        return False
    row = session.get(LostMinute, (tag_id, at_ns))
    if row is None:
        session.add(LostMinute(tag_id=tag_id, at_ns=at_ns, count=count, low=low, high=high, mean=mean))
    elif is_new:
        row.low, row.high = min(row.low, low), max(row.high, high)
        row.mean += (mean - row.mean) * count / (row.count + count)
        row.count += count
    elif count > row.count:
        row.count, row.low, row.high, row.mean = count, low, high, mean
    return True


def read(session: Session, tag_id: int, start_ns: int, end_ns: int) -> list[LostMinute]:
    """Return what is left of a tag's lost minutes from ``start_ns`` up to ``end_ns``, oldest first."""
    query = sa.select(LostMinute).where(
        LostMinute.tag_id == tag_id, LostMinute.at_ns >= start_ns, LostMinute.at_ns < end_ns
    )
    return list(session.scalars(query.order_by(LostMinute.at_ns)))
