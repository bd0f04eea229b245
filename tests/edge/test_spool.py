"""The spool on real files: identity, order, accounts, room, damage, sudden death."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import SpoolCorruptError, SpoolError, SpoolFullError
from edge.spool import Remembered, Spool, spans
from edge.spool.file import pack, unpack
from tests.edge.records import CLOCK, LAYOUT, LAYOUT_ID, LAYOUTS, alarm, event, number_of, scan
from wire.alarm import Standing
from wire.conversation import Clock, Span, Tombstone
from wire.record import Lane, Layout, StandingRecord, layout_id

A, M, W = Lane
MB = 1_000_000


def begin(path: Path, max_bytes: int = 100 * MB, boot: str = "boot-1") -> Spool:
    spool, aside = Spool.open(path, max_bytes=max_bytes, boot=boot, clock=CLOCK)
    assert aside is None
    return spool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite3"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = begin(path)
    yield spool
    spool.close()


def read_all(spool: Spool, epoch: str, lane: Lane, max_bytes: int = 10**9, after: int = 0) -> list[int]:
    """Read to the end as the uplink does, holding that the seqs are dense."""
    numbers: list[int] = []
    while (part := spool.read(epoch, lane, after, max_bytes)) is not None:
        assert part.first == after + 1
        assert (part.epoch, part.lane) == (epoch, lane)
        numbers += map(number_of, part.items)
        after = part.last
    return numbers


def test_seqs_are_dense_from_one_in_each_lane(spool) -> None:
    spool.append([scan(10), event(20), scan(11)], LAYOUTS)
    spool.append([scan(12)], LAYOUTS)
    heads = {mark.lane: (mark.first, mark.head, mark.committed) for mark in spool.marks()}
    assert heads == {A: (1, 1, 0), M: (1, 3, 0), W: (1, 0, 0)}
    assert read_all(spool, spool.epoch, M) == [10, 11, 12]
    assert read_all(spool, spool.epoch, A) == [20]
    assert read_all(spool, spool.epoch, W) == []


def test_every_start_is_a_new_epoch_and_the_old_ones_stay(path) -> None:
    first = begin(path, boot="boot-1")
    first.append([scan(1)], LAYOUTS)
    first.close()
    second = begin(path, boot="boot-2")
    second.append([scan(2)], LAYOUTS)
    assert first.epoch != second.epoch
    assert [mark.epoch for mark in second.marks() if mark.head] == [first.epoch, second.epoch]
    assert read_all(second, first.epoch, M) == [1]
    assert read_all(second, second.epoch, M) == [2]
    old = second.read(first.epoch, M, 0, 1)
    assert old is not None
    assert (old.boot, old.clock, old.layouts) == ("boot-1", CLOCK, LAYOUTS)
    second.close()


def test_epochs_of_a_copied_file_differ(path, tmp_path) -> None:
    begin(path).close()
    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(path.read_bytes())
    one, other = begin(path), begin(copy)
    assert one.epoch[:8] == other.epoch[:8]
    assert one.epoch != other.epoch
    one.close()
    other.close()


def test_epoch_carries_the_clock_as_last_known(spool) -> None:
    later = Clock(offset_ns=5, quality="holdover")
    spool.append([scan(1)], LAYOUTS, later)
    part = spool.read(spool.epoch, M, 0, 1)
    assert part is not None
    assert part.clock == later


def test_read_gives_at_least_one_record_and_no_more_octets_than_asked(spool) -> None:
    spool.append([scan(n) for n in range(10)], LAYOUTS)
    whole = spool.read(spool.epoch, M, 0, 10**6)
    assert whole is not None
    size = len(whole.items[0])
    for count in range(1, 11):
        for octets in (count * size, (count + 1) * size - 1):
            part = spool.read(spool.epoch, M, 0, octets)
            assert part is not None
            assert len(part.items) == min(count, 10)
    for octets in (-5, 0, 1, size - 1):
        part = spool.read(spool.epoch, M, 3, octets)
        assert part is not None
        assert (part.first, part.last) == (4, 4)


def test_read_past_the_end_or_of_an_unknown_epoch_gives_nothing(spool) -> None:
    spool.append([scan(1)], LAYOUTS)
    assert spool.read(spool.epoch, M, 1, 100) is None
    assert spool.read(spool.epoch, M, 99, 100) is None
    assert spool.read("00000009-none", M, 0, 100) is None


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 12), max_size=12),
    st.lists(st.integers(-1, 200), min_size=1, max_size=20),
    st.integers(0, 60),
)
def test_any_cut_gives_every_record_once_and_in_order(tmp_path_factory, groups, sizes, start) -> None:
    spool = begin(tmp_path_factory.mktemp("cut") / "spool.sqlite3")
    total = 0
    for count in groups:
        spool.append([scan(total + n) for n in range(count)], LAYOUTS)
        total += count
    after = start = min(start, total)
    numbers: list[int] = []
    cuts = 0
    while (part := spool.read(spool.epoch, M, after, sizes[cuts % len(sizes)])) is not None:
        assert part.first == after + 1
        assert sum(map(len, part.items)) <= max(sizes[cuts % len(sizes)], len(part.items[0]))
        numbers += map(number_of, part.items)
        after, cuts = part.last, cuts + 1
    assert numbers == list(range(start, total))
    spool.close()


def test_slice_carries_the_layouts_of_its_scans(spool) -> None:
    other = Layout("tank.slow", ("tank.temperature",))
    layouts = {**LAYOUTS, layout_id(other): other}
    spool.append([scan(1)], layouts)
    spool.append([scan(2, layout_id(other))], layouts)
    part = spool.read(spool.epoch, M, 0, 10**6)
    assert part is not None
    assert part.layouts == layouts
    part = spool.read(spool.epoch, M, 0, 1)
    assert part is not None
    assert part.layouts == LAYOUTS


def test_layout_that_was_offered_before_its_first_scan_is_stored_with_it(spool) -> None:
    """The store offers all layouts it knows; a scan that was dropped had offered one that no record used."""
    spool.append([event(1)], LAYOUTS)
    spool.append([scan(1)], LAYOUTS)
    part = spool.read(spool.epoch, M, 0, 100)
    assert part is not None
    assert part.layouts == {LAYOUT_ID: LAYOUT}


def test_cursor_may_go_back_and_the_records_are_read_again(spool) -> None:
    spool.append([scan(n) for n in range(5)], LAYOUTS)
    spool.set_committed([(spool.epoch, M, 5)])
    assert spool.accounts()[M].pending == 0
    spool.set_committed([(spool.epoch, M, 2)])
    assert (spool.accounts()[M].delivered, spool.accounts()[M].pending) == (2, 3)
    assert read_all(spool, spool.epoch, M, after=2) == [2, 3, 4]


def test_cursor_beyond_what_was_assigned_or_below_zero_is_brought_back(spool) -> None:
    spool.append([scan(1)], LAYOUTS)
    spool.set_committed([(spool.epoch, M, 10**9), ("00000009-none", M, 5)])
    assert spool.accounts()[M].delivered == 1
    spool.set_committed([(spool.epoch, M, -3)])
    assert (spool.accounts()[M].delivered, spool.accounts()[M].pending) == (0, 1)


def test_prune_keeps_what_is_not_delivered_however_old(spool) -> None:
    for n in range(3):
        spool.append([scan(2 * n), scan(2 * n + 1)], LAYOUTS)
    spool.set_committed([(spool.epoch, M, 3)])
    assert spool.prune(-10) == 1
    assert read_all(spool, spool.epoch, M, after=2) == [2, 3, 4, 5]
    assert next(mark for mark in spool.marks() if mark.lane is M).first == 3
    assert spool.prune(-10) == 0


def test_prune_keeps_delivered_records_for_their_time(spool) -> None:
    spool.append([scan(1)], LAYOUTS)
    spool.set_committed([(spool.epoch, M, 1)])
    assert spool.prune(3600) == 0
    assert read_all(spool, spool.epoch, M) == [1]


def test_record_is_read_anew_when_its_row_takes_the_place_of_a_delivered_one(spool) -> None:
    spool.append([scan(1)], LAYOUTS)
    assert read_all(spool, spool.epoch, M) == [1]
    spool.set_committed([(spool.epoch, M, 1)])
    assert spool.prune(keep_s=-10) == 1
    spool.append([scan(2)], LAYOUTS)
    assert read_all(spool, spool.epoch, M, after=1) == [2]


def test_delivered_and_forgotten_epoch_is_still_offered_and_declared_to_a_fleet_restored_to_before_it(path) -> None:
    first = begin(path)
    first.append([scan(1), scan(2)], LAYOUTS)
    first.set_committed([(first.epoch, M, 2)])
    first.close()
    second = begin(path)
    second.prune(-10)
    assert spans(second.marks()) == {first.epoch: {M: Span(first=3, head=2)}}
    second.set_committed([(first.epoch, M, 0)])
    told = second.read(first.epoch, M, 0, 1000)
    assert told is not None
    assert (told.first, told.tombstone) == (1, Tombstone(last=2, reason="forgotten"))
    second.close()


def test_delivered_epoch_of_long_ago_is_retired_with_its_sums_kept(path, monkeypatch) -> None:
    monkeypatch.setattr("edge.spool.spool.EPOCHS_KEPT", 1)
    first = begin(path)
    first.append([scan(1), scan(2), event(3)], LAYOUTS)
    first.set_committed([(first.epoch, M, 2), (first.epoch, A, 1)])
    first.close()
    second = begin(path)
    second.prune(-10)
    assert {mark.epoch for mark in second.marks()} == {second.epoch}
    accounts = second.accounts()
    assert (accounts[M].assigned, accounts[M].delivered, accounts[M].pending) == (2, 2, 0)
    assert (accounts[A].assigned, accounts[A].delivered) == (1, 1)
    second.close()


def test_raised_alarms_survive_until_they_are_cleared(path) -> None:
    spool = begin(path)
    spool.append([alarm(1, "raised"), alarm(2, "raised", "tank.level:low")], {})
    spool.append([alarm(3, "cleared")], {})
    spool.close()
    again = begin(path)
    stood = again.standings()
    assert list(stood) == ["tank.level:low"]
    assert stood["tank.level:low"].raised == alarm(2, "raised", "tank.level:low")[1]
    assert stood["tank.level:low"].standing == Standing.ACTIVE | Standing.UNACKNOWLEDGED
    again.append([alarm(4, "cleared", "tank.level:low")], {})
    assert again.standings() == {}
    again.close()


class Ledger:
    """A spool, and what it must say, kept in plain lists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spool = begin(path)
        self.epochs = [self.spool.epoch]
        self.records: dict[tuple[str, Lane], list[int]] = defaultdict(list)
        self.committed: dict[tuple[str, Lane], int] = defaultdict(int)
        self._numbers = itertools.count()

    def append(self, lanes: list[Lane]) -> None:
        records = []
        for lane, number in zip(lanes, self._numbers, strict=False):
            records.append(scan(number) if lane is M else event(number))
            self.records[self.spool.epoch, lane].append(number)
        self.spool.append(records, LAYOUTS)

    def commit(self, lane: Lane, back: int, seq: int) -> None:
        epoch = self.epochs[max(0, len(self.epochs) - 1 - back)]
        self.spool.set_committed([(epoch, lane, seq)])
        if epoch in {mark.epoch for mark in self.spool.marks()}:
            self.committed[epoch, lane] = max(0, min(seq, len(self.records[epoch, lane])))

    def prune(self) -> None:
        self.spool.prune(-10)

    def reopen(self) -> None:
        self.spool.close()
        self.spool = begin(self.path)
        self.epochs.append(self.spool.epoch)

    def check_accounts(self) -> None:
        for lane in (A, M):
            account = self.spool.accounts()[lane]
            assert account.assigned == account.delivered + account.pending + account.tombstoned
            assert account.assigned == sum(len(r) for (_, of), r in self.records.items() if of is lane)
            # What was forgotten, asked for again and passed anew stays under its tombstone.
            assert account.delivered <= sum(c for (_, of), c in self.committed.items() if of is lane)

    def check_records(self) -> None:
        """Whatever was not pruned before the cursor went back is still there, in order, and the rest is declared."""
        for key, numbers in self.records.items():
            after = self.committed[key]
            while after < len(numbers):
                part = self.spool.read(*key, after, 50)
                assert part is not None
                if part.tombstone is not None:
                    assert part.first <= after + 1
                    assert part.tombstone.reason == "forgotten"
                else:
                    assert part.first == after + 1
                    assert [*map(number_of, part.items)] == numbers[after : part.last]
                after = part.last


