"""Alarms that the fleet itself raises, about a gateway or about none: in the same list and journal as all others.

They are not relayed: no record tells of them, and what they are about is the fleet's to mend.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import decision
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.claims.models import Claim
from fleet.gateways.models import Gateway
from fleet.readings.models import Quarantined
from wire.alarm import CLEARED, RAISED, AlarmRequest, Standing

FLEET = ""
"""Stands where an alarm that is about no gateway has one. No gateway is called so, hence whoever may see only some
gateways sees none of these."""
TAG = "fleet"
"""Stands where an alarm of a gateway has its tag."""
CONSOLE = "console"
"""Where whoever changes such an alarm does so."""
NO_RECORD = 0
"""Such an alarm comes from no record of lane A."""


class Own(msgspec.Struct, frozen=True):
    """A kind of alarm. ``level`` says what is amiss, ``priority`` 1 is the most urgent of 4.

    One with ``subjects`` is about one of several things: a device, a site, a destination, a certificate, a rollout.
    """

    level: str
    priority: int
    subjects: bool = False

    @property
    def name(self) -> str:
        """The alarm's name, one per gateway; with subjects, what their names begin with."""
        return f"{TAG}:{self.level}"

    def name_for(self, subject: str) -> str:
        """The alarm's name for a subject, "" where it has none."""
        return f"{self.name}:{subject}" if subject else self.name


CLONE = Own("clone", 2)
"""Two machines speak under one identity, in turns."""
UNREADABLE = Own("unreadable", 3)
"""Records or messages went to quarantine."""
UNNOTIFIED = Own("unnotified", 2)
"""Somebody who is to be told of this gateway's alarms was not reached for long (`fleet.notifications`)."""
CLAIM = Own("claim-contested", 2, subjects=True)
"""A second key presented a claim, which the alarm is named after by its number."""
SILENT = Own("silent", 2)
"""Nothing was heard of the gateway for 30 s."""
CLOCK = Own("clock-unset", 3)
"""The gateway does not know the time."""
SPOOL = Own("spool-filling", 3)
"""The gateway's spool has little room left."""
DEVICE_RATE = Own("device-rate", 3, subjects=True)
"""A device delivers much less than its configuration promises."""
SITE_RATE = Own("site-rate", 2, subjects=True)
"""The devices of a site together do."""
CERTIFICATE = Own("certificate", 2, subjects=True)
"""A certificate is near its end, or cannot be read."""
BEHIND = Own("destination-behind", 2, subjects=True)
"""A destination lacks records that have waited for long."""
ROLLOUT = Own("rollout-paused", 2, subjects=True)
"""A rollout, which the alarm is named after by its number, has paused by itself: too many gateways failed."""
KINDS = (
    CLONE, UNREADABLE, UNNOTIFIED, CLAIM, SILENT, CLOCK, SPOOL, DEVICE_RATE, SITE_RATE, CERTIFICATE, BEHIND, ROLLOUT,
)  # fmt: skip
_BY_LEVEL = {own.level: own for own in KINDS}
CALMING = (CLONE, UNREADABLE, CLAIM)
"""Those that are seen once and again: they clear when their cause was not seen for `CALM_NS`."""
CALM_NS = 3_600_000_000_000


def find(name: str) -> tuple[Own, str] | None:
    """Return the kind and the subject of an alarm of the fleet's own, None for the name of any other."""
    tag, _, rest = name.partition(":")
    level, colon, subject = rest.partition(":")
    own = _BY_LEVEL.get(level) if tag == TAG else None
    return None if own is None or bool(colon and subject) != own.subjects else (own, subject)


def raise_alarm(session: Session, gateway: str, own: Own, detail: str, now_ns: int, subject: str = "") -> bool:
    """Raise an alarm and say so in the journal; False if it was up already. ``detail`` is for people."""
    name = own.name_for(subject)
    alarm = session.get(Alarm, (gateway, name))
    if alarm is not None and alarm.active:
        return False
    if alarm is None:
        alarm = Alarm(gateway=gateway, name=name, tag=TAG, level=own.level, record_id=NO_RECORD)
        alarm.standing, alarm.occurrence, alarm.until_ns = 0, 0, None
        session.add(alarm)
    alarm.priority, alarm.raised_ns, alarm.cleared_ns = own.priority, now_ns, None
    alarm.change = alarm.by = alarm.where = alarm.command = ""
    alarm.comment, alarm.operated_ns = "", None
    _change(session, alarm, RAISED, decision.raise_it(_stand_of(alarm), now_ns), now_ns).detail = detail
    return True


