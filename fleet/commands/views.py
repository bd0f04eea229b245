"""The API of commands."""

from __future__ import annotations

from functools import partial
from typing import Any

from apiflask import Schema
from apiflask.fields import Dict, Float, Integer, List, Nested, String
from apiflask.validators import Length, Range

from fleet.api import changing, find_account, find_services, make_blueprint, reading
from fleet.commands import service
from fleet.commands.keys import load_key
from fleet.commands.models import GatewayCommand
from fleet.gateways import service as gateways

blueprint = make_blueprint("commands")

LISTED_MOST = 1000


class CommandIn(Schema):
    """A command. ``expires_s``: how long it is sent again if the gateway does not answer."""

    name = String(required=True, validate=Length(1, 64))
    arguments = Dict(load_default=dict, keys=String())
    expires_s = Float(load_default=service.LIFETIME_S, validate=Range(0.001, 7 * 86_400))


class CommandsQuery(Schema):
    """How many of the newest."""

    limit = Integer(load_default=100, validate=Range(1, LISTED_MOST))


class CommandOut(Schema):
    """A command and how it stands: pending, done, failed, refused, interrupted or expired."""

    id = String()
    name = String()
    arguments = Dict()
    author = String()
    issued_ns = Integer()
    expires_ns = Integer()
    state = String()
    detail = String()
    answered_ns = Integer(allow_none=True)


class CommandDetail(CommandOut):
    """One command."""


class CommandsOut(Schema):
    """The commands that a gateway carries out, and the newest that it was sent."""

    names = List(String())
    commands = List(Nested(CommandOut))


@blueprint.get("/gateways/<name>/commands")
@blueprint.input(CommandsQuery, location="query")
@blueprint.output(CommandsOut)
def list_commands(name: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """List what a gateway was asked to do, newest first."""
    services = find_services()
    with reading() as session:
        gateways.get(session, name)
        rows = service.list_newest(session, name, query_data["limit"])
        return {"names": service.names(session, name), "commands": [_show(row, services.clock()) for row in rows]}


@blueprint.get("/gateways/<name>/commands/<command_id>")
@blueprint.output(CommandDetail)
def get_command(name: str, command_id: str) -> dict[str, Any]:
    """Show one command."""
    services = find_services()
    with reading() as session:
        return _show(service.get(session, name, command_id), services.clock())


@blueprint.post("/gateways/<name>/commands")
@blueprint.input(CommandIn)
@blueprint.output(CommandDetail, status_code=201)
def issue_command(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Ask a gateway to do something once. Answers 409 if it does not carry out such commands."""
    services, account = find_services(), find_account()
    key, now_ns = partial(load_key, services.settings.data_dir), services.clock()
    with changing("command.issue", name, command=json_data["name"]) as session:
        row = service.issue(
            session, key, name, json_data["name"], json_data["arguments"], account.name, json_data["expires_s"], now_ns
        )
        return _show(row, now_ns)


def _show(row: GatewayCommand, now_ns: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "arguments": row.arguments,
        "author": row.author,
        "issued_ns": row.issued_ns,
        "expires_ns": row.expires_ns,
        "state": service.state(row, now_ns),
        "detail": row.detail,
        "answered_ns": row.answered_ns,
    }