STEPS = st.one_of(
    st.tuples(st.just(Ledger.append), st.lists(st.sampled_from([A, M]), max_size=5)),
    st.tuples(st.just(Ledger.commit), st.sampled_from([A, M]), st.integers(0, 3), st.integers(-2, 12)),
    st.tuples(st.just(Ledger.prune)),
    st.tuples(st.just(Ledger.reopen)),
)


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=25))
def test_accounts_balance_and_nothing_undelivered_is_lost_after_any_sequence(tmp_path_factory, steps) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "spool.sqlite3")
    for act, *arguments in steps:
        act(ledger, *arguments)
        ledger.check_accounts()
    ledger.check_records()
    ledger.spool.close()


def test_hello_says_what_is_held(spool) -> None:
    spool.append([scan(1), scan(2)], LAYOUTS)
    spool.append([scan(3)], LAYOUTS)
    spool.set_committed([(spool.epoch, M, 2)])
    spool.prune(-10)
    assert spans(spool.marks()) == {spool.epoch: {M: Span(first=3, head=3)}}


def test_rows_written_by_several_threads_at_once_are_whole() -> None:
    def write_and_read(seed: int) -> bool:
        items = [bytes((seed + n) % 256 for n in range(2000 + seed)) for _ in range(20)]
        return all(unpack(pack(items), list[bytes]) == items for _ in range(200))

    with ThreadPoolExecutor(max_workers=4) as threads:
        assert all(threads.map(write_and_read, range(4)))


