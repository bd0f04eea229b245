"""Write lane A down: the journal, and the present state of each alarm that follows from it."""

from __future__ import annotations

from typing import assert_never

from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.readings.items import split_value
from wire.record import ActionRecord, AlarmRecord, AuditRecord, FoldedRecord, StandingRecord
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
            line.kind, line.alarm, line.tag = event.change, event.alarm, event.tag
            line.level, line.priority, line.detail = event.level, event.priority, event.comment
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


def _note_alarm(session: Session, line: AlarmEvent, event: AlarmRecord) -> None:
    raised = event.change == "raised"
    value, limit = _number(event.value), _number(event.limit)
    line.kind, line.alarm, line.tag = "raised" if raised else "cleared", event.alarm, event.tag
    line.level, line.priority, line.value, line.limit = event.level, event.priority, value, limit
    if event.alarm in own.OWN:
        return  # the fleet's own: no gateway raises or clears it
    at_ns = line.at_ns if line.at_ns is not None else line.received_ns
    alarm = session.get(Alarm, (line.gateway, event.alarm))
    if alarm is None:
        alarm = Alarm(gateway=line.gateway, name=event.alarm)
        session.add(alarm)
    alarm.tag, alarm.level, alarm.priority = event.tag, event.level, event.priority
    alarm.active, alarm.value, alarm.limit, alarm.record_id = raised, value, limit, line.record_id
    if raised:
        alarm.raised_ns, alarm.cleared_ns = at_ns, None
    else:
        alarm.cleared_ns = at_ns


def _number(value: Value) -> float | None:
    return split_value(value)[0]
