"""Read alarms: what is active, and the journal."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms.models import Alarm, AlarmEvent


def active(session: Session, gateway: str | None = None) -> Sequence[Alarm]:
    """Return active alarms, the most urgent first, then the newest."""
    query = sa.select(Alarm).where(Alarm.active).order_by(Alarm.priority, Alarm.raised_ns.desc())
    return session.scalars(query if gateway is None else query.where(Alarm.gateway == gateway)).all()


def journal(session: Session, gateway: str | None, before: int | None, limit: int) -> Sequence[AlarmEvent]:
    """Return the journal, newest first; ``before`` is the id of the last line seen."""
    query = sa.select(AlarmEvent).order_by(AlarmEvent.id.desc()).limit(limit)
    if gateway is not None:
        query = query.where(AlarmEvent.gateway == gateway)
    if before is not None:
        query = query.where(AlarmEvent.id < before)
    return session.scalars(query).all()
