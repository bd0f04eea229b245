"""Every kind of alarm, what bad input does to it, and alarms that follow from others."""

from __future__ import annotations

import math

import pytest

from drivers.base import Scan
from edge.alarm_settings import AlarmRule
from edge.alarms import NEVER, Alarms, Standpoint
from edge.operating import Operation, OperationError
from wire.alarm import AlarmRequest, Standing
from wire.sample import Quality, Value

S = 1_000_000_000
COLUMNS = {"tank.fast": ("tank.level",), "plan.slow": ("plan.level",)}
BAD = int(Quality.BAD)


def rule(level: str, **more: object) -> AlarmRule:
    return AlarmRule(tag="tank.level", level=level, **more)


def begin(*rules: AlarmRule, **more: object) -> Alarms:
    alarms = Alarms(rules, COLUMNS, **more)
    alarms.start(0)
    return alarms


def feed(alarms: Alarms, value: Value, at_s: float, quality: int = 0, group: str = "tank.fast") -> list[str]:
    return words(alarms.evaluate(Scan(group, int(at_s * S), (value,), (quality,))))


def words(changes) -> list[str]:
    return [f"{change.rule.name.partition(':')[2]} {change.change}" for change in changes]


def run(one: AlarmRule, *values: Value) -> list[str]:
    alarms = begin(one)
    return [word.partition(" ")[2] for at, value in enumerate(values) for word in feed(alarms, value, at)]


def test_deviation_is_the_distance_from_a_number() -> None:
    one = rule("deviation", limit=2.0, setpoint=10.0, deadband=0.5)
    assert run(one, 10.0, 11.9, 12.0, 11.6, 11.5) == ["raised", "cleared"]
    assert run(one, 8.0) == ["raised"]


def test_deviation_from_another_tag_waits_until_that_has_a_value_and_follows_it() -> None:
    alarms = begin(rule("deviation", limit=2.0, setpoint="plan.level"))
    assert feed(alarms, 50.0, 0) == []
    feed(alarms, 49.0, 1, group="plan.slow")
    assert feed(alarms, 50.0, 2) == []
    feed(alarms, 40.0, 3, group="plan.slow")
    assert feed(alarms, 50.0, 4) == ["deviation raised"]
    feed(alarms, 50.0, 5, BAD, group="plan.slow")
    assert feed(alarms, 50.0, 6) == []


@pytest.mark.parametrize(
    ("direction", "values", "said"),
    [
        ("rising", [0, 1, 2, 3], ["raised"]),
        ("rising", [3, 2, 1, 0], []),
        ("falling", [3, 2, 1, 0], ["raised"]),
        ("either", [0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3], ["raised", "cleared"]),
    ],
)
def test_rate_is_the_change_within_its_window(direction, values, said) -> None:
    assert run(rule("rate", limit=3.0, window_s=10.0, direction=direction), *values) == said


@pytest.mark.parametrize(
    ("equals", "values"), [(2, [1, 2, 2, 1]), (True, [False, True, False]), ("FAULT", ["OK", "FAULT", "OK"])]
)
def test_discrete_is_one_value(equals, values) -> None:
    assert run(rule("discrete", equals=equals), *values) == ["raised", "cleared"]


def test_bit_is_one_bit_of_a_whole_number() -> None:
    assert run(rule("bit", bit=2), 0, 4, 5, 3) == ["raised", "cleared"]
    assert run(rule("bit", bit=0, is_set=False), 1, 2, 3) == ["raised", "cleared"]
    assert run(rule("bit", bit=2), 4.5, "4", 1 << 2) == ["raised"]


def test_bad_is_no_good_value_whatever_the_reason() -> None:
    assert run(rule("bad"), 1.0, None, math.nan, 2.0) == ["raised", "cleared"]
    alarms = begin(rule("bad"))
    assert feed(alarms, 5.0, 0, BAD) == ["bad raised"]
    assert feed(alarms, 5.0, 1, Quality.UNCERTAIN_RANGE) == ["bad cleared"]
    assert run(rule("bad"), math.inf) == []


def test_silence_counts_from_the_last_good_value_and_from_the_start() -> None:
    alarms = begin(rule("silent", silent_s=30.0))
    assert alarms.due_ns == 30 * S
    feed(alarms, 1.0, 10)
    assert words(alarms.tick(39 * S)) == []
    feed(alarms, None, 20, BAD)
    assert words(alarms.tick(40 * S)) == ["silent raised"]
    assert feed(alarms, 1.0, 41) == ["silent cleared"]


def test_total_sums_amounts_over_its_window() -> None:
    alarms = begin(rule("total", limit=5.0, window_s=3600.0, kind="amount", deadband=1.0))
    said = [feed(alarms, 1.0, 60 * minute) for minute in range(8)]
    assert [word for each in said for word in each] == ["total raised"]
    ends = [minute for minute in range(8, 90) if feed(alarms, 0.0, 60 * minute)]
    assert len(ends) == 1
    assert 60 <= ends[0] <= 64, "when four of the eight are left in it"


def test_total_of_a_counter_is_what_it_grew_by() -> None:
    alarms = begin(rule("total", limit=5.0, window_s=3600.0, kind="counter"))
    said = [feed(alarms, 100.0 + minute, 60 * minute) for minute in range(7)]
    assert [word for each in said for word in each] == ["total raised"]


