"""Series for charts, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services
from fleet.errors import InvalidError
from fleet.gateways import service as gateways
from fleet.readings import service
from fleet.readings.models import Reading
from tests.fleet.conftest import START_NS, both_databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


SECOND_NS = 10**9


@pytest.fixture
def tag_id(services: Services) -> int:
    with services.database.writing() as session:
        gateways.register(session, "gw-yufu-0001", "", None, 0)
        return gateways.tag_ids(session, "gw-yufu-0001", ["tank-01.level"])["tank-01.level"]


def add(services: Services, tag_id: int, values: dict[float, float | None], record_id: int = 1) -> None:
    rows = [
        {
            "tag_id": tag_id, "at_ns": START_NS + int(at * SECOND_NS), "record_id": record_id + index,
            "value": value, "text": None, "quality": 0 if value is not None else 0x81,
        }
        for index, (at, value) in enumerate(values.items())
    ]  # fmt: skip
    with services.database.writing() as session:
        session.execute(sa.insert(Reading), rows)


def read(services: Services, tag_id: int, start: float, end: float, buckets: int) -> list[service.Point]:
    with services.database.reading() as session:
        return service.series(
            session, tag_id, START_NS + int(start * SECOND_NS), START_NS + int(end * SECOND_NS), buckets
        )


@pytest.mark.parametrize("stretch", [1, 100], ids=["narrow parts", "wide parts"])
def test_each_part_has_smallest_largest_mean_and_last(services: Services, tag_id: int, stretch: int) -> None:
    values = {0: 1.0, 1: 5.0, 2: 3.0, 10: 7.0, 11: None, 19.9: 9.0, 20: 100.0, 41: 2.0}
    add(services, tag_id, {at * stretch: value for at, value in values.items()})
    first, second, last = read(services, tag_id, 0, 42 * stretch, 4)[:3]
    assert first == service.Point(START_NS, 1.0, 7.0, 4.0, 7.0)
    half = START_NS + int(10.5 * stretch * SECOND_NS)
    assert second == service.Point(half, 9.0, 100.0, 54.5, 100.0)
    assert (last.at_ns, last.last) == (half * 3 - 2 * START_NS, 2.0)


def test_empty_buckets_and_bad_values_are_left_out(services: Services, tag_id: int) -> None:
    add(services, tag_id, {0: 1.0, 5: None, 9: 2.0})
    assert [point.at_ns for point in read(services, tag_id, 0, 10, 10)] == [START_NS, START_NS + 9 * SECOND_NS]


@pytest.mark.parametrize("stretch", [1, 100], ids=["narrow parts", "wide parts"])
def test_value_kept_although_it_is_bad_is_in_no_chart(services: Services, tag_id: int, stretch: int) -> None:
    add(services, tag_id, {0: 1.0, 1 * stretch: 2.0})
    with services.database.writing() as session:
        row = {"tag_id": tag_id, "at_ns": START_NS + 2 * stretch * SECOND_NS, "record_id": 9, "value": 999.0}
        session.execute(sa.insert(Reading), [{**row, "text": None, "quality": 0x86}])
    assert read(services, tag_id, 0, 10 * stretch, 1) == [service.Point(START_NS, 1.0, 2.0, 1.5, 2.0)]


def test_of_two_records_of_one_time_the_later_is_last(services: Services, tag_id: int) -> None:
    add(services, tag_id, {0: 1.0}, record_id=1)
    add(services, tag_id, {0: 2.0}, record_id=2)
    assert [(point.min, point.last) for point in read(services, tag_id, 0, 1, 1)] == [(1.0, 2.0)]


@pytest.mark.parametrize(("start", "end", "buckets"), [(5, 5, 10), (6, 5, 10), (0, 5, 0), (0, 5, 10**6)])
def test_an_impossible_range_is_invalid(
    services: Services, tag_id: int, start: float, end: float, buckets: int
) -> None:
    with pytest.raises(InvalidError):
        read(services, tag_id, start, end, buckets)


def test_a_day_of_seconds_is_read_as_600_points(services: Services, tag_id: int) -> None:
    add(services, tag_id, {float(at): float(at % 60) for at in range(86_400)})
    points = read(services, tag_id, 0, 86_400, 600)
    assert len(points) == 600
    assert {(point.min, point.max) for point in points} == {(0.0, 59.0)}
