from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, current_thread
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import DataError, OperationalError

from fleet import conversation
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.backlog import Incoming
from fleet.bootstrap import Services
from fleet.burden import find_excess
from fleet.committer import Committer, DatabaseDownError, Reply
from fleet.db import Database, build_engine, is_outage, take_turn
from fleet.gateways import service as gateways
from fleet.gateways.models import Cursor, Gateway, Tag
from fleet.ledger.models import Loss, Tally
from fleet.metrics import IngestMetrics
from fleet.readings.models import LostMinute, Quarantined, Reading, Record
from tests.fleet import edge
from tests.fleet.conftest import START_NS, Clock, both_databases
from wire.conversation import Ack, Batch, Greet, Minute, Refused, Tombstone, Welcome
from wire.conversation import Clock as WireClock
from wire.health import Health
from wire.parts import Part
from wire.record import ActionRecord, AuditRecord, Lane, Layout, encode_record, layout_id
from wire.sample import Quality
from wire.topics import Down, Up, format_topic
from wire.twin import TagInfo


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Fleet:
    """A committer on a database with one registered gateway."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.registry = CollectorRegistry()
        self.committer = Committer(services.database, IngestMetrics(self.registry), services.clock)
        with services.database.writing() as session:
            gateways.register(session, edge.GATEWAY, "", None, services.clock())

    def send(self, *incoming: Incoming) -> list[Any]:
        return [reply.message for reply in self.committer.commit(incoming)]

    def open(self) -> str:
        (welcome,) = self.send(edge.up(Up.HELLO, edge.hello()))
        assert isinstance(welcome, Welcome)
        return welcome.session

    def batch(self, *args: Any, **kwargs: Any) -> Any:
        (reply,) = self.send(edge.up(Up.BATCH, edge.batch(*args, **kwargs)))
        return reply

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.services.database.reading() as session:
            return session.scalars(query).all()

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"fengsui_ingest_{name}_total", labels) or 0.0


@pytest.fixture
def fleet(services: Services) -> Fleet:
    return Fleet(services)


def test_records_readings_and_cursor_are_committed_before_the_ack(fleet: Fleet) -> None:
    session = fleet.open()
    ack = fleet.batch(session, 1, edge.scan(1, 50.0, 20.5), edge.scan(2, 51.0, None, quality=b"\x00\x81"))
    assert ack == Ack(session=session, epoch="e1", lane=Lane.MEASUREMENTS, committed=2)
    records = fleet.rows(sa.select(Record).order_by(Record.id))
    assert [(r.epoch, r.lane, r.seq) for r in records] == [("e1", "M", 1), ("e1", "M", 2)]
    assert {(r.kind, r.samples) for r in records} == {("scan", 2)}
    assert records[0].body == encode_record(edge.scan(1, 50.0, 20.5))
    readings = fleet.rows(sa.select(Reading).order_by(Reading.tag_id, Reading.at_ns))
    assert [(r.value, r.quality) for r in readings] == [(50.0, 0), (51.0, 0), (20.5, 0), (None, 0x81)]
    assert [r.at_ns - START_NS for r in readings] == [1_000_000_000, 2_000_000_000] * 2
    (cursor,) = fleet.rows(sa.select(Cursor))
    assert (cursor.committed, cursor.boot) == (2, "boot-1")
    assert fleet.count("records", lane="M") == 2
    assert fleet.count("samples") == 4


def test_a_batch_sent_again_is_acknowledged_and_stored_once(fleet: Fleet) -> None:
    session = fleet.open()
    first = fleet.batch(session, 1, edge.scan(1, 1.0, 1.0))
    assert fleet.batch(session, 1, edge.scan(1, 1.0, 1.0)) == first
    assert fleet.batch(session, 1, edge.scan(1, 1.0, 1.0), edge.scan(2, 2.0, 2.0)).committed == 2
    assert [r.seq for r in fleet.rows(sa.select(Record).order_by(Record.id))] == [1, 2]
    assert fleet.count("trimmed") == 2


def test_a_gap_is_refused_with_its_round_and_keeps_nothing(fleet: Fleet) -> None:
    session = fleet.open()
    refused = fleet.batch(session, 5, edge.scan(1, 1.0, 1.0), round=7)
    assert refused == Refused(session=session, round=7, epoch="e1", lane=Lane.MEASUREMENTS, expected=1)
    assert fleet.rows(sa.select(Record)) == []


def test_an_unknown_session_is_greeted_at_most_every_two_seconds(fleet: Fleet, clock: Clock) -> None:
    message = edge.up(Up.BATCH, edge.batch("stale", 1, edge.scan(1, 1.0, 1.0)))
    assert fleet.send(message) == [Greet(reason="unknown session", session="stale")]
    assert fleet.send(message, message) == []
    clock.advance(2.1)
    assert isinstance(fleet.send(message)[0], Greet)
    assert fleet.rows(sa.select(Record)) == []


def test_a_clock_that_is_put_back_keeps_no_gateway_waiting_for_its_greeting(fleet: Fleet, clock: Clock) -> None:
    message = edge.up(Up.BATCH, edge.batch("stale", 1, edge.scan(1, 1.0, 1.0)))
    assert isinstance(fleet.send(message)[0], Greet)
    clock.advance(-3600)
    assert isinstance(fleet.send(message)[0], Greet)
    assert fleet.send(message) == []


def test_a_restarted_ingest_knows_no_session_and_welcomes_with_the_cursor(fleet: Fleet, services: Services) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0))
    again = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    (greet,) = again.commit([edge.up(Up.BATCH, edge.batch(session, 2, edge.scan(2, 1.0, 1.0)))])
    assert isinstance(greet.message, Greet)
    (welcome,) = again.commit([edge.up(Up.HELLO, edge.hello())])
    assert isinstance(welcome.message, Welcome)
    assert welcome.message.cursors == {"e1": {Lane.MEASUREMENTS: 1}}
    assert welcome.message.session != session


def test_a_hello_costs_no_more_for_all_the_starts_that_came_before(fleet: Fleet, services: Services) -> None:
    """Cursors stay for ever: a gateway that starts every minute has ten thousand of them within days."""
    lane = Lane.MEASUREMENTS
    rows = [
        {"gateway": edge.GATEWAY, "epoch": f"e{n}", "lane": lane.value, "committed": n, "boot": "b"}
        for n in range(1, 2001)
    ]
    with services.database.writing() as session:
        session.execute(sa.insert(Cursor), rows)
    looked_at: list[object] = []

    def look(cursor: Cursor, _: object) -> None:
        looked_at.append(cursor)

    sa.event.listen(Cursor, "load", look)
    (welcome,) = fleet.send(edge.up(Up.HELLO, edge.hello("e7")))
    sa.event.remove(Cursor, "load", look)
    assert welcome.cursors == {"e7": {lane: 7}}
    assert len(looked_at) == 1
    many = msgspec.structs.replace(edge.hello(), epochs={row["epoch"]: {} for row in rows})
    (welcome,) = fleet.send(edge.up(Up.HELLO, many))
    assert len(welcome.cursors) == 2000


def test_acks_of_one_transaction_are_joined_in_order(fleet: Fleet) -> None:
    session = fleet.open()
    replies = fleet.send(
        *(edge.up(Up.BATCH, edge.batch(session, n, edge.scan(n, 1.0, 1.0))) for n in range(1, 6)),
        edge.up(Up.BATCH, edge.batch(session, 1, edge.alarm(3, "raised"), lane=Lane.ALARMS)),
    )
    assert [(ack.lane, ack.committed) for ack in replies] == [(Lane.MEASUREMENTS, 5), (Lane.ALARMS, 1)]


def test_an_unregistered_gateway_is_ignored_and_counted(fleet: Fleet) -> None:
    assert fleet.send(edge.up(Up.HELLO, edge.hello(gateway="gw-stranger"), gateway="gw-stranger")) == []
    assert fleet.count("unregistered") == 1


def test_nothing_of_a_gateway_whose_identity_was_revoked_is_taken_or_lost_from_sight(fleet: Fleet) -> None:
    """A broker may not have learned of it yet."""
    session = fleet.open()
    with fleet.services.database.writing() as database:
        gateways.get(database, edge.GATEWAY).barred_ns = START_NS
    assert fleet.send(edge.up(Up.BATCH, edge.batch(session, 1, edge.scan(1)))) == []
    assert fleet.send(edge.up(Up.HELLO, edge.hello())) == []
    assert fleet.rows(sa.select(Record)) == []
    assert [kept.reason for kept in fleet.rows(sa.select(Quarantined))] == ["its identity was revoked"] * 2


def test_a_hello_of_another_gateway_on_ones_own_topic_is_quarantined(fleet: Fleet) -> None:
    assert fleet.send(edge.up(Up.HELLO, edge.hello(gateway="gw-other-0001"))) == []
    (kept,) = fleet.rows(sa.select(Quarantined))
    assert "gw-other-0001" in kept.reason


def test_undecodable_items_are_quarantined_one_by_one_and_count_as_committed(fleet: Fleet) -> None:
    session = fleet.open()
    good = encode_record(edge.scan(2, 2.0, 2.0))
    garbled = good[:-1] + bytes((good[-1] ^ 1,))
    ack = fleet.batch(session, 1, edge.scan(1, 1.0, 1.0), garbled, edge.scan(3, 3.0, 3.0), b"", edge.scan(5, 1.0))
    assert ack.committed == 5
    assert [r.seq for r in fleet.rows(sa.select(Record).order_by(Record.seq))] == [1, 3]
    kept = fleet.rows(sa.select(Quarantined).order_by(Quarantined.seq))
    assert [(q.seq, q.body) for q in kept[:2]] == [(2, garbled), (4, b"")]
    assert [q.reason for q in kept] == [
        "record fails its CRC", "record of 0 octets is too short", "scan of 1 values for 2 of its layout's 2 columns",
    ]  # fmt: skip
    assert fleet.count("quarantined") == 3


def test_a_scan_reported_in_part_gives_its_values_to_the_tags_that_it_names(fleet: Fleet) -> None:
    part = msgspec.structs.replace(edge.scan(1, 20.5, quality=b"\x43"), columns=b"\x02")
    fleet.batch(fleet.open(), 1, part, msgspec.structs.replace(part, columns=b"\x03"))
    (reading,) = fleet.rows(sa.select(Reading))
    names = {row.id: row.name for row in fleet.rows(sa.select(Tag))}
    assert (names[reading.tag_id], reading.value, reading.quality) == ("tank-01.temperature", 20.5, 0x43)
    assert [record.samples for record in fleet.rows(sa.select(Record))] == [1]
    (kept,) = fleet.rows(sa.select(Quarantined))
    assert kept.reason == "scan of 1 values for 2 of its layout's 2 columns"


def test_a_scan_without_its_layout_or_in_the_wrong_lane_is_quarantined(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0), layouts={})
    fleet.batch(session, 2, edge.alarm(1, "raised"), layouts={})
    lie = Layout("g", ("x.y", "x.z"))
    fleet.batch(session, 3, edge.scan(1, 1.0, 1.0), layouts={layout_id(edge.TANK): lie})
    reasons = [q.reason for q in fleet.rows(sa.select(Quarantined).order_by(Quarantined.seq))]
    assert reasons[1] == "a record of kind 'alarm' does not belong in lane M"
    assert all("was never sent" in reason for reason in (reasons[0], reasons[2]))


def test_a_layout_is_remembered_across_a_restart(fleet: Fleet, services: Services) -> None:
    fleet.batch(fleet.open(), 1, edge.scan(1, 1.0, 1.0))
    fleet.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
    session = fleet.open()
    assert fleet.batch(session, 2, edge.scan(2, 1.0, 1.0), layouts={}).committed == 2
    assert fleet.rows(sa.select(Quarantined)) == []


def test_an_undecodable_message_is_kept_up_to_a_bound(fleet: Fleet) -> None:
    garbage = Incoming(format_topic(edge.GATEWAY, Up.BATCH), b"\x00" + b"\xc1" * 100_000, START_NS)
    for _ in range(30):
        assert fleet.send(garbage) == []
    kept = fleet.rows(sa.select(Quarantined))
    assert len(kept) == 20
    assert len(kept[0].body) == 64 * 1024
    assert fleet.count("undecodable", kind="batch") == 30


@pytest.mark.parametrize("topic", ["fs/2/gw-yufu-0001/up/batch", "fs/1/GW/up/batch", "other", "fs/1/gw-yufu-0001/up/x"])
def test_a_message_on_a_wrong_topic_is_counted(fleet: Fleet, topic: str) -> None:
    assert fleet.send(Incoming(topic, b"\x00\x80", START_NS)) == []
    assert fleet.count("undecodable", kind="topic") == 1


def test_time_comes_from_the_record_then_from_the_clock_of_the_boot_then_is_unknown(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0, wall=False))
    fleet.batch(session, 2, edge.scan(2, 1.0, 1.0, wall=False), clock=WireClock())
    records = fleet.rows(sa.select(Record).order_by(Record.seq))
    assert [r.captured_ns for r in records] == [START_NS + 1_000_000_000, None]
    assert len(fleet.rows(sa.select(Reading))) == 2


def test_values_that_are_no_number_are_stored_as_what_they_are(fleet: Fleet) -> None:
    session = fleet.open()
    wide = Layout("g", ("a.bool", "a.text", "a.nan", "a.big"))
    fleet.batch(session, 1, edge.scan(1, True, "开", float("nan"), 2**63, layout=wide), layouts={layout_id(wide): wide})
    rows = fleet.rows(sa.select(Reading).join(Tag, Tag.id == Reading.tag_id).order_by(Tag.id))
    assert [(r.value, r.text, r.quality) for r in rows] == [
        (1.0, None, 0), (None, "开", 0), (None, None, Quality.BAD_SENSOR), (2.0**63, None, 0),
    ]  # fmt: skip


def test_many_scans_keep_each_value_with_its_tag_and_time(fleet: Fleet) -> None:
    session = fleet.open()
    wide = Layout("g", names(30))
    scans = [edge.scan(n, *(1000.0 * n + at for at in range(30)), layout=wide) for n in range(1, 12)]
    scans[4] = edge.scan(5, *(None if at == 7 else 5000.0 + at for at in range(30)), layout=wide)
    scans[5] = edge.scan(6, *(6000 + at for at in range(30)), quality=bytes(range(30)), layout=wide)
    fleet.batch(session, 1, *scans, layouts={layout_id(wide): wide})
    tags = {row.id: int(row.name.removeprefix("a.t")) for row in fleet.rows(sa.select(Tag))}
    rows = fleet.rows(sa.select(Reading))
    assert len(rows) == 11 * 30
    seqs = {row.id: row.seq for row in fleet.rows(sa.select(Record))}
    for row in rows:
        n, at = (row.at_ns - START_NS) // 10**9, tags[row.tag_id]
        missing = (n, at) == (5, 7)
        assert row.value == (None if missing else 1000 * n + at)
        assert row.quality == (Quality.BAD_SENSOR if missing else at if n == 6 else 0)
        assert seqs[row.record_id] == n


def test_the_largest_integers_are_stored_as_the_numbers_they_are(fleet: Fleet) -> None:
    fleet.batch(fleet.open(), 1, edge.scan(1, 2**64 - 1, -(2**63)), edge.scan(2, True, 1))
    rows = fleet.rows(sa.select(Reading).order_by(Reading.at_ns, Reading.tag_id))
    assert [row.value for row in rows] == [2.0**64, -(2.0**63), 1.0, 1.0]
    assert fleet.rows(sa.select(Quarantined)) == []


def test_positions_in_the_outbox_go_on_after_records_were_pruned(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0), edge.scan(2, 1.0, 1.0))
    last = max(row.id for row in fleet.rows(sa.select(Record)))
    with fleet.services.database.writing() as writing:
        writing.execute(sa.delete(Record))
    fleet.batch(session, 3, edge.scan(3, 1.0, 1.0))
    assert [row.id > last for row in fleet.rows(sa.select(Record))] == [True]


def test_alarm_state_follows_the_journal(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.alarm(1, "raised"), edge.alarm(2, "raised", level="high-high"), lane=Lane.ALARMS)
    fleet.batch(session, 3, edge.alarm(9, "cleared", value=85.0), lane=Lane.ALARMS)
    action = ActionRecord(10**9, None, "siren", "on", "tank-01.level:high", 3_000_000)
    fleet.batch(session, 4, action, AuditRecord(1, None, "started", "0.1.0"), lane=Lane.ALARMS)
    state = {a.level: a for a in fleet.rows(sa.select(Alarm))}
    assert (state["high"].active, state["high"].value) == (False, 85.0)
    assert state["high"].raised_ns == START_NS + 10**9
    assert state["high"].cleared_ns == START_NS + 9 * 10**9
    assert state["high-high"].active
    events = fleet.rows(sa.select(AlarmEvent).order_by(AlarmEvent.id))
    assert [e.kind for e in events] == ["raised", "raised", "cleared", "action", "audit"]
    assert (events[3].output, events[3].state, events[3].delay_ns) == ("siren", "on", 3_000_000)
    assert events[3].alarm == "tank-01.level:high"


def test_reported_describes_the_tags_and_unlists_those_that_are_gone(fleet: Fleet) -> None:
    fleet.send(edge.up(Up.REPORTED, edge.reported(version=3)))
    level, temperature = fleet.rows(sa.select(Tag).order_by(Tag.position))
    assert (level.title, level.unit, level.high, level.limits) == ("液位", "%", 100.0, {"high": 90.0})
    fleet.send(edge.up(Up.REPORTED, edge.reported(tags=edge.reported().tags[:1])))
    assert [t.name for t in fleet.rows(sa.select(Tag).where(Tag.listed))] == ["tank-01.level"]
    (gateway,) = fleet.rows(sa.select(Gateway))
    assert (gateway.title, gateway.reported_version) == ("罐区", 0)
    assert temperature.name == "tank-01.temperature"


def test_a_record_that_the_database_cannot_take_is_quarantined_alone(fleet: Fleet) -> None:
    session = fleet.open()
    absurd = ActionRecord(1, None, "siren", "on", "x", 2**64 - 1)
    records = [*(AuditRecord(n, None, "configured") for n in (1, 2)), absurd, AuditRecord(3, None, "ended")]
    ack = fleet.send(edge.up(Up.BATCH, edge.batch(session, 1, *records, lane=Lane.ALARMS)))[-1]
    assert ack.committed == 4
    assert [r.seq for r in fleet.rows(sa.select(Record).order_by(Record.seq))] == [1, 2, 4]
    (kept,) = fleet.rows(sa.select(Quarantined))
    assert kept.seq == 3
    assert kept.body == encode_record(absurd)


def test_a_locked_database_is_not_acknowledged_and_everybody_says_hello_again(
    fleet: Fleet, services: Services, database_url: str
) -> None:
    if database_url:
        pytest.skip("only SQLite has one writer at a time")
    hasty = Database(build_engine(services.database.engine.url, busy_timeout_ms=50))
    fleet.committer = Committer(hasty, IngestMetrics(CollectorRegistry()), services.clock)
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0))
    message = edge.up(Up.BATCH, edge.batch(session, 2, edge.scan(2, 1.0, 1.0)))
    with services.database.writing() as other:
        other.execute(sa.text("SELECT 1"))
        with pytest.raises(DatabaseDownError):
            fleet.send(message)
    assert isinstance(fleet.send(message)[0], Greet)
    assert fleet.batch(fleet.open(), 2, edge.scan(2, 1.0, 1.0)).committed == 2
    assert [r.seq for r in fleet.rows(sa.select(Record).order_by(Record.seq))] == [1, 2]
    hasty.close()


def test_a_full_disk_is_not_acknowledged_and_loses_nothing(fleet: Fleet, services: Services, database_url: str) -> None:
    if database_url:
        pytest.skip("the limit is SQLite's")
    full = Database(build_engine(services.database.engine.url))
    fleet.committer = Committer(full, IngestMetrics(CollectorRegistry()), services.clock)
    session = fleet.open()
    with full.writing() as other:
        pages = other.scalar(sa.text("PRAGMA page_count"))
        other.execute(sa.text(f"PRAGMA max_page_count={pages}"))
    records = [edge.scan(n, float(n), 1.0) for n in range(1, 2000)]
    with pytest.raises(DatabaseDownError, match="full"):
        fleet.send(edge.up(Up.BATCH, edge.batch(session, 1, *records)))
    assert fleet.rows(sa.select(Record)) == []
    full.close()  # there is room again
    assert fleet.batch(fleet.open(), 1, *records).committed == 1999
    full.close()


def test_a_text_that_only_some_databases_take_is_kept_either_way(fleet: Fleet) -> None:
    session = fleet.open()
    records = [AuditRecord(1, None, "started"), AuditRecord(2, None, "odd", "a\0b"), AuditRecord(3, None, "ended")]
    assert fleet.send(edge.up(Up.BATCH, edge.batch(session, 1, *records, lane=Lane.ALARMS)))[-1].committed == 3
    assert len(fleet.rows(sa.select(Record))) + len(fleet.rows(sa.select(Quarantined))) == 3


def test_replies_name_their_gateway(fleet: Fleet) -> None:
    replies = fleet.committer.commit([edge.up(Up.HELLO, edge.hello())])
    assert [type(reply) for reply in replies] == [Reply]
    assert replies[0].gateway == edge.GATEWAY


def names(count: int) -> tuple[str, ...]:
    return tuple(f"a.t{n}" for n in range(count))


def test_a_small_message_that_unpacks_to_very_many_items_is_refused_at_once(fleet: Fleet) -> None:
    session = fleet.open()
    bomb = edge.up(Up.BATCH, edge.batch(session, 1, *[b""] * 300_000))
    assert len(bomb.payload) < 1000
    began = time.monotonic()
    assert fleet.send(bomb, bomb) == []
    assert time.monotonic() - began < 2
    assert [(q.seq, q.body) for q in fleet.rows(sa.select(Quarantined))] == [(None, bomb.payload)] * 2
    assert fleet.batch(session, 1, edge.scan(1, 1.0, 1.0)).committed == 1


def test_a_full_batch_of_garbage_is_quarantined_quickly_and_whole(fleet: Fleet) -> None:
    session = fleet.open()
    began = time.monotonic()
    assert fleet.batch(session, 1, *[b""] * 4096).committed == 4096
    assert time.monotonic() - began < 3
    assert fleet.rows(sa.select(sa.func.count()).select_from(Quarantined)) == [4096]


def test_one_transaction_takes_only_so_much_as_messages_decode_to(fleet: Fleet) -> None:
    session = fleet.open()
    many = [edge.up(Up.BATCH, edge.batch(session, 1 + 3000 * n, *[b""] * 3000)) for n in range(4)]
    replies, taken = fleet.committer.commit_some(many)
    assert (taken, [reply.message.committed for reply in replies]) == (2, [6000])  # type: ignore[union-attr]
    big = [edge.up(Up.BATCH, edge.batch(session, 6001 + n, bytes(600_000))) for n in range(4)]
    replies, taken = fleet.committer.commit_some(big)
    assert (taken, [reply.message.committed for reply in replies]) == (2, [6002])  # type: ignore[union-attr]
    small = [edge.up(Up.BATCH, edge.batch(session, 6003 + n, b"")) for n in range(256)]
    assert fleet.committer.commit_some(small)[1] == 256


def test_scans_of_more_values_than_a_window_can_carry_are_quarantined(fleet: Fleet) -> None:
    wide = Layout("g", names(2000))
    scans = [edge.scan(n, *[None] * 2000, layout=wide) for n in range(1, 101)]
    batch = edge.batch(fleet.open(), 1, *scans, layouts={layout_id(wide): wide})
    (ack,) = fleet.send(edge.up(Up.BATCH, batch))
    assert ack.committed == 100
    assert fleet.rows(sa.select(sa.func.count()).select_from(Record)) == [65]
    assert {q.reason for q in fleet.rows(sa.select(Quarantined))} == {"more than 131072 values in one batch"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Up.REPORTED, edge.reported(tags=tuple(TagInfo(name=name) for name in names(20_001)))),
        (Up.BATCH, edge.batch("s", 1, b"", layouts={b"l": Layout("g", names(20_001))})),
        (Up.BATCH, edge.batch("s", 1, b"", layouts={n.to_bytes(2): Layout("g", ()) for n in range(4097)})),
    ],
)
def test_a_message_that_describes_more_than_any_gateway_has_is_quarantined(fleet: Fleet, kind: Up, body: Any) -> None:
    assert fleet.send(edge.up(kind, body)) == []
    assert [q.kind for q in fleet.rows(sa.select(Quarantined))] == [kind.value]
    assert fleet.rows(sa.select(Tag)) == []


def test_a_part_of_a_row_may_bring_the_layouts_of_all_of_it() -> None:
    layouts = {bytes((n,)): Layout("g", (f"t{n}",)) for n in range(5)}
    assert find_excess(edge.batch("s", 1, b"", layouts=layouts)) == ""


def test_more_items_than_the_wire_allows_are_an_excess_of_their_own() -> None:
    assert "4097 items" in find_excess(edge.batch("s", 1, *[b""] * 4097))
    assert find_excess(edge.batch("s", 1, *[b""] * 4096)) == ""


@pytest.mark.parametrize(
    "message",
    [
        edge.up(Up.REPORTED, edge.reported(title="a\0b", tags=(TagInfo(name="a.b", title="\0"),))),
        edge.up(Up.REPORTED, edge.reported(version=2**63)),
        edge.up(Up.REPORTED, edge.reported(tags=(TagInfo(name="".join(map(chr, range(300, 13_100)))),))),
        edge.up(Up.REPORTED, edge.reported(config={"a": msgspec.msgpack.Ext(5, b"x")})),
        edge.up(Up.HELLO, edge.hello(epoch="a\0b")),
        edge.up(Up.HELLO, edge.hello(epoch="x" * 12_800)),
        edge.up(Up.BATCH, edge.batch("s", 1, b"", epoch="a\0b")),
        edge.up(Up.BATCH, edge.batch("s\0", 1, b"", epoch="x" * 12_800, boot="\0")),
    ],
    ids=["nul", "wide", "long", "foreign", "hello-nul", "hello-long", "batch-nul", "batch-long"],
)
def test_no_text_or_number_of_one_gateway_stops_the_messages_of_others(fleet: Fleet, message: Incoming) -> None:
    with fleet.services.database.writing() as session:
        gateways.register(session, "gw-other-0001", "", None, START_NS)
    other = edge.up(Up.HELLO, edge.hello(gateway="gw-other-0001"), gateway="gw-other-0001")
    for _ in range(2):
        replies = fleet.committer.commit([message, other])
        assert [reply.gateway for reply in replies] == ["gw-other-0001"]
    assert all("\0" not in q.reason for q in fleet.rows(sa.select(Quarantined)))


def test_bounds_of_greetings_and_of_quarantine_hold_for_what_was_committed_not_for_what_was_tried(fleet: Fleet) -> None:
    garbage = [edge.up(Up.HEALTH, bytes([n])) for n in range(15)]
    stranger = edge.up(Up.BATCH, edge.batch("unknown", 1, edge.scan(1, 1.0, 1.0)))
    replies = fleet.send(*garbage, stranger, edge.up(Up.REPORTED, edge.reported(version=2**63)))
    assert [type(reply) for reply in replies] == [Greet]
    kept = [row.body for row in fleet.rows(sa.select(Quarantined).order_by(Quarantined.id))]
    assert [message.payload for message in garbage if message.payload not in kept] == []


@pytest.mark.parametrize("layout", [Layout("g", ("a\0b",)), Layout("g\0", ("a",)), Layout("g", ("x" * 9000,))])
def test_scans_of_a_layout_that_not_every_database_takes_are_quarantined_in_one_transaction(
    fleet: Fleet, layout: Layout
) -> None:
    session = fleet.open()
    commits: list[object] = []
    sa.event.listen(fleet.services.database.engine, "commit", commits.append)
    scans = [edge.scan(n, 1.0, layout=layout) for n in range(1, 33)]
    assert fleet.batch(session, 1, *scans, layouts={layout_id(layout): layout}).committed == 32
    assert len(commits) == 1
    assert len(fleet.rows(sa.select(Quarantined))) == 32


def test_an_alarm_of_endless_name_is_quarantined_and_its_neighbours_are_stored(fleet: Fleet) -> None:
    long = msgspec.structs.replace(edge.alarm(1, "raised"), alarm="".join(map(chr, range(300, 13_100))))
    ack = fleet.batch(fleet.open(), 1, edge.alarm(1, "raised"), long, edge.alarm(2, "cleared"), lane=Lane.ALARMS)
    assert ack.committed == 3
    assert [q.seq for q in fleet.rows(sa.select(Quarantined))] == [2]


def refuse_on_sqlite(services: Services, database_url: str, table: str, when: str = "1") -> None:
    if database_url:
        pytest.skip("the refusal is a trigger of SQLite")
    with services.database.writing() as session:
        session.execute(
            sa.text(
                f"CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN {when}"
                " BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )


def test_a_record_that_only_the_database_refuses_is_found_by_halving(
    fleet: Fleet, services: Services, database_url: str
) -> None:
    refuse_on_sqlite(services, database_url, "record", "NEW.seq = 3")
    assert fleet.batch(fleet.open(), 1, *(edge.scan(n, 1.0, 1.0) for n in range(1, 8))).committed == 7
    assert [r.seq for r in fleet.rows(sa.select(Record).order_by(Record.seq))] == [1, 2, 4, 5, 6, 7]
    assert [(q.seq, q.reason) for q in fleet.rows(sa.select(Quarantined))] == [(3, "cannot be stored: refused")]


def test_a_batch_whose_epoch_cannot_be_stored_is_kept_as_octets(
    fleet: Fleet, services: Services, database_url: str
) -> None:
    refuse_on_sqlite(services, database_url, "cursor")
    message = edge.up(Up.BATCH, edge.batch(fleet.open(), 1, edge.scan(1, 1.0, 1.0)))
    assert fleet.send(message) == []
    assert [(q.seq, q.epoch, q.body) for q in fleet.rows(sa.select(Quarantined))] == [(None, None, message.payload)]


def test_what_cannot_even_be_quarantined_is_counted_and_ingest_goes_on(
    fleet: Fleet, services: Services, database_url: str
) -> None:
    refuse_on_sqlite(services, database_url, "cursor")
    refuse_on_sqlite(services, database_url, "quarantine")
    session = fleet.open()
    assert fleet.send(edge.up(Up.BATCH, edge.batch(session, 1, edge.scan(1, 1.0, 1.0)))) == []
    assert fleet.count("undecodable", kind="batch") == 1
    assert isinstance(fleet.send(edge.up(Up.HELLO, edge.hello()))[0], Welcome)


class ToldError(Exception):
    """An error of the driver of PostgreSQL."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize("state", ["08006", "53100", "53300", "57P01", "40001", "42P01", "58030"])