def test_two_spools_on_one_file_keep_apart(path) -> None:
    one, other = begin(path), begin(path)
    done: list[SpoolError] = []

    def write(spool: Spool, base: int) -> None:
        try:
            for n in range(50):
                spool.append([scan(base + n)], LAYOUTS)
        except SpoolError as error:
            done.append(error)

    threads = [threading.Thread(target=write, args=(one, 0)), threading.Thread(target=write, args=(other, 1000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == []
    assert read_all(one, one.epoch, M) == list(range(50))
    assert read_all(one, other.epoch, M) == list(range(1000, 1050))
    one.close()
    other.close()


@pytest.fixture
def filled(path: Path) -> Path:
    spool = begin(path)
    for n in range(200):
        spool.append([scan(n)], LAYOUTS)
    spool.close()
    assert path.stat().st_size > 30_000
    return path


def flip_head(data: bytearray) -> bytes:
    data[0:16] = b"NOT SQLITE HERE!"
    return bytes(data)


def flip_pages(data: bytearray) -> bytes:
    for at in range(4096, len(data), 4096):
        data[at : at + 12] = bytes(255 - octet for octet in data[at : at + 12])
    return bytes(data)


DAMAGE = {
    "no SQLite header": flip_head,
    "every page header flipped": flip_pages,
    "truncated": lambda data: bytes(data[: len(data) // 2]),
    "a text file": lambda _: b"this is a note to myself, not a spool\n" * 20,
    "noise": lambda data: bytes((n * 7919) % 251 for n in range(len(data))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_moved_aside_whole_and_a_new_one_begun(damage, filled) -> None:
    damaged = damage(bytearray(filled.read_bytes()))
    filled.write_bytes(damaged)
    spool, salvaged = Spool.open(filled, max_bytes=100 * MB, boot="boot-1", clock=CLOCK)
    assert salvaged is not None
    aside = salvaged.aside
    assert aside.name.startswith("spool.sqlite3.corrupt-")
    assert aside.read_bytes() == damaged
    spool.append([scan(1)], LAYOUTS)
    assert read_all(spool, spool.epoch, M) == [1]
    spool.close()
    begin(filled).close()


def test_empty_file_is_begun_anew(path) -> None:
    path.touch()
    spool = begin(path)
    spool.append([scan(1)], LAYOUTS)
    spool.close()


def test_folder_in_the_place_of_the_file_is_an_error_of_its_own(path) -> None:
    path.mkdir()
    with pytest.raises(SpoolError, match="unable to open") as caught:
        Spool.open(path, max_bytes=MB, boot="boot-1", clock=CLOCK)
    assert not isinstance(caught.value, SpoolCorruptError)


def spoil(path: Path, sql: str) -> None:
    db = sqlite3.connect(path)
    with db:
        assert db.execute(sql).rowcount > 0
    db.close()


@pytest.mark.parametrize("body", ["x'00'", "substr(body, 1, length(body) - 3)", "zeroblob(100)", "'text'"])
def test_damaged_chunk_becomes_a_tombstone_and_stops_nothing_behind_it(filled, body) -> None:
    spool = begin(filled)
    epoch = spool.marks()[0].epoch
    spoil(filled, f"UPDATE chunk SET body = {body} WHERE last = 100")
    before, damaged, behind = (spool.read(epoch, M, after, 10**9) for after in (0, 99, 100))
    assert before is not None
    assert damaged is not None
    assert behind is not None
    assert [*map(number_of, before.items)] == [*range(99)]
    assert (damaged.first, damaged.tombstone) == (100, Tombstone(last=100, reason="corrupt"))
    assert [*map(number_of, behind.items)] == [*range(100, 200)]
    account = spool.accounts()[M]
    assert (account.assigned, account.pending, account.tombstoned) == (200, 199, 1)
    spool.close()


@pytest.mark.parametrize("sql", ["DELETE FROM layout", "UPDATE layout SET body = x'c1'"])
def test_damaged_layout_is_left_out(filled, sql) -> None:
    spool = begin(filled)
    spoil(filled, sql)
    part = spool.read(spool.marks()[0].epoch, M, 0, 10**9)
    assert part is not None
    assert part.layouts == {}
    assert len(part.items) == 200
    spool.close()


@pytest.mark.parametrize("body", [b"\xc1", msgspec.msgpack.encode(Layout("tank.fast", ("tank.levem",)))])
def test_damaged_layout_is_whole_again_with_the_next_scan(filled, body) -> None:
    """Until then it is left out: the fleet would take another for a lie and quarantine what it may read from memory."""
    spoil(filled, f"UPDATE layout SET body = x'{body.hex()}'")
    spool = begin(filled)
    epoch = spool.marks()[0].epoch
    part = spool.read(epoch, M, 0, 10**9)
    assert part is not None
    assert part.layouts == {}
    spool.append([scan(1)], LAYOUTS)
    spool.close()
    again = begin(filled)
    part = again.read(epoch, M, 0, 10**9)
    assert part is not None
    assert part.layouts == LAYOUTS
    again.close()


def test_damaged_note_of_a_raised_alarm_is_passed_over(spool, path) -> None:
    spool.append([alarm(1, "raised"), alarm(2, "raised", "tank.level:low")], {})
    spoil(path, "UPDATE raised SET body = x'c1' WHERE alarm = 'tank.level:low'")
    assert list(spool.standings()) == ["tank.level:high"]


def test_acknowledged_and_shelved_alarms_stand_so_after_a_power_cut(path) -> None:
    spool = begin(path)
    raised = msgspec.structs.replace(alarm(1, "raised")[1], occurrence=77)
    spool.append([(A, raised), alarm(2, "raised", "tank.level:low")], {})
    told = StandingRecord(3, None, "tank.level:high", "tank.level", "high", "acknowledged", 2, 1, None, 77, "Li")
    shelved = StandingRecord(4, None, "mast.wind:high", "mast.wind", "high", "shelved", 2, 8, 123, 0, "Li")
    spool.append([(A, told), (A, shelved)], {})
    spool.close()
    again = begin(path)
    stood = again.standings()
    assert stood["tank.level:high"] == Remembered(standing=Standing.ACTIVE, occurrence=77, raised=raised)
    assert stood["mast.wind:high"] == Remembered(standing=Standing.SHELVED, until_ns=123)
    again.append([(A, msgspec.structs.replace(shelved, change="unshelved", standing=0, until_ns=None))], {})
    assert "mast.wind:high" not in again.standings()
    again.close()


def test_file_that_breaks_while_open_raises_spool_errors_only(spool, path) -> None:
    for n in range(100):
        spool.append([scan(n)], LAYOUTS)
    spool._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool._file._db.execute("PRAGMA cache_size=0")
    spool._file._db.execute("PRAGMA shrink_memory")
    damaged = flip_pages(bytearray(path.read_bytes()))
    with path.open("r+b") as file:
        file.write(damaged)
    for use in (
        spool.marks,
        spool.accounts,
        spool.standings,
        lambda: spool.read(spool.epoch, M, 0, 100),
        lambda: spool.append([scan(1)], LAYOUTS),
        lambda: spool.set_committed([(spool.epoch, M, 1)]),
        lambda: spool.prune(-10),
    ):
        with pytest.raises(SpoolError):
            use()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("a small disk is mounted by root only, and not in every container")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_takes_nothing_at_all_refuses_without_using_a_seq_and_loses_nothing(small_disk) -> None:
    spool = begin(small_disk / "spool.sqlite3")
    spool.append([scan(0)], LAYOUTS)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(2_000_000))
    count = 1
    with pytest.raises(SpoolFullError, match="disk full") as caught:  # noqa: PT012 - some may still fit
        for count in itertools.count(1):
            spool.append([scan(count)], LAYOUTS)
    assert "free disk space" in caught.value.hint
    accounts = spool.accounts()[M]
    assert accounts.assigned == count
    ballast.unlink()
    spool.append([scan(count)], LAYOUTS)
    assert spool.accounts()[M].assigned == count + 1
    spool.close()


APPEND_FOR_EVER = """
import itertools, sys
from pathlib import Path
from edge.spool import Spool
from tests.edge.records import CLOCK, LAYOUTS, event, scan
spool, _ = Spool.open(Path(sys.argv[1]), max_bytes=10**9, boot="boot", clock=CLOCK)
for n in itertools.count():
    spool.append([scan(n), event(n)] if n % 3 else [scan(n)], LAYOUTS)
    print(n, flush=True)
"""


def test_kill_loses_nothing_that_append_returned_for(path) -> None:
    epochs: dict[str, int] = {}
    for lines in (1, 7, 40, 150, 3):
        command = [sys.executable, "-c", APPEND_FOR_EVER, str(path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout if line.endswith(b"\n")]
        child.stdout.close()
        child.wait(10)
        spool = begin(path)
        epoch = next(m.epoch for m in spool.marks() if m.lane is M and m.head and m.epoch not in epochs)
        epochs[epoch] = acknowledged[-1]
        for known, last in epochs.items():
            numbers = read_all(spool, known, M, 500)
            assert numbers[: last + 1] == list(range(last + 1))
            assert len(numbers) <= last + 2
            assert read_all(spool, known, A, 500) == [n for n in range(len(numbers)) if n % 3]
        spool.close()
