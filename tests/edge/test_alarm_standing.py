"""How an alarm stands, against a reference that is written otherwise: a table of facts instead of flags."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.alarm_settings import AlarmRule
from edge.alarms.standing import HOUR_NS, MINUTE_NS, NEVER, AlarmState
from edge.operating import Operation, OperationError
from wire.alarm import ACTIONS, AlarmRequest, Standing, State, in_opc_ua, state_of

NAME = "tank.level:high"


def given(**more: object) -> AlarmRule:
    return AlarmRule(tag="tank.level", level="high", limit=1.0, **more)


def ask(action: str, **more: object) -> Operation:
    return Operation(action=action, request=AlarmRequest(alarm=NAME, **more), by="Li", where="page")


class Reference(RuleBasedStateMachine):
    """ISA-18.2 as a person reads it: what holds, what was seen, what was set aside and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = given(latch=True, realarm_s=600.0, shelve_most_h=2.0)
        self.alarm = AlarmState(self.rule)
        self.now = 0
        self.facts = {"holds": False, "seen": True, "latched": False, "shelf": None, "once": False, "out": False}
        self.remind_at: int | None = None
        self.raises = 0

    @rule()
    def begins(self) -> None:
        self.raises += not self.facts["holds"]
        words = self.alarm.activate(self.raises)
        assert bool(words) != self.facts["holds"]
        if not self.facts["holds"]:
            self.facts |= {"holds": True, "seen": False, "latched": True}
            self.remind_at = None

    @rule()
    def ends(self) -> None:
        words = self.alarm.deactivate()
        assert ("cleared" in words) == self.facts["holds"]
        if self.facts["holds"]:
            self.facts["holds"] = False
            self.remind_at = None
            if self.facts["once"]:
                self.facts |= {"shelf": None, "once": False}

    @rule()
    def is_acknowledged(self) -> None:
        self.alarm.operate(ask("acknowledge", occurrence=self.raises), self.now)
        if not self.facts["seen"]:
            self.facts["seen"] = True
            if self.facts["holds"]:
                self.remind_at = self.now + 600 * 10**9

    @rule()
    def is_reset(self) -> None:
        may = not self.facts["holds"] and self.facts["seen"]
        if self.facts["latched"] and not may:
            with pytest.raises(OperationError):
                self.alarm.operate(ask("reset"), self.now)
            return
        self.alarm.operate(ask("reset"), self.now)
        self.facts["latched"] = False

    @rule(minutes=st.sampled_from([0.0, 5.0, 120.0, 121.0]))
    def is_shelved(self, minutes: float) -> None:
        if minutes > 120:
            with pytest.raises(OperationError):
                self.alarm.operate(ask("shelve", minutes=minutes), self.now)
            return
        self.alarm.operate(ask("shelve", minutes=minutes), self.now)
        end = self.now + (int(minutes * MINUTE_NS) or 2 * HOUR_NS)
        self.facts |= {"shelf": end, "once": minutes == 0}

    @rule()
    def is_unshelved(self) -> None:
        self.alarm.operate(ask("unshelve"), self.now)
        self.facts |= {"shelf": None, "once": False}

    @rule(out=st.booleans())
    def is_taken_out(self, out: bool) -> None:
        self.alarm.operate(ask("remove" if out else "restore"), self.now)
        self.facts["out"] = out

    @rule(minutes=st.sampled_from([1, 4, 11, 130]))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE_NS
        self.alarm.pass_time(self.now)
        if self.facts["shelf"] is not None and self.now >= self.facts["shelf"]:
            self.facts |= {"shelf": None, "once": False}
        if self.remind_at is not None and self.now >= self.remind_at:
            self.facts["seen"], self.remind_at = False, None

    @invariant()
    def stands_as_the_facts_say(self) -> None:
        facts, stands = self.facts, self.alarm.standing
        assert (Standing.ACTIVE in stands) == facts["holds"]
        assert (Standing.UNACKNOWLEDGED in stands) != facts["seen"]
        assert (Standing.LATCHED in stands) == facts["latched"]
        assert (Standing.SHELVED in stands) == (facts["shelf"] is not None)
        assert (Standing.OUT_OF_SERVICE in stands) == facts["out"]
        assert self.alarm.due_ns == min(facts["shelf"] or NEVER, self.remind_at or NEVER)
        opc = in_opc_ua(stands)
        assert (opc.active_state, opc.acked_state) == (facts["holds"], facts["seen"])


Reference.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestStanding = Reference.TestCase


@pytest.mark.parametrize(
    ("standing", "state"),
    [
        (Standing(0), State.NORMAL),
        (Standing.ACTIVE | Standing.UNACKNOWLEDGED, State.UNACKNOWLEDGED),
        (Standing.ACTIVE, State.ACKNOWLEDGED),
        (Standing.ACTIVE | Standing.LATCHED, State.ACKNOWLEDGED),
        (Standing.UNACKNOWLEDGED, State.RETURNED),
        (Standing.LATCHED | Standing.UNACKNOWLEDGED, State.LATCHED_UNACKNOWLEDGED),
        (Standing.LATCHED, State.LATCHED_ACKNOWLEDGED),
        (Standing.SHELVED | Standing.ACTIVE, State.SHELVED),
        (Standing.SUPPRESSED | Standing.ACTIVE, State.SUPPRESSED),
        (Standing.OUT_OF_SERVICE | Standing.SHELVED | Standing.SUPPRESSED, State.OUT_OF_SERVICE),
    ],
)
def test_state_by_isa_follows_from_the_flags(standing, state) -> None:
    assert state_of(standing) is state


def test_what_was_seen_before_a_new_raise_does_not_acknowledge_it() -> None:
    alarm = AlarmState(given())
    alarm.activate(1)
    alarm.deactivate()
    alarm.activate(2)
    with pytest.raises(OperationError, match="raised anew"):
        alarm.operate(ask("acknowledge", occurrence=1), 0)
    assert Standing.UNACKNOWLEDGED in alarm.standing
    assert alarm.operate(ask("acknowledge", occurrence=2), 0) == ("acknowledged",)
    assert alarm.operate(ask("acknowledge", occurrence=2), 0) == ()


def test_alarm_that_may_not_be_shelved_says_so() -> None:
    alarm = AlarmState(given(shelve_most_h=0.0))
    with pytest.raises(OperationError, match="may not be shelved"):
        alarm.operate(ask("shelve", minutes=5.0), 0)
    assert alarm.standing == Standing(0)


def test_suppression_by_design_comes_and_goes_without_touching_the_rest() -> None:
    alarm = AlarmState(given())
    alarm.activate(1)
    assert alarm.suppress(by_design=True) == ("suppressed",)
    assert alarm.suppress(by_design=True) == ()
    assert alarm.suppress(by_design=False) == ("unsuppressed",)
    assert alarm.standing == Standing.ACTIVE | Standing.UNACKNOWLEDGED


def test_every_action_is_known() -> None:
    for action in ACTIONS:
        AlarmState(given()).operate(ask(action, minutes=1.0 if action == "shelve" else 0.0), 0)


@pytest.mark.parametrize("minutes", [math.nan, math.inf, -1.0])
def test_shelving_for_no_length_of_time_is_refused_and_changes_nothing(minutes) -> None:
    alarm = AlarmState(given())
    with pytest.raises(OperationError, match="h at most"):
        alarm.operate(ask("shelve", minutes=minutes), 0)
    assert alarm.standing == Standing(0)