def test_a_sqlstate_of_the_server_is_an_outage(state: str) -> None:
    assert is_outage(DataError("insert", {}, ToldError(state)))


@pytest.mark.parametrize("state", ["22021", "22P05", "23505", "54000"])
def test_a_sqlstate_of_the_values_is_the_fault_of_the_message(state: str) -> None:
    assert not is_outage(OperationalError("insert", {}, ToldError(state)))


def test_a_quarantined_body_that_is_cut_keeps_its_digest(fleet: Fleet) -> None:
    garbage = Incoming(format_topic(edge.GATEWAY, Up.BATCH), b"\x00" + b"\xc1" * 100_000, START_NS)
    fleet.send(garbage)
    (kept,) = fleet.rows(sa.select(Quarantined))
    assert f"100001 octets, SHA-256 {hashlib.sha256(garbage.payload).hexdigest()}" in kept.reason


def tombstone(fleet: Fleet, session: str, first: int, grave: Tombstone, **changes: Any) -> Any:
    batch = Batch(
        session=session,
        round=1,
        epoch="e1",
        lane=Lane.MEASUREMENTS,
        first=first,
        items=(),
        boot="b1",
        clock=edge.SYNCED,
        tombstone=grave,
        **changes,
    )
    (reply,) = fleet.send(edge.up(Up.BATCH, batch))
    return reply


