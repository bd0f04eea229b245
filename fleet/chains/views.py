"""The API of chains."""

from __future__ import annotations

from functools import partial
from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.chains import answers, inspections, rulebook, service, showing
from fleet.chains.sentences import LANGUAGES
from fleet.commands.keys import load_key

blueprint = make_blueprint("chains")


class LanguageQuery(Schema):
    """The language of the sentences."""

    language = String(load_default="zh", validate=OneOf(LANGUAGES))


class FiringsQuery(LanguageQuery):
    """Which firings, newest first."""

    before = Integer(load_default=None, validate=Range(0, INT_MAX))
    limit = Integer(load_default=20, validate=Range(1, 200))


class SentencesOut(Schema):
    """A rule in words."""

    when = String()
    does = List(String())


class ChainOut(Schema):
    """A rule. ``verdict`` is what came of the newest quake: fires, late, rejected, far, questionable, weak or off."""

    name = String()
    title = String()
    is_on = Boolean()
    sentences = Nested(SentencesOut)
    changed_ns = Integer()
    changed_by = String()
    verdict = Dict(allow_none=True)


class ChainsOut(Schema):
    """All rules."""

    chains = List(Nested(ChainOut))


class ChainAnswerOut(Schema):
    """What a gateway was asked, and how that stands: as a command, or unsent, or silent."""

    gateway = String()
    title = String()
    kind = String()
    what = String()
    holds = Boolean()
    state = String()
    detail = String()
    made_ns = Integer()
    answered_ns = Integer(allow_none=True)


class InspectionOut(Schema):
    """A place to be looked at."""

    id = Integer()
    title = String()
    site = String()
    place = String()
    done_ns = Integer(allow_none=True)
    done_by = String()
    comment = String()


class InspectionDetail(InspectionOut):
    """One place to be looked at."""


class FiringOut(Schema):
    """A firing, or a drill. ``state`` is fired or late."""

    id = Integer()
    rule = String()
    title = String()
    quake = String()
    state = String()
    is_drill = Boolean()
    intensity = Float()
    at_ns = Integer()
    fired_ns = Integer()
    by = String()
    sentences = Nested(SentencesOut)
    answers = List(Nested(ChainAnswerOut))
    inspections = List(Nested(InspectionOut))


class FiringDetail(FiringOut):
    """One firing."""


class FiringsOut(Schema):
    """Firings and drills, newest first."""

    firings = List(Nested(FiringOut))


class SwitchIn(Schema):
    """Whether a rule is on."""

    is_on = Boolean(required=True)


class TickIn(Schema):
    """Whether a place was looked at."""

    is_done = Boolean(load_default=True)
    comment = String(load_default="", validate=Length(0, inspections.COMMENT_MOST))


@blueprint.get("/chains")
@blueprint.input(LanguageQuery, location="query")
@blueprint.output(ChainsOut)
def list_chains(query_data: dict[str, Any]) -> dict[str, Any]:
    """List the rules in words."""
    with reading() as session:
        names = showing.find_names(session)
        rules = showing.show_rules(session, names, query_data["language"])
        return {"chains": [showing.as_document(rule) for rule in rules]}


@blueprint.get("/chains/firings")
@blueprint.input(FiringsQuery, location="query")
@blueprint.output(FiringsOut)
def list_firings(query_data: dict[str, Any]) -> dict[str, Any]:
    """List what fired, with what each gateway answered."""
    now_ns = find_services().clock()
    with reading() as session:
        rows = answers.list_firings(session, query_data["limit"], query_data["before"])
        names = showing.find_names(session)
        lines = showing.show_firings(session, rows, names, query_data["language"], now_ns)
        return {"firings": [showing.as_document(line) for line in lines]}


@blueprint.get("/chains/firings/<int:number>")
@blueprint.input(LanguageQuery, location="query")
@blueprint.output(FiringDetail)
def get_firing(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Show one firing."""
    with reading() as session:
        firing, names = answers.get_firing(session, number), showing.find_names(session)
        (line,) = showing.show_firings(session, [firing], names, query_data["language"], find_services().clock())
        return showing.as_document(line)


@blueprint.put("/chains/<key>/switch")
@blueprint.input(SwitchIn)
@blueprint.output({}, status_code=204)
def switch_chain(key: str, json_data: dict[str, Any]) -> str:
    """Switch a rule on or off."""
    with changing("chain.switch", key, is_on=json_data["is_on"]) as session:
        rulebook.switch(session, key, is_on=json_data["is_on"], by=find_account().name, now_ns=find_services().clock())
    return ""


@blueprint.post("/chains/<key>/drill")
@blueprint.output(FiringDetail, status_code=201)
def drill_chain(key: str) -> dict[str, Any]:
    """Try a rule as a drill: gateways say what they would do, and do nothing."""
    services = find_services()
    with changing("chain.drill", key) as session:
        load = partial(load_key, services.settings.data_dir)
        number = service.drill(session, load, key, find_account().name, services.clock())
        rows, names = [answers.get_firing(session, number)], showing.find_names(session)
        return showing.as_document(showing.show_firings(session, rows, names, "zh", services.clock())[0])


@blueprint.post("/chains/firings/<int:number>/take-back")
@blueprint.output({}, status_code=204)
def take_back(number: int) -> str:
    """Ask the gateways to clear what the firing raised, and to read as configured again."""
    services = find_services()
    with changing("chain.take-back", str(number)) as session:
        load = partial(load_key, services.settings.data_dir)
        service.take_back(session, load, number, find_account().name, services.clock())
    return ""


@blueprint.post("/chains/inspections/<int:number>")
@blueprint.input(TickIn)
@blueprint.output(InspectionDetail)
def tick_inspection(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Tick a place off, or take that back. Answers 409 if somebody else has done it."""
    is_done, now_ns = json_data["is_done"], find_services().clock()
    with changing("chain.tick", str(number), is_done=is_done) as session:
        item = inspections.tick(session, number, find_account().name, json_data["comment"], now_ns, is_done=is_done)
        return showing.as_document(showing.show_inspection(item))
