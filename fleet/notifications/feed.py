"""The feed of alerts: what the journal tells of each alarm, as alerts of CAP 1.2, and an index of the current ones.

An alert belongs to a line of the journal and never changes: it begins (Alert) when an alarm calls for somebody, goes on
(Update) with each change, and ends (Cancel) once it is normal or set aside. `thread` and `write_index` are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import service as alarms
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.errors import NotFoundError
from fleet.notifications import cap, queue
from fleet.notifications.decide import NS, RAISED, RETURNED
from fleet.notifications.message import Notice, compose, write_what
from fleet.notifications.rules import Contact
from fleet.quakes import service as quakes
from wire.alarm import CHANGES, CLEARED, SILENCED, standing_after
from wire.alarm import RAISED as BEGAN

ATOM = "http://www.w3.org/2005/Atom"
ALARMS_MOST = 100
"""So many alarms that go on, the most urgent first, and so many that have ended stand in the index."""
LINES_MOST = 200
"""So far back an alert looks for those that it refers to."""
ENDED_NS = 86_400 * NS
"""How long an alarm that has ended stays in the index."""
KINDS = (BEGAN, CLEARED, *CHANGES)


class Said(msgspec.Struct, frozen=True):
    """An alert: its line of the journal, whether it ends the alarm, the lines that it refers to, and the raise."""

    line: AlarmEvent
    ends: bool
    earlier: tuple[AlarmEvent, ...]
    began: AlarmEvent


class Entry(msgspec.Struct, frozen=True):
    """An alert as the index names it. ``updated_ns`` is UTC."""

    number: int
    title: str
    updated_ns: int


def thread(lines: Iterable[AlarmEvent]) -> list[Said]:
    """Return what the lines of one alarm, oldest first, have to say."""
    found: list[Said] = []
    open_: list[AlarmEvent] = []
    began: AlarmEvent | None = None
    for line in lines:
        began = line if line.kind == BEGAN or began is None else began
        standing = standing_after(line.kind, line.standing or 0)
        calls = bool(standing) and not standing & SILENCED
        if calls or open_:
            found.append(Said(line, not calls, tuple(open_), began))
        open_ = [*open_, line] if calls else []
    return found


def list_current(session: Session, gateway: str, now_ns: int) -> list[Entry]:
    """Return the newest alert of each alarm that goes on, then of those that ended within a day."""
    on = session.scalars(alarms.select_listed("", gateway).limit(ALARMS_MOST)).all()
    lately = sa.select(Alarm).where(Alarm.changed_ns >= now_ns - ENDED_NS)
    lately = lately.where((Alarm.standing == 0) | (Alarm.standing.op("&")(int(SILENCED)) != 0))
    if gateway:
        lately = lately.where(Alarm.gateway == gateway)
    ended = session.scalars(lately.order_by(Alarm.changed_ns.desc()).limit(ALARMS_MOST)).all()
    described = queue.read_alarms(session, [(row.gateway, row.name) for row in (*on, *ended)])
    found = []
    for row in (*on, *ended):
        said = thread(_read_lines(session, row.gateway, row.name))
        alarm = described.get((row.gateway, row.name))
        if said and alarm is not None:
            line = said[-1].line
            found.append(Entry(line.id, f"{alarm.place} {write_what(alarm, 'zh')}", line.received_ns))
    return found


def write_alert(session: Session, sender: str, number: int) -> bytes:
    """Write the alert of a line of the journal. Raises NotFoundError if that line says nothing."""
    line = session.get(AlarmEvent, number)
    said = thread(_read_lines(session, line.gateway, line.alarm, number)) if line is not None else []
    if line is None or not said or said[-1].line.id != number:
        raise NotFoundError(f"there is no alert {number}")
    name = (line.gateway, line.alarm)
    alarm = queue.read_alarms(session, [name]).get(name)
    if alarm is None:
        raise NotFoundError(f"there is no alert {number}")
    last = said[-1]
    told = msgspec.structs.replace(
        alarm,
        priority=line.priority or alarm.priority,
        standing=int(standing_after(line.kind, line.standing or 0)),
        value=last.began.value,
        limit=last.began.limit,
        raised_ns=last.began.received_ns if last.began.at_ns is None else last.began.at_ns,
    )
    if told.intensity is not None:  # as it was told then: an earthquake goes on growing
        place, stations = quakes.read_detail(last.began.detail)
        told = msgspec.structs.replace(
            told, place=place, stations=stations, intensity=last.began.value, lat=None, lon=None
        )
    contact = Contact(name="feed", kind="cap", sender=sender)
    message = compose(_key(line), line.received_ns, [Notice(RETURNED if last.ends else RAISED, told)])
    return cap.write_alert(contact, message, [cap.refer(sender, _key(each), each.received_ns) for each in last.earlier])


def write_index(address: str, entries: Sequence[Entry], now_ns: int) -> bytes:
    """Write an Atom feed (RFC 4287). ``address`` is the feed's own; alerts stand beside it under ``alerts/``."""
    root = Xml.Element("feed", xmlns=ATOM)
    newest_ns = max((entry.updated_ns for entry in entries), default=now_ns)
    _add(root, id=address, title="烽燧", updated=_write_time(newest_ns))
    _add(Xml.SubElement(root, "author"), name="Fengsui")
    Xml.SubElement(root, "link", rel="self", href=address, type="application/atom+xml")
    for entry in entries:
        alert = f"{address.partition('?')[0].rpartition('/')[0]}/alerts/{entry.number}"
        item = Xml.SubElement(root, "entry")
        _add(item, id=alert, title=entry.title, updated=_write_time(entry.updated_ns))
        Xml.SubElement(item, "link", rel="alternate", href=alert, type="application/cap+xml")
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _read_lines(session: Session, gateway: str, alarm: str, to: int | None = None) -> Sequence[AlarmEvent]:
    """The newest lines of an alarm up to one of them, oldest first."""
    query = sa.select(AlarmEvent).where(AlarmEvent.gateway == gateway, AlarmEvent.alarm == alarm)
    query = query.where(AlarmEvent.kind.in_(KINDS))
    if to is not None:
        query = query.where(AlarmEvent.id <= to)
    return session.scalars(query.order_by(AlarmEvent.id.desc()).limit(LINES_MOST)).all()[::-1]


def _key(line: AlarmEvent) -> str:
    return f"line-{line.id}"


def _write_time(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).isoformat()


def _add(parent: Xml.Element, **children: str) -> None:
    for name, text in children.items():
        Xml.SubElement(parent, name).text = "".join(letter for letter in text if letter.isprintable())
