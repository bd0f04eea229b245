"""Close the alarms of a gateway that has left: nobody is there any more who could clear them or acknowledge them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms.models import Alarm, AlarmEvent
from fleet.alarms.own import CONSOLE, NO_RECORD
from wire.alarm import CLEARED

ACKNOWLEDGED = "acknowledged"
"""What the journal has of an alarm that was not active and stood for other reasons."""


def close_all(session: Session, gateway: str, why: str, by: str, now_ns: int) -> int:
    """Put every alarm of a gateway back to normal, its own and the fleet's. Returns how many were not.

    The journal has a line of each, with the reason and whose doing it was.
    """
    rows = session.scalars(sa.select(Alarm).where(Alarm.gateway == gateway, Alarm.standing != 0)).all()
    for alarm in rows:
        _close(session, alarm, why, by, now_ns)
    return len(rows)


def _close(session: Session, alarm: Alarm, why: str, by: str, now_ns: int) -> None:
    kind = CLEARED if alarm.active else ACKNOWLEDGED
    if alarm.active:
        alarm.active, alarm.cleared_ns = False, now_ns
    alarm.standing, alarm.until_ns, alarm.changed_ns = 0, None, now_ns
    alarm.change, alarm.operated_ns, alarm.by, alarm.where, alarm.comment = ACKNOWLEDGED, now_ns, by, CONSOLE, why
    session.add(
        AlarmEvent(
            gateway=alarm.gateway,
            kind=kind,
            at_ns=now_ns,
            received_ns=now_ns,
            record_id=NO_RECORD,
            alarm=alarm.name,
            tag=alarm.tag,
            level=alarm.level,
            priority=alarm.priority,
            standing=0,
            occurrence=alarm.occurrence,
            detail=why,
            comment=why,
            by=by,
            where=CONSOLE,
        )
    )
