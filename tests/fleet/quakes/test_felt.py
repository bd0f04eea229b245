"""What a street is estimated to have felt, by the stations around."""

from __future__ import annotations

import pytest

from fleet.quakes.felt import AROUND_KM, REACH_KM, Measured, Place, estimate, estimate_all, grade_of

KM_LAT = 1 / 111.195


def station(name: str, north_km: float, intensity: float) -> Measured:
    return Measured(name, 29.6 + north_km * KM_LAT, 106.5, intensity)


def street(north_km: float, name: str = "人和街道") -> Place:
    return Place(name, 29.6 + north_km * KM_LAT, 106.5)


def test_between_two_stations_is_between_their_values_and_nearer_to_the_near_one() -> None:
    found = estimate(street(3), [station("A", 0, 7.0), station("B", 12, 5.0)])
    assert found.intensity is not None
    assert 6.5 < found.intensity < 7.0
    assert (found.stations, found.nearest, found.grade) == (2, "A", 7)
    half_way = estimate(street(6), [station("A", 0, 7.0), station("B", 12, 5.0)])
    assert half_way.intensity == pytest.approx(6.0)


def test_an_estimate_never_leaves_what_was_measured() -> None:
    measured = [station("A", 0, 7.3), station("B", 12, 5.1), station("C", 20, 4.0)]
    for north_km in range(-20, 40):
        found = estimate(street(north_km), measured).intensity
        assert found is None or 4.0 <= found <= 7.3


def test_a_single_station_speaks_for_what_is_around_it_alone() -> None:
    (near, far) = estimate_all([street(AROUND_KM - 0.1, "近"), street(AROUND_KM + 0.1, "远")], [station("A", 0, 6.0)])
    assert (near.intensity, near.stations) == (6.0, 1)
    assert (far.intensity, far.stations, far.grade) == (None, 0, 0)


def test_at_a_station_its_own_value_counts() -> None:
    found = estimate(street(0), [station("A", 0, 7.0), station("B", 1, 3.0)])
    assert (found.intensity, found.stations) == (7.0, 1)


def test_nothing_is_said_out_of_reach_or_without_stations() -> None:
    assert estimate(street(REACH_KM + 1), [station("A", 0, 7.0), station("B", 0.5, 7.0)]).intensity is None
    assert estimate(street(0), []).intensity is None


def test_the_strongest_come_first_and_the_unknown_last() -> None:
    places = [street(0, "乙"), street(8, "丙"), street(100, "甲")]
    found = estimate_all(places, [station("A", 0, 4.0), station("B", 8, 6.0)])
    assert [one.place.name for one in found] == ["丙", "乙", "甲"]


@pytest.mark.parametrize(
    ("intensity", "grade"), [(0.2, 1), (4.4, 4), (4.5, 5), (5.4, 5), (9.6, 10), (12.0, 12), (13.0, 12)]
)
def test_classes_reach_from_half_to_half(intensity: float, grade: int) -> None:
    assert grade_of(intensity) == grade