def test_tombstone_moves_the_cursor_and_only_what_is_lacking_is_a_loss(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, edge.scan(1, 1.0, 1.0), edge.scan(2, 2.0, 2.0))
    from_ns, to_ns = 5_000_000_000, 9_000_000_000
    ack = tombstone(fleet, session, 2, Tombstone(last=40, reason="quota", from_ns=from_ns, to_ns=to_ns))
    assert isinstance(ack, Ack)
    assert ack.committed == 40
    (loss,) = fleet.rows(sa.select(Loss))
    assert (loss.epoch, loss.lane, loss.first, loss.last, loss.records, loss.reason) == ("e1", "M", 3, 40, 38, "quota")
    assert edge.SYNCED.offset_ns is not None
    assert (loss.from_ns, loss.to_ns) == (from_ns + edge.SYNCED.offset_ns, to_ns + edge.SYNCED.offset_ns)
    again = tombstone(fleet, session, 2, Tombstone(last=40, reason="quota"))
    assert isinstance(again, Ack)
    assert again.committed == 40
    assert len(fleet.rows(sa.select(Loss))) == 1
    assert sum(tally.lost for tally in fleet.rows(sa.select(Tally))) == 38
    assert sum(tally.records for tally in fleet.rows(sa.select(Tally))) == 2
    assert fleet.batch(session, 41, edge.scan(1, 1.0, 1.0)).committed == 41


