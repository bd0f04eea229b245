"""A disk that fails under the spool: full, refusing writes, a torn log, and rows that hold what they never should."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import SpoolCorruptError, SpoolError, SpoolFullError
from edge.spool import Fold, Gone, Spool, fold, rule_of, salvage
from edge.spool.file import pack
from edge.spool.minutes import Sums
from edge.spool.room import Room
from edge.store import UNBALANCED_EVENT, Store
from edge.wear import written_bytes
from tests.edge.records import CLOCK, LAYOUT, LAYOUT_ID, LAYOUTS, alarm, event, scan
from tests.edge.test_spool_quota import only_events
from tests.edge.test_spool_salvage import PAGE, account, balance, begin, find_pages
from tests.edge.test_store import SETTINGS, MemorySpool, Steady, make, put
from wire.conversation import Clock
from wire.health import LaneHealth
from wire.record import (
    ActionRecord,
    AuditRecord,
    FoldedRecord,
    Lane,
    Layout,
    ScanRecord,
    WaveformRecord,
    decode_record,
    layout_id,
)

A, M, W = Lane
ALL_SEQS = dict(enumerate(range(1, 41), 1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite3"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool, _ = begin(path)
    yield spool
    spool.close()


def append(spool: Spool, first: int, last: int) -> None:
    for number in range(first, last + 1):
        spool.append([scan(number)], LAYOUTS)


def run_sql(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    with db:
        for sql in statements:
            assert db.execute(sql).rowcount > 0, sql
    db.close()


def test_file_that_may_not_grow_refuses_without_using_a_seq_and_goes_on_when_it_may(spool) -> None:
    """SQLITE_FULL, as SQLite itself says it."""
    pages = spool._file.number("PRAGMA page_count")
    spool._file.query(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(SpoolFullError, match="disk full"):  # noqa: PT012 - some still fit
        for number in range(1, 1000):
            spool.append([scan(number), event(number)], LAYOUTS)
    spool._file.query("PRAGMA max_page_count = 100000")
    balance(spool)
    spool.append([scan(number), event(number)], LAYOUTS)
    for lane in (A, M):
        assert account(spool, spool.epoch, lane) == ({n: n for n in range(1, number + 1)}, {})


def test_log_is_moved_into_the_file_before_a_full_disk_is_believed(spool, monkeypatch) -> None:
    append(spool, 1, 40)
    refusals = iter([SpoolFullError("disk full")])
    store = spool._append

    def refuse_once(*arguments: object) -> None:
        for refusal in refusals:
            raise refusal
        store(*arguments)

    monkeypatch.setattr(spool, "_append", refuse_once)
    spool.append([scan(41)], LAYOUTS)
    ((_, in_log, _),) = spool._file.query("PRAGMA wal_checkpoint(PASSIVE)")
    assert in_log < 10  # only the last commit: the log began anew
    assert account(spool, spool.epoch, M)[0][41] == 41


def open_files() -> dict[int, str]:
    """What each descriptor of this process is open on."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return found


@pytest.fixture
def refuse(path: Path) -> Iterator[Callable[[str], None]]:
    """Makes the system refuse whatever is written to a file of the spool from now on, until called with ""."""
    spared: dict[int, int] = {}

    def restore() -> None:
        for descriptor, copy in spared.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        spared.clear()

    def refuse(suffix: str) -> None:
        restore()
        found = [descriptor for descriptor, name in open_files().items() if name == str(path) + suffix]
        spared.update({descriptor: os.dup(descriptor) for descriptor in found if suffix})
        assert bool(spared) is bool(suffix)
        for descriptor in spared:
            unwritable = os.open(str(path) + suffix, os.O_RDONLY)
            os.dup2(unwritable, descriptor)
            os.close(unwritable)

    yield refuse
    restore()


