"""The API of remote diagnosis."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range
from flask import Response, send_file

from fleet.api import changing, find_account, find_services, make_blueprint, reading
from fleet.commands.keys import load_key
from fleet.diagnosis import service
from fleet.gateways import service as gateways
from wire.command import CAPTURE_MOST_S

blueprint = make_blueprint("diagnosis")


class DiagnosisIn(Schema):
    """What is asked for; ``device`` for a reading, ``bus`` and ``seconds`` for a recording."""

    what = String(required=True, validate=OneOf(list(service.WHATS)))
    device = String(load_default="", validate=Length(0, 200))
    bus = String(load_default="", validate=Length(0, 200))
    seconds = Integer(load_default=None, validate=Range(1, CAPTURE_MOST_S))


class DiagnosisRequest(Schema):
    """A request: pending, arriving, done, failed, refused, interrupted or expired; how many of its parts are here."""

    id = String()
    what = String()
    device = String()
    bus = String()
    author = String()
    issued_ns = Integer()
    state = String()
    detail = String()
    parts = Integer()
    of = Integer()
    octets = Integer()
    is_complete = Boolean()


class DiagnosisRequestDetail(DiagnosisRequest):
    """One request."""


class DiagnosisOut(Schema):
    """What a gateway was asked, newest first."""

    requests = List(Nested(DiagnosisRequest))


@blueprint.get("/gateways/<name>/diagnosis")
@blueprint.output(DiagnosisOut)
def list_requests(name: str) -> dict[str, Any]:
    """List what a gateway was asked to show of itself."""
    with reading() as session:
        gateways.get(session, name)
        return {"requests": service.list_requests(session, name, find_services().clock())}


@blueprint.post("/gateways/<name>/diagnosis")
@blueprint.input(DiagnosisIn)
@blueprint.output(DiagnosisRequestDetail, status_code=201)
def ask(name: str, json_data: dict[str, Any]) -> service.Request:
    """Ask a gateway for its log, a support bundle, a device read now, or a bus recorded while it is acquired."""
    return issue(name, **json_data)


@blueprint.get("/gateways/<name>/diagnosis/<command_id>/file")
def download(name: str, command_id: str) -> Response:
    """Return what a gateway sent. The audit log tells who took it."""
    return send(name, command_id)


def issue(name: str, what: str, device: str = "", bus: str = "", seconds: int | None = None) -> service.Request:
    """Ask in the name of who is signed in, for API and console alike."""
    services, account = find_services(), find_account()
    key, now_ns = partial(load_key, services.settings.data_dir), services.clock()
    arguments = service.make_arguments(what, device, bus, seconds)
    with changing("diagnosis.ask", name, **{"what": what, "device": "", **arguments}) as session:
        row = service.ask(session, key, name, what, arguments, account.name, now_ns)
        return service.get(session, name, row.id, now_ns)


def send(name: str, command_id: str) -> Response:
    """Send a file to be saved, and have the audit log tell of it, for API and console alike."""
    with changing("diagnosis.download", name, request=command_id) as session:
        file = service.read_file(session, name, command_id, find_services().clock())
    return send_file(io.BytesIO(file.content), file.mime, as_attachment=True, download_name=file.name)
