"""The page of who waits at the door: let in or kept out; and the claims that are still open."""

from __future__ import annotations

from collections.abc import Callable

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from fleet.api import changing, find_account, reading
from fleet.claims import service as claims
from fleet.claims.service import Intended
from fleet.console.state import find_console
from fleet.console.views import blueprint
from fleet.errors import FleetError, InvalidError
from fleet.sites import service as sites

CLAIMS_SHOWN = 200


@blueprint.get("/enrolments")
def enrolments() -> str:
    """Who waits, and which claims there are."""
    return _show()


@blueprint.post("/enrolments/<int:number>")
def decide_enrolment(number: int) -> ResponseReturnValue:
    """Let one who waits in, or keep it out."""
    decide = _choose({"approve": _approve, "refuse": _refuse})
    return _answer(lambda: decide(number))


@blueprint.post("/claims/<int:number>/withdraw")
def withdraw_claim(number: int) -> ResponseReturnValue:
    """Let a claim that nobody has used expire now."""

    def withdraw() -> None:
        with changing("claim.withdraw", str(number)) as db:
            claims.withdraw(db, number, find_account().name, find_console().services.clock())

    return _answer(withdraw)


def _choose(known: dict[str, Callable[[int], None]]) -> Callable[[int], None]:
    decision = request.form.get("decision", "")
    if decision not in known:
        raise InvalidError(gettext("There is no such command."))
    return known[decision]


def _approve(number: int) -> None:
    intended = Intended(gateway=request.form.get("gateway", "").strip(), site=request.form.get("site", ""))
    with changing("enrolment.approve", str(number), gateway=intended.gateway, site=intended.site) as db:
        claims.approve(db, number, intended, find_account().name, find_console().services.clock())


def _refuse(number: int) -> None:
    with changing("enrolment.refuse", str(number)) as db:
        claims.refuse(db, number, find_account().name, find_console().services.clock())


def _answer(work: Callable[[], None]) -> ResponseReturnValue:
    try:
        work()
    except FleetError as error:
        return _show(f"{error}. {error.hint}".strip(". ")), error.status
    return redirect(url_for("console.enrolments"), 303)


def _show(trouble: str = "") -> str:
    with reading() as db:
        return render_template(
            "console/enrolments.html",
            waiting=claims.waiting(db),
            claims=claims.list_newest(db, CLAIMS_SHOWN),
            sites=sites.list_all(db),
            trouble=trouble,
            now_ns=find_console().services.clock(),
        )
