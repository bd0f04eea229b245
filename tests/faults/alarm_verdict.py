"""The verdict on alarms: what switches did and operators were told, against gateway, journal and platform.

Nothing of the product is imported here; the fleet's journal is read by SQL of our own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lab.truth import Truth
from tests.faults.operators import ACTIVE, WORDS, Asked
from tests.faults.verdict import read

Name = tuple[str, str]
"""Gateway and alarm."""
TOLD = 20


class Line(msgspec.Struct, frozen=True):
    """A line of the journal that changes an alarm."""

    gateway: str
    alarm: str
    kind: str
    occurrence: int
    comment: str


class Findings(msgspec.Struct, kw_only=True):
    """What is not as it must be; ``words`` say what."""

    missed: int = 0
    raised_twice: int = 0
    acks_lost: int = 0
    words: list[str] = []

    def say(self, text: str) -> None:
        """Keep some words."""
        if len(self.words) < TOLD:
            self.words.append(text)


def read_journal(database: str) -> list[Line]:
    """Read the fleet's journal of alarms, oldest first."""
    rows = read(
        database,
        "SELECT gateway, alarm, kind, occurrence, comment FROM alarm_event"
        " WHERE standing IS NOT NULL AND gateway LIKE 'gw-yard-%' ORDER BY id",
    )
    return [Line(*row) for row in rows if row[1].startswith("yard-")]


def read_answers(database: str) -> tuple[list[Asked], list[Asked]]:
    """Read what was asked at the console: what the gateways answered as done, and what they never answered."""
    done, unanswered = [], []
    for gateway, name, arguments, answer, detail in read(
        database, "SELECT gateway, name, arguments, answer, detail FROM command WHERE name LIKE 'alarm-%'"
    ):
        told = json.loads(arguments) if isinstance(arguments, str) else arguments
        action = name.removeprefix("alarm-")
        asked = Asked(gateway, told["alarm"], int(told.get("occurrence", 0)), action, told.get("comment", ""))
        if not answer:
            unanswered.append(asked)
        elif answer == "command-done" and WORDS[action] in detail:
            done.append(asked)
    return done, unanswered


def read_standings(database: str) -> dict[Name, int]:
    """Read how the fleet says that alarms stand which are not normal."""
    rows = read(database, "SELECT gateway, name, standing FROM alarm WHERE standing <> 0 AND gateway LIKE 'gw-yard-%'")
    return {(gateway, name): standing for gateway, name, standing in rows if name.startswith("yard-")}


def judge_raises(truth: Truth, journal: Sequence[Line], findings: Findings) -> None:
    """Compare the alarms that were due with those that the journal has: each once, and its return before the next."""
    due = Counter((crossing.rule.gateway, crossing.rule.alarm) for crossing in truth.crossings)
    raised = Counter((line.gateway, line.alarm) for line in journal if line.kind == "raised")
    for name, count in (due - raised).items():
        findings.missed += count
        findings.say(f"{name}: {count} raises are not in the journal")
    for name, count in (raised - due).items():
        findings.raised_twice += count
        findings.say(f"{name}: {count} raises too many are in the journal")
    last: dict[Name, str] = {}
    for line in journal:
        if line.kind not in ("raised", "cleared"):
            continue
        if last.get((line.gateway, line.alarm)) == line.kind:
            findings.raised_twice += line.kind == "raised"
            findings.missed += line.kind == "cleared"
            findings.say(f"{line.gateway} {line.alarm}: {line.kind} twice, with nothing in between")
        last[line.gateway, line.alarm] = line.kind


def judge_operations(
    done: Iterable[Asked],
    alike: Iterable[Asked],
    journal: Sequence[Line],
    relayed: Iterable[tuple[str, str, str, str]],
    findings: Findings,
) -> None:
    """Compare what operators were told is done with the journal, and with what the platform got.

    ``alike`` were answered to stand so already: somebody's acknowledgement of that occurrence is there.
    ``relayed`` are (gateway, alarm, change, comment).
    """
    lines = {(line.gateway, line.alarm, line.kind, line.comment) for line in journal}
    occurrences = {(line.gateway, line.alarm, line.kind, line.occurrence) for line in journal}
    there = set(relayed)
    for asked in done:
        key = (asked.gateway, asked.alarm, WORDS[asked.action], asked.comment)
        places = [name for name, known in (("journal", lines), ("platform", there)) if key not in known]
        if places:
            findings.acks_lost += 1
            findings.say(f"{asked} was answered as done and is not at the {' and '.join(places)}")
    for asked in alike:
        key_of = (asked.gateway, asked.alarm, WORDS[asked.action], asked.occurrence)
        if asked.action == "acknowledge" and key_of not in occurrences:
            findings.acks_lost += 1
            findings.say(f"{asked} was said to be acknowledged, and nobody's acknowledgement is in the journal")


def judge_standings(
    at_gateways: Mapping[Name, int], at_fleet: Mapping[Name, int], beyond: Iterable[Name], findings: Findings
) -> None:
    """Compare how alarms stand in the end: at the gateways, in the fleet, and by the switches that are ``beyond``."""
    active = {name for name, standing in at_gateways.items() if standing & ACTIVE}
    for name in active.symmetric_difference(beyond):
        findings.missed += 1
        findings.say(f"{name}: its switch and its gateway differ")
    for name in at_gateways.keys() | at_fleet.keys():
        here, there = at_gateways.get(name, 0), at_fleet.get(name, 0)
        if here == there:
            continue
        if (here ^ there) & ACTIVE:
            findings.missed += 1
        else:
            findings.acks_lost += 1
        findings.say(f"{name} stands {here} at its gateway and {there} in the fleet")


def read_views(gateway: str, alarms: Iterable[Mapping[str, Any]]) -> dict[Name, int]:
    """How alarms stand at a gateway, by what its socket lists."""
    return {(gateway, alarm["name"]): int(alarm["standing"]) for alarm in alarms if alarm["name"].startswith("yard-")}
