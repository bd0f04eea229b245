"""Quality rules: what they catch, what they must not catch, and that none of them holds on for ever."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Scan
from edge.quality import HOLDS, GroupCheck, Relation, TagCheck
from edge.settings import Check
from tests.edge.readings import NS, at
from wire.sample import Quality, is_bad, is_good

TEMPERATURE = Check(low=-80, high=60, step=3, step_s=60, stuck=0.1, stuck_s=3600)
HUMIDITY = Check(low=0, high=104, clip_high=100, stuck=1, stuck_s=3600, stuck_to=95)
DIRECTION = Check(low=0, high=360, circle=360, step=90, step_s=10, stuck=10, stuck_s=3600, stuck_from=1)


def grade(check: Check, readings: list[tuple[float, float]]) -> list[int]:
    """The quality of (seconds, value), one after the other."""
    rule = TagCheck(check)
    return [rule.judge(value, 0, at(seconds))[1] for seconds, value in readings]


@pytest.mark.parametrize("value", [-80.1, 60.1, math.inf, -math.inf, math.nan])
def test_value_that_cannot_be_is_bad_and_stays_to_be_seen(value) -> None:
    shown, quality = TagCheck(TEMPERATURE).judge(value, 0, at(0))
    assert shown is value
    assert quality == Quality.BAD_RANGE


@pytest.mark.parametrize("value", [-80, -80.0, 0, 60.0])
def test_ends_of_the_range_belong_to_it(value) -> None:
    assert TagCheck(TEMPERATURE).judge(value, 0, at(0)) == (value, 0)


@pytest.mark.parametrize(("value", "quality"), [("calm", 0), (True, 0), (None, 0x81), (999.0, 0x85)])
def test_what_is_no_number_or_bad_already_is_left_alone(value, quality) -> None:
    assert TagCheck(TEMPERATURE).judge(value, quality, at(0)) == (value, quality)


def test_reason_of_the_instrument_is_kept_unless_the_value_cannot_be() -> None:
    rule = TagCheck(TEMPERATURE)
    rule.judge(20.0, 0, at(0))
    assert rule.judge(40.0, Quality.UNCERTAIN_STATUS, at(1)) == (40.0, Quality.UNCERTAIN_STATUS)
    assert rule.judge(400.0, Quality.UNCERTAIN_STATUS, at(2)) == (400.0, Quality.BAD_RANGE)


@pytest.mark.parametrize(
    ("value", "expected"), [(99.9, (99.9, 0)), (100.4, (100, 0)), (104, (100, 0)), (104.1, (104.1, 0x86))]
)
def test_humidity_a_little_above_saturation_is_saturation(value, expected) -> None:
    assert TagCheck(HUMIDITY).judge(value, 0, at(0)) == expected


def test_spike_is_uncertain_and_leaves_no_trace() -> None:
    assert grade(TEMPERATURE, [(0, 20), (1, 20.1), (2, 35), (3, 20.2), (4, 20)]) == [0, 0, Quality.UNCERTAIN_STEP, 0, 0]


def test_spike_out_of_range_teaches_the_step_nothing() -> None:
    assert grade(TEMPERATURE, [(0, 20), (1, 999), (2, 20)]) == [0, Quality.BAD_RANGE, 0]


def test_true_jump_is_uncertain_for_step_s_and_then_good() -> None:
    readings = [(0, 20.0), *((s, 35.0 + 0.01 * (s % 7)) for s in range(1, 200))]
    graded = grade(TEMPERATURE, readings)
    assert graded[1:61] == [Quality.UNCERTAIN_STEP] * 60
    assert not any(graded[61:])


@pytest.mark.parametrize("away", [1e6, -1e6])
@pytest.mark.parametrize("poll_s", [1, 20, 60, 240])
def test_jump_however_far_is_believed_in_the_end(away, poll_s) -> None:
    check = Check(step=3, step_s=60)
    graded = grade(check, [(0, 20.0), *((poll_s * n, away) for n in range(1, 100))])
    assert graded[1] == Quality.UNCERTAIN_STEP
    assert graded[-1] == 0


def test_creeping_change_is_a_step_when_it_adds_up_within_step_s() -> None:
    graded = grade(TEMPERATURE, [(s, 20 + 0.2 * s) for s in range(30)])
    assert not any(graded[:15])
    assert graded[17] == Quality.UNCERTAIN_STEP


def test_change_as_fast_as_allowed_is_good_for_ever() -> None:
    assert not any(grade(TEMPERATURE, [(s, 20 + 2.8 * s / 60) for s in range(600)]))


def test_after_a_silence_a_change_is_judged_by_its_rate() -> None:
    assert grade(TEMPERATURE, [(0, 20), (600, 49)]) == [0, 0]
    assert grade(TEMPERATURE, [(0, 20), (600, 51)]) == [0, Quality.UNCERTAIN_STEP]


@given(
    st.lists(st.tuples(st.floats(0.01, 300), st.floats(-1e9, 1e9)), max_size=60),
    st.floats(-1e9, 1e9),
    st.floats(0.1, 200),
)
def test_whatever_came_before_a_value_that_stays_becomes_good(past, value, poll_s) -> None:
    rule = TagCheck(Check(step=3, step_s=60))
    seconds = 0.0
    for pause, earlier in past:
        seconds += pause
        rule.judge(earlier, 0, at(seconds))
    for _ in range(2 + math.ceil(60 / poll_s)):
        seconds += poll_s
        quality = rule.judge(value, 0, at(seconds))[1]
    assert quality == 0


@given(st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=300))
def test_reading_within_half_a_step_of_a_level_is_never_a_step(values) -> None:
    assert not any(grade(Check(step=3, step_s=60), list(enumerate(values))))


def test_value_that_has_not_moved_for_an_hour_is_uncertain_until_it_moves() -> None:
    still = [(60 * n, 20 + 0.01 * (n % 3)) for n in range(70)]
    graded = grade(TEMPERATURE, [*still, (4200, 20.2), (4260, 20.0)])
    assert not any(graded[:60])
    assert set(graded[60:70]) == {Quality.UNCERTAIN_STUCK}
    assert graded[70:] == [0, 0]


def test_value_that_moves_within_the_hour_is_never_stuck() -> None:
    assert not any(grade(TEMPERATURE, [(60 * n, 20 + 0.2 * math.sin(n / 8)) for n in range(600)]))


def test_two_equal_readings_with_a_long_silence_between_are_not_stuck() -> None:
    assert not any(grade(TEMPERATURE, [(0, 20), (5000, 20), (5060, 20)]))


def test_bad_readings_in_between_prove_nothing() -> None:
    rule = TagCheck(TEMPERATURE)
    graded = [
        rule.judge(20.0 if n < 5 or n > 60 else None, 0 if n < 5 or n > 60 else 0x81, at(60 * n)) for n in range(70)
    ]
    assert not any(quality for _, quality in graded[61:])


def test_saturated_air_may_stay_saturated() -> None:
    assert not any(grade(HUMIDITY, [(60 * n, 101) for n in range(200)]))
    assert Quality.UNCERTAIN_STUCK in grade(HUMIDITY, [(60 * n, 60) for n in range(200)])


def test_calm_may_last() -> None:
    assert not any(grade(DIRECTION, [(60 * n, 0) for n in range(200)]))
    assert not any(grade(Check(stuck=0.5, stuck_from=0.1), [(60 * n, 0) for n in range(200)]))


def test_direction_is_compared_the_short_way_round() -> None:
    assert grade(DIRECTION, [(0, 350), (1, 10), (2, 359)]) == [0, 0, 0]
    assert grade(DIRECTION, [(0, 350), (1, 100)]) == [0, Quality.UNCERTAIN_STEP]


def test_vane_that_only_trembles_around_north_is_stuck() -> None:
    assert grade(DIRECTION, [(60 * n, 358 if n % 2 else 2) for n in range(70)])[-1] == Quality.UNCERTAIN_STUCK


def test_vane_that_turns_all_the_way_round_is_not_stuck() -> None:
    assert not any(grade(Check(circle=360, stuck=10), [(60 * n, 15 * n % 360) for n in range(100)]))


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats() | st.text() | st.none() | st.booleans(), st.integers(0, 255)))
)
def test_no_rule_makes_a_reading_better_or_changes_it_without_saying_so(readings) -> None:
    rule = TagCheck(DIRECTION)
    seconds = 0.0
    for pause, value, quality in readings:
        seconds += pause
        shown, graded = rule.judge(value, quality, at(seconds))
        assert shown is value or shown == value
        assert graded == quality or is_good(quality) or is_bad(graded)
        if is_good(graded) and isinstance(value, float):
            assert 0 <= value <= 360


def relation(key: str, group: str = "mast.a", age_s: float = 2) -> Relation:
    return Relation(0, HOLDS[key], group, 1 if group == "mast.a" else 0, int(age_s * NS))


def related(key: str, own: object, other: object, other_quality: int = 0) -> int:
    check = GroupCheck({0: Check()}, [relation(key)], {})
    return check.apply(Scan("mast.a", at(0), (own, other), (0, other_quality))).quality[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "own", "other", "is_consistent"),
    [
        ("at_most", 10.0, 10.0, True),
        ("at_most", 10.1, 10.0, False),
        ("at_least", 5.0, 4.9, True),
        ("at_least", 4.8, 4.9, False),
        ("zero_with", 0, 0.0, True),
        ("zero_with", 90, 2.0, True),
        ("zero_with", 0, 2.0, False),
        ("zero_with", 90, 0.0, False),
    ],
)
def test_tags_of_one_scan_must_not_contradict_each_other(key, own, other, is_consistent) -> None:
    assert related(key, own, other) == (0 if is_consistent else Quality.UNCERTAIN_INCONSISTENT)


@pytest.mark.parametrize(("other", "quality"), [(None, 0x81), (1.0, 0x86), ("x", 0), (math.nan, 0)])
def test_partner_without_a_usable_value_contradicts_nothing(other, quality) -> None:
    assert related("at_most", 10.0, other, quality) == 0


def test_uncertain_partner_still_contradicts() -> None:
    assert related("at_most", 10.0, 5.0, Quality.UNCERTAIN_STEP) == Quality.UNCERTAIN_INCONSISTENT


@pytest.mark.parametrize(("age_s", "quality"), [(1, Quality.UNCERTAIN_INCONSISTENT), (3, 0)])
def test_partner_in_another_group_counts_while_it_is_new(age_s, quality) -> None:
    last = {"mast.b": Scan("mast.b", at(-age_s), (5.0,), (0,))}
    check = GroupCheck({0: Check()}, [relation("at_most", "mast.b")], last)
    assert check.apply(Scan("mast.a", at(0), (10.0,), (0,))).quality == (quality,)


def test_partner_that_was_never_read_contradicts_nothing() -> None:
    check = GroupCheck({0: Check()}, [relation("at_most", "mast.b")], {})
    assert check.apply(Scan("mast.a", at(0), (10.0,), (0,))).quality == (0,)
