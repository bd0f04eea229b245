"""The page of remote diagnosis of a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from fleet.commands import service as commands
from fleet.console.configviews import say
from fleet.console.state import find_console
from fleet.console.views import blueprint
from fleet.diagnosis import service
from fleet.diagnosis.views import issue, send
from fleet.errors import ConflictError, InvalidError
from fleet.gateways import service as gateways
from wire.command import CAPTURE_MOST_S


@blueprint.get("/gateways/<name>/diagnosis")
def diagnosis(name: str) -> str:
    """What a gateway was asked to show of itself, and what can be asked."""
    return _show(name)


def _show(name: str, trouble: str = "") -> str:
    with find_console().reading() as sources:
        session = sources.session
        reported = gateways.get(session, name).reported or {}
        known = commands.names(session, name)
        devices = reported.get("devices", ())
        return render_template(
            "console/diagnosis.html",
            name=name,
            requests=service.list_requests(session, name, sources.now_ns),
            whats=[word for word, what in service.WHATS.items() if what.command in known],
            devices=[device["name"] for device in devices],
            buses=sorted({device["bus"] for device in devices if device.get("bus")}),
            seconds=service.SECONDS,
            seconds_most=CAPTURE_MOST_S,
            trouble=trouble,
            now_ns=sources.now_ns,
        )


@blueprint.post("/gateways/<name>/diagnosis")
def ask_diagnosis(name: str) -> ResponseReturnValue:
    """Ask a gateway, then show the page, where the request is pending."""
    try:
        issue(name, **_read_form(request.form))
    except (InvalidError, ConflictError) as error:
        return _show(name, say(error)), error.status
    return redirect(url_for("console.diagnosis", name=name), 303)


def _read_form(form: Mapping[str, str]) -> dict[str, Any]:
    """Take of the form what belongs to what is asked for. Raises InvalidError."""
    what = form.get("what", "")
    if what == "read":
        return {"what": what, "device": form.get("device", "")}
    if what != "capture":
        return {"what": what}
    try:
        seconds = int(form.get("seconds") or service.SECONDS)
    except ValueError as error:
        raise InvalidError("the seconds are no whole number", hint=f"write 1 to {CAPTURE_MOST_S}") from error
    return {"what": what, "bus": form.get("bus", ""), "seconds": seconds}


@blueprint.get("/gateways/<name>/diagnosis/<command_id>/file")
def diagnosis_file(name: str, command_id: str) -> Response:
    """Send what a gateway sent."""
    return send(name, command_id)
