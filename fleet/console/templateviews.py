"""The pages of configuration templates: versions, who runs which, and giving one to many gateways after a preview."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user
from sqlalchemy.orm import Session

from fleet.api import INT_MAX, changing
from fleet.configs import applying, templates
from fleet.configs.applying import Target
from fleet.console.configviews import VARIABLE, describe, read_variables, say
from fleet.console.state import find_console
from fleet.console.views import blueprint, read_field, read_number
from fleet.errors import ConflictError, FleetError, InvalidError
from fleet.overview.configuration import find_template, list_variables

SEEN = "seen:"
"""How the variables of the preview are called that the page showed."""


@blueprint.get("/templates", endpoint="templates")
def list_templates() -> str:
    """All templates, and a form for another one."""
    return _show_list()


@blueprint.post("/templates")
def add_template() -> ResponseReturnValue:
    """Add a template, or the next version of one."""
    form = request.form
    key = form.get("key", "").strip()
    try:
        document = _read_document()
        with changing("template.add", key) as db:
            now_ns = find_console().services.clock()
            title, sector = form.get("title", "").strip()[:200], form.get("sector", "").strip()[:64]
            templates.add(db, key, document, title, sector, current_user.name, now_ns)
    except InvalidError as error:
        return _show_list(say(error)), error.status
    return redirect(url_for("console.template", key=key))


def _read_document() -> str:
    """The document: of a file if one was chosen, else of the text area."""
    file = request.files.get("file")
    if file is None or not file.filename:
        return request.form.get("document", "").replace("\r\n", "\n").replace("\0", "")
    try:
        document: str = file.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(gettext("The file is not UTF-8."), hint=gettext("Save it as UTF-8.")) from error
    return document.replace("\0", "")


def _show_list(trouble: str = "") -> str:
    with find_console().reading() as sources:
        rows = [(row, templates.variables_of(row)) for row in templates.list_newest(sources.session)]
        return render_template("console/templates.html", rows=rows, trouble=trouble, form=request.form)


@blueprint.get("/templates/<key>")
def template(key: str) -> str:
    """One template: its document, its versions, and its gateways."""
    with find_console().reading() as sources:
        page = find_template(sources, key, read_number("version", INT_MAX))
        return render_template("console/template.html", page=page)


@blueprint.post("/templates/<key>/preview")
def preview_template(key: str) -> ResponseReturnValue:
    """What the newest version would change on each of the chosen gateways."""
    with find_console().reading() as sources:
        return _show_preview(sources.session, key)


@blueprint.post("/templates/<key>/apply")
def apply_template(key: str) -> ResponseReturnValue:
    """Send a template to gateways, to all of them or to none."""
    services = find_console().services
    targets = _read_targets()
    try:
        _require_seen(targets)
        with changing("template.apply", key, gateways=[target.gateway for target in targets]) as db:
            version = read_field("template_version")
            data_dir = services.settings.data_dir
            applying.apply(db, key, version, targets, current_user.name, services.clock(), data_dir)
    except FleetError as error:
        with find_console().reading() as sources:
            return _show_preview(sources.session, key, say(error)), error.status
    return redirect(url_for("console.template", key=key))


def _require_seen(targets: list[Target]) -> None:
    """Raise ConflictError if a variable was changed after its preview: nothing is sent that nobody has looked at."""
    for target in targets:
        if read_variables(f"{SEEN}{target.gateway}:") != target.variables:
            raise ConflictError(gettext("Variables were changed after the preview: look at it once more."))


def _read_targets() -> list[Target]:
    form = request.form
    return [
        Target(name, read_variables(f"{VARIABLE}{name}:"), read_field(f"version:{name}"))
        for name in dict.fromkeys(form.getlist("gateway"))
    ]


def _show_preview(db: Session, key: str, trouble: str = "") -> str:
    newest = templates.get(db, key)
    rows = [_preview_one(db, key, target) for target in _read_targets()]
    return render_template("console/template_preview.html", template=newest, rows=rows, trouble=trouble)


def _preview_one(db: Session, key: str, target: Target) -> dict[str, Any]:
    """One gateway of a preview; what is wrong with its variables stands beside their fields."""
    data_dir = find_console().services.settings.data_dir
    with find_console().reading() as sources:
        row = {
            "name": target.gateway,
            "given": target.variables,
            "fields": list_variables(sources, target.gateway, key),
        }
    try:
        (seen,) = applying.preview(db, key, [target], data_dir)
    except InvalidError as error:
        return {**row, "trouble": say(error), "seen": None}
    return {**row, "trouble": "", **describe(seen)}
