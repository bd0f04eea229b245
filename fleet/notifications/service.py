"""The messages of the queue: made of notices that wait, sent, noted; and what the pages show of them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.notifications import cap
from fleet.notifications.decide import NS, RETURNED, AlarmNow
from fleet.notifications.message import Message, Notice, compose
from fleet.notifications.models import GIVEN_UP, SENT, WAITING, MessageRow, NoticeRow, Watch
from fleet.notifications.rules import Contact

PAUSE_FIRST_S = 5.0
PAUSE_MOST_S = 600.0
"""Pauses between tries double from the first to the longest."""
GIVE_UP_S = 86_400.0
"""A message that failed for so long is given up, so that newer ones get their turn; it stays visible."""
FAILING_S = 600.0
"""Who was not reached for so long is an alarm of every gateway that there was something to tell of."""
KEEP_NS = 90 * 86_400 * NS
ERROR_MAX = 300
EARLIER_MOST = 200
"""Most alerts that one refers to, the newest of them."""


class Outgoing(msgspec.Struct, frozen=True):
    """A message whose time has come. ``earlier`` are the CAP alerts that it updates or cancels."""

    message_id: int
    message: Message
    earlier: tuple[str, ...] = ()


class Line(msgspec.Struct, frozen=True):
    """A message as the pages show it. ``state``: waiting, sent or given-up. Times are UTC in ns."""

    id: int
    key: str
    contact: str
    made_ns: int
    state: str
    tries: int
    last_error: str
    tried_ns: int | None
    next_ns: int | None
    count: int
    notices: tuple[Notice, ...]


def find_outgoing(session: Session, contact: Contact, now_ns: int) -> Outgoing | None:
    """Return the contact's message that is to be sent now; it is the same until it has arrived or is given up."""
    query = sa.select(MessageRow).where(MessageRow.contact == contact.name, MessageRow.state == WAITING)
    row = session.scalar(query.order_by(MessageRow.id).limit(1))
    if row is None or now_ns < row.next_ns <= now_ns + int(PAUSE_MOST_S * NS):
        return None  # a try that is due later than any pause lasts was set by a clock that has gone back since
    message = _read_message(session, row)
    return Outgoing(row.id, message, _find_earlier(session, contact, row) if contact.kind == "cap" else ())


def is_due(session: Session, contact: Contact, now_ns: int) -> bool:
    """Tell whether a message is to be made of what waits: none is under way, and the pause since the last is over."""
    newest = session.scalar(
        sa.select(MessageRow).where(MessageRow.contact == contact.name).order_by(MessageRow.id.desc()).limit(1)
    )
    pause_s = 0.0 if contact.kind == "cap" else contact.pause_s
    if newest is not None and (newest.state == WAITING or 0 <= now_ns - newest.made_ns < int(pause_s * NS)):
        return False
    return bool(_find_waiting(session, contact.name, 1))


def make_message(session: Session, contact: Contact, now_ns: int) -> None:
    """Put what waits for a contact into a message; for CAP one notice only, for each alert stands by itself.

    Nothing may be left: the rules were changed meanwhile, and others took it.
    """
    numbers = _find_waiting(session, contact.name, 1 if contact.kind == "cap" else None)
    if not numbers:
        return
    row = MessageRow(key=uuid.uuid4().hex, contact=contact.name, made_ns=now_ns, next_ns=now_ns)
    session.add(row)
    session.flush()
    session.execute(
        sa.update(NoticeRow)
        .where(NoticeRow.contact == contact.name, NoticeRow.message_id.is_(None), NoticeRow.id <= numbers[-1])
        .values(message_id=row.id)
    )


def note_sent(session: Session, message_id: int, now_ns: int) -> None:
    """Note that a message has arrived, and clear the alarms of gateways of which nothing waits any more."""
    row = session.get_one(MessageRow, message_id)
    row.state, row.tries, row.tried_ns = SENT, row.tries + 1, now_ns
    session.flush()
    _clear_alarms(session, now_ns)


def note_failed(session: Session, message_id: int, error: str, now_ns: int) -> None:
    """Note a try that failed, and when the next one is; raise an alarm if it has been so for long."""
    row = session.get_one(MessageRow, message_id)
    row.tries, row.tried_ns, row.last_error = row.tries + 1, now_ns, error[:ERROR_MAX]
    row.failing_ns = now_ns if row.failing_ns is None else min(row.failing_ns, now_ns)
    row.next_ns = now_ns + int(pause_s(row.tries) * NS)
    failing_s = (now_ns - row.failing_ns) / NS
    if failing_s >= GIVE_UP_S:
        row.state = GIVEN_UP
    if failing_s >= FAILING_S:
        gateways = session.scalars(sa.select(NoticeRow.gateway).where(NoticeRow.message_id == message_id).distinct())
        for gateway in sorted(gateways):
            own.raise_alarm(session, gateway, own.UNNOTIFIED, f"{row.contact}: {row.last_error}", now_ns)


