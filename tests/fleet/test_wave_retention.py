"""Old packets go, with all that stands in the index about them; numbers never come again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet.backup import back_up, restore
from fleet.bootstrap import Services, bootstrap
from fleet.cli import main
from fleet.readings.models import Record
from fleet.settings import load
from fleet.upkeep import Upkeep
from fleet.waveforms import numbering, retention, service
from fleet.waveforms.models import WaveCounter, Waveform, WaveHour, WaveMinute, WaveRun
from fleet.waveforms.spans import Span, cut, find_gaps, join
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.waves import NS, STREAM, Station, record

DAY_S = 86_400


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture(autouse=True)
def _restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.upkeep.REST_LEAST_S", 0.0)


def reaches(services: Services) -> list[tuple[int, int]]:
    with services.database.reading() as session:
        return [
            ((span.start_ns - START_NS) // NS, (span.end_ns - START_NS) // NS)
            for span in service.list_spans(session, STREAM)
        ]


def test_what_is_pruned_leaves_no_row_and_the_next_number_stays(services: Services, clock: Clock) -> None:
    Station(services).send(*(record(n) for n in range(70)))
    clock.advance(services.settings.keep_waveforms_days * DAY_S + 1)
    asyncio.run(Upkeep(services).tend())
    with services.database.reading() as session:
        for table in (Record, Waveform, WaveMinute, WaveHour, WaveRun):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0, table
        assert session.scalars(sa.select(WaveCounter.next_seq)).all() == [141]
        (reach,) = service.list_streams(session)
    assert (reach.first_ns, reach.newest_ns) == (None, None)


def test_a_part_that_is_pruned_is_cut_off_the_stretches_and_envelopes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 65)
    Station(services).send(*(record(n) for n in range(130)), record(200))
    with services.database.writing() as session:
        assert retention.prune(session, START_NS + 1) == 65
    assert reaches(services) == [(65, 130), (200, 201)]
    with services.database.reading() as session:
        assert len(session.scalars(sa.select(WaveMinute)).all()) == 3
        assert len(session.scalars(sa.select(WaveHour)).all()) == 1
        assert len(service.window(session, STREAM, START_NS, START_NS + 300 * NS)) == 66
    with services.database.writing() as session:
        assert retention.prune(session, START_NS + 1) == 65
        assert retention.prune(session, START_NS + 1) == 1
    assert reaches(services) == []


def test_stretches_join_and_are_cut_without_a_database() -> None:
    one, two, far = Span(0, 10 * NS, 100.0), Span(10 * NS, 20 * NS, 100.0), Span(30 * NS, 40 * NS, 100.0)
    assert join([two, far, one]) == [Span(0, 20 * NS, 100.0), far]
    assert join([one, Span(10 * NS, 20 * NS, 50.0)]) == [one, Span(10 * NS, 20 * NS, 50.0)]
    assert cut(Span(0, 20 * NS, 100.0), [Span(5 * NS, 6 * NS, 100.0), far]) == [
        Span(0, 5 * NS, 100.0), Span(6 * NS, 20 * NS, 100.0),
    ]  # fmt: skip
    assert cut(one, [Span(-5, 11 * NS, 100.0)]) == []
    assert find_gaps([one, far], 0, 50 * NS) == [(10 * NS, 30 * NS), (40 * NS, 50 * NS)]
    assert find_gaps([one, two], 5 * NS, 15 * NS) == []
    assert find_gaps([], 0, 5) == [(0, 5)]
    assert find_gaps([far], 0, 10 * NS) == [(0, 10 * NS)]


def test_a_restored_fleet_gives_no_number_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert main(["init", "--data", str(data)]) == 0
    services = bootstrap(load(data))
    station = Station(services)
    station.send(record(0))
    back_up(load(data), tmp_path / "backup.tar.gz")
    station.send(record(1), record(2))
    services.close()
    again = bootstrap(restore(tmp_path / "backup.tar.gz", tmp_path / "new", ""))
    with again.database.reading() as session:
        assert session.scalars(sa.select(WaveCounter.next_seq)).all() == [3 + numbering.RESTORED]
    again.close()
