"""The pages of chains: the rules in words, what fired with each gateway's answer, and the lists to be ticked off."""

from __future__ import annotations

from functools import partial

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, gettext
from flask_login import current_user
from sqlalchemy.orm import Session

from fleet.api import INT_MAX, changing, find_services
from fleet.chains import answers, inspections, rulebook, service, showing
from fleet.chains.sentences import Names
from fleet.commands.keys import load_key
from fleet.console.configviews import say
from fleet.console.state import find_console
from fleet.console.views import blueprint, read_field, read_number
from fleet.console.words import SECTORS
from fleet.errors import FleetError, InvalidError

SHOWN = 20


@blueprint.get("/chains")
def chains() -> str:
    """All rules, and what fired."""
    with find_console().reading() as sources:
        names, language = _find_names(sources.session), _language()
        before = read_number("before", INT_MAX)
        rows = answers.list_firings(sources.session, SHOWN + 1, before)
        firings = showing.show_firings(sources.session, rows[:SHOWN], names, language, sources.now_ns)
        live = {} if before is not None else {"events": url_for("console.events")}
        return render_template(
            "console/chains.html",
            rules=showing.show_rules(sources.session, names, language),
            firings=firings,
            older=firings[-1].id if len(rows) > SHOWN else None,
            now_ns=sources.now_ns,
            **live,
        )


@blueprint.post("/chains/change")
def change_chain() -> ResponseReturnValue:
    """Switch a rule on or off, or hold a drill, and show what came of it."""
    name, verb = request.form.get("chain", ""), request.form.get("change", "")
    services, by = find_services(), current_user.name
    if verb in ("on", "off"):
        with changing("chain.switch", name, is_on=verb == "on") as session:
            rulebook.switch(session, name, is_on=verb == "on", by=by, now_ns=services.clock())
        return redirect(url_for("console.chains"), 303)
    if verb != "drill":
        raise InvalidError(gettext("There is no such command."))
    with changing("chain.drill", name) as session:
        load = partial(load_key, services.settings.data_dir)
        number = service.drill(session, load, name, by, services.clock())
    return redirect(url_for("console.chain_firing", number=number), 303)


@blueprint.get("/chains/firings/<int:number>")
def chain_firing(number: int) -> str:
    """One firing: what each gateway answered, and the list to be ticked off."""
    return _show_firing(number)


@blueprint.post("/chains/firings/<int:number>/change")
def change_firing(number: int) -> ResponseReturnValue:
    """Tick a place off, take that back, or have gateways take back what was set going."""
    verb, services, by = request.form.get("change", ""), find_services(), current_user.name
    try:
        if verb == "take-back":
            with changing("chain.take-back", str(number)) as session:
                load = partial(load_key, services.settings.data_dir)
                service.take_back(session, load, number, by, services.clock())
        elif verb in ("tick", "untick"):
            item, comment = read_field("item"), request.form.get("comment", "")
            with changing("chain.tick", str(item), is_done=verb == "tick") as session:
                inspections.tick(session, item, by, comment, services.clock(), is_done=verb == "tick")
        else:
            raise InvalidError(gettext("There is no such command."))
    except FleetError as error:
        if error.status == 404:
            raise
        return _show_firing(number, say(error)), error.status
    return redirect(url_for("console.chain_firing", number=number), 303)


def _show_firing(number: int, trouble: str = "") -> str:
    with find_console().reading() as sources:
        firing = answers.get_firing(sources.session, number)
        names = _find_names(sources.session)
        (line,) = showing.show_firings(sources.session, [firing], names, _language(), sources.now_ns)
        return render_template(
            "console/chain_firing.html",
            firing=line,
            trouble=trouble,
            now_ns=sources.now_ns,
            events=url_for("console.events"),
        )


def _find_names(session: Session) -> Names:
    return showing.find_names(session, {key: str(word) for key, word in SECTORS.items()})


def _language() -> str:
    locale = get_locale()
    return "en" if locale is not None and locale.language == "en" else "zh"
