"""The API of gateways: list, detail, tags, newest values."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, Raw, String
from apiflask.validators import Length, Range

from fleet.api import changing, dump, find_actor, find_services, make_blueprint, reading
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.gateways import lifecycle, service
from fleet.gateways.models import Gateway, Tag
from provisioning.codes import hash_code, make_code
from wire.sample import quality_class

blueprint = make_blueprint("gateways")


class GatewayOut(Schema):
    """A gateway in a list; a retired one is out of service. Times are UTC in ns since 1970."""

    name = String()
    title = String()
    site = String(allow_none=True)
    release = String()
    last_seen_ns = Integer(allow_none=True)
    clock = String()
    reported_version = Integer(allow_none=True)
    retired_ns = Integer(allow_none=True)
    replaced_by = String()


class GatewayDetail(GatewayOut):
    """A gateway with what it says of itself."""

    boot = String()
    machine = String()
    created_ns = Integer()
    reported_ns = Integer(allow_none=True)
    reported = Dict(allow_none=True)
    health_ns = Integer(allow_none=True)
    health = Dict(allow_none=True)


class TagOut(Schema):
    """A tag as its gateway reports it."""

    name = String()
    title = String()
    unit = String()
    device = String()
    group = String()
    low = Float(allow_none=True)
    high = Float(allow_none=True)
    limits = Dict(keys=String(), values=Float())
    listed = Boolean()


class LiveOut(Schema):
    """The newest value of a tag."""

    tag = String()
    value = Raw(allow_none=True)
    quality = String()
    at_ns = Integer(allow_none=True)


class GatewaysOut(Schema):
    """All gateways."""

    gateways = List(Nested(GatewayOut))


class TagsOut(Schema):
    """A gateway's tags."""

    tags = List(Nested(TagOut))


class RetireIn(Schema):
    """Why a gateway is taken out of service."""

    why = String(required=True, validate=Length(min=1, max=lifecycle.WHY_MOST))


class MoveIn(Schema):
    """The site where a gateway is to stand, and its position there in degrees (WGS 84), null if unknown."""

    site = String(required=True, validate=Length(min=1, max=63))
    lat = Float(load_default=None, allow_none=True, validate=Range(-90, 90))
    lon = Float(load_default=None, allow_none=True, validate=Range(-180, 180))


class ReplaceIn(Schema):
    """The new gateway's name, and in how many days its claim expires; null for never."""

    by = String(required=True, validate=Length(min=1, max=63))
    days = Float(load_default=None, allow_none=True)


class ReplaceOut(Schema):
    """The claim to the other's place. Its code is shown this once."""

    claim = Integer()
    code = String()


class LivesOut(Schema):
    """A gateway's newest values; empty until it speaks after the console's start."""

    version = Integer()
    values = List(Nested(LiveOut))


@blueprint.get("/gateways")
@blueprint.output(GatewaysOut)
def list_gateways() -> dict[str, Any]:
    """List all gateways."""
    with reading() as session:
        return {"gateways": [_summary(gateway) for gateway in service.list_all(session)]}


@blueprint.get("/gateways/<name>")
@blueprint.output(GatewayDetail)
def get_gateway(name: str) -> dict[str, Any]:
    """Show one gateway."""
    with reading() as session:
        return _detail(service.get(session, name))


@blueprint.get("/gateways/<name>/tags")
@blueprint.output(TagsOut)
def list_tags(name: str) -> dict[str, Any]:
    """List a gateway's tags, also those it no longer reports."""
    with reading() as session:
        service.get(session, name)
        return {"tags": [_tag(tag) for tag in service.tags(session, name, listed_only=False)]}


@blueprint.get("/gateways/<name>/live")
@blueprint.output(LivesOut)
def get_live(name: str) -> dict[str, Any]:
    """Show the newest value of each tag."""
    services = find_services()
    with reading() as session:
        service.get(session, name)
    version = services.live.version
    values = [
        {"tag": tag, "value": dump(value.value), "quality": quality_class(value.quality), "at_ns": value.at_ns}
        for tag, value in services.live.snapshot(name).items()
    ]
    return {"version": version, "values": values}


@blueprint.post("/gateways/<name>/retire")
@blueprint.input(RetireIn)
@blueprint.output(GatewayDetail)
def retire_gateway(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Take a gateway out of service: its identity ends, its history stays. Answers 409 if it is retired already."""
    with changing("gateway.retire", name, why=json_data["why"]) as session:
        return _detail(lifecycle.retire(session, name, json_data["why"], find_actor().name, find_services().clock()))


@blueprint.post("/gateways/<name>/replace")
@blueprint.input(ReplaceIn)
@blueprint.output(ReplaceOut, status_code=201)
def replace_gateway(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Make a new gateway the claim to this one's place, which is retired when the new one gets in.

    Answers 409 if there is such a claim, or another took its place already.
    """
    code, intended = make_code(), Intended(gateway=json_data["by"], replaces=name)
    with changing("claim.replace", name, by=json_data["by"]) as session:
        claim = claims.add(
            session, hash_code(code), intended, find_actor().name, find_services().clock(), json_data["days"]
        )
        return {"claim": claim.id, "code": code}


@blueprint.put("/gateways/<name>/site")
@blueprint.input(MoveIn)
@blueprint.output(GatewayDetail)
def move_gateway(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Have a gateway stand at another site, whose enterprise sees all its history from then on.

    Answers 409 if it stands there already or is retired.
    """
    with changing("gateway.move", name, **json_data) as session:
        return _detail(lifecycle.move(session, name, **json_data, by=find_actor().name, now_ns=find_services().clock()))


def _summary(gateway: Gateway) -> dict[str, Any]:
    return {
        "name": gateway.name,
        "title": gateway.title,
        "site": gateway.site_key,
        "release": gateway.release,
        "last_seen_ns": gateway.last_seen_ns,
        "clock": gateway.clock_quality,
        "reported_version": gateway.reported_version,
        "retired_ns": gateway.retired_ns,
        "replaced_by": gateway.replaced_by,
    }


def _detail(gateway: Gateway) -> dict[str, Any]:
    return {
        **_summary(gateway),
        "boot": gateway.boot,
        "machine": gateway.machine,
        "created_ns": gateway.created_ns,
        "reported_ns": gateway.reported_ns,
        "reported": gateway.reported,
        "health_ns": gateway.health_ns,
        "health": gateway.health,
    }


def _tag(tag: Tag) -> dict[str, Any]:
    names = ("name", "title", "unit", "device", "group", "low", "high", "limits", "listed")
    return {name: getattr(tag, name) for name in names}
