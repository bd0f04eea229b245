"""A spool without room: what is given up, in which order, that it is declared, and that alarms go on."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.conversation import Plan
from edge.settings import SpoolSettings
from edge.spool import Fold, Gone, Spool, room
from edge.store import LOSING_ALARM, Store
from tests.edge.records import CLOCK
from wire.record import (
    AlarmRecord,
    AuditRecord,
    FoldedRecord,
    Lane,
    Layout,
    Record,
    ScanRecord,
    decode_record,
    layout_id,
)

A, M, W = Lane
LAYOUT = Layout("noise.fast", ("noise.a", "noise.text"))
KEY = layout_id(LAYOUT)
QUOTA = 1_000_000
SECOND_NS = 1_000_000_000


def scan(n: int) -> ScanRecord:
    """A scan that does not compress: one number, and noise."""
    return ScanRecord(KEY, n * SECOND_NS, None, (float(n), random.Random(n).randbytes(20_000).hex()))


def alarm(n: int, change: str = "raised", name: str | None = None) -> AlarmRecord:
    return AlarmRecord(n, None, name or f"noise.a:high-{n}", "noise.a", "high", change, 1, 1.0)


def begin(path: Path, max_bytes: int = QUOTA, min_free_bytes: int = 0) -> Spool:
    spool, _ = Spool.open(path, max_bytes=max_bytes, boot="boot", clock=CLOCK, min_free_bytes=min_free_bytes)
    return spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = begin(tmp_path / "spool")
    yield spool
    spool.close()


def fill(spool: Spool, lane: Lane = M, first: int = 1) -> int:
    """Append scans until the next one finds no room; return how many there are."""
    number = first
    while spool.size_bytes() < spool.quota_bytes:
        spool.append([(lane, scan(number))], {KEY: LAYOUT})
        number += 1
    return number - 1


def read_all(spool: Spool, lane: Lane, after: int = 0) -> list[Record]:
    found: list[Record] = []
    while (part := spool.read(spool.epoch, lane, after, 10**9)) is not None:
        found += map(decode_record, part.items)
        after = part.last
    return found


def check(spool: Spool) -> None:
    for account in spool.accounts().values():
        assert account.assigned == account.delivered + account.pending + account.tombstoned


def test_oldest_measurements_go_first_and_their_tombstone_tells_of_each_minute(spool) -> None:
    count = fill(spool)
    spool.append([(M, scan(count + 1))], {KEY: LAYOUT})
    part = spool.read(spool.epoch, M, 0, 10**9)
    assert part is not None
    assert part.tombstone is not None
    grave = part.tombstone
    assert (part.first, part.items, grave.reason) == (1, (), "quota")
    assert (grave.from_ns, grave.to_ns) == (SECOND_NS, grave.last * SECOND_NS)
    assert part.layouts == {KEY: LAYOUT}
    assert sum(minute.counts[0] for minute in grave.minutes) == grave.last
    assert all(minute.counts[1] == 0 for minute in grave.minutes)  # a text has no mean
    assert CLOCK.offset_ns is not None
    assert all((minute.mono_ns + CLOCK.offset_ns) % (60 * SECOND_NS) == 0 for minute in grave.minutes)
    lows = [minute.lows[0] for minute in grave.minutes]
    highs = [minute.highs[0] for minute in grave.minutes]
    assert (lows[0], highs[-1]) == (1.0, float(grave.last))
    assert read_all(spool, M, after=grave.last) == [scan(n) for n in range(grave.last + 1, count + 2)]
    assert spool.accounts()[M].tombstoned == spool.lost() == grave.last
    check(spool)


def test_delivered_records_go_before_any_that_are_not(spool) -> None:
    count = fill(spool)
    spool.set_committed([(spool.epoch, M, 1)])
    spool.append([(M, scan(count + 1))], {KEY: LAYOUT})
    assert spool.lost() == 0
    assert read_all(spool, M, after=1) == [scan(n) for n in range(2, count + 2)]
    check(spool)


def test_waveforms_go_before_measurements(spool) -> None:
    spool.append([(M, scan(n)) for n in range(1, 6)], {KEY: LAYOUT})
    fill(spool, W)
    spool.append([(M, scan(6))], {KEY: LAYOUT})
    assert spool.accounts()[W].tombstoned > 0
    assert spool.accounts()[M].tombstoned == 0
    assert read_all(spool, M) == [scan(n) for n in range(1, 7)]
    check(spool)


def test_events_push_out_every_measurement_before_one_of_them_is_folded(spool) -> None:
    count = fill(spool)
    number = 0
    while spool.accounts()[M].tombstoned != count:
        spool.append([(A, alarm(number + n)) for n in range(500)], {})
        number += 500
    assert read_all(spool, A) == [alarm(n) for n in range(number)]
    check(spool)


def only_events(spool: Spool) -> int:
    """Fill the quota with events until none is stored any more; return how many are."""
    spool.append([(A, alarm(0))], {})
    while (stored := spool.accounts()[A].assigned) == len(read_all(spool, A)) and not spool._folds():
        noise = random.Random(stored).randbytes(8_000).hex()
        spool.append([(A, AuditRecord(stored, None, "noise", noise))], {})
    return stored


def test_events_without_room_are_folded_by_rule_and_none_silences_another(spool) -> None:
    stored = only_events(spool)
    spool.append([(M, scan(1))], {KEY: LAYOUT})
    assert spool.accounts()[M].tombstoned == 1  # a measurement is declared at once
    before = spool.size_bytes()
    for n in range(1000):
        spool.append([(A, alarm(n, "raised" if n % 2 else "cleared", "noise.a:chatters"))], {})
    spool.append([(A, alarm(5000, "raised", "noise.a:quiet"))], {})
    assert spool.accounts()[A].assigned == stored
    assert spool.size_bytes() - before < 20_000
    assert set(spool.standings()) >= {"noise.a:chatters", "noise.a:quiet"}
    spool.set_committed([(spool.epoch, A, stored)])
    spool.append([(A, alarm(9000))], {})
    told = read_all(spool, A, after=stored)
    assert [record for record in told if isinstance(record, FoldedRecord) and record.rule != "noise"] == [
        FoldedRecord(999, None, "noise.a:chatters", 999, 0, None)
    ]
    alarms = [record for record in told if isinstance(record, AlarmRecord)]
    assert alarms == [alarm(999, "raised", "noise.a:chatters"), alarm(5000, "raised", "noise.a:quiet"), alarm(9000)]
    check(spool)


def test_folds_of_memory_and_of_the_spool_become_one(spool) -> None:
    stored = only_events(spool)
    spool.append([(A, alarm(1, name="noise.a:x"))], {})
    spool.append([(A, Fold(5, 2, None, alarm(7, name="noise.a:x")))], {})
    spool.set_committed([(spool.epoch, A, stored)])
    spool.append([(A, Fold(1, 9, None, alarm(9, name="noise.a:y")))], {})
    told = [record for record in read_all(spool, A, after=stored) if not isinstance(record, AuditRecord)]
    assert FoldedRecord(7, None, "noise.a:x", 5, 1, None) in told
    assert told[-2:] == [alarm(7, name="noise.a:x"), alarm(9, name="noise.a:y")]


def test_what_tombstones_tell_is_bounded_and_numbers_are_never_given_up(spool) -> None:
    """A quota filled many times over: the oldest minutes are left out, no number is."""
    narrow = Layout("slow", tuple(f"slow.t{n}" for n in range(40)))
    key = layout_id(narrow)
    source = random.Random(1)
    number = 0
    while spool.accounts()[M].tombstoned < 12_000:
        records = [
            (M, ScanRecord(key, (number + n) * 60 * SECOND_NS, None, tuple(source.random() for _ in range(40))))
            for n in range(100)
        ]
        spool.append(records, {key: narrow})
        number += 100
    assert spool._tombstones.told_bytes() < QUOTA // 6
    assert spool.size_bytes() < QUOTA * 1.1
    check(spool)
    after = 0
    while (part := spool.read(spool.epoch, M, after, 10**6)) is not None:
        assert part.first == after + 1
        after = part.last
    assert after == number


def test_places_of_records_that_never_reached_the_disk_are_tombstones(spool) -> None:
    entries = [(M, scan(1)), (M, Gone(7, "memory", 5, 9)), (M, scan(9))]
    spool.append(entries, {KEY: LAYOUT})
    assert spool.accounts()[M].assigned == 9
    part = spool.read(spool.epoch, M, 1, 10**9)
    assert part is not None
    assert part.tombstone is not None
    assert (part.first, part.tombstone.last, part.tombstone.reason) == (2, 8, "memory")
    assert (part.tombstone.from_ns, part.tombstone.to_ns) == (5, 9)
    assert read_all(spool, M) == [scan(1), scan(9)]
    check(spool)


def test_event_does_not_wait_until_a_lowered_quota_is_reached(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "MAKE_MOST_S", 0.0)
    spool = begin(tmp_path / "spool", max_bytes=100 * QUOTA)
    for n in range(200):
        spool.append([(M, scan(n))], {KEY: LAYOUT})
    spool.close()
    spool = begin(tmp_path / "spool")
    held = spool._file.number("SELECT COUNT(*) FROM chunk")
    spool.append([(A, alarm(1))], {})
    assert spool.accounts()[A].pending == 1
    assert spool._file.number("SELECT COUNT(*) FROM chunk") >= held - room.BURIED_ROWS
    for n in range(200):
        spool.append([(A, alarm(n))], {})
    assert spool.size_bytes() < QUOTA
    check(spool)
    spool.close()


def test_fleet_restored_behind_what_was_forgotten_is_told_of_it(spool) -> None:
    spool.append([(M, scan(n)) for n in range(1, 4)], {KEY: LAYOUT})
    spool.set_committed([(spool.epoch, M, 3)])
    assert spool.prune(-10) == 1
    spool.append([(M, scan(4))], {KEY: LAYOUT})
    spool.set_committed([(spool.epoch, M, 1)])
    part = spool.read(spool.epoch, M, 1, 10**9)
    assert part is not None
    assert part.tombstone is not None
    assert (part.first, part.tombstone.last, part.tombstone.reason) == (2, 3, "forgotten")
    assert spool.lost() == 0
    check(spool)


def test_fleet_that_asks_for_what_was_forgotten_within_a_session_is_told_and_the_spool_is_not_taken_for_damaged(
    spool,
) -> None:
    spool.append([(M, scan(n)) for n in range(1, 4)], {KEY: LAYOUT})
    spool.append([(M, scan(n)) for n in range(4, 7)], {KEY: LAYOUT})
    spool.append([(M, scan(7))], {KEY: LAYOUT})
    spool.set_committed([(spool.epoch, M, 6)])
    assert spool.prune(-10) == 2
    part = spool.read(spool.epoch, M, 1, 10**9)
    assert part is not None
    assert part.tombstone is not None
    assert (part.first, part.tombstone.last, part.tombstone.reason) == (2, 6, "forgotten")
    behind = spool.read(spool.epoch, M, 6, 10**9)
    assert behind is not None
    assert (behind.first, len(behind.items)) == (7, 1)
    check(spool)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk is mounted by root only, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_shared_with_others_is_left_its_reserve(small_disk) -> None:
    spool = begin(small_disk / "spool", max_bytes=100 * QUOTA, min_free_bytes=8_000_000)
    count = 0
    while not spool.lost():
        count += 1
        spool.append([(M, scan(count))], {KEY: LAYOUT})
    disk = os.statvfs(small_disk)
    assert disk.f_bavail * disk.f_frsize > 2_000_000  # a tenth, of which the log takes up to 4 MB
    assert len(read_all(spool, M)) + spool.lost() == count
    spool.close()


async def open_store(folder: Path, settings: SpoolSettings) -> Store:
    return await Store.open(folder / "spool", settings, SystemClock())


async def told(store: Store) -> list[Record]:
    part = await store.read(Plan(store.epoch, A, 0, 10**6))
    return [] if part is None else [decode_record(item) for item in part.items]


async def test_store_raises_one_alarm_while_the_spool_loses_data_and_clears_it_when_that_is_over(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("edge.losing.CALM_NS", 0)
    store = await open_store(tmp_path, SpoolSettings(max_bytes=QUOTA))
    for number in range(1, 120):
        store.put_scan(scan(number), LAYOUT)
        assert await store.commit()
    assert store.fault == ""
    assert store.figures.lost > 0
    assert await store.standings() == {}
    await store.commit()
    alarms = [record for record in await told(store) if isinstance(record, AlarmRecord)]
    assert {record.alarm for record in alarms} == {LOSING_ALARM}
    assert next(record.change for record in alarms) == "raised"
    assert all(one.change != other.change for one, other in itertools.pairwise(alarms))
    assert "cleared" in [record.change for record in alarms]
    await store.close()


async def test_records_dropped_from_memory_keep_their_places(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("edge.store.QUEUE_MOST", 3)
    store = await open_store(tmp_path, SpoolSettings())
    for n in range(1, 6):
        store.put_scan(scan(n), LAYOUT)
    store.put_event(alarm(9))
    assert store.dropped == 3  # two that found no room, and the oldest, which gave way to the alarm
    assert await store.commit()
    account = store.figures.accounts[M]
    assert (account.assigned, account.pending, account.tombstoned) == (5, 2, 3)
    assert await told(store) == [alarm(9)]
    await store.commit()
    raised = (await told(store))[-1]
    assert isinstance(raised, AlarmRecord)
    assert (raised.alarm, raised.change, raised.value) == (LOSING_ALARM, "raised", 3)
    await store.close()


async def test_value_that_no_record_can_hold_is_declared_and_takes_no_other_along(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SpoolSettings())
    store.put_scan(scan(1), LAYOUT)
    store.put_scan(ScanRecord(KEY, 2, None, (2**70, "")), LAYOUT)
    store.put_scan(scan(3), LAYOUT)
    assert not await store.commit()
    assert "cannot be encoded" in store.fault
    assert await store.commit()
    assert store.dropped == 1
    parts = [await store.read(Plan(store.epoch, M, after, 10**6)) for after in (0, 1, 2)]
    assert parts[0] is not None
    assert parts[1] is not None
    assert parts[2] is not None
    assert [decode_record(item) for part in parts if part for item in part.items] == [scan(1), scan(3)]
    assert parts[1].tombstone is not None
    assert parts[1].tombstone.reason == "encoding"
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
    kept = await store.read(Plan(store.epoch, Lane.ALARMS, 0, 10**6))
    assert kept is not None
    assert [decode_record(item) for item in kept.items] == [alarm(1)]
    await store.close()
