"""The pages to sign in on: name and password, then the second factor of who has one; and signing out."""

from __future__ import annotations

from flask import redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user, login_user, logout_user

from fleet.accounts import service as accounts
from fleet.accounts import totp
from fleet.accounts.service import Identity
from fleet.api import find_actor, find_services
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.console.notation import NS
from fleet.console.views import blueprint, local_path
from fleet.guard import find_guesses, note_failure

HALF = "half"
"""Key of a session that knows a password but no second factor yet."""
HALF_WITHIN_S = 300


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """The page to sign in on."""
    target = request.args.get("next")
    if current_user.is_authenticated:
        return redirect(local_path(target))
    if request.method == "GET":
        return _show("sign_in", name="")
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    if (waits := _refuse_guessing("sign_in", name)) is not None:
        return waits
    with find_services().database.reading() as db:
        credential = accounts.find_credential(db, name)
    account = credential.accept(password)
    if account is None:
        note_failure(name, "console")
        return _show("sign_in", gettext("User name or password is wrong."), 401, name)
    return admit(account, target)


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
def second_factor() -> ResponseReturnValue:
    """The page that asks for the second factor."""
    account = _find_half()
    if account is None:
        return redirect(url_for("console.sign_in", next=request.args.get("next")))
    if request.method == "GET":
        return _show("second_factor")
    if (waits := _refuse_guessing("second_factor", account.name)) is not None:
        return waits
    services = find_services()
    with services.database.writing() as db:
        is_right = totp.accept(db, account.id, request.form.get("code", ""), services.clock())
    if not is_right:
        note_failure(account.name, "code")
        return _show("second_factor", gettext("The code is wrong, or was used already."), 401)
    return let_in(account, request.args.get("next"))


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    services = find_services()
    with services.database.writing() as db:
        audit.append(db, services.clock(), find_actor(), "sign-out")
    logout_user()
    session.clear()
    return redirect(url_for("console.sign_in"))


def admit(account: Identity, target: str | None, via: str = "console") -> ResponseReturnValue:
    """Let somebody in who has proved the first factor, by way of the page for the second where there is one."""
    if account.second_factor:
        session.clear()
        session[HALF] = [account.get_id(), find_services().clock()]
        return redirect(url_for("console.second_factor", next=target))
    return let_in(account, target, via)


def let_in(account: Identity, target: str | None, via: str = "console") -> ResponseReturnValue:
    """Begin a session and go where the page was asked from."""
    services, address = find_services(), request.remote_addr or ""
    find_guesses().forget(account.name, address)
    with services.database.writing() as db:
        audit.append(db, services.clock(), Actor(account.name, via, address), "sign-in")
    session.clear()  # what a session held before the sign-in is worth nothing afterwards
    session.permanent = True
    login_user(account)
    return redirect(local_path(target))


def _find_half() -> Identity | None:
    """Who has given a password within the last minutes."""
    session_id, since_ns = session.get(HALF, ("", 0))
    services = find_services()
    if services.clock() - since_ns > HALF_WITHIN_S * NS:
        return None
    with services.database.reading() as db:
        return accounts.find(db, session_id)


def _refuse_guessing(page: str, name: str) -> ResponseReturnValue | None:
    wait_s = find_guesses().wait_s(name, request.remote_addr or "")
    if wait_s <= 0:
        return None
    minutes = int(wait_s // 60) + 1
    trouble = gettext("Too many failed tries. Try again in %(minutes)s min.", minutes=minutes)
    return *_show(page, trouble, 429, name), {"Retry-After": str(int(wait_s) + 1)}


def show_sign_in(trouble: str, status: int) -> tuple[str, int]:
    """Show the page to sign in on, and what went wrong elsewhere."""
    return _show("sign_in", trouble, status)


def _show(page: str, trouble: str = "", status: int = 200, name: str = "") -> tuple[str, int]:
    target = request.args.get("next")
    shown = {"target": target, "name": name, "trouble": trouble, "provider": find_services().settings.provider_name()}
    return render_template(f"console/{page}.html", **shown), status
