"""Bounds of records whose boot never learned the time, as they are relayed. On both databases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleet.bootstrap import Services
from fleet.relay import document, service
from fleet.relay.service import OutboxRow
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from wire.conversation import Clock as WireClock
from wire.record import Lane

S = 10**9
UNSET = WireClock()
MINUTE_S = 60


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


def undated(seconds: float) -> Any:
    return edge.scan(seconds, 1.0, 1.0, wall=False)


def rows(scene: Scene) -> dict[tuple[str, int], OutboxRow]:
    with scene.services.database.reading() as session:
        return {(row.epoch, row.seq): row for row in service.next_rows(session, Lane.MEASUREMENTS, 0, 100)}


def bounds(scene: Scene, epoch: str = "2-b") -> tuple[int | None, int | None]:
    row = rows(scene)[epoch, 1]
    assert row.captured_ns is None
    return row.not_before_ns, row.not_after_ns


def test_alone_a_record_is_bounded_by_its_receipt(scene: Scene, clock: Clock) -> None:
    clock.advance(MINUTE_S)
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    assert bounds(scene) == (None, clock.now_ns)


def test_it_is_not_older_than_what_an_earlier_start_captured_last_in_either_lane(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.scan(1, 1.0, 1.0), edge.scan(5, 1.0, 1.0), epoch="1-a")
    scene.send(1, edge.alarm(9, "raised"), epoch="1-a", lane=Lane.ALARMS)
    clock.advance(MINUTE_S)
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    assert bounds(scene) == (START_NS + 9 * S, clock.now_ns)
    assert rows(scene)["1-a", 1].not_after_ns is None  # what has a time has no bounds


def test_it_is_not_younger_than_what_a_later_start_captured_first(scene: Scene, clock: Clock) -> None:
    # Alarms go first: those of the later start are here before the measurements of the earlier one.
    scene.send(1, edge.alarm(20, "raised"), edge.alarm(30, "cleared"), epoch="3-c", lane=Lane.ALARMS)
    clock.advance(MINUTE_S)
    scene.send(1, edge.scan(5, 1.0, 1.0), epoch="1-a")
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    assert bounds(scene) == (START_NS + 5 * S, START_NS + 20 * S)


def test_starts_between_that_never_knew_the_time_are_passed_over(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.scan(5, 1.0, 1.0), epoch="1-a")
    scene.send(1, undated(1), epoch="1-b", clock=UNSET)
    scene.send(1, edge.alarm(20, "raised"), epoch="3-c", lane=Lane.ALARMS)
    scene.send(1, undated(1), epoch="2-c", clock=UNSET)
    clock.advance(MINUTE_S)
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    assert bounds(scene) == (START_NS + 5 * S, START_NS + 20 * S)


@pytest.mark.parametrize(("earlier_s", "later_s"), [(50, 20), (10**8, 20), (10**8, 2 * 10**8)])
def test_clocks_that_contradict_each_other_leave_the_fleets_own(
    scene: Scene, clock: Clock, earlier_s: int, later_s: int
) -> None:
    scene.send(1, edge.scan(earlier_s, 1.0, 1.0), epoch="1-a")
    scene.send(1, edge.alarm(later_s, "raised"), epoch="3-c", lane=Lane.ALARMS)
    clock.advance(MINUTE_S)
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    before, after = bounds(scene)
    assert after == clock.now_ns
    assert before == (START_NS + earlier_s * S if earlier_s < MINUTE_S else None)


def test_bounds_are_relayed_and_the_key_does_not_hang_on_them(scene: Scene, clock: Clock) -> None:
    clock.advance(MINUTE_S)
    scene.send(1, undated(1), epoch="2-b", clock=UNSET)
    (row,) = rows(scene).values()
    told = document.describe("district", row, lambda *_: service.Columns("g", edge.TANK.tags, ("", "")))
    assert (told["captured_at"], told["clock"], told["not_before"]) == (None, "unset", None)
    assert told["not_after"] == told["received_at"] == document.write_time(clock.now_ns)
    assert document.record_key("district", row) == document.record_key(
        "district", msgspec.structs.replace(row, not_after_ns=1)
    )
