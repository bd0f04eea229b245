"""The pages of rollouts: the list, a form with its preview, and one rollout with its gateways while it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from babel.dates import get_day_names
from flask import Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, gettext
from flask_login import current_user
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from fleet.accounts import service as accounts
from fleet.api import INT_MAX, changing, find_account, find_services, reading
from fleet.console.configviews import say
from fleet.console.state import find_console
from fleet.console.streams import Held, stream_looks
from fleet.console.views import blueprint, read_number
from fleet.console.words import name_sector
from fleet.errors import FleetError, InvalidError
from fleet.overview.rollouts import find_choices, find_rollout, list_rollouts, look_at
from fleet.rollouts import service
from fleet.rollouts.counting import Shown
from fleet.rollouts.plan import Plan, read_plan
from fleet.rollouts.service import Preview
from fleet.rollouts.states import STANDINGS

PAGES_MOST = 10_000
Form = MultiDict[str, str]
RULES: Mapping[str, type[int] | type[float]] = {
    "error_percent": float,
    "executed_least": int,
    "success_percent": float,
    "timeout_s": int,
    "attempts": int,
    "rate_per_minute": int,
    "budget_bytes_per_s": int,
}
"""{rule: what its field holds}."""


@blueprint.get("/rollouts")
def rollouts() -> str:
    """All rollouts."""
    with find_console().reading() as sources:
        rows, older = list_rollouts(sources.session, read_number("before", INT_MAX))
        return render_template(
            "console/rollouts.html", rows=rows, older=older, now_ns=sources.now_ns, events=url_for("console.events")
        )


@blueprint.get("/rollouts/new")
def new_rollout() -> str:
    """The form of a new rollout."""
    return _show_form(MultiDict())


@blueprint.post("/rollouts/new")
def preview_rollout() -> ResponseReturnValue:
    """What the form comes to: which gateways in which wave, and who takes no part."""
    try:
        plan = read_form(request.form)
        with reading() as session:
            seen = service.preview(session, plan, find_services().settings.rollout_approval_from)
    except InvalidError as error:
        return _show_form(request.form, say(error)), error.status
    return _show_form(request.form, seen=seen)


@blueprint.post("/rollouts")
def create_rollout() -> ResponseReturnValue:
    """Make the rollout. It is started on its page."""
    services = find_services()
    try:
        plan = read_form(request.form)
        with changing("rollout.create", plan.name, version=plan.version) as session:
            approval_from = services.settings.rollout_approval_from
            made = service.create(session, plan, current_user.name, services.clock(), approval_from)
    except InvalidError as error:
        return _show_form(request.form, say(error)), error.status
    return redirect(url_for("console.rollout", number=made.id), 303)


@blueprint.get("/rollouts/<int:number>")
def rollout(number: int) -> str:
    """One rollout: its waves, and its gateways with the reason of each failure."""
    return _show_rollout(number)


@blueprint.post("/rollouts/<int:number>/change")
def change_rollout(number: int) -> ResponseReturnValue:
    """Do what one of the page's buttons asks for, and show the page."""
    verb = request.form.get("change", "")
    change = _CHANGES.get(verb)
    if change is None:
        raise InvalidError(gettext("There is no such command."))
    why = request.form.get("why", "")[: service.WHY_MOST]
    try:
        with changing(f"rollout.{verb}", str(number), reason=why) as session:
            change(session, number, why)
    except FleetError as error:
        if error.status == 404:
            raise
        return _show_rollout(number, say(error)), error.status
    standing, wave = request.args.get("standing"), request.args.get("wave")
    return redirect(url_for("console.rollout", number=number, standing=standing, wave=wave), 303)


