"""Counts to reconcile by, as a destination gets them: from relay, over a transport in memory, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services
from fleet.gateways import service as gateways
from fleet.ledger.models import Tally
from fleet.relay import reporter, service
from fleet.relay.document import write_time
from fleet.relay.models import Destination
from fleet.relay.program import Relay
from tests.fleet import edge
from tests.fleet.broker_fixtures import until
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from wire.record import Lane

RECORDS, COUNTS = "http://platform.test/records", "http://platform.test/counts"
HOUR_S = 3600
HOUR = write_time(START_NS - START_NS % (HOUR_S * 10**9))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "LOOK_S", 0.01)
    monkeypatch.setattr(reporter, "AGAIN_S", 0.02)


class Platform:
    """Takes everything, or refuses counts while told to. ``reports`` are those taken, ``keys`` all that came."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.refuses: Callable[[], bool] = lambda: False

    async def handle(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) == COUNTS:
            self.keys.append(request.headers["Idempotency-Key"])
            if self.refuses():
                return httpx.Response(503)
            self.reports.append(json.loads(request.content))
        return httpx.Response(200)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def scene(services: Services, clock: Clock) -> Scene:
    with services.database.writing() as session:
        service.add(session, "district", "http-json", RECORDS, clock(), COUNTS)
        service.add(session, "bureau", "http-json", RECORDS, clock())
    return Scene(services)


async def report(services: Services, platform: Platform, done: Callable[[], bool]) -> None:
    relay = Relay(services, transport=httpx.MockTransport(platform.handle))
    running = asyncio.create_task(relay.run())
    try:
        await until(done)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def counted_ns(services: Services) -> int:
    with services.database.reading() as session:
        return session.scalar(sa.select(Destination.counted_ns).where(Destination.name == "district")) or 0


async def test_a_report_tells_every_hour_of_every_gateway_and_lane(
    scene: Scene, platform: Platform, clock: Clock
) -> None:
    scene.send(1, edge.scan(1, 50.0, 20.5), edge.scan(2, 51.0, 20.5), b"garbled")
    scene.send(1, edge.alarm(3, "raised"), lane=Lane.ALARMS)
    clock.advance(120)
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    (told,) = platform.reports
    row = {"gateway": edge.GATEWAY, "hour": HOUR, "lost": 0}
    assert told == {
        "destination": "district",
        "since": "1970-01-01T00:00:00.000Z",
        "until": write_time(clock.now_ns - 60 * 10**9),
        "part": 0,
        "more": False,
        "counts": [
            {**row, "lane": "A", "records": 1, "samples": 0, "quarantined": 0},
            {**row, "lane": "M", "records": 2, "samples": 4, "quarantined": 1},
        ],
    }


async def test_the_next_report_comes_a_day_later_with_what_has_changed_since(
    scene: Scene, platform: Platform, clock: Clock
) -> None:
    scene.send(1, edge.scan(1, 50.0, 20.5))
    scene.send(1, edge.alarm(3, "raised"), lane=Lane.ALARMS)
    clock.advance(120)
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    until_ns = counted_ns(scene.services)
    clock.advance(23 * HOUR_S)
    await report(scene.services, platform, lambda: True)
    assert len(platform.reports) == 1
    scene.send(2, edge.scan(5, 50.0, 20.5))  # late, of the hour that was told
    clock.advance(HOUR_S + 120)
    await report(scene.services, platform, lambda: counted_ns(scene.services) > until_ns)
    assert platform.reports[1]["since"] == write_time(until_ns)
    assert [(row["lane"], row["hour"], row["records"]) for row in platform.reports[1]["counts"]] == [("M", HOUR, 2)]


async def test_where_nothing_has_changed_an_empty_report_says_so(scene: Scene, platform: Platform) -> None:
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    assert [told["counts"] for told in platform.reports] == [[]]


async def test_a_refused_report_comes_again_whole_and_records_are_relayed_meanwhile(
    scene: Scene, platform: Platform, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    scene.send(1, edge.scan(1, 50.0, 20.5))
    clock.advance(120)
    platform.refuses = lambda: len(platform.keys) <= 2
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    assert len(platform.reports) == 1
    assert len(set(platform.keys)) == 1  # the same report, the same key
    assert sum("does not take the counts" in record.message for record in caplog.records) == 1
    with scene.services.database.reading() as session:
        states = service.status(session)
    assert all(state.behind == 0 for state in states if state.destination == "district")


async def test_a_long_report_comes_in_parts_and_an_hour_that_changes_meanwhile_is_in_the_next(
    scene: Scene, platform: Platform, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "ROWS", 2)
    for hour in range(5):
        scene.send(hour + 1, edge.scan(hour * HOUR_S, 50.0, 20.5))
    clock.advance(6 * HOUR_S)

    def change_the_first_hour_once() -> bool:
        if len(platform.keys) == 2:
            clock.advance(120)
            scene.send(1, edge.scan(1, 50.0, 20.5), epoch="e2")
        return False

    platform.refuses = change_the_first_hour_once
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    told = [(part["part"], part["more"], len(part["counts"])) for part in platform.reports]
    assert told == [(0, True, 2), (1, True, 2), (2, False, 1)]
    assert len(set(platform.keys)) == 3
    assert len({row["hour"] for part in platform.reports for row in part["counts"]}) == 5
    before = counted_ns(scene.services)
    clock.advance(25 * HOUR_S)
    await report(scene.services, platform, lambda: counted_ns(scene.services) > before)
    assert [(row["hour"], row["records"]) for row in platform.reports[-1]["counts"]] == [(HOUR, 2)]


async def test_counts_of_an_earlier_release_are_told_in_the_first_report(
    scene: Scene, platform: Platform, clock: Clock
) -> None:
    with scene.services.database.writing() as session:
        gateways.register(session, "gw-other-01", "", None, clock())
        tally = Tally(gateway="gw-other-01", lane="M", hour_ns=0, records=3, samples=3, quarantined=0, lost=0)
        tally.changed_ns = 0  # as the migration leaves it
        session.add(tally)
    await report(scene.services, platform, lambda: counted_ns(scene.services) > 0)
    assert [row["records"] for row in platform.reports[0]["counts"]] == [3]