def retire(session: Session, known: Collection[str], now_ns: int) -> None:
    """Give up what waits for contacts that are no longer in the rules: nobody can send it, and it stays visible."""
    query = sa.select(NoticeRow.contact).where(NoticeRow.message_id.is_(None)).distinct()
    for name in session.scalars(query.where(NoticeRow.contact.not_in(known))).all():
        make_message(session, Contact(name=name, kind="webhook"), now_ns)
    session.execute(
        sa.update(MessageRow)
        .where(MessageRow.state == WAITING, MessageRow.contact.not_in(known))
        .values(state=GIVEN_UP, last_error="the contact is no longer in the rules")
    )
    _clear_alarms(session, now_ns)


def pause_s(tries: int) -> float:
    """How long to wait after so many tries that failed."""
    return min(PAUSE_FIRST_S * 2.0 ** min(tries - 1, 16), PAUSE_MOST_S)


def _clear_alarms(session: Session, now_ns: int) -> None:
    raised = session.scalars(sa.select(Alarm.gateway).where(Alarm.active, Alarm.name == own.UNNOTIFIED.name)).all()
    for gateway in raised:
        failing = (
            sa.select(NoticeRow.id)
            .join(MessageRow, MessageRow.id == NoticeRow.message_id)
            .where(NoticeRow.gateway == gateway, MessageRow.state == WAITING, MessageRow.failing_ns.is_not(None))
        )
        if session.scalar(failing.limit(1)) is None:
            own.clear_alarm(session, gateway, own.UNNOTIFIED, now_ns)


def prune(session: Session, now_ns: int) -> int:
    """Forget messages that were over long ago; what tells of an alarm that is still watched stays. Returns how many."""
    watched = sa.exists().where(
        Watch.gateway == NoticeRow.gateway, Watch.alarm == NoticeRow.alarm, Watch.occurrence == NoticeRow.occurrence
    )
    kept = sa.select(NoticeRow.message_id).where(NoticeRow.message_id.is_not(None), watched)
    query = sa.select(MessageRow.id).where(MessageRow.state != WAITING, MessageRow.made_ns < now_ns - KEEP_NS)
    numbers = session.scalars(query.where(MessageRow.id.not_in(kept)).limit(1000)).all()
    session.execute(sa.delete(NoticeRow).where(NoticeRow.message_id.in_(numbers)))
    session.execute(sa.delete(MessageRow).where(MessageRow.id.in_(numbers)))
    return len(numbers)


def count_waiting(session: Session) -> int:
    """Count the notices that have not arrived."""
    query = sa.select(sa.func.count()).select_from(NoticeRow).outerjoin(MessageRow)
    return session.scalar(query.where(sa.or_(NoticeRow.message_id.is_(None), MessageRow.state == WAITING))) or 0


def count_unsent(session: Session) -> dict[str, int]:
    """{contact: how many notices wait for its next message}."""
    query = sa.select(NoticeRow.contact, sa.func.count()).where(NoticeRow.message_id.is_(None))
    return {row[0]: row[1] for row in session.execute(query.group_by(NoticeRow.contact))}


def list_messages(session: Session, before: int | None, limit: int, contact: str = "") -> list[Line]:
    """Return messages, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(MessageRow).order_by(MessageRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(MessageRow.id < before)
    if contact:
        query = query.where(MessageRow.contact == contact)
    return [_describe(session, row) for row in session.scalars(query)]


def _describe(session: Session, row: MessageRow) -> Line:
    message = _read_message(session, row)
    return Line(
        id=row.id,
        key=row.key,
        contact=row.contact,
        made_ns=row.made_ns,
        state=row.state,
        tries=row.tries,
        last_error=row.last_error,
        tried_ns=row.tried_ns,
        next_ns=row.next_ns if row.state == WAITING else None,
        count=message.count,
        notices=message.notices,
    )


def _read_message(session: Session, row: MessageRow) -> Message:
    rows = session.scalars(sa.select(NoticeRow).where(NoticeRow.message_id == row.id).order_by(NoticeRow.id))
    notices = [Notice(each.step, msgspec.convert(each.content, AlarmNow)) for each in rows]
    return compose(row.key, row.made_ns, notices)


def _find_waiting(session: Session, contact: str, most: int | None) -> Sequence[int]:
    query = sa.select(NoticeRow.id).where(NoticeRow.contact == contact, NoticeRow.message_id.is_(None))
    return session.scalars(query.order_by(NoticeRow.id).limit(most)).all()


def _find_earlier(session: Session, contact: Contact, row: MessageRow) -> tuple[str, ...]:
    """The alerts that this contact got of the same alarm since the last one that was cancelled."""
    notice = session.scalars(sa.select(NoticeRow).where(NoticeRow.message_id == row.id)).one()
    query = (
        sa.select(MessageRow.key, MessageRow.made_ns, NoticeRow.step)
        .join(MessageRow, MessageRow.id == NoticeRow.message_id)
        .where(NoticeRow.contact == contact.name, NoticeRow.gateway == notice.gateway, NoticeRow.alarm == notice.alarm)
        .where(MessageRow.id < row.id)
        .order_by(MessageRow.id.desc())
        .limit(EARLIER_MOST)
    )
    found: list[str] = []
    for key, made_ns, step in session.execute(query):
        if step == RETURNED:
            break
        found.append(cap.refer(contact.sender, key, made_ns))
    return tuple(reversed(found))
