"""Who is told when: the decision alone, on a scripted time."""

from __future__ import annotations

import msgspec
import pytest

from fleet.notifications.decide import NS, AlarmNow, Asked, Due, decide
from fleet.notifications.rules import Contact, Rule, Rules, Step
from wire.alarm import Standing

UP = int(Standing.ACTIVE | Standing.UNACKNOWLEDGED)
ALARM = AlarmNow(
    gateway="gw-yufu-0001",
    name="tank.level:high-high",
    site="yufu-chem",
    sector="chemical",
    place="鱼复化工",
    priority=1,
    standing=UP,
    occurrence=7,
    raised_ns=1,
    level="high-high",
    title="1 号罐液位",
    value=92.5,
    limit=90.0,
    unit="%",
)
CONTACTS = tuple(Contact(name=name, kind="webhook", url="http://host/") for name in ("duty", "chief", "mayor"))
LADDER = Rule(
    contacts=("duty",),
    again_min=5,
    on_return=True,
    escalate=(Step(after_min=2, contacts=("chief",)), Step(after_min=10, contacts=("mayor",))),
)


def ask(
    rule: Rule,
    standing: int = UP,
    after_s: float = 0,
    *,
    is_new: bool = False,
    told: tuple[str, ...] = (),
    **changes: object,
) -> set[tuple[str, str]]:
    alarm = msgspec.structs.replace(ALARM, standing=standing, **changes)
    asked = Asked(0, int(after_s * NS), is_new, frozenset(told))
    return {(due.contact, due.step) for due in decide(Rules(contacts=CONTACTS, rules=(rule,)), alarm, asked)}


@pytest.mark.parametrize(
    ("after_s", "steps"),
    [
        (0, {("duty", "raised")}),
        (119, {("duty", "raised")}),
        (120, {("duty", "raised"), ("chief", "escalation-1")}),
        (300, {("duty", "raised"), ("chief", "escalation-1"), ("duty", "again-1"), ("chief", "again-1")}),
        (
            600,
            {
                ("duty", "raised"),
                ("chief", "escalation-1"),
                ("mayor", "escalation-2"),
                ("duty", "again-2"),
                ("chief", "again-2"),
                ("mayor", "again-2"),
            },
        ),
    ],
)
def test_the_ladder_of_an_alarm_that_nobody_acknowledges(after_s: float, steps: set[tuple[str, str]]) -> None:
    assert ask(LADDER, after_s=after_s) == steps


def test_acknowledgement_stops_the_ladder() -> None:
    assert ask(LADDER, int(Standing.ACTIVE), 10_000) == set()


def test_an_alarm_that_returned_unacknowledged_still_climbs() -> None:
    assert ("chief", "escalation-1") in ask(LADDER, int(Standing.UNACKNOWLEDGED), 120)


@pytest.mark.parametrize("flag", [Standing.SHELVED, Standing.SUPPRESSED, Standing.OUT_OF_SERVICE])
def test_nobody_is_called_for_an_alarm_that_is_set_aside(flag: Standing) -> None:
    assert ask(LADDER, UP | int(flag), 10_000, is_new=True) == set()
    assert ask(LADDER, int(flag), 10_000, told=("duty",)) == set()


def test_a_short_alarm_is_told_at_once_and_with_a_delay_not_at_all() -> None:
    assert ask(LADDER, 0, is_new=True) == {("duty", "raised")}
    assert ask(msgspec.structs.replace(LADDER, after_s=5), 0, 10, is_new=True) == set()


def test_a_delay_counts_from_when_the_fleet_knew() -> None:
    late = msgspec.structs.replace(LADDER, after_s=60)
    assert ask(late, after_s=59) == set()
    assert ask(late, after_s=60) == {("duty", "raised")}


def test_only_who_was_told_hears_of_the_return_and_only_if_asked() -> None:
    assert ask(LADDER, 0, told=("duty", "chief")) == {("duty", "returned"), ("chief", "returned")}
    assert ask(msgspec.structs.replace(LADDER, on_return=False), 0, told=("duty",)) == set()
    assert ask(LADDER, int(Standing.LATCHED), told=("duty",)) == set()


def test_a_cap_alert_is_cancelled_unasked_once_nobody_is_called_any_more() -> None:
    contact = Contact(name="bureau", kind="cap", url="http://host/", sender="me")
    rules = Rules(contacts=(contact,), rules=(Rule(contacts=("bureau",)),))
    asked = Asked(0, 0, told=frozenset({"bureau"}))
    waiting = msgspec.structs.replace(ALARM, standing=int(Standing.UNACKNOWLEDGED))
    assert decide(rules, waiting, asked) == {Due("bureau", "raised")}
    assert decide(rules, msgspec.structs.replace(ALARM, standing=0), asked) == {Due("bureau", "returned")}


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        (Rule(contacts=("duty",), priorities=(1, 2), sites=("yufu-chem",), sectors=("chemical",)), True),
        (Rule(contacts=("duty",), priorities=(2,)), False),
        (Rule(contacts=("duty",), gateways=("another",)), False),
        (Rule(contacts=("duty",), sites=("another",)), False),
        (Rule(contacts=("duty",), sectors=("weather",)), False),
    ],
)
def test_filters(rule: Rule, is_told: bool) -> None:
    assert bool(ask(rule)) is is_told


def test_a_contact_of_two_rules_is_told_once() -> None:
    rules = Rules(contacts=CONTACTS, rules=(Rule(contacts=("duty",)), Rule(contacts=("duty", "chief"))))
    assert decide(rules, ALARM, Asked(0, 0)) == {Due("duty", "raised"), Due("chief", "raised")}
