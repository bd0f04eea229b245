"""Derived tags against published figures and plain sums, and their quality by what went in."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.base import Scan
from edge.derive import FORMULAS, Deriver, Formula, dew_point, to_direction, to_vector
from edge.formulas import SIGNATURES
from edge.settings import DerivedGroup, DerivedTag
from tests.edge.readings import at
from wire.sample import Quality, Value

Result = tuple[Value, int]


def tag(formula: str, of: tuple[str, ...], window_s: float | None = None, **more: object) -> DerivedTag:
    return DerivedTag(
        **{"name": "mast.x", "formula": formula, "of": of, "window_s": window_s, "kind": None, "wrap": None, **more}  # type: ignore[arg-type]
    )


def make(formula: str, window_s: float = 0.0, **more: object) -> Formula:
    return FORMULAS[formula](tag(formula, (), window_s, **more), window_s)


def feed(formula: Formula, values: list[object], poll_s: float = 1.0, begin_s: float = 0.0) -> list[Result]:
    """Take one reading after the other: a number, (number, quality), or a list of such for several tags."""

    def reading(value: object) -> tuple[Value, int]:
        return value if isinstance(value, tuple) else (value, 0x81 if value is None else 0)  # type: ignore[return-value]

    rows = [[reading(one) for one in (row if isinstance(row, list) else [row])] for row in values]
    return [formula.take(row, at(begin_s + poll_s * n)) for n, row in enumerate(rows)]


# Dew point. Worked examples of a maker of coatings (30 degC, 55 %), of a coater's chart in degF (70 degF, 65 % and
# 80 degF, 50 %: 57 and 59 degF), and of the tests of MetPy (10.6 degC, 37 %: 26 degF).
EXAMPLES = [(30.0, 55, 20.0), (21.1, 65, 13.9), (26.7, 50, 15.0), (10.6, 37, -3.3)]


@pytest.mark.parametrize(("temperature", "humidity", "published"), EXAMPLES)
def test_dew_point_is_the_published_one(temperature, humidity, published) -> None:
    assert dew_point(temperature, humidity) == pytest.approx(published, abs=0.6)


def saturation_goff_gratch(celsius: float) -> float:
    """Saturation vapour pressure over water in hPa after Goff and Gratch 1946: no relation to Magnus."""
    kelvin, boiling = celsius + 273.16, 373.16
    ratio = boiling / kelvin
    exponent = (
        -7.90298 * (ratio - 1)
        + 5.02808 * math.log10(ratio)
        - 1.3816e-7 * (10 ** (11.344 * (1 - kelvin / boiling)) - 1)
        + 8.1328e-3 * (10 ** (-3.49149 * (ratio - 1)) - 1)
    )
    return 1013.246 * 10**exponent


@given(st.floats(-20, 50), st.floats(5, 100))
def test_air_cooled_to_its_dew_point_is_saturated_by_an_independent_formula(temperature, humidity) -> None:
    found = dew_point(temperature, humidity)
    assert found is not None
    assume(found > -40)
    vapour = humidity / 100 * saturation_goff_gratch(temperature)
    assert saturation_goff_gratch(found) == pytest.approx(vapour, rel=0.01)
    assert found <= temperature + 1e-9


@pytest.mark.parametrize(("temperature", "humidity"), [(20, 0), (20, -5), (-46, 50), (61, 50), (math.nan, 50)])
def test_dew_point_is_none_where_no_formula_holds(temperature, humidity) -> None:
    assert make("dew_point").take([(temperature, 0), (humidity, 0)], at(0)) == (None, Quality.BAD_INPUT)


def test_humidity_above_saturation_gives_no_dew_point_above_the_temperature() -> None:
    assert make("dew_point").take([(20.0, 0), (103.0, 0)], at(0))[0] == pytest.approx(20.0)


# Wind
WIND = [(0, (0, -1)), (90, (-1, 0)), (180, (0, 1)), (270, (1, 0)), (360, (0, -1))]


@pytest.mark.parametrize(("direction", "goes_to"), WIND)
def test_wind_comes_from_its_direction(direction, goes_to) -> None:
    assert to_vector(1.0, direction) == pytest.approx(goes_to, abs=1e-12)


@given(st.floats(0.01, 75), st.floats(0.001, 360))
def test_direction_survives_the_way_through_the_vector(speed, direction) -> None:
    assert to_direction(*to_vector(speed, direction)) == pytest.approx(direction, abs=1e-6)


def test_north_is_360_and_calm_is_0() -> None:
    assert to_direction(*to_vector(5, 0)) == 360
    assert to_direction(*to_vector(0, 200)) == 0


def test_mean_direction_around_north_is_north() -> None:
    *_, (direction, quality) = feed(make("vector_direction", 120), [[2.0, 350 if n % 2 else 10] for n in range(120)])
    assert quality == 0
    assert min(direction, 360 - direction) == pytest.approx(0, abs=1e-6)


def test_strong_wind_counts_for_more_than_weak() -> None:
    *_, (direction, _) = feed(make("vector_direction", 120), [[9.0, 90] if n % 2 else [3.0, 180] for n in range(120)])
    assert direction == pytest.approx(90 + math.degrees(math.atan2(3, 9)))


def test_opposite_winds_cancel() -> None:
    readings = [[4.0, 90 if n % 2 else 270] for n in range(120)]
    assert feed(make("vector_speed", 120), readings)[-1] == (pytest.approx(0, abs=1e-9), 0)
    assert feed(make("vector_direction", 120), readings)[-1] == (0.0, 0)


@pytest.mark.parametrize("window_s", [120, 600])
def test_vector_mean_is_that_of_the_last_window_only(window_s) -> None:
    noise = random.Random(7)
    winds = [(noise.uniform(0, 20), noise.uniform(0, 360)) for _ in range(1500)]
    readings = [[speed, direction] for speed, direction in winds]
    *_, (speed, _) = feed(make("vector_speed", window_s), readings)
    *_, (direction, _) = feed(make("vector_direction", window_s), readings)
    # The same by complex numbers: a wind of speed s from d is s exp(i d) backwards.
    mean = sum(s * complex(math.cos(math.radians(d)), math.sin(math.radians(d))) for s, d in winds[-window_s:])
    assert speed == pytest.approx(abs(mean) / window_s, rel=1e-9)
    assert direction == pytest.approx(math.degrees(math.atan2(mean.imag, mean.real)) % 360, abs=1e-6)


def test_gust_is_the_highest_mean_of_three_seconds_not_the_highest_reading() -> None:
    speeds: list[object] = [5.0] * 700
    speeds[650:653] = [11.0, 14.0, 8.0]
    *_, (gust, quality) = feed(make("gust", 600), speeds)
    assert (gust, quality) == (pytest.approx(11.0), 0)


def test_gust_leaves_with_its_window() -> None:
    results = feed(make("gust", 60), [20.0] * 3 + [5.0] * 100)
    assert results[60][0] == pytest.approx(20.0)
    assert results[65][0] == pytest.approx(5.0)


def test_gust_by_plain_search() -> None:
    noise = random.Random(3)
    speeds = [noise.uniform(0, 30) for _ in range(400)]
    *_, (gust, _) = feed(make("gust", 120), list(speeds))
    assert gust == pytest.approx(max(sum(speeds[n - 2 : n + 1]) / 3 for n in range(280, 400)))


def test_no_gust_from_readings_further_apart_than_a_gust_lasts() -> None:
    assert {quality for _, quality in feed(make("gust", 600), [5.0] * 50, poll_s=5)} == {Quality.BAD_INPUT}


def test_gust_of_a_window_not_yet_full_is_marked_as_a_lower_bound() -> None:
    results = feed(make("gust", 100), [5.0] * 120)
    assert [quality for _, quality in results[:2]] == [Quality.BAD_INPUT] * 2
    assert {quality for _, quality in results[2:90]} == {Quality.UNCERTAIN_PARTIAL}
    assert {quality for _, quality in results[100:]} == {0}


# Means and their quality
def test_mean_over_the_window() -> None:
    results = feed(make("mean", 60), [float(n) for n in range(200)])
    assert results[-1] == (pytest.approx(sum(range(140, 200)) / 60), 0)


def test_mean_needs_two_thirds_of_its_window() -> None:
    results = feed(make("mean", 100), [1.0] * 120)
    assert {quality for _, quality in results[:66]} == {Quality.BAD_INPUT}
    assert {quality for _, quality in results[67:]} == {0}


def test_bad_readings_are_passed_over_until_too_few_are_left() -> None:
    results = feed(make("mean", 100), [1.0] * 100 + [None] * 50)
    assert results[130] == (1.0, 0)
    assert results[137] == (None, Quality.BAD_INPUT)


def test_one_uncertain_reading_makes_the_mean_uncertain_as_long_as_it_is_in_the_window() -> None:
    results = feed(make("mean", 60), [1.0] * 60 + [(1.0, int(Quality.UNCERTAIN_STEP))] + [1.0] * 100)
    assert results[59][1] == 0
    assert {quality for _, quality in results[60:119]} == {Quality.UNCERTAIN_INPUT}
    assert results[125][1] == 0


@pytest.mark.parametrize("reading", [(None, 0x81), (1.0, 0x86), ("x", 0), (math.nan, 0), (math.inf, 0)])
@pytest.mark.parametrize("formula", sorted(SIGNATURES))
def test_nothing_good_comes_of_readings_that_are_no_numbers(formula, reading) -> None:
    kind = "counter" if formula == "rain_sum" else None
    made = make(formula, 60.0, kind=kind)
    readings = [reading] * len(SIGNATURES[formula].takes)
    assert {made.take(readings, at(n)) for n in range(200)} == {(None, int(Quality.BAD_INPUT))}


# Rain
def test_rain_per_hour_from_a_counter() -> None:
    totals = [0.2 * (n // 2) for n in range(200)]
    results = feed(make("rain_sum", 3600, kind="counter"), list(totals), poll_s=60)
    assert results[-1] == (pytest.approx(0.1 * 60, abs=0.2), 0)


def test_rain_of_a_window_not_yet_full_is_what_fell_so_far() -> None:
    results = feed(make("rain_sum", 3600, kind="counter"), [1.0 * n for n in range(30)], poll_s=60)
    assert results[0] == (0.0, Quality.UNCERTAIN_PARTIAL)
    assert results[-1] == (pytest.approx(29.0), Quality.UNCERTAIN_PARTIAL)


def test_rain_that_a_dead_line_hid_from_us_is_counted_when_it_answers_again() -> None:
    rain = make("rain_sum", 3600, kind="counter")
    feed(rain, [10.0] * 61, poll_s=60)
    feed(rain, [None] * 10, poll_s=60, begin_s=61 * 60)
    assert feed(rain, [25.0], begin_s=71 * 60) == [(pytest.approx(15.0), 0)]


def test_rain_from_amounts_adds_them_up() -> None:
    results = feed(make("rain_sum", 600, kind="amount"), [0.2] * 40, poll_s=60)
    assert results[-1] == (pytest.approx(2.0), 0)


def test_amounts_that_were_missed_make_the_sum_a_lower_bound() -> None:
    rain = make("rain_sum", 600, kind="amount")
    assert feed(rain, [0.2] * 20 + [None] * 2, poll_s=60)[-1] == (pytest.approx(1.6), Quality.UNCERTAIN_PARTIAL)


# Time and groups
PLACES = {"mast.t": ("mast.fast", 0), "mast.rh": ("mast.slow", 1), "mast.speed": ("mast.fast", 1)}


def scan(group: str, seconds: float, *values: Value) -> Scan:
    return Scan(group, at(seconds), values, (0,) * len(values))


def test_result_has_the_time_of_the_reading_that_completed_it() -> None:
    group = DerivedGroup(
        name="mast.derived-fast-slow",
        inputs=("mast.fast", "mast.slow"),
        tags=(tag("dew_point", ("mast.t", "mast.rh")),),
    )
    deriver = Deriver(group, PLACES)
    assert deriver.take(scan("mast.fast", 0, 10.0, 1.0)) is None
    assert deriver.take(scan("mast.fast", 1, 20.0, 1.0)) is None
    made = deriver.take(scan("mast.slow", 1.5, 0.0, 50.0))
    assert made is not None
    assert (made.group, made.mono_ns, made.quality) == (group.name, at(1.5), (0,))
    assert made.values == (pytest.approx(dew_point(20.0, 50.0)),)
    assert deriver.take(scan("mast.slow", 2, 0.0, 50.0)) is None, "the temperature has not been read anew"
    later = deriver.take(scan("mast.fast", 3, 25.0, 1.0))
    assert later is not None
    assert later.mono_ns == at(3)


def test_tags_of_the_same_inputs_come_as_one_scan() -> None:
    group = DerivedGroup(
        name="mast.derived-fast",
        inputs=("mast.fast",),
        tags=(tag("mean", ("mast.t",), 10.0), tag("gust", ("mast.speed",), 10.0)),
    )
    deriver = Deriver(group, PLACES)
    made = [deriver.take(scan("mast.fast", n, 20.0, 5.0)) for n in range(20)]
    assert made[-1] == Scan(group.name, at(19), (20.0, 5.0), (0, 0))


def test_every_formula_of_a_configuration_can_be_computed() -> None:
    assert set(FORMULAS) == set(SIGNATURES)