def clear_alarm(session: Session, gateway: str, own: Own, now_ns: int, subject: str = "") -> bool:
    """Clear an alarm and say so in the journal; False if it was not up."""
    alarm = session.get(Alarm, (gateway, own.name_for(subject)))
    if alarm is None or not alarm.active:
        return False
    alarm.cleared_ns = now_ns
    _change(session, alarm, CLEARED, decision.clear_it(_stand_of(alarm)), now_ns)
    return True


def find_up(session: Session, gateway: str, own: Own) -> frozenset[str]:
    """The subjects of which an alarm is up."""
    query = sa.select(Alarm.name).where(Alarm.active, Alarm.gateway == gateway, Alarm.tag == TAG)
    found = (find(name) for name in session.scalars(query.where(Alarm.level == own.level)))
    return frozenset(each[1] for each in found if each is not None)


def settle(session: Session, gateway: str, own: Own, amiss: Mapping[str, str], now_ns: int) -> None:
    """Raise an alarm for each subject with which something is ``amiss``, in words for people, and clear all others."""
    for subject in sorted(find_up(session, gateway, own) - amiss.keys()):
        clear_alarm(session, gateway, own, now_ns, subject)
    for subject, detail in sorted(amiss.items()):
        raise_alarm(session, gateway, own, detail, now_ns, subject)


def operate(session: Session, alarm: Alarm, action: str, request: AlarmRequest, by: str, now_ns: int) -> None:
    """Do what an operator asks of an alarm of the fleet's own. Raises ConflictError or InvalidError."""
    decided = decision.operate(_stand_of(alarm), action, request, now_ns)
    if decided is None:
        return
    change, stand = decided
    line = _change(session, alarm, change, stand, now_ns)
    line.by, line.where, line.comment, line.detail = by, CONSOLE, request.comment, request.comment
    alarm.change, alarm.operated_ns = change, now_ns
    alarm.by, alarm.where, alarm.comment = by, CONSOLE, request.comment


def end_shelvings(session: Session, now_ns: int) -> None:
    """Put back those whose shelving is over."""
    over = sa.select(Alarm).where(Alarm.tag == TAG, Alarm.standing != 0, Alarm.until_ns.is_not(None))
    for alarm in session.scalars(over).all():
        stand = decision.end_shelving(_stand_of(alarm), now_ns) if find(alarm.name) else None
        if stand is not None:
            _change(session, alarm, "unshelved", stand, now_ns)
            alarm.change, alarm.operated_ns, alarm.by, alarm.where, alarm.comment = "unshelved", now_ns, "", "", ""


def _stand_of(alarm: Alarm) -> decision.Stand:
    return decision.Stand(Standing(alarm.standing), alarm.occurrence, alarm.until_ns)


def _change(session: Session, alarm: Alarm, kind: str, stand: decision.Stand, now_ns: int) -> AlarmEvent:
    """Put an alarm as was decided, and return its line in the journal."""
    alarm.standing, alarm.occurrence, alarm.until_ns = int(stand.standing), stand.occurrence, stand.until_ns
    alarm.active, alarm.changed_ns = Standing.ACTIVE in stand.standing, now_ns
    line = AlarmEvent(
        gateway=alarm.gateway,
        kind=kind,
        at_ns=now_ns,
        received_ns=now_ns,
        record_id=NO_RECORD,
        alarm=alarm.name,
        tag=TAG,
        level=alarm.level,
        priority=alarm.priority,
        standing=alarm.standing,
        until_ns=alarm.until_ns,
        occurrence=alarm.occurrence,
    )
    session.add(line)
    return line


def clear_calm(session: Session, now_ns: int) -> None:
    """Clear the alarms whose cause was not seen for `CALM_NS`. Others are cleared by who raised them."""
    up = session.execute(sa.select(Alarm.gateway, Alarm.name).where(Alarm.active, Alarm.tag == TAG)).all()
    for gateway, name in up:
        found = find(name)
        if found and found[0] in CALMING and now_ns - _last_seen(session, gateway, *found) >= CALM_NS:
            clear_alarm(session, gateway, found[0], now_ns, found[1])


def _last_seen(session: Session, gateway: str, own: Own, subject: str) -> int:
    """When the cause of an alarm was last seen."""
    if own is CLONE:
        return session.scalar(sa.select(Gateway.alternated_ns).where(Gateway.name == gateway)) or 0
    if own is CLAIM:
        return session.scalar(sa.select(Claim.contested_ns).where(Claim.id == int(subject))) or 0
    newest = sa.select(Quarantined.received_ns).where(Quarantined.gateway == gateway)
    return session.scalar(newest.order_by(Quarantined.id.desc()).limit(1)) or 0
