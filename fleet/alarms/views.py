"""The API of alarms: what is active, and the journal."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Float, Integer, List, Nested, String

from fleet.alarms import service
from fleet.api import PageQuery, find_services, make_blueprint

blueprint = make_blueprint("alarms")


class ActiveQuery(Schema):
    """Of which gateway."""

    gateway = String(load_default=None)


class AlarmOut(Schema):
    """An active alarm. Priority 1 is the most urgent of 4; times are UTC in ns since 1970."""

    gateway = String()
    name = String()
    tag = String()
    level = String()
    priority = Integer()
    raised_ns = Integer(allow_none=True)
    value = Float(allow_none=True)
    limit = Float(allow_none=True)


class AlarmsOut(Schema):
    """The active alarms."""

    alarms = List(Nested(AlarmOut))


class EventOut(Schema):
    """A line of the journal. ``kind``: raised, cleared, action or audit."""

    id = Integer()
    gateway = String()
    kind = String()
    at_ns = Integer(allow_none=True)
    received_ns = Integer()
    alarm = String()
    tag = String()
    level = String()
    priority = Integer(allow_none=True)
    value = Float(allow_none=True)
    limit = Float(allow_none=True)
    output = String()
    state = String()
    delay_ns = Integer(allow_none=True)
    event = String()
    detail = String()


class JournalOut(Schema):
    """A page of the journal."""

    events = List(Nested(EventOut))


@blueprint.get("/alarms")
@blueprint.input(ActiveQuery, location="query")
@blueprint.output(AlarmsOut)
def list_active(query_data: dict[str, Any]) -> dict[str, Any]:
    """List active alarms, the most urgent first."""
    with find_services().database.reading() as session:
        return {"alarms": service.active(session, query_data["gateway"])}


@blueprint.get("/alarms/journal")
@blueprint.input(PageQuery, location="query")
@blueprint.output(JournalOut)
def list_journal(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what happened, newest first."""
    with find_services().database.reading() as session:
        return {"events": service.journal(session, **query_data)}
