"""Alarm rules against hand-made scans, and against a reference that looks at the whole history each time."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from drivers.base import Scan
from edge.alarm_settings import AlarmRule
from edge.alarms import Alarms, Standpoint
from wire.alarm import Standing
from wire.sample import Quality, Value, is_bad

S = 1_000_000_000
COLUMNS = {"tank.fast": ("tank.level", "tank.pressure")}


def scan(value: Value, at_s: float = 0.0, quality: int = 0, other: Value = None) -> Scan:
    other_quality = Quality.BAD if other is None else Quality.GOOD
    return Scan("tank.fast", int(at_s * S), (value, other), (quality, int(other_quality)))


def rule(level: str = "high", limit: float = 80.0, **more: object) -> AlarmRule:
    return AlarmRule(tag="tank.level", level=level, limit=limit, **more)


UP = Standpoint(standing=Standing.ACTIVE | Standing.UNACKNOWLEDGED, occurrence=5)


def active(alarms: Alarms) -> set[str]:
    return {name for name, one in alarms.states.items() if one.alarm.is_active}


def changes(alarms: Alarms, *scans: Scan) -> list[tuple[str, str]]:
    return [(change.rule.level, change.change) for one in scans for change in alarms.evaluate(one)]


def run(given_rule: AlarmRule, *values: Value) -> list[str]:
    alarms = Alarms([given_rule], COLUMNS)
    return [change for _, change in changes(alarms, *(scan(value, at) for at, value in enumerate(values)))]


@pytest.mark.parametrize("level", ["high", "high-high"])
def test_upper_alarm_is_raised_at_its_limit_and_cleared_below_it(level) -> None:
    assert run(rule(level), 79.9, 80.0) == ["raised"]
    assert run(rule(level), 79.9, 80.0, 80.1, 80.0) == ["raised"]
    assert run(rule(level), 80.0, 79.999) == ["raised", "cleared"]


@pytest.mark.parametrize("level", ["low", "low-low"])
def test_lower_alarm_is_raised_at_its_limit_and_cleared_above_it(level) -> None:
    assert run(rule(level, 20.0), 20.1, 20.0) == ["raised"]
    assert run(rule(level, 20.0), 20.0, 19.0, 20.0) == ["raised"]
    assert run(rule(level, 20.0), 20.0, 20.001) == ["raised", "cleared"]


def test_deadband_holds_the_alarm_until_it_is_passed() -> None:
    assert run(rule(deadband=5.0), 80, 76, 75.1) == ["raised"]
    assert run(rule(deadband=5.0), 80, 75.0) == ["raised", "cleared"]
    assert run(rule("low", 20.0, deadband=5.0), 20, 24.9) == ["raised"]
    assert run(rule("low", 20.0, deadband=5.0), 20, 25.0) == ["raised", "cleared"]


def test_value_that_rests_on_the_limit_does_not_chatter() -> None:
    assert run(rule(), *[80.0] * 10) == ["raised"]


def test_on_delay_counts_from_the_first_sample_beyond_and_starts_again_after_a_sample_back() -> None:
    delayed = rule(on_delay_s=2.0)
    assert run(delayed, 90, 90) == []
    assert run(delayed, 90, 90, 90) == ["raised"]
    assert run(delayed, 90, 90, 70, 90, 90) == []
    assert run(delayed, 90, 90, 70, 90, 90, 90) == ["raised"]


def test_on_delay_that_ended_before_a_late_sample_back_is_raised_all_the_same() -> None:
    alarms = Alarms([rule(on_delay_s=2.0)], COLUMNS)
    assert changes(alarms, scan(90), scan(91, 1.5)) == []
    found = alarms.evaluate(scan(70, 10.0))
    assert [(change.change, change.value) for change in found] == [("raised", 91), ("cleared", 70)]
    assert [bool(change.standing & Standing.ACTIVE) for change in found] == [True, False]
    assert alarms.evaluate(scan(70, 11.0)) == []


def test_on_delay_that_ends_with_the_sample_back_is_not_raised() -> None:
    assert changes(Alarms([rule(on_delay_s=2.0)], COLUMNS), scan(90), scan(70, 2.0)) == []


def test_off_delay_counts_from_the_first_sample_back() -> None:
    delayed = rule(off_delay_s=2.0)
    assert run(delayed, 90, 70, 70) == ["raised"]
    assert run(delayed, 90, 70, 70, 70) == ["raised", "cleared"]
    assert run(delayed, 90, 70, 70, 90, 70, 70) == ["raised"]


UNUSABLE = [None, "95", math.nan, "nan", ""]


@pytest.mark.parametrize("value", UNUSABLE)
def test_sample_without_a_number_neither_raises_nor_clears(value) -> None:
    assert run(rule(), value) == []
    assert run(rule(), 90, value, 90) == ["raised"]
    assert run(rule("low", 20.0), 10, value) == ["raised"]


@pytest.mark.parametrize("quality", [q for q in Quality if is_bad(q)] + [0xFF])
def test_bad_sample_neither_raises_nor_clears_whatever_its_number(quality) -> None:
    alarms = Alarms([rule()], COLUMNS)
    assert changes(alarms, scan(99.0, 0, quality)) == []
    assert changes(alarms, scan(99.0, 1)) == [("high", "raised")]
    assert changes(alarms, scan(1.0, 2, quality)) == []
    assert changes(alarms, scan(1.0, 3)) == [("high", "cleared")]


def test_uncertain_sample_counts() -> None:
    alarms = Alarms([rule()], COLUMNS)
    (change,) = alarms.evaluate(scan(99.0, 0, Quality.UNCERTAIN_RANGE))
    assert (change.change, change.quality) == ("raised", Quality.UNCERTAIN_RANGE)


def test_unusable_sample_does_not_start_a_delay_again() -> None:
    assert run(rule(on_delay_s=2.0), 90, None, 90) == ["raised"]


def test_infinite_value_may_raise_an_alarm_but_never_end_one() -> None:
    assert run(rule(), math.inf) == ["raised"]
    assert run(rule("low", 20.0), -math.inf) == ["raised"]
    assert run(rule(), 90, -math.inf) == ["raised"]
    assert run(rule("low", 20.0), 10, math.inf) == ["raised"]
    assert run(rule(), 90, -math.inf, 70) == ["raised", "cleared"]


def test_switch_is_watched_as_zero_and_one() -> None:
    assert run(rule(limit=1.0), False, True, False) == ["raised", "cleared"]
    assert run(rule("low", 0.0), True, False) == ["raised"]


def test_whole_number_of_any_length_is_a_number() -> None:
    assert run(rule(), 2**64, 0) == ["raised", "cleared"]


def test_most_urgent_change_comes_first_and_each_level_stands_for_itself() -> None:
    rules = [rule("high", 80.0, priority=3), rule("high-high", 90.0, priority=1)]
    pressure = AlarmRule(tag="tank.pressure", level="high", limit=1.0, priority=2)
    alarms = Alarms([*rules, pressure], COLUMNS)
    assert [change.rule.priority for change in alarms.evaluate(scan(95.0, 0, other=2.0))] == [1, 2, 3]
    assert changes(alarms, scan(85.0, 1)) == [("high-high", "cleared")]
    assert active(alarms) == {"tank.level:high", "tank.pressure:high"}


def test_change_carries_value_and_time_of_the_sample_that_brought_it() -> None:
    (change,) = Alarms([rule()], COLUMNS).evaluate(scan(81, 7))
    assert (change.value, change.mono_ns, change.quality) == (81.0, 7 * S, 0)


def test_alarm_that_was_up_before_a_restart_is_not_raised_again_but_cleared() -> None:
    alarms = Alarms([rule()], COLUMNS, before={"tank.level:high": UP})
    assert active(alarms) == {"tank.level:high"}
    assert changes(alarms, scan(95.0, 0)) == []
    assert changes(alarms, scan(10.0, 1)) == [("high", "cleared")]


def test_name_of_an_alarm_without_a_rule_is_passed_over() -> None:
    assert not active(Alarms([rule()], COLUMNS, before={"tank.level:low": UP}))


def test_scan_without_rules_brings_nothing() -> None:
    assert Alarms([rule()], COLUMNS).evaluate(Scan("tank.slow", 0, (99.0,), (0,))) == []


def by_history(given_rule: AlarmRule, samples: list[tuple[int, Value, int]]) -> list[tuple[int, str]]:
    """The same rule as the manual tells it, from the list of all samples, with exact numbers."""
    usable: list[tuple[int, float]] = []
    found: list[tuple[int, str]] = []
    up, since_change, began = False, 0, math.inf
    for at, value, quality in samples:
        if not up and at > began + given_rule.on_delay_s * S:  # the delay ended before this sample
            up, since_change, began = True, len(usable), math.inf
            found.append((at, "raised"))
        if quality >= 128 or isinstance(value, str) or value is None or math.isnan(value):
            continue
        here = len(usable)
        usable.append((at, float(value)))
        wanted = []
        for _, number in usable[since_change : here + 1]:
            if math.isinf(number):
                beyond, back = (number > 0) == given_rule.is_upper, False
            else:
                out = Fraction(number) - Fraction(given_rule.limit)
                out = out if given_rule.is_upper else -out
                beyond = out >= 0
                back = out <= -Fraction(given_rule.deadband) if given_rule.deadband else out < 0
            wanted.append(back if up else beyond)
        streak = next((n for n, wants in enumerate(reversed(wanted)) if not wants), len(wanted))
        began = usable[here - streak + 1][0] if streak else math.inf
        delay_s = given_rule.off_delay_s if up else given_rule.on_delay_s
        if streak and at - began >= delay_s * S:
            up, since_change, began = not up, here + 1, math.inf
            found.append((at, "raised" if up else "cleared"))
    return found


VALUES = (
    st.integers(-6, 6).map(float)
    | st.integers(-6, 6)
    | st.sampled_from([None, math.nan, math.inf, -math.inf, "x", True])
)
SAMPLES = st.lists(st.tuples(st.integers(1, 2), VALUES, st.sampled_from([0, 0, 0, 0x40, 0x81])), max_size=40)
RULES = st.builds(
    AlarmRule,
    tag=st.just("tank.level"),
    level=st.sampled_from(["high-high", "high", "low", "low-low"]),
    limit=st.integers(-3, 3).map(float),
    deadband=st.sampled_from([0.0, 1.0, 2.5]),
    on_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
    off_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
)


@given(RULES, SAMPLES)
def test_rule_does_what_the_whole_history_says(given_rule, steps) -> None:
    samples, now = [], 0
    for step, value, quality in steps:
        now += step * S
        samples.append((now, value, quality))
    alarms = Alarms([given_rule], COLUMNS)
    seen = [
        (change.mono_ns, change.change)
        for at, value, quality in samples
        for change in alarms.evaluate(Scan("tank.fast", at, (value, None), (quality, 0x80)))
    ]
    assert seen == by_history(given_rule, samples)


WIDE = ("tank.level", "tank.pressure", "tank.flow")
ROWS = st.lists(
    st.tuples(
        st.tuples(VALUES, VALUES, VALUES),
        st.tuples(*[st.sampled_from([0, 0, 0, 0, 0x40, 0x81])] * 3),
        st.integers(1, 2),
    ),
    max_size=30,
)


@given(st.lists(RULES, max_size=4), st.lists(RULES, max_size=4), ROWS, st.booleans())
def test_rules_of_a_group_do_together_what_each_does_alone(ofs_level, ofs_flow, rows, are_up) -> None:
    rules = {one.name: one for one in [*ofs_level, *(structs.replace(one, tag="tank.flow") for one in ofs_flow)]}
    alarms = Alarms(rules.values(), {"tank.fast": WIDE}, before=dict.fromkeys(rules, UP) if are_up else {})
    alone = {name: Alarms([one], {"alone": (one.tag,)}, {name: UP} if are_up else {}) for name, one in rules.items()}
    now = 0
    for values, quality, step in rows:
        now += step * S
        expected = []
        for name, state in alone.items():
            at = WIDE.index(rules[name].tag)
            scan_alone = Scan("alone", now, (values[at],), (quality[at],))
            expected += [(name, change.change) for change in state.evaluate(scan_alone)]
        seen = alarms.evaluate(Scan("tank.fast", now, values, quality))
        assert sorted((change.rule.name, change.change) for change in seen) == sorted(expected)
        assert active(alarms) == set().union(*(active(state) for state in alone.values()))