def test_tombstone_that_leaves_a_gap_is_refused(fleet: Fleet) -> None:
    refused = tombstone(fleet, fleet.open(), 2, Tombstone(last=40, reason="quota"))
    assert isinstance(refused, Refused)
    assert refused.expected == 1
    assert fleet.rows(sa.select(Loss)) == []


@pytest.mark.parametrize(("first", "last", "items"), [(5, 4, ()), (1, 4, (b"x",))])
def test_tombstone_that_contradicts_itself_is_quarantined_whole(fleet: Fleet, first, last, items) -> None:
    session = fleet.open()
    batch = Batch(
        session=session,
        round=1,
        epoch="e1",
        lane=Lane.MEASUREMENTS,
        first=first,
        items=items,
        boot="b1",
        clock=edge.SYNCED,
        tombstone=Tombstone(last=last, reason="quota"),
    )
    assert fleet.committer.commit([edge.up(Up.BATCH, batch)]) == []
    (kept,) = fleet.rows(sa.select(Quarantined))
    assert "tombstone" in kept.reason


def minute(mono_ns: int, count: int, low: float, high: float, mean: float) -> Minute:
    nothing = (None,) * (len(edge.TANK.tags) - 1)
    return Minute(
        layout_id(edge.TANK),
        mono_ns,
        (count, *(0 for _ in nothing)),
        (low, *nothing),
        (high, *nothing),
        (mean, *nothing),
    )


