"""Alarms that the fleet itself raises about a gateway: in the same list and journal as the gateway's own.

They are not relayed: no record tells of them, and what they are about is the fleet's to mend.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms.models import Alarm, AlarmEvent
from fleet.gateways.models import Gateway
from fleet.readings.models import Quarantined

TAG = "fleet"
"""Stands where an alarm of a gateway has its tag."""
NO_RECORD = 0
"""Such an alarm comes from no record of lane A."""


class Own(msgspec.Struct, frozen=True):
    """A kind of alarm. ``level`` says what is amiss, ``priority`` 1 is the most urgent of 4."""

    level: str
    priority: int

    @property
    def name(self) -> str:
        """The alarm's name, one per gateway."""
        return f"{TAG}:{self.level}"


CLONE = Own("clone", 2)
"""Two machines speak under one identity, in turns."""
UNREADABLE = Own("unreadable", 3)
"""Records or messages went to quarantine."""
UNNOTIFIED = Own("unnotified", 2)
"""Somebody who is to be told of this gateway's alarms was not reached for long (`fleet.notifications`)."""


OWN = {own.name: own for own in (CLONE, UNREADABLE, UNNOTIFIED)}
CALM_NS = 3_600_000_000_000
"""Such an alarm clears when its cause was not seen again for this long."""


def raise_alarm(session: Session, gateway: str, own: Own, detail: str, now_ns: int) -> bool:
    """Raise an alarm and say so in the journal; False if it was up already. ``detail`` is for people."""
    alarm = session.get(Alarm, (gateway, own.name))
    if alarm is not None and alarm.active:
        return False
    if alarm is None:
        alarm = Alarm(gateway=gateway, name=own.name, tag=TAG, level=own.level, record_id=NO_RECORD)
        session.add(alarm)
    alarm.priority, alarm.active, alarm.raised_ns, alarm.cleared_ns = own.priority, True, now_ns, None
    session.add(_line(gateway, own, "raised", detail, now_ns))
    return True


def clear_alarm(session: Session, gateway: str, own: Own, now_ns: int) -> bool:
    """Clear an alarm and say so in the journal; False if it was not up."""
    alarm = session.get(Alarm, (gateway, own.name))
    if alarm is None or not alarm.active:
        return False
    alarm.active, alarm.cleared_ns = False, now_ns
    session.add(_line(gateway, own, "cleared", "", now_ns))
    return True


def clear_calm(session: Session, now_ns: int) -> None:
    """Clear the alarms whose cause was not seen for `CALM_NS`. Others are cleared by who raised them."""
    up = session.execute(sa.select(Alarm.gateway, Alarm.name).where(Alarm.active, Alarm.tag == TAG)).all()
    for gateway, name in up:
        if name in OWN and name != UNNOTIFIED.name and now_ns - _last_seen(session, gateway, OWN[name]) >= CALM_NS:
            clear_alarm(session, gateway, OWN[name], now_ns)


def _last_seen(session: Session, gateway: str, own: Own) -> int:
    """When the cause of an alarm was last seen."""
    if own is CLONE:
        return session.scalar(sa.select(Gateway.alternated_ns).where(Gateway.name == gateway)) or 0
    newest = sa.select(Quarantined.received_ns).where(Quarantined.gateway == gateway)
    return session.scalar(newest.order_by(Quarantined.id.desc()).limit(1)) or 0


def _line(gateway: str, own: Own, kind: str, detail: str, now_ns: int) -> AlarmEvent:
    return AlarmEvent(
        gateway=gateway,
        kind=kind,
        at_ns=now_ns,
        received_ns=now_ns,
        record_id=NO_RECORD,
        alarm=own.name,
        tag=TAG,
        level=own.level,
        priority=own.priority,
        detail=detail,
    )