async def test_disk_that_refuses_writes_is_no_damage_and_records_wait_until_it_takes_them(path, refuse) -> None:
    """SQLITE_IOERR: the log's own descriptor takes nothing."""
    store = await Store.open(path, SETTINGS, Steady())
    put(store, 1)
    assert await store.commit()
    refuse("-wal")
    put(store, 2)
    assert not await store.commit()
    assert "disk I/O error" in store.fault
    put(store, 3)
    assert not await store.commit()
    refuse("")
    put(store, 4)
    assert await store.commit()
    assert store.fault == ""
    found = await store._call(lambda spool: account(spool, spool.epoch, M))
    assert found == ({1: 1, 2: 2, 3: 3, 4: 4}, {})
    await store._call(balance)
    await store.close()
    assert not list(path.parent.glob("*.corrupt-*"))


async def test_fault_of_every_other_call_is_told_and_costs_nothing(path, refuse) -> None:
    store = await Store.open(path, SETTINGS, Steady())
    put(store, 1, 2)
    await store.commit()
    refuse("-wal")
    with pytest.raises(SpoolError, match="disk I/O error"):
        await store.set_committed([(store.epoch, M, 2)])
    refuse("")
    await store.set_committed([(store.epoch, M, 2)])
    await store._call(lambda spool: spool._file.execute("UPDATE chunk SET stored_s = 0"))
    refuse("-wal")
    await store._prune()
    assert "disk I/O error" in store.fault
    refuse("")
    await store._prune()
    assert await store._call(lambda spool: spool._file.query("SELECT * FROM chunk")) == []
    accounts = await store._call(lambda spool: spool.accounts())
    assert accounts[M] == LaneHealth(assigned=2, delivered=2)
    await store.close()


async def test_event_that_not_even_alone_can_be_stored_waits_for_its_turn() -> None:
    spool = MemorySpool()
    store = await make(spool)
    spool.fault = SpoolFullError("no room")
    store.put_event(event(7)[1])
    put(store, 1)
    assert not await store.commit()
    assert spool.commits == []
    spool.fault = None
    assert await store.commit()
    assert spool.commits == [[event(7), scan(1)]]
    await store.close()