def test_minutes_of_a_tombstone_are_kept_once_however_often_they_are_told(fleet: Fleet) -> None:
    session = fleet.open()
    layouts = {layout_id(edge.TANK): edge.TANK}
    first = Tombstone(last=10, reason="quota", minutes=(minute(0, 10, 1.0, 5.0, 2.0),))
    tombstone(fleet, session, 1, first, layouts=layouts)
    joined = Tombstone(last=20, reason="quota", minutes=(minute(0, 20, 0.5, 6.0, 3.0),))
    tombstone(fleet, session, 1, joined, layouts=layouts)
    (kept,) = fleet.rows(sa.select(LostMinute))
    assert (kept.at_ns, kept.count, kept.low, kept.high, kept.mean) == (edge.SYNCED.offset_ns, 20, 0.5, 6.0, 3.0)
    more = Tombstone(last=25, reason="quota", minutes=(minute(0, 5, -1.0, 2.0, 8.0),))
    tombstone(fleet, session, 21, more, layouts=layouts)
    (kept,) = fleet.rows(sa.select(LostMinute))
    assert (kept.count, kept.low, kept.high, kept.mean) == (25, -1.0, 6.0, 4.0)


def test_minutes_that_make_no_sense_are_left_out_and_the_loss_is_not(fleet: Fleet) -> None:
    layouts = {layout_id(edge.TANK): edge.TANK}
    minutes = (
        minute(0, 10, float("nan"), 5.0, 2.0),
        minute(-(2**62), 10, 1.0, 5.0, 2.0),
        Minute(layout_id(edge.TANK), 0, (1,), (1.0,), (1.0,), (1.0,)),
        Minute(b"whatever", 0, (1,), (1.0,), (1.0,), (1.0,)),
    )
    grave = Tombstone(last=10, reason="quota", minutes=minutes)
    ack = tombstone(fleet, fleet.open(), 1, grave, layouts=layouts)
    assert isinstance(ack, Ack)
    assert ack.committed == 10
    assert fleet.rows(sa.select(LostMinute)) == []
    assert len(fleet.rows(sa.select(Loss))) == 1


