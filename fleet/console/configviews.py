"""The pages of a gateway's configuration: what is wanted and what runs, and changing it by way of a preview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user
from sqlalchemy.orm import Session

from fleet.api import INT_MAX, changing
from fleet.configs import drift, sending
from fleet.configs.digest import digest
from fleet.configs.sending import Chosen, Preview, write_toml
from fleet.console.state import find_console
from fleet.console.views import blueprint, read_field, read_number
from fleet.errors import ConflictError, FleetError, InvalidError
from fleet.overview.configuration import find_configuration, list_variables, start_text

VARIABLE = "var:"
"""How the fields of variables are called: var:<name>, or var:<gateway>:<name> where there are several gateways."""

NOT_KEPT = ("csrf_token", "version", "digest")
"""Fields that each preview writes anew."""


@blueprint.get("/configurations")
def configurations() -> str:
    """Gateways that do not run what the fleet wants."""
    with find_console().reading() as sources:
        rows = drift.find(sources.session, sources.now_ns)
        return render_template("console/configurations.html", rows=rows, now_ns=sources.now_ns)


@blueprint.get("/gateways/<name>/configuration")
def configuration(name: str) -> str:
    """Both halves of a gateway's twin, and its versions."""
    with find_console().reading() as sources:
        page = find_configuration(sources, name, read_number("before", INT_MAX))
        return render_template("console/configuration.html", page=page, now_ns=sources.now_ns)


@blueprint.get("/gateways/<name>/configuration/edit")
def edit_configuration(name: str) -> str:
    """A form with the text, or with the variables of a template."""
    if template := request.args.get("template", ""):
        return _show_variables(name, template)
    with find_console().reading() as sources:
        version, text = start_text(sources, name, read_number("version", INT_MAX))
    return _show_text(name, text, version)


@blueprint.post("/gateways/<name>/configuration/preview")
def preview_configuration(name: str) -> ResponseReturnValue:
    """What sending would change, and what is wrong with it."""
    try:
        with find_console().reading() as sources:
            return _show_preview(sources.session, name)
    except InvalidError as error:
        return _show_form_again(name, error), error.status


@blueprint.post("/gateways/<name>/configuration/edit")
def reopen_configuration(name: str) -> str:
    """The form once more, with what was in the preview."""
    if template := request.form.get("template"):
        return _show_variables(name, template)
    with find_console().reading() as sources:
        version, _ = start_text(sources, name, None)
        chosen = _choose(sources.session, name)
    return _show_text(name, request.form.get("text") or write_toml(chosen.config), version)


@blueprint.post("/gateways/<name>/configuration")
def send_configuration(name: str) -> ResponseReturnValue:
    """Send what was looked at, on top of the version that was seen."""
    services = find_console().services
    expected = read_field("version")
    try:
        with changing("config.put", name, after=expected) as db:
            chosen = _choose_seen(db, name)
            data_dir = services.settings.data_dir
            sending.send(db, name, chosen, expected, current_user.name, services.clock(), data_dir)
    except (ConflictError, InvalidError) as error:
        with find_console().reading() as sources:
            return _show_preview(sources.session, name, say(error)), error.status
    return redirect(url_for("console.configuration", name=name))


def _choose(db: Session, name: str) -> Chosen:
    """Read from the form what is to be sent: an earlier version, a template with its variables, or a text."""
    form = request.form
    if form.get("restore"):
        return sending.choose_earlier(db, name, read_field("restore"))
    if form.get("template"):
        return sending.choose_template(db, form["template"], read_variables(VARIABLE))
    return Chosen(config=sending.read_toml(form.get("text", "")))


def _choose_seen(db: Session, name: str) -> Chosen:
    """Read what is to be sent. Raises ConflictError if it is not what the preview showed."""
    chosen = _choose(db, name)
    if request.form.get("digest", "") != digest(chosen.config):
        raise ConflictError(gettext("The template has changed since the preview: look at it once more."))
    return chosen


def read_variables(prefix: str) -> dict[str, str]:
    """The variables that were filled in; one that was left empty has its default."""
    return {
        name.removeprefix(prefix): value.strip()
        for name, value in request.form.items()
        if name.startswith(prefix) and value.strip()
    }


def say(error: FleetError) -> str:
    """An error with what to do about it."""
    return f"{error} ({error.hint})" if error.hint else str(error)


def describe(seen: Preview) -> Mapping[str, Any]:
    """A preview with both texts."""
    return {
        "seen": seen,
        "digest": digest(dict(seen.after)),
        "before": write_toml(seen.before),
        "after": write_toml(seen.after),
    }


def _show_preview(db: Session, name: str, trouble: str = "") -> str:
    data_dir = find_console().services.settings.data_dir
    seen = sending.preview(db, name, _choose(db, name).config, data_dir)
    kept = [(key, value) for key, value in request.form.items() if key not in NOT_KEPT]
    return render_template("console/config_preview.html", name=name, kept=kept, trouble=trouble, **describe(seen))


def _show_form_again(name: str, error: FleetError) -> str:
    if template := request.form.get("template"):
        return _show_variables(name, template, say(error))
    return _show_text(name, request.form.get("text", ""), read_field("version"), say(error))


def _show_text(name: str, text: str, version: int, trouble: str = "") -> str:
    return render_template("console/config_edit.html", name=name, text=text, version=version, trouble=trouble)


def _show_variables(name: str, template: str, trouble: str = "") -> str:
    with find_console().reading() as sources:
        fields = list_variables(sources, name, template)
    return render_template(
        "console/config_edit.html",
        name=name,
        template=template,
        fields=fields,
        given=read_variables(VARIABLE) if request.method == "POST" else None,
        trouble=trouble,
    )
