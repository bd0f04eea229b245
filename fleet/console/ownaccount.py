"""The page of one's own account: another password, and the second factor, which its owner sets up and takes away."""

from __future__ import annotations

import io

import segno
from flask import render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from fleet.accounts import service as accounts
from fleet.accounts import totp
from fleet.accounts.totp import Enrolled
from fleet.api import changing, find_services
from fleet.console.views import blueprint
from fleet.errors import FleetError, InvalidError
from fleet.guard import find_guesses, note_failure

SETTING_UP = "totp"
"""Key of the session's secret of a second factor that is not confirmed yet."""
QR_SCALE = 5
CHANGES = ("password", "begin", "confirm", "drop")


@blueprint.get("/account")
def own_account() -> str:
    """What one may change of one's own account."""
    return _show()


@blueprint.post("/account")
def change_own_account() -> ResponseReturnValue:
    """Change the password, or set up or take away the second factor. What is changed ends all sessions."""
    change = request.form.get("change", "")
    if change not in CHANGES:
        raise InvalidError(gettext("There is no such command."))
    if change == "begin":
        session[SETTING_UP] = totp.make_secret()
        return _show()
    name = current_user.name
    wait_s = find_guesses().wait_s(name, request.remote_addr or "")
    if wait_s > 0:
        minutes = int(wait_s // 60) + 1
        return _show(gettext("Too many failed tries. Try again in %(minutes)s min.", minutes=minutes)), 429
    try:
        return {"password": _change_password, "confirm": _confirm, "drop": _drop}[change](name)
    except FleetError as error:
        return _show(f"{error}. {error.hint}".strip(". ")), error.status


def _change_password(name: str) -> ResponseReturnValue:
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return _show(gettext("The two new passwords are not the same.")), 422
    if not _knows_password(name):
        return _turn_away(name)
    with changing("account.password", name) as db:
        accounts.set_password(db, name, new)
    return _show(done=gettext("The password is changed. Sign in anew."))


def _confirm(name: str) -> ResponseReturnValue:
    secret = session.get(SETTING_UP, "")
    now_ns = find_services().clock()
    if not secret or not totp.is_right(secret, request.form.get("code", ""), now_ns):
        note_failure(name, "code")
        return _show(gettext("The code is wrong. Is the telephone's clock right?")), 422
    if not _knows_password(name):
        return _turn_away(name)
    with changing("account.totp", name) as db:
        made = totp.enrol(db, name, secret)
    session.pop(SETTING_UP, None)
    return _show(done=gettext("The second factor is set up. Sign in anew, with a code."), made=made)


def _drop(name: str) -> ResponseReturnValue:
    if not _knows_password(name):
        return _turn_away(name)
    services = find_services()
    with services.database.writing() as db:
        is_right = totp.accept(db, current_user.id, request.form.get("code", ""), services.clock())
    if not is_right:
        return _turn_away(name)
    with changing("account.totp-off", name) as db:
        totp.drop(db, name)
    return _show(done=gettext("The second factor is taken away. Sign in anew."))


def _knows_password(name: str) -> bool:
    with find_services().database.reading() as db:
        credential = accounts.find_credential(db, name)
    return credential.accept(request.form.get("password", "")) is not None


def _turn_away(name: str) -> ResponseReturnValue:
    note_failure(name, "console")
    return _show(gettext("Password or code is wrong.")), 422


def _show(trouble: str = "", done: str = "", made: Enrolled | None = None) -> str:
    secret = session.get(SETTING_UP, "")
    address = totp.make_address(secret, current_user.name) if secret else ""
    return render_template(
        "console/account.html",
        account=current_user,
        has_factor=current_user.second_factor,
        secret=secret,
        code=_draw(address) if address else "",
        trouble=trouble,
        done=done,
        made=made,
    )


def _draw(address: str) -> str:
    drawn = io.BytesIO()
    segno.make(address, error="m", micro=False).save(drawn, kind="svg", scale=QR_SCALE, border=4, xmldecl=False)
    return drawn.getvalue().decode()
