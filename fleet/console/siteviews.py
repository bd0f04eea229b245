"""The pages of sites: is each connected and safe, and what is missing there."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from fleet.api import changing
from fleet.console.drawing import Plan, draw_plan
from fleet.console.state import find_console
from fleet.console.views import blueprint
from fleet.console.words import SECTORS
from fleet.errors import FleetError, InvalidError
from fleet.overview import sites as overview
from fleet.overview.sites import SitePage, SitesPage
from fleet.sites import service

CHANGES = ("about", "devices")


@blueprint.get("/sites")
def sites() -> str:
    """All sites, what is in alarm first."""
    return _show_sites()


@blueprint.post("/sites")
def add_site() -> ResponseReturnValue:
    """Add a site, and go to its page."""
    form = request.form
    key = form.get("key", "").strip()
    try:
        with changing("site.add", key) as session:
            service.add(session, key, form.get("title", "").strip(), form.get("sector", ""), *read_position())
    except FleetError as error:
        return _show_sites(trouble=_words(error)), error.status
    return redirect(url_for("console.site", key=key))


@blueprint.get("/sites/<key>")
def site(key: str) -> str:
    """One site."""
    return _show_site(key)


@blueprint.post("/sites/<key>")
def change_site(key: str) -> ResponseReturnValue:
    """Say anew what a site is called, where it is, or which devices it is to have."""
    change = request.form.get("change", "")
    if change not in CHANGES:
        raise InvalidError(gettext("There is no such command."))
    try:
        with changing(f"site.{change}", key) as session:
            if change == "devices":
                service.set_expected(session, key, _read_list(), find_console().services.clock())
            else:
                title, sector = (request.form.get(name, "").strip() for name in ("title", "sector"))
                service.change(session, key, title, sector, *read_position())
    except InvalidError as error:
        return _show_site(key, trouble=_words(error)), error.status
    return redirect(url_for("console.site", key=key))


def _read_list() -> str:
    file = request.files.get("file")
    try:
        return file.read().decode("utf-8-sig") if file else request.form.get("devices", "")
    except UnicodeDecodeError as error:
        raise InvalidError(gettext("The file is not UTF-8."), hint=gettext("save it as CSV in UTF-8")) from error


def read_position() -> tuple[float | None, float | None]:
    """Read a form's position in degrees, None where it is left empty. Raises InvalidError."""
    numbers = []
    for name in ("lat", "lon"):
        text = request.form.get(name, "").strip()
        try:
            numbers.append(float(text) if text else None)
        except ValueError as error:
            raise InvalidError(
                gettext("'%(text)s' is no number of degrees", text=text[:20]), hint="29.71234"
            ) from error
    return numbers[0], numbers[1]


def _words(error: FleetError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _show_sites(trouble: str = "") -> str:
    with find_console().reading() as sources:
        page = overview.find_sites(
            sources, sector=request.args.get("sector", ""), q=request.args.get("q", "").replace("\0", "")
        )
    return render_template("console/sites.html", page=page, plan=_draw_sites(page), trouble=trouble, sectors=SECTORS)


def _draw_sites(page: SitesPage) -> Plan | None:
    return draw_plan([(line.lat, line.lon, line.worst, line.title, line.key) for line in page.rows])


def _show_site(key: str, trouble: str = "") -> str:
    with find_console().reading() as sources:
        page = overview.find_site(sources, key)
        devices = service.write_expected(service.list_expected(sources.session, key))
        now_ns = sources.now_ns
    return render_template(
        "console/site.html",
        page=page,
        plan=_draw_site(page),
        now_ns=now_ns,
        devices=devices,
        trouble=trouble,
        sectors=SECTORS,
    )


def _draw_site(page: SitePage) -> Plan | None:
    return draw_plan([(row.lat, row.lon, row.worst, row.title or row.name, row.name) for row in page.gateways])
