"""The API of alarms: how they stand, what may be asked of them, and the journal."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range
from flask import Response

from fleet.alarms import operations, service, statistics
from fleet.alarms.models import Alarm
from fleet.alarms.table import write_journal
from fleet.api import INT_MAX, PageQuery, changing, dump, find_account, find_services, make_blueprint, reading
from fleet.commands.keys import load_key
from fleet.errors import FleetError
from wire.alarm import ACTIONS, SHELVE_MOST_MINUTES, AlarmRequest, Standing, in_opc_ua, state_of

blueprint = make_blueprint("alarms")

LISTED_MOST = 10_000
EXPORTED_MOST = 100_000
ASKED_MOST = 1000
TOLD_MOST = 20
"""Alarms that a line of the audit log names; each has its own line in the journal."""


class AlarmsQuery(Schema):
    """Of which gateway; ``all`` adds what is not active but not normal either: returned, latched, set aside."""

    gateway = String(load_default=None)
    all = Boolean(load_default=False)


class OpcUaOut(Schema):
    """The same in the names of OPC UA Part 9."""

    ActiveState = Boolean()
    AckedState = Boolean()
    LatchedState = Boolean()
    SuppressedState = Boolean()
    OutOfServiceState = Boolean()
    ShelvingState = String(metadata={"enum": ["Unshelved", "TimedShelved", "OneShotShelved"]})


class RequestOut(Schema):
    """What the gateway was last asked: pending, or why it came to nothing."""

    id = String()
    action = String()
    state = String()
    detail = String()
    author = String()
    issued_ns = Integer()


class AlarmOut(Schema):
    """An alarm. Priority 1 is the most urgent of 4; times are UTC in ns since 1970.

    ``state`` is that of ISA-18.2. ``change`` is what was last done with it, by whom and where.
    """

    gateway = String()
    name = String()
    tag = String()
    level = String()
    priority = Integer()
    raised_ns = Integer(allow_none=True)
    cleared_ns = Integer(allow_none=True)
    value = Float(allow_none=True)
    limit = Float(allow_none=True)
    state = String()
    opc_ua = Nested(OpcUaOut)
    occurrence = Integer()
    until_ns = Integer(allow_none=True)
    change = String()
    operated_ns = Integer(allow_none=True)
    by = String()
    where = String()
    comment = String()
    request = Nested(RequestOut, allow_none=True)


class AlarmsOut(Schema):
    """The alarms."""

    alarms = List(Nested(AlarmOut))


class AskedIn(Schema):
    """An alarm, and the occurrence that was seen: one raised anew meanwhile is not acknowledged. 0: whichever it is."""

    gateway = String(required=True, validate=Length(0, 64))
    alarm = String(required=True, validate=Length(1, 256))
    occurrence = Integer(load_default=0, validate=Range(0, INT_MAX))


class OperationIn(Schema):
    """What is asked of some alarms. ``minutes`` is for ``shelve``: how long, 0 until it clears."""

    action = String(required=True, validate=OneOf(ACTIONS))
    alarms = List(Nested(AskedIn), required=True, validate=Length(1, ASKED_MOST))
    minutes = Float(load_default=0.0, validate=Range(0, SHELVE_MOST_MINUTES))
    comment = String(load_default="", validate=Length(0, 500))


class AnswerOut(Schema):
    """What became of one. ``command`` is the request's id, empty where the fleet decided; ``error`` says why not."""

    gateway = String()
    alarm = String()
    command = String()
    error = String()


class OperationOut(Schema):
    """What became of each, in the order asked. A gateway's own answer comes with its records."""

    answers = List(Nested(AnswerOut))


class JournalQuery(PageQuery):
    """Which lines. ``kind``: raised, cleared, acknowledged ...; times are UTC in ns, the end excluded."""

    alarm = String(load_default="")
    kind = String(load_default="")
    priority = Integer(load_default=0, validate=Range(0, 4))
    from_ns = Integer(load_default=None, validate=Range(0, INT_MAX))
    to_ns = Integer(load_default=None, validate=Range(0, INT_MAX))


class EventOut(Schema):
    """A line of the journal. ``kind``: raised, cleared, acknowledged, reset, shelved, unshelved, removed, restored,
    suppressed, unsuppressed, reminded, action, audit or folded. ``state`` is an output's; ``standing`` is how the alarm
    stood from then on, as flags (active 1, unacknowledged 2, latched 4, shelved 8, until it clears 16, suppressed 32,
    out of service 64)."""

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
    standing = Integer(allow_none=True)
    occurrence = Integer()
    until_ns = Integer(allow_none=True)
    by = String()
    where = String()
    comment = String()
    command = String()


class StatisticsQuery(Schema):
    """Of which gateway, and of how many days up to now."""

    gateway = String(load_default="")
    days = Integer(load_default=7, validate=Range(1, 90))


class NamedOut(Schema):
    """An alarm and a count: how often it was raised, or the most pairs within a minute. ``share`` is of all raised."""

    gateway = String()
    alarm = String()
    count = Integer()
    share = Float(allow_none=True)


class FloodOut(Schema):
    """A flood: more than 10 alarms in 10 minutes, until fewer than 5; ``ended_ns`` is null while it goes on."""

    began_ns = Integer()
    ended_ns = Integer(allow_none=True)
    count = Integer()


