"""Read alarms: how they stand, and the journal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms.models import Alarm, AlarmEvent
from fleet.alarms.statistics import STALE_NS, Happening, Statistics, summarize
from wire.alarm import CLEARED, RAISED, SILENCED, Standing

TABS = {
    "": Standing(0),
    "shelved": Standing.SHELVED,
    "suppressed": Standing.SUPPRESSED,
    "out-of-service": Standing.OUT_OF_SERVICE,
}
"""The lists of alarms that are not normal: those that are annunciated, and those set aside, by what sets them aside."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of the journal; empty is any. Times are UTC in ns, the end excluded."""

    gateway: str = ""
    alarm: str = ""
    kind: str = ""
    priority: int = 0
    from_ns: int | None = None
    to_ns: int | None = None


def find_newest(session: Session) -> int:
    """Return the id of the journal's newest line, 0 for an empty one."""
    return session.scalar(sa.select(sa.func.max(AlarmEvent.id))) or 0


def select_listed(tab: str = "", gateway: str = "", priority: int = 0) -> sa.Select[Alarm]:
    """Select one of the `TABS`: unacknowledged first, by priority, then the newest."""
    flag = TABS[tab]
    of_tab = Alarm.standing.op("&")(int(flag)) != 0 if flag else Alarm.standing.op("&")(int(SILENCED)) == 0
    query = sa.select(Alarm).where(Alarm.standing != 0, of_tab)
    if gateway:
        query = query.where(Alarm.gateway == gateway.replace("\0", ""))
    if priority:
        query = query.where(Alarm.priority == priority)
    acknowledged = sa.case((Alarm.standing.op("&")(int(Standing.UNACKNOWLEDGED)) != 0, 0), else_=1)
    return query.order_by(acknowledged, Alarm.priority, Alarm.raised_ns.desc(), Alarm.gateway, Alarm.name)


def count_listed(session: Session, gateway: str = "", priority: int = 0) -> dict[str, int]:
    """{tab: how many alarms}."""
    return {
        tab: session.scalar(
            sa.select(sa.func.count()).select_from(select_listed(tab, gateway, priority).order_by(None).subquery())
        )
        or 0
        for tab in TABS
    }


def active(session: Session, gateway: str | None = None) -> Sequence[Alarm]:
    """Return active alarms, the most urgent first, then the newest."""
    query = sa.select(Alarm).where(Alarm.active).order_by(Alarm.priority, Alarm.raised_ns.desc())
    return session.scalars(query if gateway is None else query.where(Alarm.gateway == gateway)).all()


def not_normal(session: Session, gateway: str | None, limit: int) -> Sequence[Alarm]:
    """Return alarms that are in any state but normal, the most urgent first, then the newest."""
    query = sa.select(Alarm).where(Alarm.standing != 0).order_by(Alarm.priority, Alarm.raised_ns.desc()).limit(limit)
    return session.scalars(query if gateway is None else query.where(Alarm.gateway == gateway)).all()


def select_journal(chosen: Filter, before: int | None, limit: int) -> sa.Select[AlarmEvent]:
    """Select lines of the journal, newest first; ``before`` is the id of the last line seen."""
    query = sa.select(AlarmEvent).order_by(AlarmEvent.id.desc()).limit(limit)
    wanted = {AlarmEvent.gateway: chosen.gateway, AlarmEvent.alarm: chosen.alarm, AlarmEvent.kind: chosen.kind}
    for column, text in wanted.items():
        if text:
            query = query.where(column == text.replace("\0", ""))  # PostgreSQL takes no NUL, not even to look for
    if chosen.priority:
        query = query.where(AlarmEvent.priority == chosen.priority)
    at_ns = sa.func.coalesce(AlarmEvent.at_ns, AlarmEvent.received_ns)
    if chosen.from_ns is not None:
        query = query.where(at_ns >= chosen.from_ns)
    if chosen.to_ns is not None:
        query = query.where(at_ns < chosen.to_ns)
    return query if before is None else query.where(AlarmEvent.id < before)


def journal(session: Session, chosen: Filter, before: int | None, limit: int) -> Sequence[AlarmEvent]:
    """Return lines of the journal, newest first; ``before`` is the id of the last line seen."""
    return session.scalars(select_journal(chosen, before, limit)).all()


def measure(session: Session, gateway: str, from_ns: int, to_ns: int) -> Statistics:
    """Compute the figures of what was raised and cleared from ``from_ns`` to ``to_ns``, of one gateway or of all."""
    at_ns = sa.func.coalesce(AlarmEvent.at_ns, AlarmEvent.received_ns)
    query = sa.select(at_ns, AlarmEvent.gateway, AlarmEvent.alarm, AlarmEvent.kind, AlarmEvent.priority).where(
        AlarmEvent.kind.in_((RAISED, CLEARED)),
        AlarmEvent.received_ns >= from_ns,  # what was raised later was received later; this one has an index
        at_ns >= from_ns,
        at_ns < to_ns,
    )
    if gateway:
        query = query.where(AlarmEvent.gateway == gateway.replace("\0", ""))
    rows = session.execute(query)
    happenings = (Happening(at, (name, alarm), kind, priority or 4) for at, name, alarm, kind, priority in rows)
    return summarize(happenings, from_ns, to_ns)


def stale(session: Session, gateway: str, now_ns: int, limit: int) -> Sequence[Alarm]:
    """Return alarms that have been active for more than 24 hours, the oldest first."""
    query = sa.select(Alarm).where(Alarm.active, Alarm.raised_ns < now_ns - STALE_NS).order_by(Alarm.raised_ns)
    if gateway:
        query = query.where(Alarm.gateway == gateway.replace("\0", ""))
    return session.scalars(query.limit(limit)).all()
