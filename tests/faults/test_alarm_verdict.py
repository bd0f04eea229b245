"""The verdict on alarms can fail: of each thing that must not happen, once, it says so."""

from __future__ import annotations

import random
import tomllib

import msgspec
import pytest

from lab.truth import Rule, Truth
from tests.faults.alarm_verdict import Findings, Line, judge_operations, judge_raises, judge_standings
from tests.faults.operators import Asked
from tests.faults.yard import SURE_READS, Play, Switch, Yard

NS = 1_000_000_000
RULE = Rule(gateway="gw", tag="yard-0.s00", level="high", limit=50.0)
ASKED = Asked("gw", RULE.alarm, 7, "acknowledge", "operation 1")
DONE = Line("gw", RULE.alarm, "acknowledged", 7, "operation 1")
RELAYED = ("gw", RULE.alarm, "acknowledged", "operation 1")


def lines(*kinds: str) -> list[Line]:
    return [Line("gw", RULE.alarm, kind, 0, "") for kind in kinds]


def truth(count: int) -> Truth:
    found = Truth([RULE])
    for _ in range(count):
        found.served("gw", RULE.tag, 90.0, 0)
        found.served("gw", RULE.tag, 10.0, 0)
    return found


@pytest.mark.parametrize(
    ("due", "kinds", "missed", "twice"),
    [
        (2, ("raised", "cleared", "raised"), 0, 0),
        (2, ("raised", "cleared"), 1, 0),
        (1, ("raised", "cleared", "raised"), 0, 1),
        (2, ("raised", "raised", "cleared"), 0, 1),
        (1, ("raised", "cleared", "cleared"), 1, 0),
    ],
)
def test_each_raise_is_in_the_journal_once_and_its_return_before_the_next(due, kinds, missed, twice):
    findings = Findings()
    judge_raises(truth(due), lines(*kinds), findings)
    assert (findings.missed, findings.raised_twice) == (missed, twice)
    assert bool(findings.words) is bool(missed or twice)


@pytest.mark.parametrize(
    ("journal", "relayed", "lost"), [([DONE], [RELAYED], 0), ([], [RELAYED], 1), ([DONE], [], 1), ([], [], 1)]
)
def test_what_was_answered_as_done_is_in_the_journal_and_at_the_platform(journal, relayed, lost):
    findings = Findings()
    judge_operations([ASKED], [], journal, relayed, findings)
    assert findings.acks_lost == lost


def test_acknowledgement_that_stood_already_is_somebodys_of_the_same_occurrence():
    later = msgspec.structs.replace(ASKED, occurrence=8)
    findings = Findings()
    judge_operations([], [ASKED, later], [DONE], [], findings)
    assert findings.acks_lost == 1
    assert "occurrence=8" in findings.words[0]


def test_ends_that_differ_are_found():
    names = [("gw", name) for name in "abcd"]
    findings = Findings()
    judge_standings(
        dict(zip(names, (1, 3, 2, 1), strict=True)),
        dict(zip(names, (1, 1, 2, 1), strict=True)),
        [names[0], names[1]],
        findings,
    )
    assert (findings.acks_lost, findings.missed) == (1, 1)


def test_switch_is_sure_only_if_one_process_read_it_often_enough():
    switch = Switch("s")
    for read in range(SURE_READS):
        assert not switch.is_sure
        switch.seen(10.0, 4711, read * NS)
    assert switch.is_sure
    switch.change(0)
    for read in range(SURE_READS - 1):
        switch.seen(90.0, 4711, read * NS)
    switch.seen(90.0, 4712, SURE_READS * NS)
    assert not switch.is_sure
    for read in range(1, SURE_READS):
        switch.seen(90.0, 4712, (SURE_READS + read) * NS)
    assert switch.is_sure


def test_reading_from_before_a_change_and_one_by_nobody_do_not_count():
    switch = Switch("s")
    switch.change(0)
    for read in range(9):
        switch.seen(10.0, 4711, read * NS)
        switch.seen(90.0, 0, read * NS)
    assert not switch.is_sure


async def test_play_begins_as_many_alarms_as_it_is_told_and_ends_when_all_are_known():
    yard = Yard("gw", Truth())
    yard.life = lambda: 4711
    for tag in yard.switches:
        for read in range(SURE_READS):
            yard._see(tag, 10.0, read * NS)
    play = Play([yard], random.Random(1))
    play._step(yard, 25, 0)
    assert play.begun == 25
    assert sum(switch.is_beyond for switch in yard.switches.values()) == 25
    assert not play.is_settled
    yard.hold()
    for tag, switch in yard.switches.items():
        for read in range(SURE_READS):
            yard._see(tag, switch.value(0), read * NS)
    assert not play.is_settled
    yard.let_go()
    for tag, switch in yard.switches.items():
        for read in range(SURE_READS):
            yard._see(tag, switch.value(0), read * NS)
    await play.go_on(25)


def test_every_switch_of_a_yard_has_the_alarm_that_its_gateway_is_configured_with():
    yard = Yard("gw-yard-0001", Truth())
    tags = [tag for device in tomllib.loads(yard.text)["device"] for tag in device["group"][0]["tag"]]
    limits = [(tag["title"], tag["alarm"][0]["level"], tag["alarm"][0]["limit"]) for tag in tags if "alarm" in tag]
    assert [(rule.tag, rule.level, rule.limit) for rule in yard.rules] == limits
    assert len(limits) == len(yard.switches)
