"""The store over the real spool and over one in memory that fails when told: the same suite where both can."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge import store as store_module
from edge.clock import SystemClock
from edge.conversation import Plan
from edge.errors import SpoolError, SpoolFullError
from edge.settings import SpoolSettings
from edge.spool import Fold, Gone, Mark, Remembered, Slice, Spool
from edge.store import Store
from tests.edge.records import CLOCK, LAYOUT, LAYOUT_ID, event, number_of, scan
from wire.conversation import Clock
from wire.health import LaneHealth
from wire.record import LANES, AuditRecord, Lane, Layout, Record, ScanRecord, decode_record, encode_record

A, M, W = Lane


class MemorySpool:
    """A spool of lists. ``fault`` is raised by whatever would touch the disk; ``gate`` holds appends back."""

    def __init__(self) -> None:
        self.epoch = "00000001-memory"
        self.commits: list[list[tuple[Lane, Record]]] = []
        self.fault: Exception | None = None
        self.blind: SpoolError | None = None
        self.events_have_room = False
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.pruned = 0
        self._committed = dict.fromkeys(LANES, 0)

    def append(
        self, records: Sequence[tuple[Lane, Record]], layouts: dict[bytes, Layout], clock: Clock | None = None
    ) -> None:
        self.entered.set()
        self.gate.wait(10)
        events_only = all(lane is A for lane, _ in records)
        if self.fault is not None and not (self.events_have_room and events_only):
            raise self.fault
        assert all(r.layout in layouts for _, r in records if isinstance(r, ScanRecord))
        assert clock is not None
        self.commits.append(list(records))

    def _lane(self, lane: Lane) -> list[Record]:
        return [record for commit in self.commits for of, record in commit if of is lane]

    def marks(self) -> list[Mark]:
        return [
            Mark(epoch=self.epoch, lane=lane, first=1, head=len(self._lane(lane)), committed=self._committed[lane])
            for lane in LANES
        ]

    def read(self, epoch: str, lane: Lane, after: int, _max_bytes: int) -> Slice | None:
        items = tuple(encode_record(record) for record in self._lane(lane)[after:])
        if not items or epoch != self.epoch:
            return None
        return Slice(epoch=epoch, lane=lane, first=after + 1, items=items, layouts={}, boot="boot-1", clock=CLOCK)

    def set_committed(self, cursors: Sequence[tuple[str, Lane, int]]) -> None:
        for _, lane, committed in cursors:
            self._committed[lane] = committed

    def accounts(self) -> dict[Lane, LaneHealth]:
        if self.blind is not None:
            raise self.blind
        return {
            mark.lane: LaneHealth(assigned=mark.head, delivered=mark.committed, pending=mark.head - mark.committed)
            for mark in self.marks()
        }

    def standings(self) -> dict[str, Remembered]:
        return {}

    def prune(self, _keep_s: float) -> int:
        self.pruned += 1
        return 0

    def lost(self) -> int:
        return 0

    def size_bytes(self) -> int:
        return 0

    quota_bytes = 10**8

    def close(self) -> None:
        self.closed = True


class Steady(SystemClock):
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now_ns = 1_000
        super().__init__(mono_ns=lambda: self.now_ns, wall_ns=lambda: 1_790_000_000_000_000_000, is_synced=lambda: True)


SETTINGS = SpoolSettings(commit_s=0.05)
Build = Callable[[Path], Any]


def real_spool(folder: Path) -> Spool:
    return Spool.open(folder / "spool.sqlite3", max_bytes=10**8, boot="boot-1", clock=CLOCK)[0]


async def make(spool: Any, settings: SpoolSettings = SETTINGS) -> Store:
    return Store(spool, ThreadPoolExecutor(max_workers=1), settings, Steady())


@pytest.fixture(params=["real", "memory"])
async def store(request, tmp_path) -> AsyncIterator[Store]:
    store = await make(real_spool(tmp_path) if request.param == "real" else MemorySpool())
    yield store
    await store.close()


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool()


@pytest.fixture
async def faulty(spool) -> AsyncIterator[Store]:
    store = await make(spool)
    yield store
    spool.fault = spool.blind = None
    spool.gate.set()
    await store.close()


def put(store: Store, *numbers: int) -> None:
    for number in numbers:
        _, record = scan(number)
        assert isinstance(record, ScanRecord)
        store.put_scan(record, LAYOUT)


def put_event(store: Store, number: int) -> None:
    store.put_event(event(number)[1])


async def stored(store: Store, lane: Lane) -> list[int]:
    part = await store.read(Plan(store.epoch, lane, 0, 10**9))
    return [] if part is None else [number_of(item) for item in part.items]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - looks at a thread's doings
            await asyncio.sleep(0.002)


async def test_commit_makes_everything_durable_in_order(store) -> None:
    put(store, 1, 2)
    put_event(store, 9)
    put(store, 3)
    assert await store.commit()
    assert await stored(store, M) == [1, 2, 3]
    assert await stored(store, A) == [9]
    assert store.figures.accounts[M].assigned == 3
    assert store.committed.is_set()


async def test_commit_of_nothing_is_none(store) -> None:
    assert await store.commit()
    assert not store.committed.is_set()
    assert {mark.head for mark in await store.marks()} == {0}


async def test_cursors_of_the_fleet_are_taken_over(store) -> None:
    put(store, 1, 2, 3)
    await store.commit()
    await store.set_committed([(store.epoch, M, 2)])
    assert (store.figures.accounts[M].delivered, store.figures.accounts[M].pending) == (2, 1)


async def test_measurements_are_committed_together_and_an_event_at_once(spool) -> None:
    store = await make(spool, SpoolSettings(commit_s=0.4))
    task = asyncio.create_task(store.commit_forever())
    began = asyncio.get_running_loop().time()
    put(store, 1, 2)
    await asyncio.sleep(0.05)
    put(store, 3)
    assert spool.commits == []
    put_event(store, 9)
    await until(lambda: bool(spool.commits))
    assert asyncio.get_running_loop().time() - began < 0.3
    assert [len(commit) for commit in spool.commits] == [4]
    put(store, 4)
    await until(lambda: len(spool.commits) == 2)
    assert asyncio.get_running_loop().time() - began > 0.4
    task.cancel()
    await store.close()


async def test_fault_keeps_every_record_and_their_order(faulty, spool) -> None:
    spool.fault = SpoolError("the disk hums")
    put(faulty, 1)
    put_event(faulty, 7)
    assert not await faulty.commit()
    put(faulty, 2)
    put_event(faulty, 8)
    assert not await faulty.commit()
    assert faulty.fault == "the disk hums"
    spool.fault = None
    put(faulty, 3)
    assert await faulty.commit()
    assert await stored(faulty, M) == [1, 2, 3]
    assert await stored(faulty, A) == [7, 8]
    assert (faulty.fault, faulty.dropped) == ("", 0)


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), RuntimeError("nobody foresaw this")])
async def test_error_that_is_not_the_spools_keeps_every_record(faulty, spool, error) -> None:
    spool.fault = error
    put(faulty, 1)
    put_event(faulty, 7)
    with contextlib.suppress(RuntimeError):
        assert not await faulty.commit()
    spool.fault = None
    put(faulty, 2)
    assert await faulty.commit()
    assert await stored(faulty, M) == [1, 2]
    assert await stored(faulty, A) == [7]


async def test_store_begins_though_salvage_cannot_rename(tmp_path, monkeypatch) -> None:
    path = tmp_path / "spool.sqlite3"
    path.write_text("not a spool " * 500)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as readonly:
        readonly.setattr("os.replace", refuse)
        store = await Store.open(path, SETTINGS, Steady())
        put(store, 1)
        assert not await store.commit()
        assert "Read-only" in store.fault
    assert await store.commit()
    assert await stored(store, M) == [1]
    await store.close()


async def test_full_spool_still_takes_events_and_keeps_measurements_for_later(faulty, spool) -> None:
    spool.fault, spool.events_have_room = SpoolFullError("no room"), True
    put(faulty, 1)
    put_event(faulty, 7)
    put(faulty, 2)
    assert not await faulty.commit()
    assert await stored(faulty, A) == [7]
    put_event(faulty, 8)
    assert not await faulty.commit()
    assert await stored(faulty, A) == [7, 8]
    spool.fault = None
    assert await faulty.commit()
    assert await stored(faulty, M) == [1, 2]
    assert await stored(faulty, A) == [7, 8]


async def test_writer_recovers_by_itself(faulty, spool, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "RETRY_S", 0.02)
    task = asyncio.create_task(faulty.commit_forever())
    spool.fault = SpoolFullError("no room")
    put(faulty, 1)
    put_event(faulty, 7)
    await until(lambda: faulty.fault == "no room")
    spool.fault = None
    await until(lambda: faulty.fault == "")
    assert await stored(faulty, M) == [1]
    assert await stored(faulty, A) == [7]
    task.cancel()


async def test_fault_is_logged_once_and_its_end_too(faulty, spool, caplog) -> None:
    caplog.set_level("INFO")
    spool.fault = SpoolError("the disk hums")
    put(faulty, 1)
    for _ in range(5):
        await faulty.commit()
    spool.fault = None
    await faulty.commit()
    assert [record.message for record in caplog.records] == [
        "the disk hums (records wait in memory)",
        "spool stores again",
    ]


async def test_failing_look_at_the_accounts_does_not_store_records_twice(faulty, spool) -> None:
    spool.blind = SpoolError("cannot count")
    put(faulty, 1)
    assert await faulty.commit()
    spool.blind = None
    assert await faulty.commit()
    assert await stored(faulty, M) == [1]


@pytest.fixture
def small_queue(monkeypatch) -> int:
    monkeypatch.setattr(store_module, "QUEUE_MOST", 5)
    return 5


def places(spool: MemorySpool, lane: Lane) -> list[int | Gone]:
    """What a lane got: the numbers of records, and what stands for those that were dropped."""
    entries = [entry for commit in spool.commits for of, entry in commit if of is lane]
    return [entry if isinstance(entry, Gone) else entry.mono_ns for entry in entries if not isinstance(entry, Fold)]


def folds(spool: MemorySpool) -> list[Fold]:
    return [entry for commit in spool.commits for _, entry in commit if isinstance(entry, Fold)]


@pytest.mark.usefixtures("small_queue")
async def test_what_memory_cannot_hold_keeps_its_place_and_is_counted(faulty, spool) -> None:
    spool.fault = SpoolError("the disk hums")
    put(faulty, *range(8))
    await faulty.commit()
    assert faulty.dropped == 3
    spool.fault = None
    put(faulty, 8)
    assert await faulty.commit()
    assert places(spool, M) == [0, 1, 2, 3, 4, Gone(4, "memory", 5, 8)]
    put(faulty, 10)
    await faulty.commit()
    assert places(spool, M)[-1] == 10
    assert faulty.dropped == 4


@pytest.mark.usefixtures("small_queue")
async def test_event_takes_the_place_of_the_oldest_measurement_and_without_one_it_is_folded(faulty, spool) -> None:
    spool.fault = SpoolError("the disk hums")
    put(faulty, 1, 2, 3)
    for number in range(10, 14):
        put_event(faulty, number)
    put(faulty, 4)
    assert faulty.dropped == 3
    for number in range(14, 18):
        put_event(faulty, number)
    put_event(faulty, 18)
    spool.fault = None
    await faulty.commit()
    assert places(spool, M) == [Gone(4, "memory", 1, 4)]
    assert places(spool, A) == [10, 11, 12, 13, 14]
    (fold,) = folds(spool)
    assert (fold.count, fold.first_mono_ns, fold.last) == (4, 15, event(18)[1])
    assert faulty.dropped == 8


async def test_layout_of_a_dropped_scan_does_no_harm(tmp_path, small_queue) -> None:
    store = await make(real_spool(tmp_path))
    for number in range(small_queue):
        put_event(store, number)
    put(store, 1)
    assert store.dropped == 1
    await store.commit()
    put(store, 2)
    await store.commit()
    part = await store.read(Plan(store.epoch, M, 0, 10**6))
    assert part is not None
    assert part.tombstone is not None
    behind = await store.read(Plan(store.epoch, M, 1, 10**6))
    assert behind is not None
    assert behind.layouts == {LAYOUT_ID: LAYOUT}
    await store.close()


@pytest.mark.usefixtures("small_queue")
async def test_two_commits_at_once_keep_order_and_declare_a_loss_once(faulty, spool) -> None:
    spool.fault = SpoolError("the disk hums")
    put(faulty, *range(7))
    await faulty.commit()
    spool.gate.clear()
    spool.entered.clear()
    first = asyncio.create_task(faulty.commit())
    await until(spool.entered.is_set)
    put(faulty, 100)
    second = asyncio.create_task(faulty.commit())
    await asyncio.sleep(0.01)
    spool.gate.set()
    await asyncio.gather(first, second)
    spool.fault = None
    await faulty.commit()
    await faulty.commit()
    assert places(spool, M) == [0, 1, 2, 3, 4, Gone(3, "memory", 5, 100)]


@pytest.mark.parametrize("fails", [False, True])
async def test_commit_whose_caller_is_cancelled_forgets_nothing(faulty, spool, fails) -> None:
    put(faulty, 1, 2)
    spool.gate.clear()
    caller = asyncio.create_task(faulty.commit())
    await until(spool.entered.is_set)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    spool.fault = SpoolError("the disk hums") if fails else None
    put(faulty, 3)
    spool.gate.set()
    await until(lambda: bool(spool.commits) or bool(faulty.fault))
    spool.fault = None
    assert await faulty.commit()
    assert await stored(faulty, M) == [1, 2, 3]


async def test_close_commits_what_is_left(tmp_path) -> None:
    store = await make(real_spool(tmp_path))
    put(store, 1)
    await store.close()
    again = real_spool(tmp_path)
    assert again.accounts()[M].assigned == 1
    again.close()


async def test_close_says_how_many_records_could_not_be_stored(spool, caplog) -> None:
    store = await make(spool)
    spool.fault = SpoolError("the disk hums")
    put(store, 1, 2)
    await store.close()
    assert "2 records could not be stored before the end: the disk hums" in caplog.text


async def test_damaged_file_is_declared_in_lane_a(tmp_path) -> None:
    path = tmp_path / "spool.sqlite3"
    path.write_text("not a spool " * 500)
    store = await Store.open(path, SETTINGS, Steady())
    await store.commit()
    part = await store.read(Plan(store.epoch, A, 0, 10**6))
    assert part is not None
    record = decode_record(part.items[0])
    assert isinstance(record, AuditRecord)
    assert record.event == "spool-corrupt"
    assert "spool.sqlite3.corrupt-" in record.detail
    await store.close()


async def test_writer_prunes_now_and_then(faulty, spool) -> None:
    clock = faulty._clock
    assert isinstance(clock, Steady)
    task = asyncio.create_task(faulty.commit_forever())
    put_event(faulty, 1)
    await until(lambda: len(spool.commits) == 1)
    assert spool.pruned == 0
    clock.now_ns += int(store_module.PRUNE_S * 2e9)
    put_event(faulty, 2)
    await until(lambda: spool.pruned == 1)
    task.cancel()
