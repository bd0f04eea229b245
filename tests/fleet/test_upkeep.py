"""Retention and upkeep, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from fleet.alarms.models import AlarmEvent
from fleet.bootstrap import Services
from fleet.gateways.models import Tag
from fleet.ledger.models import Loss, Tally
from fleet.readings import retention, service, store
from fleet.readings.models import LostMinute, Quarantined, Reading, ReadingHour, ReadingMinute, Record
from fleet.readings.parts import DAY_NS, HOUR_NS, MINUTE_NS
from fleet.relay import service as relay
from fleet.upkeep import Upkeep
from tests.fleet import edge
from tests.fleet.broker_fixtures import until
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.scene import Scene
from wire.record import Lane

LEVEL = "tank-01.level"
HOUR_S, DAY_S = 3600, 86_400


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture(autouse=True)
def _restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.upkeep.REST_LEAST_S", 0.0)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


def tend(scene: Scene) -> int:
    return asyncio.run(Upkeep(scene.services).tend())


def tag_id(scene: Scene, name: str = LEVEL) -> int:
    return int(scene.rows(sa.select(Tag.id).where(Tag.name == name))[0][0])


def parts(scene: Scene, table: Any) -> list[tuple[int, int, float, float, float, float]]:
    """Rows of a table of parts: (at_ns, count, low, high, mean, last)."""
    query = sa.select(table.at_ns, table.count, table.low, table.high, table.mean, table.last)
    return [tuple(row) for row in scene.rows(query.where(table.tag_id == tag_id(scene)).order_by(table.at_ns))]


def counted(scene: Scene, name: str = LEVEL) -> int:
    """How many values of a tag stand in the three tables together."""
    number = tag_id(scene, name)
    raw = scene.count(Reading, Reading.tag_id == number)
    sums = [sa.select(sa.func.sum(table.count)).where(table.tag_id == number) for table in (ReadingMinute, ReadingHour)]
    return raw + sum(int(scene.rows(query)[0][0] or 0) for query in sums)


def begin(at_ns: int, width_ns: int) -> int:
    return at_ns - at_ns % width_ns


def test_old_values_become_minutes_then_hours_then_nothing(scene: Scene, clock: Clock) -> None:
    scene.send(1, *(edge.scan(n, float(n), 20.0) for n in range(0, 300, 10)))
    assert tend(scene) == 0
    clock.advance(31 * DAY_S)
    scene.send(31, edge.scan(31 * DAY_S, 7.0, 20.0))
    tend(scene)
    assert scene.count(Reading) == 2
    minutes = parts(scene, ReadingMinute)
    assert sum(row[1] for row in minutes) == 30
    first = minutes[0]
    inside = [float(n) for n in range(0, 300, 10) if begin(START_NS + n * 10**9, MINUTE_NS) == first[0]]
    assert first == (
        begin(START_NS, MINUTE_NS),
        len(inside),
        0.0,
        inside[-1],
        pytest.approx(sum(inside) / len(inside)),
        inside[-1],
    )
    clock.advance(731 * DAY_S)
    tend(scene)
    (hour,) = parts(scene, ReadingHour)
    assert hour == (begin(START_NS, HOUR_NS), 30, 0.0, 290.0, pytest.approx(145.0), 290.0)
    assert scene.count(ReadingMinute) == 0
    clock.advance(3650 * DAY_S)
    tend(scene)
    assert scene.count(ReadingHour) == 0
    assert scene.count(Reading) == 2  # the newest of each tag says when it was last heard


def test_values_stay_for_as_long_as_they_are_kept_and_the_border_falls_on_an_hour(scene: Scene, clock: Clock) -> None:
    scene.send(1, *(edge.scan(n * HOUR_S / 2, float(n), 20.0) for n in range(10)))
    clock.advance(30 * DAY_S + 2 * HOUR_S)
    tend(scene)
    border = begin(clock.now_ns - 30 * DAY_NS, HOUR_NS)
    assert [at for (at,) in scene.rows(sa.select(Reading.at_ns).where(Reading.tag_id == tag_id(scene)))] == [
        START_NS + n * HOUR_NS // 2 for n in range(10) if START_NS + n * HOUR_NS // 2 >= border
    ]
    assert counted(scene) == 10


def test_what_arrives_late_is_joined_to_its_minute_and_the_last_value_is_by_time(scene: Scene, clock: Clock) -> None:
    at = begin(START_NS, MINUTE_NS) + MINUTE_NS - START_NS
    scene.send(1, edge.scan(at / 1e9 + 20, 5.0, 20.0), edge.scan(at / 1e9 + 40, 9.0, 20.0))
    clock.advance(40 * DAY_S)
    scene.send(3, edge.scan(40 * DAY_S, 1.0, 20.0))
    tend(scene)
    late = [edge.scan(at / 1e9 + 10, 1.0, 20.0), edge.scan(at / 1e9 + 30, 3.0, 20.0)]
    scene.send(1, *late, epoch="e2")
    clock.advance(HOUR_S)
    tend(scene)
    assert parts(scene, ReadingMinute) == [(START_NS + at, 4, 1.0, 9.0, pytest.approx(4.5), 9.0)]
    assert counted(scene) == 5


def test_bad_values_and_texts_leave_no_minute(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.scan(0, 1.0, "text"), edge.scan(1, 2.0, None, quality=b"\x86\x81"), edge.scan(2, None, "text"))
    clock.advance(40 * DAY_S)
    scene.send(4, edge.scan(40 * DAY_S, 1.0, 20.0))
    tend(scene)
    assert [row[1:4] for row in parts(scene, ReadingMinute)] == [(1, 1.0, 1.0)]
    assert scene.count(ReadingMinute) == 1
    assert scene.count(Reading) == 2


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_many_small_transactions_count_every_value_once(
    scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(retention, "ROWS", rows)
    monkeypatch.setattr(retention, "TAG_COST", 0)
    # Four records of one time, as a clock that stands still would make.
    times = [0, 1, 1, 1, 1, 2, 61, 62, 3700, 3701]
    scene.send(1, *(edge.scan(at, float(index), 20.0) for index, at in enumerate(times)))
    clock.advance(40 * DAY_S)
    scene.send(11, edge.scan(40 * DAY_S, 1.0, 20.0))
    tend(scene)
    assert counted(scene) == 11
    minutes = parts(scene, ReadingMinute)
    assert sum(row[1] for row in minutes) == 10
    assert sum(row[1] * row[4] for row in minutes) == pytest.approx(sum(range(10)))
    assert scene.count(Record) == 1
    clock.advance(800 * DAY_S)
    tend(scene)
    assert sum(row[1] for row in parts(scene, ReadingHour)) == 10


def test_a_value_stands_in_one_table_at_every_moment(
    scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 3)
    scene.send(1, *(edge.scan(n * 40, float(n), 20.0) for n in range(12)))
    clock.advance(40 * DAY_S)
    scene.send(13, edge.scan(40 * DAY_S, 1.0, 20.0))
    number, border = tag_id(scene), retention.VALUES.border(clock.now_ns - 30 * DAY_NS)
    for _ in range(4):
        with scene.services.database.writing() as session:
            assert retention.prune(session, retention.VALUES, [number], border).rows == 3
        assert counted(scene) == 13
        with scene.services.database.reading() as session:
            points = service.series(session, number, START_NS - HOUR_NS, START_NS + HOUR_NS, 1)
        assert [(point.min, point.max, point.mean, point.last) for point in points] == [(0.0, 11.0, 5.5, 11.0)]


def test_a_failed_transaction_leaves_everything_as_it_was(scene: Scene) -> None:
    scene.send(1, *(edge.scan(n, float(n), 20.0) for n in range(5)))
    number, border = tag_id(scene), START_NS + DAY_NS

    def fail() -> None:
        with scene.services.database.writing() as session:
            assert retention.prune(session, retention.VALUES, [number], border).rows == 4
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (scene.count(ReadingMinute), counted(scene)) == (0, 5)


def test_a_chart_across_the_borders_shows_values_minutes_and_hours_once(scene: Scene, clock: Clock) -> None:
    # Old hours, younger minutes, and values: three pruned generations of one tag.
    scene.send(1, *(edge.scan(n * 600, 1.0, 20.0) for n in range(6)))
    clock.advance(720 * DAY_S)
    scene.send(7, *(edge.scan(720 * DAY_S + n * 600, 2.0, 20.0) for n in range(6)))
    clock.advance(29 * DAY_S)
    scene.send(13, *(edge.scan(749 * DAY_S + n * 600, 3.0, 20.0) for n in range(6)))
    clock.advance(2 * DAY_S)
    tend(scene)
    assert min(scene.count(table) for table in (ReadingHour, ReadingMinute, Reading)) > 0
    with scene.services.database.reading() as session:
        points = service.series(session, tag_id(scene), START_NS - HOUR_NS, clock.now_ns, 3)
        (whole,) = service.series(session, tag_id(scene), START_NS - HOUR_NS, clock.now_ns, 1)
        narrow = service.series(session, tag_id(scene), START_NS + 749 * DAY_NS - HOUR_NS, clock.now_ns, 5000)
    assert [(point.min, point.max) for point in points] == [(1.0, 1.0), (2.0, 3.0)]
    assert (whole.min, whole.max, whole.mean, whole.last) == (1.0, 3.0, pytest.approx(2.0), 3.0)
    assert [point.last for point in narrow] == [3.0] * 6
    assert [point.at_ns for point in points] == sorted(point.at_ns for point in points)


def test_records_go_only_when_every_enabled_destination_has_them(scene: Scene, clock: Clock) -> None:
    with scene.services.database.writing() as session:
        first = relay.add(session, "district", "http-json", "http://platform.test/", clock())
    scene.send(1, *(edge.scan(n, 1.0, 1.0) for n in range(4)))
    scene.send(1, edge.alarm(1, "raised"), lane=Lane.ALARMS)
    clock.advance(31 * DAY_S)
    tend(scene)
    assert scene.count(Record) == 5
    (third,) = scene.rows(sa.select(Record.id).where(Record.seq == 3))[0]
    with scene.services.database.writing() as session:
        relay.note_delivered(session, first.id, Lane.MEASUREMENTS, third, 3, clock())
    tend(scene)
    assert [row[0] for row in scene.rows(sa.select(Record.seq).where(Record.lane == "M"))] == [4]
    with scene.services.database.writing() as session:  # one that was added later wants what is still there
        relay.note_delivered(session, first.id, Lane.MEASUREMENTS, third + 9, 1, clock())
        relay.add(session, "bureau", "http-json", "http://platform.test/", clock())
    tend(scene)
    assert scene.count(Record, Record.lane == "M") == 1
    with scene.services.database.writing() as session:
        relay.set_enabled(session, "bureau", False)
    tend(scene)
    assert scene.count(Record, Record.lane == "M") == 0
    assert (scene.count(Record, Record.lane == "A"), scene.count(AlarmEvent)) == (1, 1)


def test_records_count_from_their_receipt(scene: Scene, clock: Clock) -> None:
    clock.advance(100 * DAY_S)
    scene.send(1, edge.scan(0, 1.0, 1.0), edge.scan(1, 2.0, 1.0))
    tend(scene)
    assert (scene.count(Record), scene.count(ReadingMinute)) == (2, 2)


def test_what_was_pruned_and_comes_again_is_not_counted_twice(scene: Scene, clock: Clock) -> None:
    records = [edge.scan(n, float(n), 20.0) for n in range(5)]
    scene.send(1, *records)
    clock.advance(40 * DAY_S)
    tend(scene)
    assert scene.count(Record) == 0
    scene.session = scene.hello()  # a gateway whose acknowledgements were lost offers everything once more
    scene.send(1, *records, edge.scan(40 * DAY_S, 9.0, 20.0))
    clock.advance(HOUR_S)
    tend(scene)
    assert counted(scene) == 6
    assert sum(row[1] for row in parts(scene, ReadingMinute)) == 5
    (record,) = scene.rows(sa.select(Record.seq, Record.id))
    assert record == (6, 6)  # a position in the outbox is never used again


def test_values_dated_ahead_go_with_their_records_and_no_minute_holds_them(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.scan(0, 1.0, 1.0), edge.scan(3 * 365 * DAY_S, 2.0, 1.0))
    clock.advance(29 * DAY_S)
    tend(scene)
    assert scene.count(Reading) == 4
    clock.advance(2 * DAY_S)
    scene.send(3, edge.scan(31 * DAY_S, 3.0, 1.0))
    tend(scene)
    assert [value for (value,) in scene.rows(sa.select(Reading.value).where(Reading.tag_id == tag_id(scene)))] == [3.0]
    assert [row[2] for row in parts(scene, ReadingMinute)] == [1.0]


def test_values_dated_in_1970_are_old_at_once_and_their_record_stays(scene: Scene) -> None:
    ancient = msgspec.structs.replace(edge.scan(0, 1.0, 1.0), wall_ns=5 * 10**9)
    scene.send(1, ancient, edge.scan(1, 2.0, 1.0))
    tend(scene)
    assert (scene.count(Record), scene.count(Reading), scene.count(ReadingMinute)) == (2, 2, 0)
    assert scene.count(ReadingHour) == 0  # older than hours are kept: all steps in one turn


def test_quarantine_is_kept_for_a_year_and_a_noisy_gateway_cannot_fill_the_disk(
    scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "QUARANTINED_MOST", 3)
    monkeypatch.setattr(retention, "QUARANTINE_ROWS", 2)
    with scene.services.database.writing() as session:
        for number in range(8):
            name = edge.GATEWAY if number else "gw-other-01"
            store.quarantine_message(session, name, "batch", str(number), b"x", clock())
    tend(scene)
    assert [reason for (reason,) in scene.rows(sa.select(Quarantined.reason))] == ["0", "5", "6", "7"]
    clock.advance(366 * DAY_S)
    tend(scene)
    assert scene.count(Quarantined) == 0


def test_losses_stay_lost_minutes_and_counts_go_in_time(scene: Scene, clock: Clock) -> None:
    scene.send(1, edge.scan(0, 1.0, 1.0))
    with scene.services.database.writing() as session:
        session.add(LostMinute(tag_id=tag_id(scene), at_ns=START_NS, count=1, low=0.0, high=1.0, mean=0.5))
        session.add(
            Loss(
                gateway=edge.GATEWAY, epoch="e1", lane="M", first=2, last=3, reason="quota", from_ns=None, to_ns=None,
                received_ns=clock(),
            )
        )  # fmt: skip
    clock.advance(729 * DAY_S)
    tend(scene)
    assert (scene.count(LostMinute), scene.count(Tally)) == (1, 1)
    clock.advance(3 * DAY_S)
    tend(scene)
    assert (scene.count(LostMinute), scene.count(Tally)) == (0, 1)
    clock.advance(3650 * DAY_S)
    tend(scene)
    assert (scene.count(Tally), scene.count(Loss)) == (0, 1)


def test_a_tag_is_looked_at_once_for_each_border(scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[retention.Step] = []
    find_due = retention.find_due

    def find(session: Any, step: retention.Step, border_ns: int) -> list[int]:
        asked.append(step)
        return find_due(session, step, border_ns)

    monkeypatch.setattr(retention, "find_due", find)
    upkeep = Upkeep(scene.services)

    async def turns() -> None:
        for seconds in (0, 60, HOUR_S):
            clock.advance(seconds)
            await upkeep.tend()

    asyncio.run(turns())
    assert asked.count(retention.VALUES) == 2


def test_queries_seek_and_never_read_a_whole_table(scene: Scene, clock: Clock, database_url: str) -> None:
    if database_url:
        pytest.skip("PostgreSQL chooses by size; SQLite's plan shows whether the keys serve")
    statements: list[tuple[str, Any]] = []
    engine = scene.services.database.engine

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many:
            statements.append((statement, parameters))

    scene.send(1, *(edge.scan(n * 40, float(n), 20.0) for n in range(12)), edge.scan(10**8, 1.0, 1.0))
    clock.advance(40 * DAY_S)
    sa.event.listen(engine, "before_cursor_execute", note)
    tend(scene)
    with scene.services.database.reading() as session:
        service.series(session, tag_id(scene), START_NS, clock.now_ns, 600)
    sa.event.remove(engine, "before_cursor_execute", note)
    plans = []
    with engine.connect() as connection:
        for statement, parameters in statements:
            if statement.startswith(("SELECT", "DELETE", "UPDATE")):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [(str(row[3]), statement) for row in rows]
    assert len(plans) > 20
    big = ("reading", "reading_1", "reading_minute", "reading_hour", "record", "lost_minute", "tally", "quarantine")
    scans = [(plan, statement) for plan, statement in plans if plan.startswith("SCAN") and plan.split()[1] in big]
    # The oldest of all are found at the front of the key; how many each gateway has is counted on the index.
    allowed = ("SCAN quarantine", "SCAN quarantine USING COVERING INDEX ix_quarantine_gateway")
    assert [(plan, statement) for plan, statement in scans if plan not in allowed] == []


async def test_an_outage_is_told_once_and_survived(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep = Upkeep(scene.services)
    turns, is_down = 0, True

    async def tend() -> int:
        nonlocal turns
        turns += 1
        if is_down:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return 0

    monkeypatch.setattr("fleet.upkeep.EVERY_S", 0.001)
    monkeypatch.setattr(upkeep, "tend", tend)
    caplog.set_level("INFO")
    running = asyncio.create_task(upkeep.run())
    await until(lambda: turns >= 2)
    assert upkeep.health() == {"ok": False, "database": False}
    turns, is_down = 0, False
    await until(lambda: turns >= 2)
    running.cancel()
    assert upkeep.health()["ok"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_metrics_tell_what_went_and_what_a_destination_holds_back(scene: Scene, clock: Clock) -> None:
    with scene.services.database.writing() as session:
        relay.add(session, "district", "http-json", "http://platform.test/", clock())
    scene.send(1, edge.scan(0, 1.0, 1.0), edge.scan(1, 1.0, 1.0))
    clock.advance(40 * DAY_S)
    upkeep = Upkeep(scene.services)
    asyncio.run(upkeep.tend())
    sample = upkeep.registry.get_sample_value
    assert sample("fengsui_upkeep_pruned_total", {"table": "reading"}) == 2
    assert sample("fengsui_upkeep_held_records") == 2
    assert sample("fengsui_upkeep_turns_total") == 1


def test_a_value_that_arrives_while_a_tag_is_pruned_is_not_swallowed(
    scene: Scene, clock: Clock, database_url: str
) -> None:
    if not database_url:
        pytest.skip("SQLite lets one writer in at a time")
    scene.send(1, *(edge.scan(n, float(n), 20.0) for n in range(5)))
    clock.advance(40 * DAY_S)
    scene.send(6, edge.scan(40 * DAY_S, 1.0, 20.0))
    engine = scene.services.database.engine
    late = {"tag_id": tag_id(scene), "at_ns": START_NS + 10**9 // 2, "record_id": 99, "value": 7.0, "quality": 0}
    came = []

    def arrive(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM reading") and not came:
            came.append(statement)
            with scene.services.database.writing() as session:
                session.execute(sa.insert(Reading), [late])

    sa.event.listen(engine, "before_cursor_execute", arrive)
    tend(scene)
    sa.event.remove(engine, "before_cursor_execute", arrive)
    assert len(came) == 1
    assert counted(scene) == 7
    clock.advance(HOUR_S)
    tend(scene)
    assert sum(row[1] for row in parts(scene, ReadingMinute)) == 6
