"""A full spool: what is refused, what still goes in, and that it is declared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.conversation import Plan
from edge.errors import SpoolFullError
from edge.settings import SpoolSettings
from edge.spool import Spool
from edge.store import Store
from wire.conversation import Clock
from wire.record import AlarmRecord, AuditRecord, Lane, Layout, ScanRecord, decode_record, layout_id

LAYOUT = Layout("noise.fast", ("noise.a",))
KEY = layout_id(LAYOUT)
QUOTA = 1_000_000


def scan(n: int) -> ScanRecord:
    """A scan that does not compress."""
    return ScanRecord(KEY, n, None, (random.Random(n).randbytes(20_000).hex(),))


def alarm(n: int) -> AlarmRecord:
    return AlarmRecord(n, None, f"noise.a:high-{n}", "noise.a", "high", "raised", 1, 1.0)


def filled(path: Path) -> Spool:
    spool = Spool(path, max_bytes=QUOTA, boot="boot", clock=Clock())
    while spool.size_bytes() < QUOTA:
        spool.append([(Lane.MEASUREMENTS, scan(1))], {KEY: LAYOUT})
    return spool


def test_full_spool_refuses_measurements_without_using_a_seq(tmp_path: Path) -> None:
    spool = filled(tmp_path / "spool")
    before = spool.accounts()
    with pytest.raises(SpoolFullError, match="has reached its 1000000 octets"):
        spool.append([(Lane.MEASUREMENTS, scan(1))], {KEY: LAYOUT})
    assert spool.accounts() == before


def test_full_spool_still_takes_alarms(tmp_path: Path) -> None:
    spool = filled(tmp_path / "spool")
    spool.append([(Lane.ALARMS, alarm(1))], {})
    assert spool.accounts()[Lane.ALARMS].assigned == 1


def test_full_spool_makes_room_from_delivered_records(tmp_path: Path) -> None:
    spool = filled(tmp_path / "spool")
    head = spool.accounts()[Lane.MEASUREMENTS].assigned
    spool.set_committed([(spool.epoch, Lane.MEASUREMENTS, head)])
    spool.append([(Lane.MEASUREMENTS, scan(1))], {KEY: LAYOUT})
    assert spool.accounts()[Lane.MEASUREMENTS].assigned == head + 1


async def test_store_on_a_full_spool_keeps_alarms_flowing_and_measurements_in_memory(tmp_path: Path) -> None:
    filled(tmp_path / "spool").close()
    store = await Store.open(tmp_path / "spool", SpoolSettings(max_bytes=QUOTA), SystemClock())
    epoch = max(mark.epoch for mark in await store.marks())
    store.put_scan(scan(1), LAYOUT)
    store.put_event(alarm(1))
    assert not await store.commit()
    assert "octets" in store.fault
    assert store.accounts[Lane.ALARMS].pending == 1
    records = await store.read(Plan(epoch, Lane.ALARMS, 0, 10_000))
    assert records is not None
    assert [decode_record(item) for item in records.items] == [alarm(1)]
    (old,) = [mark for mark in await store.marks() if mark.lane is Lane.MEASUREMENTS and mark.epoch != epoch]
    await store.set_committed([(old.epoch, Lane.MEASUREMENTS, old.head)])
    assert await store.commit()
    assert store.fault == ""
    kept = await store.read(Plan(epoch, Lane.MEASUREMENTS, 0, 10_000))
    assert kept is not None
    assert [decode_record(item) for item in kept.items] == [scan(1)]
    await store.close()


async def test_records_dropped_from_memory_are_counted_and_declared(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("edge.store.QUEUE_MOST", 3)
    store = await Store.open(tmp_path / "spool", SpoolSettings(), SystemClock())
    for n in range(5):
        store.put_scan(scan(n), LAYOUT)
    store.put_event(alarm(9))
    epoch = max(mark.epoch for mark in await store.marks())
    assert store.dropped == 3  # two that found no room, and the oldest, which gave way to the alarm
    assert await store.commit()
    records = await store.read(Plan(epoch, Lane.ALARMS, 0, 10_000))
    assert records is not None
    first, second = [decode_record(item) for item in records.items]
    assert isinstance(first, AuditRecord)
    assert first.event == "losing-data"
    assert first.detail.startswith("3 records")
    assert second == alarm(9)
    await store.close()


async def test_value_that_no_record_can_hold_is_declared_and_takes_no_other_along(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "spool", SpoolSettings(), SystemClock())
    epoch = max(mark.epoch for mark in await store.marks())
    store.put_scan(scan(1), LAYOUT)
    store.put_scan(ScanRecord(KEY, 2, None, (2**70,)), LAYOUT)
    store.put_scan(scan(3), LAYOUT)
    assert not await store.commit()
    assert await store.commit()
    assert store.dropped == 1
    kept = await store.read(Plan(epoch, Lane.MEASUREMENTS, 0, 10**6))
    assert kept is not None
    assert [decode_record(item) for item in kept.items] == [scan(1), scan(3)]
    told = await store.read(Plan(epoch, Lane.ALARMS, 0, 10**6))
    assert told is not None
    event = decode_record(told.items[0])
    assert isinstance(event, AuditRecord)
    assert event.event == "losing-data"
    assert "cannot be encoded" in event.detail
    await store.close()


async def test_store_begins_without_its_spool_and_catches_up_when_it_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()  # where the file should be stands something else
    store = await Store.open(tmp_path / "spool", SpoolSettings(), SystemClock())
    assert store.fault != ""
    store.put_event(alarm(1))
    assert not await store.commit()
    (tmp_path / "spool").rmdir()
    assert await store.commit()
    assert store.fault == ""
    epoch = max(mark.epoch for mark in await store.marks())
    kept = await store.read(Plan(epoch, Lane.ALARMS, 0, 10**6))
    assert kept is not None
    assert [decode_record(item) for item in kept.items] == [alarm(1)]
    await store.close()
