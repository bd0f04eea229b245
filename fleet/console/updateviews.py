"""The forms of a gateway's page that give it a release, or call that off."""

from __future__ import annotations

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from fleet.api import changing, find_services
from fleet.console.configviews import say
from fleet.console.views import blueprint, show_gateway
from fleet.errors import ConflictError, InvalidError
from fleet.rollouts import actions
from fleet.rollouts.update_views import find


@blueprint.post("/gateways/<name>/updates")
def update_gateway(name: str) -> ResponseReturnValue:
    """Have one gateway take a release, and show its page."""
    kind, _, version = request.form.get("release", "").partition(" ")
    try:
        with changing("update.create", name, kind=kind, version=version) as session:
            actions.assign(session, name, kind, version, current_user.name, find_services().clock())
    except (InvalidError, ConflictError) as error:
        return show_gateway(name, say(error)), error.status
    return redirect(url_for("console.gateway", name=name), 303)


@blueprint.post("/gateways/<name>/updates/<int:number>/cancel")
def cancel_update(name: str, number: int) -> ResponseReturnValue:
    """Call an update off, and show the gateway's page."""
    with changing("update.cancel", name, update=number) as session:
        actions.cancel(session, find(session, name, number), current_user.name, "", find_services().clock())
    return redirect(url_for("console.gateway", name=name), 303)
