"""Lane W from a gateway's store to the fleet's tables: kept, counted, pruned, and not relayed."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from edge.clock import SystemClock
from edge.conversation import Plan
from edge.settings import SpoolSettings
from edge.store import Store
from fleet.alarms.models import AlarmEvent
from fleet.bootstrap import Services
from fleet.ledger import service as ledger
from fleet.ledger.models import Loss, Tally
from fleet.readings.models import Quarantined, Reading, Record
from fleet.relay import service as relay
from fleet.upkeep import Upkeep
from fleet.waveforms import retention
from seismic.packing import ENCODING, pack
from tests.edge.records import alarm
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from tests.fleet.test_committer import Fleet
from wire.conversation import Ack, Batch, Hello
from wire.record import Lane, WaveformRecord, decode_record
from wire.topics import Up

A, M, W = Lane
DAY_S = 86_400


def packet(number: int, **changes: object) -> WaveformRecord:
    mono_ns = number * 1_000_000_000
    made = WaveformRecord("XX.RS001.00.EHZ", mono_ns, START_NS + mono_ns, 100.0, 100, ENCODING, pack([number] * 100))
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def fleet(services: Services) -> Fleet:
    return Fleet(services)


async def send(store: Store, fleet: Fleet, lane: Lane = W) -> Ack:
    """Hand over what a lane of a store holds, as the uplink does."""
    hello = Hello(gateway=edge.GATEWAY, boot="boot-1", release="0.3.0", machine="m-1", clock=edge.SYNCED, epochs={})
    (welcome,) = fleet.send(edge.up(Up.HELLO, hello))
    part = await store.read(Plan(store.epoch, lane, 0, 10**6))
    assert part is not None
    batch = Batch(
        session=welcome.session, round=0, epoch=part.epoch, lane=part.lane, first=part.first, items=part.items,
        boot=part.boot, clock=part.clock, layouts=part.layouts, tombstone=part.tombstone,
    )  # fmt: skip
    (ack,) = fleet.send(edge.up(Up.BATCH, batch))
    assert isinstance(ack, Ack)
    await store.set_committed([(ack.epoch, ack.lane, ack.committed)])
    return ack


async def test_packet_goes_from_the_store_to_the_fleets_tables_and_is_delivered(fleet: Fleet, tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "spool.sqlite3", SpoolSettings(), SystemClock())
    for number in (1, 2, 3):
        store.put_waveform(packet(number))
    assert await store.commit()
    assert (await send(store, fleet)).committed == 3
    rows = fleet.rows(sa.select(Record).order_by(Record.seq))
    assert [(row.lane, row.seq, row.kind, row.samples) for row in rows] == [("W", n, "waveform", 0) for n in (1, 2, 3)]
    assert [decode_record(row.body) for row in rows] == [packet(1), packet(2), packet(3)]
    assert [row.captured_ns for row in rows] == [packet(n).wall_ns for n in (1, 2, 3)]
    assert (
        fleet.rows(sa.select(Reading)) == fleet.rows(sa.select(AlarmEvent)) == fleet.rows(sa.select(Quarantined)) == []
    )
    assert [(row.lane, row.records) for row in fleet.rows(sa.select(Tally))] == [("W", 3)]
    account = (await store._call(lambda spool: spool.accounts()))[W]
    assert (account.assigned, account.delivered, account.pending) == (3, 3, 0)
    await store.close()


async def test_packets_that_a_small_spool_gave_up_are_in_the_loss_ledger(fleet: Fleet, tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "spool.sqlite3", SpoolSettings(max_bytes=1_000_000), SystemClock())
    number = 0
    while not await store._call(lambda spool: spool.lost()):
        number += 1
        store.put_waveform(packet(1, payload=number.to_bytes(4, "big") + bytes(range(256)) * 80))
        assert await store.commit()
    lost = await store._call(lambda spool: spool.lost())
    await send(store, fleet)
    (loss,) = fleet.rows(sa.select(Loss))
    assert (loss.lane, loss.first, loss.last, loss.reason) == ("W", 1, lost, "quota")
    await store.close()


def test_no_destination_gets_a_packet_or_its_count(fleet: Fleet) -> None:
    session = fleet.open()
    fleet.batch(session, 1, packet(1), lane=W)
    fleet.batch(session, 1, alarm(1, "raised")[1], lane=A)
    with fleet.services.database.reading() as database:
        rows = [row for lane in relay.LANES for row in relay.next_rows(database, lane, 0, 10)]
        assert [(row.lane, row.seq) for row in rows] == [("A", 1)]
        told = ledger.changed(database, relay.LANES, 0, START_NS * 2, None, 10)
        assert [tally.lane for tally in told] == ["A"]
        assert {tally.lane for tally in ledger.counts(database, None, START_NS, START_NS + 10**12)} == {"A", "W"}


async def test_packets_are_pruned_after_their_time_and_nothing_else_is(fleet: Fleet, clock) -> None:
    session = fleet.open()
    fleet.batch(session, 1, packet(1), lane=W)
    fleet.batch(session, 1, alarm(1, "raised")[1], lane=A)
    fleet.batch(session, 1, edge.scan(1, 50.0, 20.5))
    clock.advance(fleet.services.settings.keep_waveforms_days * DAY_S)
    await Upkeep(fleet.services).tend()
    assert len(fleet.rows(sa.select(Record))) == 3
    clock.advance(1)
    await Upkeep(fleet.services).tend()
    assert {row.lane for row in fleet.rows(sa.select(Record))} == {"A", "M"}


def test_pruning_of_packets_ends(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS", 2)
    fleet.batch(fleet.open(), 1, *map(packet, range(5)), lane=W)
    with fleet.services.database.writing() as database:
        assert [retention.prune(database, START_NS + 1) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rate_hz": 0.0}, "a waveform has a rate of 0.0 Hz"),
        ({"rate_hz": math.inf}, "a waveform has a rate of inf Hz"),
        ({"rate_hz": math.nan}, "a waveform has a rate of nan Hz"),
        ({"samples": 0}, "a waveform has 0 samples"),
        ({"samples": 2**64 - 1}, "samples 18446744073709551615 is out of range"),
        ({"stream": "XX.\0"}, "stream holds a NUL"),
    ],
)
def test_packet_that_cannot_be_is_quarantined_alone(fleet: Fleet, changes: dict[str, object], reason: str) -> None:
    ack = fleet.batch(fleet.open(), 1, packet(1, **changes), packet(2), lane=W)
    assert ack.committed == 2
    (bad,) = fleet.rows(sa.select(Quarantined))
    assert (bad.seq, bad.reason) == (1, reason)
    assert [row.seq for row in fleet.rows(sa.select(Record))] == [2]


def test_packet_in_another_lane_is_quarantined(fleet: Fleet) -> None:
    fleet.batch(fleet.open(), 1, packet(1), lane=M)
    (bad,) = fleet.rows(sa.select(Quarantined))
    assert bad.reason == "a record of kind 'waveform' does not belong in lane M"