@pytest.mark.parametrize(
    "one",
    [
        rule("deviation", limit=2.0, setpoint=1.0),
        rule("rate", limit=2.0, window_s=60.0),
        rule("discrete", equals=9.0),
        rule("bit", bit=3),
        rule("total", limit=3.0, window_s=60.0, kind="amount"),
    ],
    ids=lambda one: one.level,
)
@pytest.mark.parametrize("value", [None, math.nan, "nothing"])
def test_what_is_no_value_neither_raises_nor_clears(one, value) -> None:
    assert run(one, value, value) == []
    alarms = begin(one, before={one.name: Standpoint(standing=Standing.ACTIVE, occurrence=1)})
    assert feed(alarms, value, 1) == []
    assert alarms.states[one.name].alarm.is_active


def test_time_that_goes_back_is_taken_as_the_last_time() -> None:
    alarms = begin(rule("high", limit=1.0, on_delay_s=5.0))
    assert feed(alarms, 2.0, 10) == []
    assert feed(alarms, 2.0, 3) == []
    assert feed(alarms, 2.0, 14.9) == []
    assert feed(alarms, 2.0, 15) == ["high raised"]


def test_on_delay_ends_without_a_value_and_off_delay_does_not() -> None:
    alarms = begin(rule("high", limit=1.0, on_delay_s=5.0, off_delay_s=5.0))
    feed(alarms, 2.0, 10)
    assert words(alarms.tick(15 * S)) == ["high raised"]
    feed(alarms, 0.0, 20)
    assert words(alarms.tick(60 * S)) == []
    assert feed(alarms, 0.0, 61) == ["high cleared"]


DETECTORS = tuple(AlarmRule(tag=f"gd-0{n}.gas", level="high", limit=25.0) for n in (1, 2, 3))
GAS = {f"gd-0{n}.fast": (f"gd-0{n}.gas",) for n in (1, 2, 3)}


def voting(**more: object) -> AlarmRule:
    return AlarmRule(level="combined", label="zone", of=tuple(one.name for one in DETECTORS), need=2, **more)


def gas(alarms: Alarms, number: int, value: float, at_s: float) -> list[str]:
    changes = alarms.evaluate(Scan(f"gd-0{number}.fast", int(at_s * S), (value,), (0,)))
    return [f"{change.rule.name} {change.change}" for change in changes if change.rule.level == "combined"]


def test_two_of_three_detectors_make_an_alarm() -> None:
    alarms = Alarms([*DETECTORS, voting()], GAS)
    assert gas(alarms, 1, 30.0, 0) == []
    assert gas(alarms, 3, 30.0, 1) == ["zone:combined raised"]
    assert gas(alarms, 1, 5.0, 2) == ["zone:combined cleared"]


def test_detectors_that_were_up_within_the_window_count_until_it_ends() -> None:
    alarms = Alarms([*DETECTORS, voting(window_s=10.0)], GAS)
    gas(alarms, 1, 30.0, 0)
    gas(alarms, 1, 5.0, 1)
    assert gas(alarms, 2, 30.0, 5) == ["zone:combined raised"]
    assert alarms.due_ns == 11 * S
    assert [change.change for change in alarms.tick(11 * S)] == ["cleared"]


def test_member_out_of_service_counts_no_more_and_does_not_lower_the_need() -> None:
    alarms = Alarms([*DETECTORS, voting()], GAS)
    request = AlarmRequest(alarm=DETECTORS[0].name)
    alarms.operate(Operation(action="remove", request=request, by="Li", where="page"), 0)
    gas(alarms, 1, 30.0, 0)
    assert gas(alarms, 2, 30.0, 1) == []
    assert gas(alarms, 3, 30.0, 2) == ["zone:combined raised"]


def test_alarm_suppressed_by_another_is_judged_and_calls_nobody() -> None:
    cause = rule("high", limit=1.0)
    other = rule("low", limit=5.0, suppressed_by=(cause.name,))
    alarms = begin(cause, other)
    assert feed(alarms, 2.0, 0) == ["high raised", "low suppressed", "low raised"]
    assert alarms.states[other.name].alarm.standing == Standing.ACTIVE | Standing.UNACKNOWLEDGED | Standing.SUPPRESSED
    assert feed(alarms, 0.0, 1) == ["high cleared", "low unsuppressed"]


def test_shelving_whose_end_has_passed_is_over_at_the_start() -> None:
    one = rule("high", limit=1.0)
    stood = Standpoint(standing=Standing.ACTIVE | Standing.SHELVED, occurrence=7, until_ns=5 * S)
    alarms = Alarms([one], COLUMNS, {one.name: stood})
    (change,) = alarms.start(5 * S)
    assert (change.change, change.standing, change.until_ns) == ("unshelved", Standing.ACTIVE, NEVER)


def test_request_for_an_alarm_that_is_not_there_says_so() -> None:
    operation = Operation(action="shelve", request=AlarmRequest(alarm="tank.level:low"), by="Li", where="page")
    with pytest.raises(OperationError, match="there is no alarm"):
        begin(rule("high", limit=1.0)).operate(operation, 0)


def test_alarm_that_was_acknowledged_stays_so_over_a_restart_and_is_not_raised_again() -> None:
    one = rule("high", limit=1.0)
    alarms = begin(one, before={one.name: Standpoint(standing=Standing.ACTIVE, occurrence=7)})
    assert feed(alarms, 2.0, 1) == []
    assert alarms.states[one.name].alarm.standing == Standing.ACTIVE
    assert alarms.states[one.name].alarm.occurrence == 7