def test_minutes_that_the_database_refuses_do_not_hold_up_their_tombstone(
    fleet: Fleet, services: Services, database_url: str
) -> None:
    refuse_on_sqlite(services, database_url, "lost_minute")
    grave = Tombstone(last=10, reason="quota", minutes=(minute(0, 10, 1.0, 5.0, 2.0),))
    ack = tombstone(fleet, fleet.open(), 1, grave, layouts={layout_id(edge.TANK): edge.TANK})
    assert ack.committed == 10
    assert [loss.records for loss in fleet.rows(sa.select(Loss))] == [10]
    assert fleet.rows(sa.select(LostMinute)) == []


def test_a_tombstone_that_tells_too_much_is_an_excess() -> None:
    told = Minute(b"l", 0, (0,) * 1001, (), (), ())
    grave = Tombstone(last=10, reason="quota", minutes=(told,) * 100)
    assert "100100 sums" in find_excess(edge.batch("s", 1, tombstone=grave, layouts={}))


def test_a_part_of_no_message_is_quarantined(fleet: Fleet) -> None:
    part = edge.up(Up.PART, Part(kind="live", number=1, index=0, count=2, octets=b"half"))
    assert fleet.send(part) == []
    ((kind, reason, body),) = [(q.kind, q.reason, q.body) for q in fleet.rows(sa.select(Quarantined))]
    assert (kind, reason, body) == ("part", "a part of no message that can be", part.payload)


