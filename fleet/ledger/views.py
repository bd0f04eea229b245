"""The API of the ledger: what was lost, and the counts to reconcile by."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Integer, List, Nested, String
from apiflask.validators import Range

from fleet.api import INT_MAX, PageQuery, find_services, make_blueprint, reading
from fleet.ledger import service

blueprint = make_blueprint("ledger")

DAY_NS = 24 * service.HOUR_NS


class LossOut(Schema):
    """One line: records that the fleet lacks and the gateway no longer holds."""

    id = Integer()
    gateway = String()
    epoch = String()
    lane = String()
    first = Integer()
    last = Integer()
    records = Integer()
    reason = String()
    from_ns = Integer(allow_none=True)
    to_ns = Integer(allow_none=True)
    received_ns = Integer()


class LossesOut(Schema):
    """A page of the ledger."""

    losses = List(Nested(LossOut))


class HoursQuery(Schema):
    """Which hours (UTC in ns since 1970), and of which gateway."""

    gateway = String(load_default=None, metadata={"description": "Only of this gateway"})
    from_ns = Integer(
        data_key="from",
        load_default=None,
        validate=Range(0, INT_MAX),
        metadata={"description": "A day before 'to' unless given"},
    )
    to_ns = Integer(
        data_key="to", load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Now unless given"}
    )


class TallyOut(Schema):
    """What was committed of one gateway and lane in one hour."""

    gateway = String()
    lane = String()
    hour_ns = Integer()
    records = Integer()
    samples = Integer()
    quarantined = Integer()
    lost = Integer()


class TalliesOut(Schema):
    """The counts."""

    hours = List(Nested(TallyOut))


@blueprint.get("/losses")
@blueprint.input(PageQuery, location="query")
@blueprint.output(LossesOut)
def list_losses(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what was lost, newest first."""
    with reading() as session:
        return {"losses": service.losses(session, **query_data)}


@blueprint.get("/reconciliation")
@blueprint.input(HoursQuery, location="query")
@blueprint.output(TalliesOut)
def list_counts(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what was committed, by gateway, lane and hour of capture."""
    services = find_services()
    to_ns = query_data["to_ns"] if query_data["to_ns"] is not None else services.clock()
    from_ns = query_data["from_ns"] if query_data["from_ns"] is not None else max(0, to_ns - DAY_NS)
    with reading() as session:
        return {"hours": service.counts(session, query_data["gateway"], from_ns, to_ns)}