@blueprint.get("/rollouts/<int:number>/events")
def rollout_events(number: int) -> Response:
    """Tell when the page of a rollout changes."""
    console, services = find_console(), find_services()
    with reading() as session:
        service.get(session, number)
    if not console.slots.take():
        return Response(status=503, headers={"Retry-After": "10"})
    session_id = current_user.get_id()

    def look() -> object:
        with services.database.reading() as session:
            return None if accounts.find(session, session_id) is None else look_at(session, number)

    return Response(
        Held(stream_with_context(stream_looks(services.live, look)), console.slots),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _approve(session: Session, number: int, _why: str) -> None:
    service.approve(session, number, find_account().name)


def _deny(session: Session, number: int, why: str) -> None:
    service.deny(session, number, find_account().name, why, find_services().clock())


def _start(session: Session, number: int, _why: str) -> None:
    service.start(session, number, find_services().clock())


def _pause(session: Session, number: int, why: str) -> None:
    service.pause(session, number, find_account().name, why)


def _resume(session: Session, number: int, _why: str) -> None:
    service.resume(session, number)


def _stop(session: Session, number: int, why: str) -> None:
    service.stop(session, number, find_account().name, why, find_services().clock())


def _offer_again(session: Session, number: int, _why: str) -> None:
    names = request.form.getlist("gateway")
    service.offer_again(session, number, names, find_account().name, find_services().clock())


_CHANGES: Mapping[str, Callable[[Session, int, str], None]] = {
    "approve": _approve,
    "deny": _deny,
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "again": _offer_again,
}


def _show_rollout(number: int, trouble: str = "") -> str:
    standing = request.args.get("standing", "")
    shown = Shown(
        standing if standing in STANDINGS else "", read_number("wave", PAGES_MOST), request.args.get("q", "")[:64]
    )
    with find_console().reading() as sources:
        page = find_rollout(sources.session, number, shown, read_number("page", PAGES_MOST) or 1)
        return render_template(
            "console/rollout.html",
            page=page,
            trouble=trouble,
            is_author=page.rollout.author == current_user.name,
            now_ns=sources.now_ns,
            events=url_for("console.rollout_events", number=number),
        )


def _show_form(form: Form, trouble: str = "", seen: Preview | None = None) -> str:
    with reading() as session:
        return render_template(
            "console/rollout_new.html",
            form=form,
            choices=find_choices(session),
            trouble=trouble,
            seen=seen,
            sector_word=name_sector,
            weekdays=_name_weekdays(),
        )


def _name_weekdays() -> list[str]:
    """The days of the week in the reader's language, Monday first."""
    names = get_day_names("abbreviated", locale=get_locale())
    return [names[day] for day in range(7)]


def read_form(form: Form) -> Plan:
    """Read the form. Raises InvalidError with every mistake."""
    kind, _, version = form.get("release", "").partition(" ")
    if not version:
        raise InvalidError(gettext("No release was chosen."))
    rules: dict[str, Any] = {
        name: _read_number(name, form.get(name, ""), made) for name, made in RULES.items() if form.get(name, "").strip()
    }
    if form.get("begin") or form.get("end"):
        rules["window"] = {
            "begin": form.get("begin", ""),
            "end": form.get("end", ""),
            "weekdays": [int(day) for day in form.getlist("weekday") if day in "1234567" and day],
            **({"zone": form["zone"].strip()} if form.get("zone", "").strip() else {}),
        }
    document = {
        "name": form.get("name", "").strip(),
        "kind": kind,
        "version": version,
        "target": {
            **{name: [value for value in form.getlist(name) if value] for name in ("sites", "sectors", "releases")},
            "hardware": [value for value in form.getlist("hardware") if value],
            "gateways": _read_words(form.get("gateways", "")),
        },
        "waves": _read_waves(form),
        "rules": {**rules, "is_forced": bool(form.get("is_forced"))},
    }
    return read_plan(document)


def _read_waves(form: Form) -> list[dict[str, Any]]:
    canaries = _read_words(form.get("canaries", ""))
    first = [{"gateways": canaries}] if canaries else []
    shares = [
        {"percent": _read_number("percent", word.rstrip("%"), float)} for word in _read_words(form.get("shares", ""))
    ]
    return [*first, *shares]


def _read_words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;，；、]+", text) if word]


def _read_number(name: str, text: str, made: type[int] | type[float]) -> float:
    try:
        return made(text.strip())
    except ValueError:
        raise InvalidError(gettext("%(name)s: '%(text)s' is no number.", name=name, text=text)) from None
