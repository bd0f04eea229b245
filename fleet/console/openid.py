"""Signing in by an OpenID provider: going there, and coming back."""

from __future__ import annotations

import msgspec
from flask import abort, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext

from fleet.accounts import federation
from fleet.accounts.idtoken import Claims, OpenIdError, Person, read_person
from fleet.accounts.openid import Journey, Provider
from fleet.accounts.service import Identity
from fleet.api import find_services
from fleet.audit import service as audit
from fleet.audit.service import Actor
from fleet.console.notation import NS
from fleet.console.signing import admit, show_sign_in
from fleet.console.views import blueprint
from fleet.errors import ConflictError, FleetError, InvalidError, SetupError
from fleet.guard import find_guesses, note_failure
from fleet.settings import Settings

EXTENSION = "fengsui-openid"
VIA = "openid"
AWAY = "away"
"""Key of a session whose owner is at the provider."""
AWAY_WITHIN_S = 600
REFUSED, WAIT, UNREACHABLE = 403, 429, 502

TROUBLES = {
    "unreachable": lazy_gettext("The provider cannot be reached. Sign in with a password, or try again later."),
    "issuer": lazy_gettext("The provider has another name than was set. An administrator corrects oidc_issuer."),
    "audience": lazy_gettext("The token was made for another program. An administrator corrects oidc_client_id."),
    "clock": lazy_gettext("The token has expired or is not valid yet. Set the clocks of this server and the provider."),
    "nonce": lazy_gettext("The token belongs to another sign-in. Begin anew."),
    "state": lazy_gettext("This sign-in was begun elsewhere or took too long. Begin anew."),
    "token": lazy_gettext("The token does not prove itself. An administrator looks into the audit log."),
    "refused": lazy_gettext("The provider refused. Ask there, or have the client's secret and return address checked."),
    "role": lazy_gettext("The provider gives you no role here. Ask an administrator for a group of oidc_roles."),
    "name": lazy_gettext("An account has your name already. An administrator links it: fengsui-fleet user subject."),
    "shut": lazy_gettext("Your account is shut out. Ask an administrator."),
    "last": lazy_gettext("You are the only administrator, so the role stays. Make another one first."),
    "account": lazy_gettext("No account can have the name that the provider gives: 1 to 64 characters."),
}
"""{reason: what to tell who wants to sign in}."""
REASONS: dict[type[FleetError], str] = {ConflictError: "last", InvalidError: "account"}


def make_provider(settings: Settings) -> Provider | None:
    """Make the provider of the settings, None if none is set. Raises SetupError if its secret cannot be read."""
    if not settings.oidc_issuer:
        return None
    path = settings.data_dir / settings.oidc_client_secret_file
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "write the client's secret there, readable by the service alone"
        raise SetupError(f"oidc_client_secret_file: {path} cannot be read: {error}", hint=hint) from error
    return Provider(settings.oidc_issuer, settings.oidc_client_id, secret)


@blueprint.get("/sign-in/provider")
def go_to_provider() -> ResponseReturnValue:
    """Send the browser to the provider."""
    provider, services = _find_provider(), find_services()
    if find_guesses().wait_s("", request.remote_addr or "") > 0:
        return show_sign_in(gettext("Too many failed tries. Try again in a few minutes."), WAIT)
    try:
        address, journey = provider.begin(_find_return(), request.args.get("next", ""), services.clock())
    except OpenIdError as error:
        return _tell(error)
    session[AWAY] = msgspec.to_builtins(journey)
    return redirect(address)


@blueprint.get("/sign-in/provider/return")
def return_from_provider() -> ResponseReturnValue:
    """Let in who comes back from the provider."""
    provider, journey = _find_provider(), _take_journey()
    if journey is None:
        return show_sign_in(str(TROUBLES["state"]), REFUSED)
    try:
        account = _admit(_find_person(provider, journey))
    except OpenIdError as error:
        return _tell(error, journey.state)
    return admit(account, journey.target, VIA)


def _tell(error: OpenIdError, state: str = "") -> ResponseReturnValue:
    """Show why nobody is signed in, and write it down. Each journey counts as a name that somebody tried."""
    note_failure(state, VIA, reason=error.reason, error=str(error))
    return show_sign_in(str(TROUBLES[error.reason]), UNREACHABLE if error.reason == "unreachable" else REFUSED)


def _find_provider() -> Provider:
    provider: Provider | None = current_app.extensions[EXTENSION]
    return provider or abort(404)


def _find_return() -> str:
    """The address to come back to, as the browser knows it. A TLS proxy before us is known by ``cookie_secure``."""
    scheme = "https" if find_services().settings.cookie_secure else request.scheme
    return url_for("console.return_from_provider", _external=True, _scheme=scheme)


def _take_journey() -> Journey | None:
    """Take what the session kept, this once; None if it is not for who comes back."""
    kept = session.pop(AWAY, None)
    if kept is None:
        return None
    journey = msgspec.convert(kept, Journey)
    is_late = find_services().clock() - journey.began_ns > AWAY_WITHIN_S * NS
    return None if is_late or request.args.get("state") != journey.state else journey


def _find_person(provider: Provider, journey: Journey) -> Person:
    """Have the provider say who comes back. Raises OpenIdError."""
    services = find_services()
    settings = services.settings
    if "code" not in request.args:
        raise OpenIdError("refused", f"the provider says '{request.args.get('error', '')[:100]}'")
    claims = provider.finish(journey, request.args["code"], _find_return(), services.clock() // NS)
    wanted = Claims(roles=settings.oidc_roles, role=settings.oidc_role_claim, sites=settings.oidc_sites_claim)
    return read_person(claims, wanted)


def _admit(person: Person) -> Identity:
    """Return the account of a person with the rights of the token. Raises OpenIdError where it gives none."""
    services = find_services()
    actor = Actor(person.name, VIA, request.remote_addr or "")
    try:
        with services.database.writing() as db:
            admission = federation.admit(db, person, services.clock())
            for action, detail in admission.changes.items():
                audit.append(db, services.clock(), actor, action, admission.name, detail)
    except (ConflictError, InvalidError) as error:
        raise OpenIdError(REASONS[type(error)], f"{error} ({person.subject})") from error
    if admission.account is None:
        raise OpenIdError("role", f"no role of oidc_roles is given to {person.subject}")
    return admission.account
