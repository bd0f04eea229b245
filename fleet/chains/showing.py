"""What the page, the API and the command line show of chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.chains import asking, rulebook, service
from fleet.chains.answers import list_actions, state_of
from fleet.chains.decision import OFF, Verdict, judge
from fleet.chains.inspections import list_inspections
from fleet.chains.models import ChainFiring, ChainInspection, ChainQuake
from fleet.chains.sentences import Names, Sentences, write_rule
from fleet.gateways.models import Gateway
from fleet.sites.models import Site


class RuleLine(msgspec.Struct, frozen=True):
    """A rule as it is shown. ``verdict`` is what came of the newest quake that was noted, None without one."""

    name: str
    title: str
    is_on: bool
    sentences: Sentences
    changed_ns: int
    changed_by: str
    verdict: Verdict | None


class AnswerLine(msgspec.Struct, frozen=True):
    """What a gateway was asked and what it answered. ``state``: `fleet.chains.answers.state_of`."""

    gateway: str
    title: str
    kind: str
    what: str
    holds: bool
    state: str
    detail: str
    made_ns: int
    answered_ns: int | None


class InspectionLine(msgspec.Struct, frozen=True):
    """A place to be looked at, and who has."""

    id: int
    title: str
    site: str
    place: str
    done_ns: int | None
    done_by: str
    comment: str


class FiringLine(msgspec.Struct, frozen=True):
    """A firing or a drill with all that became of it. ``by`` is who held a drill."""

    id: int
    rule: str
    title: str
    quake: str
    state: str
    is_drill: bool
    intensity: float
    at_ns: int
    fired_ns: int
    by: str
    sentences: Sentences
    answers: tuple[AnswerLine, ...]
    inspections: tuple[InspectionLine, ...]

    @property
    def done(self) -> int:
        """How many gateways' answers say that it was done."""
        return sum(answer.state == "done" for answer in self.answers)

    @property
    def ticked(self) -> int:
        """How many places were looked at."""
        return sum(item.done_ns is not None for item in self.inspections)

    @property
    def can_take_back(self) -> bool:
        """Whether a gateway was asked for something that it could take back."""
        return not self.is_drill and any(answer.holds and answer.state != "unsent" for answer in self.answers)

    @property
    def is_amiss(self) -> bool:
        """Whether somebody has not done what was asked."""
        return self.state != "fired" or any(answer.state not in ("done", "pending") for answer in self.answers)


def find_names(session: Session, sectors: Mapping[str, str] | None = None) -> Names:
    """What sites, gateways and commanded alarms are called; sectors as given."""
    alarms: dict[str, str] = {}
    gateways = {}
    for name, title, reported in session.execute(sa.select(Gateway.name, Gateway.title, Gateway.reported)):
        gateways[name] = title or str((reported or {}).get("title") or "")
        alarms |= {key: told for key, told in asking.alarms_of(reported or {}).items() if told}
    sites = {site.key: site.title for site in session.scalars(sa.select(Site))}
    return Names(sites, gateways, sectors or {}, alarms)


def show_rules(session: Session, names: Names, language: str) -> list[RuleLine]:
    """All rules, each with what came of the newest quake."""
    newest = session.scalar(sa.select(ChainQuake).order_by(ChainQuake.at_ns.desc()).limit(1))
    lines = []
    for row, rule in rulebook.list_rules(session):
        verdict = None
        if newest is not None:
            quake, place = service.read_quake(newest), rulebook.find_place(session, rule)
            # as of then: whether it would be too late by now says nothing
            verdict = judge(rule, place, quake, newest.noted_ns) if row.is_on else Verdict(OFF)
        lines.append(
            RuleLine(
                rule.name,
                rule.title,
                row.is_on,
                write_rule(rule, names, language),
                row.changed_ns,
                row.changed_by,
                verdict,
            )
        )
    return lines


def show_firings(
    session: Session, firings: Sequence[ChainFiring], names: Names, language: str, now_ns: int
) -> list[FiringLine]:
    """Firings with what each gateway answered and what was looked at."""
    ids = [firing.id for firing in firings]
    answers: dict[int, list[AnswerLine]] = {}
    for action, command in list_actions(session, ids):
        answers.setdefault(action.firing_id, []).append(
            AnswerLine(
                action.gateway,
                names.gateways.get(action.gateway) or action.gateway,
                action.kind,
                action.what,
                action.holds,
                state_of(action, command, now_ns),
                action.trouble or (command.detail if command is not None else ""),
                action.made_ns,
                command.answered_ns if command is not None else None,
            )
        )
    inspections: dict[int, list[InspectionLine]] = {}
    for item in list_inspections(session, ids):
        inspections.setdefault(item.firing_id, []).append(show_inspection(item))
    lines = []
    for firing in firings:
        rule = rulebook.read_content(firing.content)
        lines.append(
            FiringLine(
                firing.id,
                firing.rule,
                rule.title if rule else "",
                firing.quake,
                firing.state,
                firing.is_drill,
                firing.intensity,
                firing.at_ns,
                firing.fired_ns,
                firing.by,
                write_rule(rule, names, language) if rule else Sentences("", ()),
                tuple(answers.get(firing.id, ())),
                tuple(inspections.get(firing.id, ())),
            )
        )
    return lines


def show_inspection(item: ChainInspection) -> InspectionLine:
    """A place to be looked at."""
    return InspectionLine(item.id, item.title, item.site_key, item.place, item.done_ns, item.done_by, item.comment)


def as_document(line: RuleLine | FiringLine | InspectionLine) -> dict[str, Any]:
    """A line as the API gives it."""
    document: dict[str, Any] = msgspec.to_builtins(line)
    return document
