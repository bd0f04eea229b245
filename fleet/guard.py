"""The one way into the web application: who asks, whether they may, and what is written of refusals.

Every request passes here before its view. What a route asks for stands in `fleet.accounts.authorization`.
"""

from __future__ import annotations

import ipaddress

from flask import Flask, Request, Response, current_app, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import Authorization

from fleet.accounts import service as accounts
from fleet.accounts import tokens
from fleet.accounts.authorization import ROUTES, Permission, allows
from fleet.accounts.guesses import Guesses
from fleet.accounts.scope import sees_gateway
from fleet.accounts.service import Identity
from fleet.api import PREFIX, find_actor, find_services, reading
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.errors import DeniedError, NotFoundError

EXTENSION = "fengsui-guesses"
PROGRAMS = (f"{PREFIX}/", "/fdsnws/")
"""Below these addresses programs sign in with each request."""
PAGES = "console"
"""The blueprint of the console's pages."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NOT_SIGNED_IN = 401
DENIED = 403
REFUSED_FROM = 400
HINT = "send a token (Bearer), or a name and password (HTTP Basic), or the console's session"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="fengsui", charset="UTF-8"'}

csrf = CSRFProtect()


def register(app: Flask, guesses: Guesses) -> None:
    """Put the guard before every route of an application."""
    app.extensions[EXTENSION] = guesses
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # asked for here, once it is known who comes with a cookie
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session: a page stays open for a whole shift
    csrf.init_app(app)
    manager = LoginManager(app)
    manager.session_protection = "strong"
    manager.user_loader(find_account)
    manager.request_loader(find_caller)
    app.before_request(check)
    app.after_request(note_refusal)


def find_guesses() -> Guesses:
    """Return what is known of failures to sign in."""
    guesses: Guesses = current_app.extensions[EXTENSION]
    return guesses


def find_account(session_id: str) -> Identity | None:
    """Who a session belongs to."""
    with find_services().database.reading() as session:
        return accounts.find(session, session_id)


def find_caller(asked: Request) -> Identity | None:
    """Who a program acts for; only at the API, so that no page can be driven by a remembered password."""
    given = asked.authorization
    if given is None or not (asked.path.startswith(PROGRAMS) or asked.path == "/metrics"):
        return None
    name = (given.username or "") if given.type == "basic" else given.type
    address = asked.remote_addr or ""
    if find_guesses().wait_s(name, address) > 0:
        return None
    account = _authenticate(given)
    if account is None:
        note_failure(name, given.type)
    return account


def _authenticate(given: Authorization) -> Identity | None:
    services = find_services()
    with services.database.reading() as session:
        if given.type == "bearer":
            return tokens.authenticate(session, given.token or "", services.clock())
        if given.type != "basic":
            return None
        credential = accounts.find_credential(session, given.username or "", "basic")
    account = credential.accept(given.password or "")
    # A password alone would go round the second factor.
    return None if account is None or account.second_factor else account


def note_failure(name: str, via: str, **detail: str) -> None:
    """Count a failure to sign in, and write it down; a name that no account has may be a mistyped password."""
    services, address = find_services(), request.remote_addr or ""
    find_guesses().note_failure(name, address)
    with services.database.writing() as session:
        known = accounts.exists(session, name)
        actor = Actor(name if known else "", via, address)
        audit.append(
            session, services.clock(), actor, "sign-in", outcome=audit.FAILED, detail={"known": known, **detail}
        )


def check() -> ResponseReturnValue | None:
    """Let a request through, or answer it. An address without a route goes on to its 404."""
    endpoint = request.endpoint
    if request.blueprint == PAGES and request.method not in SAFE:
        csrf.protect()
    if endpoint is None or ROUTES.get(endpoint) is Permission.OPEN:
        return None
    if endpoint == "show_metrics" and _is_local():
        return None
    if not current_user.is_authenticated:
        return _ask_to_sign_in()
    account: Identity = current_user._get_current_object()
    if not allows(account.granted, endpoint):
        raise DeniedError(f"'{account.name}' may not do that", hint="ask an administrator")
    if account.via == "console" and request.blueprint != PAGES and request.method not in SAFE:
        csrf.protect()  # the API asked with the cookie of a session
    _check_object(account)
    return None


def _check_object(account: Identity) -> None:
    """Refuse a gateway of a foreign site as if there were none."""
    name = (request.view_args or {}).get("name")
    if account.scope is None or name is None:
        return
    with reading() as session:
        if not sees_gateway(session, name):
            raise NotFoundError(f"there is no gateway '{name}'")


def _ask_to_sign_in() -> ResponseReturnValue:
    """Send people to the page, and programs and scripts a plain 401."""
    if request.blueprint != PAGES:
        return jsonify(error="sign in first", hint=HINT), NOT_SIGNED_IN, CHALLENGE
    if request.headers.get("X-Live") or request.accept_mimetypes.best == "text/event-stream":
        return Response(status=NOT_SIGNED_IN)
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("console.sign_in", next=target if target != "/" else None))


def _is_local() -> bool:
    """Whether a program on this machine asks, and no proxy asks for another."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def note_refusal(response: Response) -> Response:
    """Write down what a known account was refused: anything it may not do, and any change that came to nothing."""
    status = response.status_code
    is_refused = status == DENIED or (status >= REFUSED_FROM and request.method not in SAFE)
    if not is_refused or not current_user.is_authenticated:
        return response
    services = find_services()
    detail = {"method": request.method, "status": status, **(request.view_args or {})}
    try:
        with services.database.writing() as session:
            action = request.endpoint or "unknown"
            audit.append(session, services.clock(), find_actor(), action, detail=detail, outcome=audit.REFUSED)
    except SQLAlchemyError as error:
        current_app.logger.error("a refusal could not be written to the audit log: %s", error)
    return response
