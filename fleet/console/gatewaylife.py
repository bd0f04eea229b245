"""The forms of a gateway's page that change what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from fleet.api import changing
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.console.siteviews import read_position
from fleet.console.state import find_console
from fleet.console.views import blueprint, show_gateway
from fleet.errors import ConflictError, FleetError, InvalidError
from fleet.gateways import lifecycle
from provisioning.codes import hash_code, make_code

Form = Mapping[str, str]


@blueprint.post("/gateways/<name>")
def change_gateway(name: str) -> ResponseReturnValue:
    """Do what one of the page's forms asks for, and show the page."""
    chosen = request.form.get("change", "")
    if chosen == "replace":
        return _replace(name)
    change = _CHANGES.get(chosen)
    if change is None:
        raise InvalidError(gettext("There is no such command."))
    try:
        change(name, request.form)
    except (InvalidError, ConflictError) as error:
        return show_gateway(name, _words(error)), error.status
    return redirect(url_for("console.gateway", name=name), 303)


def _replace(name: str) -> ResponseReturnValue:
    """Make the claim, and show its code this once."""
    code, by = make_code(), request.form.get("by", "").strip()
    intended = Intended(gateway=by, replaces=name)
    try:
        with changing("claim.replace", name, by=by) as session:
            claims.add(session, hash_code(code), intended, current_user.name, find_console().services.clock())
    except (InvalidError, ConflictError) as error:
        return show_gateway(name, _words(error)), error.status
    return show_gateway(name, code=code, by=by)


def _retire(name: str, form: Form) -> None:
    why = form.get("why", "")
    with changing("gateway.retire", name, why=why[: lifecycle.WHY_MOST]) as session:
        lifecycle.retire(session, name, why, current_user.name, find_console().services.clock())


def _move(name: str, form: Form) -> None:
    site, (lat, lon) = form.get("site", ""), read_position()
    with changing("gateway.move", name, site=site) as session:
        lifecycle.move(session, name, site, lat, lon, current_user.name, find_console().services.clock())


def _words(error: FleetError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


_CHANGES: dict[str, Callable[[str, Form], None]] = {"retire": _retire, "move": _move}
