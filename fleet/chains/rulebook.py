"""The rules as the fleet keeps them: put there, read, switched, and held against what gateways report to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.chains.asking import alarms_of, find_gateways
from fleet.chains.decision import Place
from fleet.chains.models import ChainRule
from fleet.chains.rules import Hurry, Inspect, Raise, Rule
from fleet.errors import NotFoundError
from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from wire.mandate import RAISE


def put_rules(session: Session, rules: Sequence[Rule], by: str, now_ns: int) -> list[str]:
    """Keep these rules instead of those there are. A rule of a known name stays on or off as it is, a new one is on.

    Returns the names of those that went. Raises NotFoundError if a site or gateway that they name is not there.
    """
    check_names(session, rules)
    known = {row.name: row for row in session.scalars(sa.select(ChainRule))}
    for position, rule in enumerate(rules):
        row = known.pop(rule.name, None)
        if row is None:
            row = ChainRule(name=rule.name, is_on=True)
            session.add(row)
        row.position, row.content, row.changed_ns, row.changed_by = position, msgspec.to_builtins(rule), now_ns, by
    for row in known.values():
        session.delete(row)
    session.flush()
    return sorted(known)


def check_names(session: Session, rules: Sequence[Rule]) -> None:
    """See that every site and gateway that rules name is there, and that a site to measure from has a position.

    Raises NotFoundError that tells all that are not.
    """
    sites = {site.key: site for site in session.scalars(sa.select(Site))}
    gateways = set(session.scalars(sa.select(Gateway.name).where(Gateway.retired_ns.is_(None))))
    missing = []
    for rule in rules:
        steps: list[Raise | Hurry | Inspect] = [*rule.raises, *rule.hurries, *rule.inspects]
        named = {key for step in steps for key in step.sites} | ({rule.site} if rule.site else set())
        missing += [f"'{rule.name}': there is no site '{key}'" for key in sorted(named - sites.keys())]
        asked = {name for step in (*rule.raises, *rule.hurries) for name in step.gateways}
        missing += [f"'{rule.name}': there is no gateway '{name}'" for name in sorted(asked - gateways)]
        if rule.site in sites and sites[rule.site].lat is None:
            missing.append(f"'{rule.name}': site '{rule.site}' has no position to measure from")
    if missing:
        raise NotFoundError("\n  ".join(["the rules name what is not there", *missing]), hint="correct the file")


def find_doubts(session: Session, rules: Sequence[Rule]) -> list[str]:
    """What would come to nothing as the gateways run now: told to whoever imports rules, and no mistake by itself."""
    doubts = []
    for rule in rules:
        for step in rule.raises:
            for gateway, trouble in find_gateways(session, step):
                doubts += [f"'{rule.name}': {trouble}"] if trouble else _doubt(session, rule, gateway, step.alarm)
        for hurry in rule.hurries:
            doubts += [f"'{rule.name}': {trouble}" for _, trouble in find_gateways(session, hurry) if trouble]
    return doubts


def _doubt(session: Session, rule: Rule, gateway: str, alarm: str) -> list[str]:
    reported = session.scalar(sa.select(Gateway.reported).where(Gateway.name == gateway)) or {}
    if RAISE not in reported.get("commands", []):
        return [f"'{rule.name}': gateway '{gateway}' does not carry out '{RAISE}' yet: update it"]
    if alarm not in alarms_of(reported):
        return [f"'{rule.name}': gateway '{gateway}' has no alarm '{alarm}' yet: send it a configuration with it"]
    return []


def list_rules(session: Session) -> list[tuple[ChainRule, Rule]]:
    """The rules in their order, each as its row and as what it says; less those that this release cannot read."""
    rows = session.scalars(sa.select(ChainRule).order_by(ChainRule.position, ChainRule.name))
    return [(row, rule) for row in rows if (rule := read_content(row.content)) is not None]


def read_content(content: Mapping[str, Any]) -> Rule | None:
    """Read a rule that was kept; None if a later release wrote what this one does not know (`watch` tells of it)."""
    try:
        return msgspec.convert(content, Rule)
    except msgspec.ValidationError:
        return None


def get_rule(session: Session, name: str) -> ChainRule:
    """Return a rule's row. Raises NotFoundError."""
    row = session.get(ChainRule, name)
    if row is None:
        raise NotFoundError(f"there is no chain '{name}'")
    return row


def switch(session: Session, name: str, *, is_on: bool, by: str, now_ns: int) -> None:
    """Switch a rule on or off. What happened while it was off does not fire it later."""
    row = get_rule(session, name)
    row.is_on, row.changed_ns, row.changed_by = is_on, now_ns, by
    session.flush()


def find_place(session: Session, rule: Rule) -> Place | None:
    """What a rule's distance counts from; None without one, or where the site has lost its position."""
    if not rule.site:
        return None if rule.lat is None or rule.lon is None else (rule.lat, rule.lon)
    site = session.get(Site, rule.site)
    return None if site is None or site.lat is None or site.lon is None else (site.lat, site.lon)
