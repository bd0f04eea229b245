"""The technician's page: what a label's or a gateway's code opens. Code, site, template, position, and off it goes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from fleet.api import changing, reading
from fleet.claims import taking
from fleet.claims.service import Intended
from fleet.claims.views import find_doorkeeper
from fleet.commissioning import service
from fleet.commissioning.service import Visit
from fleet.configs import templates
from fleet.configs.models import ConfigTemplate
from fleet.console.state import find_console
from fleet.console.views import blueprint
from fleet.errors import FleetError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.sites import service as sites
from provisioning.codes import hash_code
from provisioning.errors import RequestError
from provisioning.label import read_fragment

MAY_LOCATE = "camera=(), microphone=(), geolocation=(self)"
"""What this page alone may ask the phone for."""
TEXT_MOST = 200


@blueprint.get("/claim")
def claim() -> ResponseReturnValue:
    """The page that a code opens. The code stands in the address's fragment, which no browser sends."""
    return _show({})


@blueprint.post("/claim")
def take_claim() -> ResponseReturnValue:
    """Take what a technician gives, then show the checklist. Sent again it is the same."""
    throttle, who = find_doorkeeper().unknown_codes, current_user.name
    if (wait_s := throttle.wait_s(who)) > 0:
        minutes = int(wait_s // 60) + 1
        trouble = gettext("Too many codes that nobody knows. Try again in %(minutes)s min.", minutes=minutes)
        return _show(request.form, trouble, 429)
    try:
        return redirect(url_for("console.commissioning", number=_take()), 303)
    except RequestError:
        return _show(request.form, gettext("This is not a claim code: compare its letters."), 422)
    except NotFoundError as error:
        throttle.note_failure(who)
        return _show(request.form, _say(error), error.status)
    except FleetError as error:
        return _show(request.form, _say(error), error.status)


def _say(error: FleetError) -> str:
    unknown = {
        taking.UNKNOWN: gettext(
            "No gateway shows this code now, and no label has it. Compare the letters; is the gateway switched on and "
            "connected to the network?"
        )
    }
    return unknown.get(str(error)) or f"{error}. {error.hint}".strip(". ")


def _take() -> int:
    form = request.form
    code, key = read_fragment(form.get("code", ""))
    stranger = find_doorkeeper().strangers.find(hash_code(code))
    upload = request.files.get("photo")
    visit = Visit(
        request_key=form.get("request_key", ""),
        code=code,
        key=key or form.get("key", "") or (stranger.key if stranger else ""),
        intended=_read_intended(form),
        photo=upload.read() if upload else b"",
    )
    now_ns = find_console().services.clock()
    with changing(
        "claim.take", visit.intended.gateway, site=visit.intended.site, template=visit.intended.template
    ) as db:
        row = service.begin(db, visit, stranger.checks if stranger else (), current_user.name, now_ns)
        return row.claim_id


def _read_intended(form: Mapping[str, str]) -> Intended:
    template, gateway = form.get("template", ""), form.get("gateway", "").strip()
    prefix = f"var.{template}."
    variables = {name.removeprefix(prefix): value for name, value in form.items() if name.startswith(prefix)}
    return Intended(
        # A name that was proposed is no choice: a label may have one of its own.
        gateway="" if gateway == form.get("proposed", "") else gateway,
        title=form.get("title", "").strip()[:TEXT_MOST],
        site=form.get("site", ""),
        template=template,
        variables=variables if template else {},
        lat=_read_degrees(form, "lat"),
        lon=_read_degrees(form, "lon"),
        note=form.get("note", "").strip(),
    )


def _read_degrees(form: Mapping[str, str], name: str) -> float | None:
    text = form.get(name, "").strip().replace(",", ".")
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise InvalidError(gettext("'%(text)s' is no degrees: write 29.71234.", text=text[:20])) from error


def _show(form: Mapping[str, str], trouble: str = "", status: int = 200) -> ResponseReturnValue:
    with reading() as db:
        known = sites.list_all(db)
        page = render_template(
            "console/claim.html",
            form=form,
            trouble=trouble,
            request_key=form.get("request_key") or secrets.token_urlsafe(24).replace("_", "-"),
            sites=known,
            names=taking.propose_names(db, [site.key for site in known]),
            templates=[_describe(template) for template in templates.list_newest(db)],
            places=_places(db, known),
            recent=service.list_newest(db, 5),
            now_ns=find_console().services.clock(),
        )
    answer = make_response(page, status)
    answer.headers["Permissions-Policy"] = MAY_LOCATE
    return answer


def _describe(template: ConfigTemplate) -> dict[str, Any]:
    return {
        "key": template.key,
        "title": template.title,
        "sector": template.sector,
        "variables": templates.variables_of(template),
    }


def _places(db: Any, known: Any) -> list[dict[str, Any]]:
    """What the map shows: sites, and gateways that stand already."""
    marks = [
        {"kind": "site", "name": site.title, "site": site.key, "lat": site.lat, "lon": site.lon}
        for site in known
        if site.lat is not None
    ]
    return marks + [
        {"kind": "gateway", "name": row.title or row.name, "site": row.site_key, "lat": row.lat, "lon": row.lon}
        for row in gateways.list_all(db)
        if row.lat is not None and row.retired_ns is None
    ]
