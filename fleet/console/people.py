"""The pages of people: who may sign in and what each may do; and the audit log of what they did."""

from __future__ import annotations

import secrets

from flask import Response, render_template, request
from flask_babel import gettext
from sqlalchemy.orm import Session

from fleet import founding
from fleet.accounts import service as accounts
from fleet.accounts import totp
from fleet.accounts.models import Role
from fleet.api import INT_MAX, changing, reading
from fleet.audit import service as audit
from fleet.console.state import find_console
from fleet.console.views import blueprint, read_number
from fleet.console.words import ROLES
from fleet.errors import FleetError, InvalidError
from fleet.sites import service as sites

LINES_PAGE = 100
CHANGES = ("role", "sites", "password", "shut", "open", "totp-off")


@blueprint.get("/users")
def users() -> str:
    """Who may sign in."""
    return _show_users()


@blueprint.post("/users")
def add_user() -> str:
    """Add somebody, and show the password this once."""
    name, role = request.form.get("name", "").strip(), _read_role()
    password = secrets.token_urlsafe(founding.PASSWORD_OCTETS)
    keys = request.form.getlist("sites")
    try:
        with changing("user.add", name, role=role, sites=keys) as db:
            accounts.add(db, name, password, role, find_console().services.clock())
            if keys:
                accounts.set_sites(db, name, keys)
    except FleetError as error:
        return _show_users(trouble=f"{error} ({error.hint})" if error.hint else str(error))
    return _show_users(made=name, password=password)


@blueprint.post("/users/<account>")
def change_user(account: str) -> str:
    """Change what somebody may do; their sessions end."""
    change = request.form.get("change", "")
    if change not in CHANGES:
        raise InvalidError(gettext("There is no such command."))
    password = secrets.token_urlsafe(founding.PASSWORD_OCTETS) if change == "password" else ""
    detail = {key: request.form.getlist(key) for key in ("role", "sites") if key == change}
    try:
        with changing(f"user.{change}", account, **detail) as db:
            _change(db, account, change, password)
    except FleetError as error:
        return _show_users(trouble=f"{error} ({error.hint})" if error.hint else str(error))
    return _show_users(made=account if password else "", password=password)


def _change(db: Session, account: str, change: str, password: str) -> None:
    match change:
        case "role":
            accounts.set_role(db, account, _read_role())
        case "sites":
            accounts.set_sites(db, account, request.form.getlist("sites"))
        case "password":
            accounts.set_password(db, account, password)
        case "totp-off":
            totp.drop(db, account)
        case _:
            accounts.set_enabled(db, account, change == "open")


def _read_role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError as error:
        raise InvalidError(gettext("There is no such role.")) from error


def _show_users(trouble: str = "", made: str = "", password: str = "") -> str:
    with reading() as db:
        return render_template(
            "console/users.html",
            accounts=accounts.list_all(db),
            sites=accounts.list_sites(db),
            known=sites.list_all(db),
            roles=ROLES,
            trouble=trouble,
            made=made,
            password=password,
        )


@blueprint.get("/audit")
def audit_log() -> str:
    """Who did what, newest first."""
    chosen = {key: request.args.get(key, "").replace("\0", "") for key in ("actor", "action")}
    with reading() as db:
        lines = audit.list_lines(db, **chosen, before=read_number("before", INT_MAX), limit=LINES_PAGE)
        head = audit.find_head(db)
    older = lines[-1].id if len(lines) == LINES_PAGE else None
    return render_template("console/audit.html", lines=lines, head=head, older=older, chosen=chosen)


@blueprint.get("/audit.csv")
def audit_csv() -> Response:
    """The audit log as CSV."""
    with reading() as db:
        text = audit.write_csv(audit.list_lines(db, limit=audit.EXPORTED_MOST))
    headers = {"Content-Disposition": "attachment; filename=audit.csv"}
    return Response(text, mimetype="text/csv", headers=headers)
