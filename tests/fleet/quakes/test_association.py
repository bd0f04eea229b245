"""Which onsets are one earthquake: the decision alone."""

from __future__ import annotations

import itertools
import random

import pytest

from fleet.quakes.association import (
    APART_MOST_S,
    NS,
    P_KM_S,
    S_KM_S,
    S_MINUS_P_S,
    Trigger,
    agree,
    associate,
    gather,
    measure_km,
)
from tests.fleet.conftest import START_NS

LAT, LON = 29.60, 106.50
KM_LAT = 1 / 111.195


def trigger(name: str, seconds: float, north_km: float | None = 0.0, clock: str = "synced") -> Trigger:
    """A trigger so many km north of where the source lies."""
    lat = None if north_km is None else LAT + north_km * KM_LAT
    lon = None if north_km is None else LON
    return Trigger(
        key=("gw", name, int(seconds * 1e9)), onset_ns=START_NS + int(seconds * NS), lat=lat, lon=lon, clock=clock
    )


def names(groups: object) -> list[list[str]]:
    return [sorted(one.key[1] for one in group) for group in groups]  # type: ignore[attr-defined]


def test_p_at_two_stations_10_and_40_km_away_is_one_earthquake() -> None:
    assert names(associate([trigger("A", 10 / P_KM_S, 10), trigger("B", 40 / P_KM_S, 40)])) == [["A", "B"]]


def test_p_at_one_station_and_s_at_another_is_one_earthquake() -> None:
    assert names(associate([trigger("A", 10 / P_KM_S, 10), trigger("B", 40 / S_KM_S, 40)])) == [["A", "B"]]


def test_a_station_that_triggers_on_p_and_again_on_s_has_one_earthquake() -> None:
    assert names(associate([trigger("A", 5.0, 40), trigger("A", 12.0, 40)])) == [["A", "A"]]


@pytest.mark.parametrize("north_km", [10.0, None])
def test_two_quakes_90_s_apart_stay_two(north_km: float | None) -> None:
    first = [trigger("A", 0, 0), trigger("B", 5, north_km)]
    second = [trigger("A", 90, 0), trigger("B", 95, north_km)]
    assert names(associate(first + second)) == [["A", "B"], ["A", "B"]]


def test_nothing_further_apart_than_a_minute_is_one_however_far_the_stations() -> None:
    assert not agree(trigger("A", 0, 0), trigger("B", APART_MOST_S + 0.1, 2000))


def test_onsets_that_no_wave_explains_are_two() -> None:
    near = S_MINUS_P_S + 1 / S_KM_S + 1.0
    assert agree(trigger("A", 0, 0), trigger("B", near - 0.1, 1))
    assert not agree(trigger("A", 0, 0), trigger("B", near + 0.1, 1))


def test_every_order_gives_the_same_events() -> None:
    several = [trigger("A", 0, 0), trigger("B", 4, 20), trigger("C", 9, 50), trigger("A", 40, 0), trigger("C", 47, 50)]
    wanted = [["A", "B", "C"], ["A", "C"]]
    for order in itertools.permutations(several):
        assert names(associate(order)) == wanted


def test_a_chain_of_triggers_is_no_single_earthquake() -> None:
    groups = associate([trigger(f"S{number}", number * 20.0, 0) for number in range(4)])
    assert names(groups) == [["S0", "S1"], ["S2", "S3"]]


def test_of_two_earthquakes_that_fit_it_goes_to_the_one_whose_p_it_is() -> None:
    first, second = trigger("A", 0, 0), trigger("A", 28, 0)
    assert names(associate([first, second, trigger("B", 27, 10)])) == [["A"], ["A", "B"]]


@pytest.mark.parametrize(("clock", "joined"), [("synced", False), ("holdover", True), ("told", True), ("unset", True)])
def test_a_clock_that_nothing_holds_is_given_more_time(clock: str, joined: bool) -> None:
    late = S_MINUS_P_S + 10 / S_KM_S + 2.5
    assert agree(trigger("A", 0, 0), trigger("B", late, 10, clock)) is joined


def test_an_unset_clock_never_keeps_others_apart() -> None:
    timed = [trigger("A", 0, 0), trigger("B", 25, 10)]
    unset = trigger("C", -25, 5, "unset")
    assert names(associate([unset, *timed])) == [["C"], ["A", "B"]]


def test_random_reports_are_each_in_exactly_one_event() -> None:
    chance = random.Random(8)
    several = [trigger(f"S{n}", chance.uniform(0, 300), chance.uniform(0, 80)) for n in range(60)]
    groups = associate(several)
    assert sorted(one.key for group in groups for one in group) == sorted(one.key for one in several)
    assert all(agree(one, other) for group in groups for one, other in itertools.combinations(group, 2))


def test_what_is_looked_at_together_ends_at_a_pause() -> None:
    onsets = [0, 50 * NS, 100 * NS, 170 * NS, 200 * NS]
    assert gather(onsets, 100 * NS) == (0, 100 * NS)
    assert gather(onsets, 170 * NS) == (170 * NS, 200 * NS)
    assert gather([], 5) == (5, 5)


def test_distance_is_along_the_earth() -> None:
    assert measure_km(0, 0, 0, 1) == pytest.approx(111.195, abs=0.01)
    assert measure_km(29.6, 106.5, 29.6, 106.5) == 0