class StatisticsOut(Schema):
    """Figures after ISA-18.2 and EEMUA 191. ``peak``: most in any 10 minutes; ``priorities``: share of each, 0..1.

    ``acceptable_per_day`` and ``most_per_day`` are the marks for one operator.
    """

    from_ns = Integer()
    to_ns = Integer()
    raised = Integer()
    per_day = Float()
    per_hour = Float()
    per_ten_minutes = Float()
    peak = Integer()
    acceptable_per_day = Integer()
    most_per_day = Integer()
    floods = List(Nested(FloodOut))
    chattering = List(Nested(NamedOut))
    frequent = List(Nested(NamedOut))
    stale = List(Nested(NamedOut))
    priorities = Dict()


class JournalOut(Schema):
    """A page of the journal."""

    events = List(Nested(EventOut))


@blueprint.get("/alarms")
@blueprint.input(AlarmsQuery, location="query")
@blueprint.output(AlarmsOut)
def list_alarms(query_data: dict[str, Any]) -> dict[str, Any]:
    """List active alarms, or all that are not normal, the most urgent first."""
    services = find_services()
    with reading() as session:
        gateway = query_data["gateway"]
        rows = (
            service.not_normal(session, gateway, LISTED_MOST) if query_data["all"] else service.active(session, gateway)
        )
        requests = operations.find_requests(session, rows, services.clock())
        return {"alarms": [_show(row, requests.get((row.gateway, row.name))) for row in rows]}


@blueprint.post("/alarms/operate")
@blueprint.input(OperationIn)
@blueprint.output(OperationOut, status_code=202)
def operate(json_data: dict[str, Any]) -> dict[str, Any]:
    """Acknowledge, reset, shelve, unshelve, remove from service or restore some alarms: their gateways decide."""
    services, account = find_services(), find_account()
    key, now_ns = partial(load_key, services.settings.data_dir), services.clock()
    answers = []
    told = [f"{asked['gateway']} {asked['alarm']}" for asked in json_data["alarms"][:TOLD_MOST]]
    with changing(f"alarm.{json_data['action']}", count=len(json_data["alarms"]), alarms=told) as session:
        for asked in json_data["alarms"]:
            command = error = ""
            request = AlarmRequest(
                alarm=asked["alarm"],
                occurrence=asked["occurrence"],
                minutes=json_data["minutes"],
                comment=json_data["comment"],
            )
            try:
                command = operations.operate(
                    session, key, asked["gateway"], json_data["action"], request, account.name, now_ns
                )
            except FleetError as refusal:
                error = str(refusal)
            answers.append({"gateway": asked["gateway"], "alarm": asked["alarm"], "command": command, "error": error})
    return {"answers": answers}


@blueprint.get("/alarms/journal")
@blueprint.input(JournalQuery, location="query")
@blueprint.output(JournalOut)
def list_journal(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what happened, newest first."""
    with reading() as session:
        events = service.journal(session, _choose(query_data), query_data["before"], query_data["limit"])
        return {"events": events}


@blueprint.get("/alarms/journal.csv")
@blueprint.input(JournalQuery, location="query")
@blueprint.doc(responses={200: "The journal as CSV in UTF-8"})
def export_journal(query_data: dict[str, Any]) -> Response:
    """Export what happened as CSV, newest first, up to 100,000 lines."""
    with reading() as session:
        events = service.journal(session, _choose(query_data), query_data["before"], EXPORTED_MOST)
        headers = {"Content-Disposition": "attachment; filename=alarm-journal.csv"}
        return Response(write_journal(events), mimetype="text/csv", headers=headers)


@blueprint.get("/alarms/statistics")
@blueprint.input(StatisticsQuery, location="query")
@blueprint.output(StatisticsOut)
def show_statistics(query_data: dict[str, Any]) -> dict[str, Any]:
    """Show how often alarms are raised, floods, and which chatter, are stale or come most often."""
    services, gateway = find_services(), query_data["gateway"]
    to_ns = services.clock()
    from_ns = to_ns - query_data["days"] * statistics.DAY_NS
    with reading() as session:
        found = service.measure(session, gateway, from_ns, to_ns)
        old = service.stale(session, gateway, to_ns, LISTED_MOST)
        return {
            **msgspec.structs.asdict(found),
            "from_ns": from_ns,
            "to_ns": to_ns,
            "acceptable_per_day": statistics.ACCEPTABLE_A_DAY,
            "most_per_day": statistics.MOST_A_DAY,
            "chattering": [_name(alarm, pairs) for alarm, pairs in found.chattering],
            "frequent": [_name(row.alarm, row.count, row.share) for row in found.frequent],
            "stale": [_name((row.gateway, row.name), 1) for row in old],
            "priorities": {str(priority): share for priority, share in found.priorities.items()},
        }


def _name(alarm: tuple[str, str], count: int, share: float | None = None) -> dict[str, Any]:
    return {"gateway": alarm[0], "alarm": alarm[1], "count": count, "share": share}


def _choose(query: dict[str, Any]) -> service.Filter:
    return service.Filter(
        gateway=query["gateway"] or "",
        **{key: query[key] for key in ("alarm", "kind", "priority", "from_ns", "to_ns")},
    )


def _show(row: Alarm, request: operations.Request | None) -> dict[str, Any]:
    standing = Standing(row.standing)
    shown = {name: getattr(row, name) for name in AlarmOut().fields if hasattr(row, name)}
    return {**shown, "state": state_of(standing), "opc_ua": dump(in_opc_ua(standing)), "request": request}
