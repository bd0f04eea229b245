"""The API of readings: series of a tag, and the quarantine."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from apiflask import Schema
from apiflask.fields import Float, Integer, List, Nested, String
from apiflask.schemas import FileSchema
from apiflask.validators import Range
from flask import Response

from fleet.api import INT_MAX, PageQuery, find_services, make_blueprint, reading
from fleet.gateways import service as gateways
from fleet.readings import minutes, service

blueprint = make_blueprint("readings")

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
SHOWN_OCTETS = 256


class SeriesQuery(Schema):
    """Which tag, from when to when (UTC in ns since 1970), in how many parts."""

    tag = String(required=True)
    from_ns = Integer(
        data_key="from",
        load_default=None,
        validate=Range(0, INT_MAX),
        metadata={"description": "An hour before 'to' unless given"},
    )
    to_ns = Integer(
        data_key="to", load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Now unless given"}
    )
    buckets = Integer(load_default=600, validate=Range(1, service.BUCKETS_MAX))


class PointOut(Schema):
    """One part of the series: its begin, and what was in it."""

    at_ns = Integer()
    min = Float()
    max = Float()
    mean = Float()
    last = Float()


class SeriesOut(Schema):
    """A series; parts without a value are left out."""

    gateway = String()
    tag = String()
    unit = String()
    points = List(Nested(PointOut))


class LostQuery(Schema):
    """Which tag, from when to when (UTC in ns since 1970)."""

    tag = String(required=True)
    from_ns = Integer(
        data_key="from",
        load_default=None,
        validate=Range(0, INT_MAX),
        metadata={"description": "A day before 'to' unless given"},
    )
    to_ns = Integer(
        data_key="to", load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Now unless given"}
    )


class LostMinuteOut(Schema):
    """What is left of one minute of measurements that were lost."""

    at_ns = Integer()
    count = Integer()
    low = Float()
    high = Float()
    mean = Float()


class LostMinutesOut(Schema):
    """All such minutes of a tag in the time asked for, oldest first."""

    gateway = String()
    tag = String()
    unit = String()
    minutes = List(Nested(LostMinuteOut))


class QuarantinedOut(Schema):
    """Something that could not be read, with its first octets."""

    id = Integer()
    gateway = String()
    kind = String()
    epoch = String(allow_none=True)
    lane = String(allow_none=True)
    seq = Integer(allow_none=True)
    reason = String()
    received_ns = Integer()
    octets = Integer()
    begin = String(metadata={"description": "Base 64"})


class QuarantineOut(Schema):
    """A page of the quarantine."""

    quarantine = List(Nested(QuarantinedOut))


@blueprint.get("/gateways/<name>/readings")
@blueprint.input(SeriesQuery, location="query")
@blueprint.output(SeriesOut)
def get_series(name: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show a tag's values, decimated: smallest, largest, mean and last of each part."""
    services = find_services()
    end_ns = query_data["to_ns"] if query_data["to_ns"] is not None else services.clock()
    start_ns = query_data["from_ns"] if query_data["from_ns"] is not None else end_ns - HOUR_NS
    with reading() as session:
        tag = gateways.get_tag(session, name, query_data["tag"])
        points = service.series(session, tag.id, start_ns, end_ns, query_data["buckets"])
        return {
            "gateway": name,
            "tag": tag.name,
            "unit": tag.unit,
            "points": [msgspec.structs.asdict(point) for point in points],
        }


@blueprint.get("/gateways/<name>/lost-minutes")
@blueprint.input(LostQuery, location="query")
@blueprint.output(LostMinutesOut)
def list_lost_minutes(name: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show what a gateway told of measurements that it had to give up."""
    services = find_services()
    end_ns = query_data["to_ns"] if query_data["to_ns"] is not None else services.clock()
    start_ns = query_data["from_ns"] if query_data["from_ns"] is not None else max(0, end_ns - DAY_NS)
    with reading() as session:
        tag = gateways.get_tag(session, name, query_data["tag"])
        found = minutes.read(session, tag.id, start_ns, end_ns)
        return {"gateway": name, "tag": tag.name, "unit": tag.unit, "minutes": found}


@blueprint.get("/quarantine")
@blueprint.input(PageQuery, location="query")
@blueprint.output(QuarantineOut)
def list_quarantine(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what could not be read, newest first."""
    with reading() as session:
        rows = service.quarantined(session, **query_data)
        names = ("id", "gateway", "kind", "epoch", "lane", "seq", "reason", "received_ns")
        return {
            "quarantine": [
                {
                    **{name: getattr(row, name) for name in names},
                    "octets": len(row.body),
                    "begin": b64encode(row.body[:SHOWN_OCTETS]).decode(),
                }
                for row in rows
            ]
        }


@blueprint.get("/quarantine/<int:number>/octets")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="application/octet-stream")
def get_octets(number: int) -> Response:
    """Download one thing that could not be read, as it came (64 KiB of it at most)."""
    with reading() as session:
        row = service.find_quarantined(session, number)
    name = f"{row.gateway}-{row.id}.bin"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(row.body, mimetype="application/octet-stream", headers=headers)