def test_log_that_is_torn_anywhere_gives_a_beginning_of_what_was_stored_and_no_false_record(spool, tmp_path) -> None:
    append(spool, 1, 40)
    log = Path(f"{spool._file.path}-wal").read_bytes()
    counts = []
    for number, cut in enumerate([*range(0, len(log), 4120 // 2), len(log)]):
        torn = tmp_path / f"torn-{number}"
        shutil.copyfile(spool._file.path, torn)
        Path(f"{torn}-wal").write_bytes(log[:cut])
        found, salvaged = begin(torn)
        assert salvaged is None
        records, lost = account(found, spool.epoch, M)
        assert records == dict(list(ALL_SEQS.items())[: len(records)])
        assert not lost
        balance(found)
        found.close()
        counts.append(len(records))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 40)


@pytest.mark.parametrize("seed", range(8))
def test_log_with_a_flipped_bit_ends_there(spool, tmp_path, seed) -> None:
    append(spool, 1, 40)
    log = bytearray(Path(f"{spool._file.path}-wal").read_bytes())
    source = random.Random(seed)
    log[source.randrange(32, len(log))] ^= 1 << source.randrange(8)
    torn = tmp_path / "torn"
    shutil.copyfile(spool._file.path, torn)
    Path(f"{torn}-wal").write_bytes(bytes(log))
    found, _ = begin(torn)
    records, lost = account(found, spool.epoch, M)
    assert records == dict(list(ALL_SEQS.items())[: len(records)])
    assert not lost
    balance(found)
    found.close()


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, str]:
    """What a power cut leaves of a spool of 3000 scans: its file with a damaged page, and the last 500 in its log."""
    path = tmp_path / "running.sqlite3"
    spool, _ = begin(path)
    for n in range(1, 251):
        spool.append([scan(10 * n + k) for k in range(10)], LAYOUTS)
    spool._file.query("PRAGMA wal_checkpoint(TRUNCATE)")
    for n in range(251, 301):
        spool.append([scan(10 * n + k) for k in range(10)], LAYOUTS)
    left = tmp_path / "spool 50%#?.sqlite3"
    page = find_pages(path, "chunk")[3]
    data = bytearray(path.read_bytes())
    data[(page - 1) * PAGE : (page - 1) * PAGE + 60] = bytes(60)
    left.write_bytes(bytes(data))
    Path(f"{left}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    spool.close()
    return left, spool.epoch


def test_what_only_the_log_holds_of_a_damaged_file_is_salvaged_too(killed) -> None:
    path, epoch = killed
    spool, salvaged = begin(path)
    assert isinstance(salvaged, salvage.Salvaged)
    records, lost = account(spool, epoch, M)
    assert set(records) >= set(range(2501, 3001))
    assert len(records) + lost["corrupt"] == 3000
    assert len(records) > 2700
    balance(spool)
    spool.close()


def cut_salvage(path: Path, parts: dict[Path, bytes], steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Begin with these parts and nothing else, and let the power go after so many renames and syncs.

    Returns whether the start came to its end before.
    """
    for old in path.parent.iterdir():
        old.unlink()
    for part, content in parts.items():
        part.write_bytes(content)
    left = steps

    def cut(work):
        def step(*arguments):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return work(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut(os.replace))
        patch.setattr(salvage, "_sync", cut(salvage._sync))
        with contextlib.suppress(KeyboardInterrupt):
            begin(path)[0].close()
            return True
    return False


def test_power_that_goes_between_any_two_steps_loses_nothing_of_the_log(killed, monkeypatch) -> None:
    path, epoch = killed
    parts = {part: part.read_bytes() for part in (path, Path(f"{path}-wal"))}
    for steps in itertools.count():
        done = cut_salvage(path, parts, steps, monkeypatch)
        spool, _ = begin(path)
        records, lost = account(spool, epoch, M)
        assert all(number == seq + 9 for seq, number in records.items()), steps
        assert len(records) + sum(lost.values()) == 3000, steps
        assert len(records) > 2700, steps
        balance(spool)
        spool.close()
        if done:
            assert steps >= 5
            break


@pytest.mark.parametrize("steps", range(4))
def test_log_is_out_of_the_way_before_the_file_that_it_belongs_to(path, monkeypatch, steps) -> None:
    """Where SQLite could not empty it on closing, it would be taken for the log of the file that comes there next."""
    spool, _ = begin(path)
    append(spool, 1, 40)
    log, content = Path(f"{path}-wal"), Path(f"{path}-wal").read_bytes()
    spool.close()
    log.write_bytes(content)
    done = iter(range(steps))
    rename = os.replace

    def replace(*arguments: Path) -> None:
        if next(done, None) is None:
            raise KeyboardInterrupt
        rename(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with contextlib.suppress(KeyboardInterrupt):
            salvage.move_aside(path)
    assert path.exists() or not log.exists()
    kept = [part.read_bytes() for part in path.parent.iterdir() if part.name.endswith("-wal")]
    assert kept == [content]


def test_log_that_lost_its_file_does_not_get_to_the_salvaged_one(path) -> None:
    spool, _ = begin(path)
    append(spool, 1, 40)
    spool._file.query("PRAGMA wal_checkpoint(TRUNCATE)")
    spool.set_committed([(spool.epoch, M, 20)])
    stale = Path(f"{path}-wal").read_bytes()
    spool.close()
    path.unlink()
    other, _ = begin(path)
    append(other, 1, 3)
    other.close()
    path.rename(f"{path}.salvaged")
    Path(f"{path}-wal").write_bytes(stale)
    found, salvaged = begin(path)
    assert salvaged is None
    assert account(found, other.epoch, M) == ({1: 1, 2: 2, 3: 3}, {})
    balance(found)
    found.close()


def test_salvage_that_runs_out_of_disk_leaves_the_damaged_file_where_it_is(killed, monkeypatch) -> None:
    path, epoch = killed

    class Full(salvage.SpoolFile):
        def empty_log(self) -> None:
            raise SpoolFullError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "SpoolFile", Full)
        with pytest.raises(SpoolFullError):
            begin(path)
    assert not list(path.parent.glob("*.corrupt-*"))
    spool, _ = begin(path)
    records, lost = account(spool, epoch, M)
    assert len(records) + lost["corrupt"] == 3000
    spool.close()


def salvage_after(path: Path, *statements: str) -> tuple[Spool, salvage.Salvaged]:
    """Open a spool whose rows were changed behind its back, as one that was found damaged in use."""
    run_sql(path, *statements)
    spool, salvaged = Spool.open(path, max_bytes=10**8, boot="boot-2", clock=CLOCK, is_damaged=True)
    assert salvaged is not None
    return spool, salvaged


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chunk SET first = 'ten' WHERE last = 10",
        "UPDATE chunk SET stored_s = x'00' WHERE last = 10",
        "UPDATE chunk SET lane = 'Z' WHERE last = 10",
        "UPDATE chunk SET lane = x'4d' WHERE last = 10",
        "UPDATE chunk SET first = 0 WHERE last = 10",
        "UPDATE chunk SET first = 11 WHERE last = 10",
        "UPDATE chunk SET body = 'text' WHERE last = 10",
        "UPDATE chunk SET body = x'00' WHERE last = 10",
        "UPDATE chunk SET n = 99 WHERE last = 10",
        "DELETE FROM chunk WHERE last = 10",
    ],
)
def test_row_that_makes_no_sense_is_left_out_and_declared(path, sql) -> None:
    spool, _ = begin(path)
    append(spool, 1, 40)
    spool.close()
    again, salvaged = salvage_after(path, sql)
    expected = {seq: number for seq, number in ALL_SEQS.items() if seq != 10}
    assert account(again, spool.epoch, M) == (expected, {"corrupt": 1})
    assert (salvaged.saved, salvaged.lost) == (39, 1)
    balance(again)
    again.close()
    begin(path)[0].close()


def test_tombstone_that_reaches_into_records_goes_and_the_records_stay(path) -> None:
    spool, _ = begin(path)
    append(spool, 1, 40)
    spool.append([(M, Gone(5, "memory"))], {})
    spool.append([scan(46)], LAYOUTS)
    spool.close()
    again, _ = salvage_after(path, "UPDATE tombstone SET first = 30")
    assert account(again, spool.epoch, M) == ({**ALL_SEQS, 46: 46}, {"corrupt": 5})
    balance(again)
    again.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE mark SET head = 'x' WHERE lane = 'M'",
        "UPDATE mark SET committed = -7 WHERE lane = 'M'",
        "DELETE FROM mark WHERE lane = 'M'",
        "UPDATE mark SET committed = 9999 WHERE lane = 'W'",
        "UPDATE layout SET body = 'text'",
    ],
)
def test_everything_but_records_can_be_wrong_and_no_record_is_lost(path, sql) -> None:
    spool, _ = begin(path)
    append(spool, 1, 40)
    spool.close()
    again, _ = salvage_after(path, sql)
    assert account(again, spool.epoch, M) == (ALL_SEQS, {})
    balance(again)
    again.close()


@pytest.mark.parametrize("sql", ["UPDATE mark SET lane = 'Z' WHERE lane = 'M'", "DELETE FROM chunk WHERE last = 10"])
def test_file_whose_rows_do_not_fit_each_other_is_salvaged_when_it_is_opened(path, sql) -> None:
    spool, _ = begin(path)
    append(spool, 1, 40)
    spool.close()
    run_sql(path, sql)
    again, salvaged = begin(path)
    assert salvaged is not None
    records, lost = account(again, spool.epoch, M)
    assert len(records) + sum(lost.values()) == 40
    balance(again)
    again.close()


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("DELETE FROM chunk WHERE last = 1", "does not show record 1"),
        ("UPDATE chunk SET layouts = 5 WHERE last = 1", "stands where octets should"),
        ("UPDATE mark SET head = 'x' WHERE lane = 'M'", "stands where a number should"),
        ("UPDATE mark SET lane = 'Z' WHERE lane = 'M'", "stands where a lane should"),
    ],
)
async def test_row_that_is_wrong_in_use_makes_the_store_salvage_and_go_on(path, sql, what) -> None:
    store = await Store.open(path, SETTINGS, Steady())
    put(store, 1)
    await store.commit()
    put(store, 2)
    await store.commit()
    before = store.epoch
    await store._call(lambda spool: spool._file.execute(sql))
    with pytest.raises(SpoolCorruptError, match=what):  # noqa: PT012 - one of them meets it
        await store.marks()
        await store._call(lambda spool: spool.read(spool.epoch, M, 0, 100))
    put(store, 3)
    assert await store.commit()
    assert store.epoch != before
    records, lost = await store._call(lambda spool: account(spool, before, M))
    assert len(records) + sum(lost.values()) == 2
    assert (await store._call(lambda spool: account(spool, spool.epoch, M)))[0] == {1: 3}
    await store.close()


async def test_damage_without_a_file_of_its_own_to_salvage_is_told_like_any_fault() -> None:
    spool = MemorySpool()
    store = await make(spool)
    spool.fault = SpoolCorruptError("it is damaged")
    put(store, 1)
    assert not await store.commit()
    assert store.fault == "it is damaged"
    spool.fault = None
    await store.close()


def test_folded_row_that_is_damaged_is_passed_over_and_the_others_told(path) -> None:
    spool, _ = Spool.open(path, max_bytes=1_000_000, boot="boot", clock=CLOCK)
    stored = only_events(spool)
    spool.append([alarm(1, "raised", "a:one"), alarm(2, "raised", "a:two")], {})
    spool._file.execute("UPDATE folded SET body = x'c1' WHERE rule = 'a:one'")
    spool.set_committed([(spool.epoch, A, stored)])
    spool.append([event(9)], {})
    part = spool.read(spool.epoch, A, stored, 10**6)
    assert part is not None
    assert alarm(2, "raised", "a:two")[1] in map(decode_record, part.items)
    balance(spool)
    spool.close()


def test_place_of_an_event_that_no_record_can_hold_is_kept_though_there_is_no_room(path) -> None:
    spool, _ = Spool.open(path, max_bytes=1_000_000, boot="boot", clock=CLOCK)
    stored = only_events(spool)
    spool.append([(A, Gone(1, "encoding", 5, 5)), alarm(1, "raised")], {})
    part = spool.read(spool.epoch, A, stored, 10**6)
    assert part is not None
    assert part.tombstone is not None
    assert (part.first, part.tombstone.last, part.tombstone.reason) == (stored + 1, stored + 1, "encoding")
    balance(spool)
    spool.close()


def test_prune_forgets_what_is_delivered_before_its_time_when_room_is_short(path) -> None:
    spool, _ = Spool.open(path, max_bytes=400_000, boot="boot", clock=CLOCK)
    number = 0
    while not spool._room.is_short(0.95):
        number += 1
        spool.append(
            [(M, ScanRecord(LAYOUT_ID, number, None, (random.Random(number).randbytes(4000).hex(),)))], LAYOUTS
        )
    spool.set_committed([(spool.epoch, M, number)])
    assert spool.prune(keep_s=10**6) > 0
    assert not spool._room.is_short(0.9)
    balance(spool)
    spool.close()


def test_scan_whose_columns_are_unknown_or_do_not_fit_tells_no_minute() -> None:
    layouts = {LAYOUT_ID: LAYOUT}
    sums = Sums(layouts.get, None)
    sums.add(ScanRecord(b"unknown!", 1, None, (1.0,)))
    sums.add(ScanRecord(LAYOUT_ID, 1, None, (1.0, 2.0)))
    assert sums.minutes() == []
    sums.add(ScanRecord(LAYOUT_ID, 1, None, (1.0,)))
    assert [minute.counts for minute in sums.minutes()] == [(1,)]


def test_rows_that_are_given_up_together_may_hold_anything(path) -> None:
    """Packets, scans and items that no longer decode: each number is declared, and what can be told of scans is."""
    spool, _ = begin(path)
    spool.append([scan(1), (M, WaveformRecord("XX.A..EHZ", 2, None, 1.0, 1, "int8", b"\1")), scan(3)], LAYOUTS)
    spool._file.execute("UPDATE chunk SET body = ?", (pack([b"rubbish", *raw_items(spool)[1:]]),))
    append(spool, 4, 4)
    spool.append([(M, Gone(1, "memory"))], {})
    append(spool, 6, 6)
    room = Room(spool._file, spool._tombstones, spool._layouts, max_bytes=10**7, min_free_bytes=0)
    while room._bury_oldest():
        balance(spool)
    graves = []
    after = 0
    while (part := spool.read(spool.epoch, M, after, 10**6)) is not None:
        assert part.tombstone is not None
        graves.append((part.first, part.tombstone.last, part.tombstone.reason))
        after = part.last
    assert graves == [(1, 4, "quota"), (5, 5, "memory"), (6, 6, "quota")]
    first = spool.read(spool.epoch, M, 0, 10**6)
    assert first is not None
    assert first.tombstone is not None
    assert [minute.counts for minute in first.tombstone.minutes] == [(2,)]  # scans 3 and 4
    spool.close()


def raw_items(spool: Spool) -> list[bytes]:
    part = spool.read(spool.epoch, M, 0, 10**6)
    assert part is not None
    return list(part.items)


def test_tombstones_that_tell_much_are_not_joined_into_one_that_no_batch_could_carry(path) -> None:
    spool, _ = begin(path)
    wide = Layout("wide", tuple(f"t{n}" for n in range(200)))
    key = layout_id(wide)
    source = random.Random(3)
    room = Room(spool._file, spool._tombstones, spool._layouts, max_bytes=10**7, min_free_bytes=0)
    for minute in range(60):
        values = tuple(source.random() for _ in wide.tags)
        spool.append([(M, ScanRecord(key, minute * 60 * 10**9, None, values))], {key: wide})
        assert room._bury_oldest()
    sizes = [row[0] for row in spool._file.query("SELECT LENGTH(minutes) FROM tombstone")]
    assert len(sizes) > 1
    assert max(sizes) < 64 * 1024
    balance(spool)
    spool.close()


def test_clock_of_a_boot_that_never_learned_the_time_goes_into_the_slice(path) -> None:
    spool, _ = Spool.open(path, max_bytes=10**8, boot="boot", clock=Clock())
    spool.append([scan(1)], LAYOUTS)
    part = spool.read(spool.epoch, M, 0, 10)
    assert part is not None
    assert part.clock == Clock()
    spool.close()


def test_rule_of_each_kind_of_event_is_what_it_belongs_to() -> None:
    assert rule_of(ActionRecord(1, None, "siren", "on", "a:high", 1)) == "siren"
    assert rule_of(FoldedRecord(1, None, "a:high", 3, 0, None)) == "a:high"
    assert rule_of(AuditRecord(1, None, "started")) == "started"
    for record in (scan(1)[1], WaveformRecord("XX.A..EHZ", 2, None, 1.0, 1, "int8", b"\1")):
        with pytest.raises(TypeError, match="is no event"):
            rule_of(record)
    assert fold(event(1)[1]) == Fold(1, 1, None, event(1)[1])


def test_file_that_cannot_even_be_opened_is_not_given_up(path) -> None:
    """Out of descriptors, for instance: to salvage nothing and move the file aside would lose all of it."""
    with pytest.raises(SpoolError, match="unable to open"):
        salvage.salvage(path)


async def test_wear_is_told_for_each_record_that_the_fleet_committed_since_the_start(path, monkeypatch) -> None:
    store = await Store.open(path, SETTINGS, Steady())
    assert store.figures.written_per_record == 0.0
    put(store, 1, 2, 3, 4)
    await store.commit()
    await store.set_committed([(store.epoch, M, 4)])
    await store.close()
    monkeypatch.setattr("edge.store.written_bytes", lambda: 8000)
    again = await Store.open(path, SETTINGS, Steady())
    put(again, 5, 6)
    await again.commit()
    await again.set_committed([(again.epoch, M, 2)])
    again._measured_s = -math.inf
    await again._refresh()
    assert (again.figures.delivered, again.figures.written_per_record) == (2, 4000.0)
    await again.close()


def test_kernel_that_does_not_say_what_was_written_counts_as_nothing(monkeypatch, tmp_path) -> None:
    assert written_bytes() >= 0
    monkeypatch.setattr("edge.wear.THREAD_IO", tmp_path / "none")
    assert written_bytes() == 0


async def test_full_disk_with_measurements_only_keeps_them() -> None:
    spool = MemorySpool()
    store = await make(spool)
    spool.fault = SpoolFullError("no room")
    put(store, 1)
    assert not await store.commit()
    assert len(store._waiting) == 1
    spool.fault = None
    assert await store.commit()
    await store.close()


async def test_counting_that_takes_long_is_done_rarely(monkeypatch) -> None:
    monkeypatch.setattr("edge.store.MEASURE_QUICK_S", 0.0)
    monkeypatch.setattr("edge.store.MEASURE_SHARE", 1e9)
    spool = MemorySpool()
    store = await make(spool)
    put(store, 1)
    await store.commit()
    put(store, 2)
    await store.commit()
    assert store.figures.accounts[M].assigned == 1
    await store.close()


async def test_store_whose_spool_never_opened_ends_and_says_what_it_could_not_store(tmp_path, caplog) -> None:
    (tmp_path / "spool").mkdir()
    store = await Store.open(tmp_path / "spool", SETTINGS, Steady())
    store.put_waveform(WaveformRecord("XX.A..EHZ", 2, None, 1.0, 1, "int8", b"1"))
    assert store.epoch == ""
    await store.close()
    assert "1 records could not be stored before the end" in caplog.text


async def test_account_that_does_not_balance_is_told_once_and_again_when_it_comes_again(caplog) -> None:
    spool = MemorySpool()
    store = await make(spool)
    honest = spool.accounts
    spool.accounts = lambda: {M: LaneHealth(assigned=5, delivered=1, pending=1, tombstoned=1)}  # type: ignore[method-assign]
    for number in range(4):
        put(store, number)
        store._measured_s = -1e9
        await store.commit()
    told = [entry for commit in spool.commits for _, entry in commit if isinstance(entry, AuditRecord)]
    assert [entry.event for entry in told] == [UNBALANCED_EVENT]
    assert told[0].detail == "lane M: LaneHealth(assigned=5, delivered=1, pending=1, tombstoned=1)"
    assert sum("records are not accounted for" in record.message for record in caplog.records) == 1
    balanced, spool.accounts = spool.accounts, honest  # type: ignore[method-assign]
    put(store, 9)
    await store.commit()
    spool.accounts = balanced  # type: ignore[method-assign]
    put(store, 10)
    await store.commit()
    await store.commit()
    told = [entry for commit in spool.commits for _, entry in commit if isinstance(entry, AuditRecord)]
    assert len(told) == 2
    await store.close()
