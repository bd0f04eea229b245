"""Decide who is to be told of an alarm by now: pure, so that it can be asked again at any time.

It answers with every notice that should exist at a time; what exists already is known by its key, so that asking twice,
or after a restart, tells nobody twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from fleet.notifications.rules import Rule, Rules
from wire.alarm import SILENCED, Standing

NS = 1_000_000_000
EARTHQUAKE = "earthquake"
"""Level of the alarm of an earthquake (`fleet.alarms.own`)."""
RAISED, RETURNED, ESCALATION, AGAIN = "raised", "returned", "escalation", "again"
OVER = {
    "webhook": Standing.ACTIVE | Standing.LATCHED,
    "email": Standing.ACTIVE | Standing.LATCHED,
    # A cancelled alert cannot be updated: it is cancelled once nobody will be called for it any more.
    "cap": Standing.ACTIVE | Standing.LATCHED | Standing.UNACKNOWLEDGED,
}
"""Kind of contact: in none of which an alarm stands when it has returned."""


class AlarmNow(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as far as people are told of it. ``occurrence`` names this raise; ``title`` is what the tag measures,
    ``kind`` the title of the alarm itself where its level does not tell it apart.

    ``place`` is the site's title, or the gateway's. ``raised_ns`` is UTC in ns, ``value`` and ``limit`` are in
    ``unit``; ``lat`` and ``lon`` are the site's, in degrees. Of an earthquake ``intensity`` is its highest by GB/T
    17742-2020, ``stations`` at how many stations it was felt, and place and position are those of the strongest.
    """

    gateway: str
    name: str
    site: str
    sector: str
    place: str
    priority: int
    standing: int
    occurrence: int
    raised_ns: int | None
    level: str
    title: str
    value: float | None
    limit: float | None
    unit: str
    lat: float | None = None
    lon: float | None = None
    kind: str = ""
    intensity: float | None = None
    stations: int = 0


class Due(msgspec.Struct, frozen=True, order=True):
    """A notice that should exist: whom to tell, and at which step of the rule (`RAISED`, ``escalation-1`` ...)."""

    contact: str
    step: str


class Asked(msgspec.Struct, frozen=True):
    """When is asked. ``since_ns``: when the fleet first saw this occurrence; the gateway's clock may be wrong, and a
    record may come late. ``is_new``: it was raised since the last time. ``told``: contacts that have a notice of it, or
    of the occurrence before and none that this was over."""

    since_ns: int
    now_ns: int
    is_new: bool = False
    told: frozenset[str] = frozenset()

    @property
    def elapsed_s(self) -> float:
        """How long the fleet knows of the occurrence."""
        return (self.now_ns - self.since_ns) / NS


def decide(rules: Rules, alarm: AlarmNow, asked: Asked) -> frozenset[Due]:
    """Say which notices of an alarm should exist by now. None while it is shelved, suppressed or out of service."""
    if Standing(alarm.standing) & SILENCED:
        return frozenset()
    calling = [rule for rule in rules.rules if applies(rule, alarm)]
    due = {due for rule in calling for due in _decide_one(rules, rule, alarm, asked)}
    return frozenset(due.union(_unsay(rules, calling, alarm, asked.told)))


def _unsay(rules: Rules, calling: Sequence[Rule], alarm: AlarmNow, told: frozenset[str]) -> Iterator[Due]:
    """Tell those of an earthquake's end who were called for a strength that it does not have: its strongest report was
    taken back, or it is part of another."""
    called = {name for rule in calling for name in _called_by(rule)}
    for rule in rules.rules:
        if alarm.level == EARTHQUAKE and rule.intensity_from and rule not in calling:
            yield from _return(rules, rule, told - called)


def applies(rule: Rule, alarm: AlarmNow) -> bool:
    """Tell whether an alarm passes a rule's filters."""
    filters = (
        (rule.priorities, alarm.priority),
        (rule.gateways, alarm.gateway),
        (rule.sites, alarm.site),
        (rule.sectors, alarm.sector),
    )
    if rule.intensity_from and (alarm.intensity is None or alarm.intensity < rule.intensity_from):
        return False
    return all(not allowed or value in allowed for allowed, value in filters)


def _decide_one(rules: Rules, rule: Rule, alarm: AlarmNow, asked: Asked) -> Iterator[Due]:
    waits = Standing.UNACKNOWLEDGED in Standing(alarm.standing)
    at_once = rule.after_s == 0 and asked.is_new
    if at_once or (waits and asked.elapsed_s >= rule.after_s):
        yield from (Due(name, RAISED) for name in rule.contacts)
    if waits:
        yield from _escalate(rule, asked.elapsed_s)
    over = {kind for kind, flags in OVER.items() if not Standing(alarm.standing) & flags}
    yield from _return(rules, rule, asked.told, over)


def _escalate(rule: Rule, elapsed_s: float) -> Iterator[Due]:
    called = list(rule.contacts)
    for number, step in enumerate(rule.escalate, 1):
        if elapsed_s >= step.after_min * 60:
            called += step.contacts
            yield from (Due(name, f"{ESCALATION}-{number}") for name in step.contacts)
    if rule.again_min and (rounds := int((elapsed_s - rule.after_s) // (rule.again_min * 60))) > 0:
        # Only the newest round: after a pause of the program nobody is told of those that went by.
        yield from (Due(name, f"{AGAIN}-{rounds}") for name in called)


def _return(rules: Rules, rule: Rule, told: frozenset[str], kinds: Collection[str] = OVER) -> Iterator[Due]:
    """Tell those who were told, as far as they are contacts of these kinds and want to hear of the end."""
    for name in _called_by(rule) & told:
        contact = rules.find(name)
        if contact is not None and contact.kind in kinds and (rule.on_return or contact.kind == "cap"):
            yield Due(name, RETURNED)


def _called_by(rule: Rule) -> set[str]:
    return {*rule.contacts, *(name for step in rule.escalate for name in step.contacts)}
