"""Write lane A down: the journal, and the present state of each alarm that follows from it.

Each change carries how the alarm stands from then on, so the row follows the newest record whatever came before it.
"""

from __future__ import annotations

from typing import assert_never

from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.readings.items import split_value
from wire.alarm import CLEARED, RAISED, Standing
from wire.record import ActionRecord, AlarmRecord, AuditRecord, FoldedRecord, QuakeRecord, StandingRecord
from wire.sample import Value

Event = AlarmRecord | StandingRecord | ActionRecord | AuditRecord | FoldedRecord


def note(
    session: Session, gateway: str, record_id: int, event: Event, captured_ns: int | None, received_ns: int
) -> None:
    """Add one event to the journal; an alarm's change also becomes its state."""
    line = AlarmEvent(
        gateway=gateway, kind="", at_ns=captured_ns, received_ns=received_ns, record_id=record_id, level="", tag=""
    )
    match event:
        case AlarmRecord():
            _note_alarm(session, line, event)
        case StandingRecord():
            _note_standing(session, line, event)
        case ActionRecord():
            line.kind, line.alarm, line.output, line.state = "action", event.cause, event.output, event.state
            line.delay_ns, line.detail = event.delay_ns, event.error
        case AuditRecord():
            line.kind, line.event, line.detail = "audit", event.event, event.detail
        case FoldedRecord():
            line.kind, line.alarm, line.detail = "folded", event.rule, str(event.count)
        case _:  # pragma: no cover
            assert_never(event)
    session.add(line)


def note_quake(
    session: Session, gateway: str, record_id: int, report: QuakeRecord, captured_ns: int | None, received_ns: int
) -> None:
    """Add a line for where a station's earthquake begins or ends; what grows between stands on the page of it."""
    text = f"{report.station} {report.state} {report.intensity_gb:.1f} {report.reason}".strip()
    line = AlarmEvent(gateway=gateway, kind="quake", at_ns=captured_ns, received_ns=received_ns, record_id=record_id)
    line.level = line.tag = line.alarm = ""
    line.state, line.detail = report.state, text
    session.add(line)


def _note_alarm(session: Session, line: AlarmEvent, event: AlarmRecord) -> None:
    raised = event.change == RAISED
    line.kind = RAISED if raised else CLEARED
    line.value, line.limit = _number(event.value), _number(event.limit)
    _describe(line, event, _standing_of(event))
    alarm = _follow(session, line)
    if alarm is None:
        return
    alarm.value, alarm.limit = line.value, line.limit
    if not raised:
        alarm.cleared_ns = _time_of(line)
        return
    alarm.raised_ns, alarm.cleared_ns = _time_of(line), None
    if not Standing(alarm.standing) & (Standing.SHELVED | Standing.OUT_OF_SERVICE):
        # An occurrence begins that nobody has done anything with.
        alarm.change = alarm.by = alarm.where = alarm.comment = alarm.command = ""
        alarm.operated_ns = None


def _standing_of(event: AlarmRecord) -> int:
    """How an alarm stands after its condition changed. A gateway of a release without standings tells none."""
    if event.standing or event.occurrence:
        return event.standing
    return int(Standing.ACTIVE | Standing.UNACKNOWLEDGED) if event.change == RAISED else 0


def _note_standing(session: Session, line: AlarmEvent, event: StandingRecord) -> None:
    line.kind, line.detail = event.change, event.comment
    line.by, line.where, line.comment, line.command = event.by, event.where, event.comment, event.command
    _describe(line, event, event.standing)
    alarm = _follow(session, line)
    if alarm is not None:
        alarm.change, alarm.operated_ns = line.kind, _time_of(line)
        alarm.by, alarm.where, alarm.comment, alarm.command = line.by, line.where, line.comment, line.command


def _describe(line: AlarmEvent, event: AlarmRecord | StandingRecord, standing: int) -> None:
    line.alarm, line.tag, line.level, line.priority = event.alarm, event.tag, event.level, event.priority
    line.standing, line.until_ns, line.occurrence = standing, event.until_ns, event.occurrence


def _follow(session: Session, line: AlarmEvent) -> Alarm | None:
    """Put the alarm as a line tells that it stands. None for one of the fleet's own: no gateway changes it."""
    if own.find(line.alarm) is not None:
        return None
    alarm = session.get(Alarm, (line.gateway, line.alarm))
    if alarm is None:
        alarm = Alarm(gateway=line.gateway, name=line.alarm)
        session.add(alarm)
    assert line.standing is not None
    assert line.priority is not None
    alarm.tag, alarm.level, alarm.priority, alarm.record_id = line.tag, line.level, line.priority, line.record_id
    alarm.standing, alarm.until_ns, alarm.occurrence = line.standing, line.until_ns, line.occurrence
    alarm.active, alarm.changed_ns = bool(line.standing & Standing.ACTIVE), line.received_ns
    return alarm


def _time_of(line: AlarmEvent) -> int:
    return line.at_ns if line.at_ns is not None else line.received_ns


def _number(value: Value) -> float | None:
    return split_value(value)[0]
