"""The page of remote diagnosis of a gateway."""

from __future__ import annotations

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


@blueprint.get("/gateways/<name>/diagnosis")
def diagnosis(name: str) -> str:
    """What a gateway was asked to show of itself, and what can be asked."""
    return _show(name)


def _show(name: str, trouble: str = "") -> str:
    with find_console().reading() as sources:
        session = sources.session
        reported = gateways.get(session, name).reported or {}
        known = commands.names(session, name)
        return render_template(
            "console/diagnosis.html",
            name=name,
            requests=service.list_requests(session, name, sources.now_ns),
            whats=[word for word, what in service.WHATS.items() if what.command in known],
            devices=[device["name"] for device in reported.get("devices", ())],
            trouble=trouble,
            now_ns=sources.now_ns,
        )


@blueprint.post("/gateways/<name>/diagnosis")
def ask_diagnosis(name: str) -> ResponseReturnValue:
    """Ask a gateway, then show the page, where the request is pending."""
    what = request.form.get("what", "")
    try:
        issue(name, what, request.form.get("device", "") if what == "read" else "")
    except (InvalidError, ConflictError) as error:
        return _show(name, say(error)), error.status
    return redirect(url_for("console.diagnosis", name=name), 303)


@blueprint.get("/gateways/<name>/diagnosis/<command_id>/file")
def diagnosis_file(name: str, command_id: str) -> Response:
    """Send what a gateway sent."""
    return send(name, command_id)