@pytest.mark.parametrize("kind", [Up.LIVE, Down.ACK])
def test_what_is_not_for_ingest_is_passed_over(fleet: Fleet, kind: Up | Down) -> None:
    assert fleet.send(Incoming(format_topic(edge.GATEWAY, kind), b"\x00\x80", START_NS)) == []
    assert fleet.rows(sa.select(Quarantined)) == []


def test_health_is_written_down_every_five_seconds(fleet: Fleet, clock: Clock) -> None:
    def say(uptime_s: int) -> int:
        health = Health(release="0.1.0", uptime_s=uptime_s, clock="synced", lanes={}, groups={}, buses={}, outputs={})
        assert fleet.send(edge.up(Up.HEALTH, health)) == []
        (gateway,) = fleet.rows(sa.select(Gateway))
        return int(gateway.health["uptime_s"])

    assert [say(1), say(2)] == [1, 1]
    clock.advance(5)
    assert say(3) == 3


def test_a_boot_that_comes_back_raises_an_alarm_once(fleet: Fleet) -> None:
    for boot in ("boot-1", "boot-2", "boot-1", "boot-2"):
        fleet.send(edge.up(Up.HELLO, msgspec.structs.replace(edge.hello(), boot=boot)))
    assert [alarm.level for alarm in fleet.rows(sa.select(Alarm))] == ["clone"]
    assert [event.kind for event in fleet.rows(sa.select(AlarmEvent))] == ["raised"]


