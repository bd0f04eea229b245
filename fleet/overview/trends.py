"""The last hour of tags in minutes, kept in memory so that a page reads only the minutes it has not seen.

A minute that is over does not change, except when a gateway hands over its backlog: so each tag is read whole again
from time to time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.overview.figures import Point
from fleet.readings.models import Reading

MINUTE_NS = 60_000_000_000
MINUTES = 60
WHOLE_AGAIN_MINUTES = 10
"""How long a late record may stay unseen in a trend."""
MOST_TAGS = 20_000
"""Trends kept; those asked for least recently go first."""


class _Held(msgspec.Struct):
    """What is known of one tag: its points, the first minute to read next, and when it was last read whole."""

    points: tuple[Point, ...]
    next_minute: int
    whole_minute: int


class Trends:
    """Minute by minute, the smallest, mean and largest value of tags in the last hour. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[int, _Held] = OrderedDict()

    def read(self, session: Session, tag_ids: Collection[int], now_ns: int) -> dict[int, tuple[Point, ...]]:
        """Return the last hour of each tag, oldest point first."""
        minute = now_ns // MINUTE_NS
        wanted: dict[int, list[int]] = {}
        with self._lock:
            for tag_id in tag_ids:
                wanted.setdefault(self._first_missing(tag_id, minute), []).append(tag_id)
        for first, ids in wanted.items():
            self._take(ids, first, minute, read_minutes(session, ids, first))
        with self._lock:
            return {tag_id: self._held[tag_id].points for tag_id in tag_ids if tag_id in self._held}

    def _first_missing(self, tag_id: int, minute: int) -> int:
        held = self._held.get(tag_id)
        first = minute - MINUTES + 1
        if held is None or minute - held.whole_minute >= WHOLE_AGAIN_MINUTES:
            return first
        return max(held.next_minute, first)

    def _take(self, tag_ids: list[int], first: int, minute: int, found: dict[int, list[Point]]) -> None:
        oldest_ns, first_ns = (minute - MINUTES + 1) * MINUTE_NS, first * MINUTE_NS
        with self._lock:
            for tag_id in tag_ids:
                held = self._held.pop(tag_id, None)
                kept = [point for point in held.points if oldest_ns <= point.time_ns < first_ns] if held else []
                whole = minute if held is None or first_ns <= oldest_ns else held.whole_minute
                # The minute before may still grow by samples on their way here: it is read again next time.
                self._held[tag_id] = _Held((*kept, *found.get(tag_id, ())), minute - 1, whole)
            while len(self._held) > MOST_TAGS:
                self._held.popitem(last=False)


def read_minutes(session: Session, tag_ids: Collection[int], first: int) -> dict[int, list[Point]]:
    """Read the minutes of some tags from minute ``first`` (since 1970) on."""
    minute = (Reading.at_ns // MINUTE_NS).label("minute")
    query = (
        sa.select(
            Reading.tag_id, minute, sa.func.min(Reading.value), sa.func.avg(Reading.value), sa.func.max(Reading.value)
        )
        .where(Reading.tag_id.in_(tag_ids), Reading.at_ns >= first * MINUTE_NS, Reading.value.is_not(None))
        .group_by(Reading.tag_id, minute)
        .order_by(Reading.tag_id, minute)
    )
    found: dict[int, list[Point]] = {}
    for tag_id, number, low, mean, high in session.execute(query):
        found.setdefault(tag_id, []).append(Point(number * MINUTE_NS, low, float(mean), high))
    return found