def test_a_batch_behind_a_welcome_needs_no_greeting(fleet: Fleet, clock: Clock) -> None:
    session = fleet.open()
    late = edge.up(Up.BATCH, edge.batch("earlier", 1, edge.scan(1, 1.0, 1.0)))
    assert fleet.send(late) == []
    assert fleet.batch(session, 1, edge.scan(1, 1.0, 1.0)).committed == 1
    clock.advance(2.1)
    assert isinstance(fleet.send(late)[0], Greet)


def test_ids_of_records_are_drawn_in_turn(fleet: Fleet, services: Services, database_url: str) -> None:
    if not database_url:
        pytest.skip("a writer of SQLite has the database to itself")
    session = fleet.open()
    with services.database.writing() as other:
        take_turn(other)
        with ThreadPoolExecutor() as threads:
            ack = threads.submit(fleet.batch, session, 1, edge.scan(1, 1.0, 1.0))
            with pytest.raises(TimeoutError):
                ack.result(timeout=0.3)
            other.commit()
            assert ack.result(timeout=20).committed == 1


def test_a_worker_that_ends_late_puts_no_cursor_back(
    fleet: Fleet, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ingest was killed and started again while its worker was still committing."""
    session = fleet.open()
    begun, go_on = Event(), Event()
    late = fleet.committer
    decide = conversation.decide

    def hesitate(*arguments: Any) -> conversation.Decision:
        decision = decide(*arguments)
        if current_thread().name == "late_0":
            begun.set()
            assert go_on.wait(20)
        return decision

    monkeypatch.setattr("fleet.committer.decide", hesitate)
    grave = Tombstone(last=5, reason="quota")
    with ThreadPoolExecutor(thread_name_prefix="late") as other, ThreadPoolExecutor() as threads:
        ended = other.submit(tombstone, fleet, session, 1, grave)
        assert begun.wait(20)
        fleet.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)

        def begin_anew() -> int:
            opened = fleet.open()
            tombstone(fleet, opened, 1, grave)
            return fleet.batch(opened, 6, *(edge.scan(n, 1.0, 1.0) for n in range(6, 11))).committed

        anew = threads.submit(begin_anew)
        wait([anew], timeout=1.0)
        go_on.set()
        assert anew.result(timeout=20) == 10
        wait([ended])
    assert late is not fleet.committer
    assert [cursor.committed for cursor in fleet.rows(sa.select(Cursor))] == [10]
    assert len(fleet.rows(sa.select(Loss))) == 1
