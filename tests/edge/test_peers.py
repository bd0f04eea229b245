"""What users of other gateways suffered with their buffers: one test for each case, named for where it was reported."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.conversation import Conversation, Plan
from edge.errors import SpoolError
from edge.spool import Spool
from edge.store import QUEUE_MOST, Store
from tests.edge.records import CLOCK, LAYOUT, LAYOUT_ID, LAYOUTS, event, number_of, scan
from tests.edge.test_spool_salvage import PAGE, find_pages
from tests.edge.test_store import SETTINGS, MemorySpool, Steady, make, put
from wire.conversation import Ack, Welcome
from wire.record import Lane, Layout, ScanRecord, decode_record, layout_id

A, M, W = Lane


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite3"


def begin(path: Path, max_bytes: int = 10**8) -> Spool:
    return Spool.open(path, max_bytes=max_bytes, boot="boot-1", clock=CLOCK)[0]


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = begin(path)
    yield spool
    spool.close()


def welcome(spool: Spool, talk: Conversation, committed: int, epoch: str = "") -> None:
    """Connect, and be told by the fleet how far it is in lane M."""
    talk.connect(0.0)
    talk.update(spool.marks())
    talk.offer()
    cursors = {epoch or spool.epoch: {M: committed}}
    spool.set_committed(talk.welcome(Welcome(session="s", window=10**6, time=0, cursors=cursors)))


def send_all(spool: Spool, talk: Conversation) -> list[int]:
    """Send and acknowledge until nothing is left; return the numbers that went out."""
    numbers: list[int] = []
    while (plan := talk.next_batch()) is not None:
        part = spool.read(plan.epoch, plan.lane, plan.after, plan.max_bytes)
        assert part is not None
        numbers += map(number_of, part.items)
        talk.sent(plan, part.last, 100, 0.0)
        moved = talk.ack(Ack(session="s", epoch=part.epoch, lane=part.lane, committed=part.last), 0.1)
        assert moved is not None
        spool.set_committed([moved])
    return numbers


def fill(spool: Spool, first: int, last: int) -> None:
    for number in range(first, last + 1):
        spool.append([scan(number)], LAYOUTS)


def test_thingsboard_2124_buffer_is_the_same_after_every_reconnect(spool) -> None:
    fill(spool, 1, 5)
    file, talk = spool._file.path.stat().st_ino, Conversation()
    for _ in range(3):
        welcome(spool, talk, 2)
        assert talk.pending == 3
    assert spool._file.path.stat().st_ino == file
    assert send_all(spool, talk) == [3, 4, 5]


def test_thingsboard_2119_what_is_sent_again_carries_the_time_when_it_was_read(spool) -> None:
    record = ScanRecord(LAYOUT_ID, 5, 1_790_000_000_000_000_000, (1.0,))
    spool.append([(M, record)], LAYOUTS)
    first = spool.read(spool.epoch, M, 0, 100)
    fill(spool, 6, 9)
    again = spool.read(spool.epoch, M, 0, 1)
    assert first is not None
    assert again is not None
    assert again.items == first.items
    assert decode_record(again.items[0]) == record


def test_thingsboard_509_what_was_acknowledged_is_sent_again_to_a_platform_that_lost_its_database(spool) -> None:
    fill(spool, 1, 5)
    talk = Conversation()
    welcome(spool, talk, 0)
    assert send_all(spool, talk) == [1, 2, 3, 4, 5]
    spool.prune(keep_s=72 * 3600)
    welcome(spool, talk, 0, "an epoch of before")
    assert send_all(spool, talk) == [1, 2, 3, 4, 5]


async def test_thingsboard_store_what_put_returned_for_is_on_disk_when_the_power_goes_at_once(path, tmp_path) -> None:
    """Its SQLite store said yes 20,000 times and had no row 50 ms later. Here commit is what says yes."""
    store = await Store.open(path, SETTINGS, Steady())
    put(store, *range(1, 2001))
    assert await store.commit()
    copy = tmp_path / "copy.sqlite3"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    left = begin(copy)
    assert left.accounts()[M].pending == 2000
    left.close()
    await store.close()


def test_telegraf_18528_damaged_buffer_needs_no_hand(path) -> None:
    spool = begin(path)
    fill(spool, 1, 500)
    spool.close()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(random.Random(1).randbytes(2 * 4096))
    again = begin(path)
    fill(again, 501, 503)
    assert [account.difference for account in again.accounts().values()] == [0, 0, 0]
    part = again.read(again.epoch, M, 0, 10**6)
    assert part is not None
    assert [*map(number_of, part.items)] == [501, 502, 503]
    again.close()


def test_telegraf_16314_backlog_neither_stalls_nor_goes_out_whole_again_after_a_restart(path) -> None:
    spool = begin(path)
    fill(spool, 1, 300)
    epoch = spool.epoch
    spool.set_committed([(epoch, M, 250)])
    spool.close()
    again = begin(path)
    again._file.execute("UPDATE chunk SET body = x'00' WHERE last = 270")
    talk = Conversation()
    welcome(again, talk, 250, epoch)
    assert send_all(again, talk) == [*range(251, 270), *range(271, 301)]
    assert talk.pending == 0
    again.close()


async def test_telegraf_2679_another_configuration_drops_nothing_that_was_not_sent(path) -> None:
    """Records of the old columns and of the new ones wait side by side, each with its own names."""
    store = await Store.open(path, SETTINGS, Steady())
    other = Layout("tank.fast", ("tank.level", "tank.temperature"))
    put(store, 1)
    store.put_scan(ScanRecord(layout_id(other), 2, None, (2, 20)), other)
    put(store, 3)
    assert await store.commit()
    part = await store.read(Plan(store.epoch, M, 0, 10**6))
    assert part is not None
    assert [*map(number_of, part.items)] == [1, 2, 3]
    assert part.layouts == {LAYOUT_ID: LAYOUT, layout_id(other): other}
    await store.close()


def test_edgex_changed_order_of_processing_deletes_nothing_that_is_stored(path) -> None:
    spool = begin(path)
    fill(spool, 1, 3)
    epoch = spool.epoch
    spool.close()
    again = begin(path)
    turned = Layout("tank.fast", ("tank.temperature", "tank.level"))
    again.append([(M, ScanRecord(layout_id(turned), 4, None, (20, 4)))], {layout_id(turned): turned})
    old = again.read(epoch, M, 0, 10**6)
    assert old is not None
    assert (len(old.items), old.layouts) == (3, LAYOUTS)
    again.close()


@pytest.mark.parametrize("lane", [M, A])
async def test_edgex_1516_memory_stays_bounded_however_long_nothing_is_taken(lane, monkeypatch) -> None:
    assert QUEUE_MOST <= 50_000
    monkeypatch.setattr("edge.store.QUEUE_MOST", 100)
    spool = MemorySpool()
    store = await make(spool)
    spool.fault = SpoolError("no disk")
    for number in range(20_000):
        if lane is M:
            put(store, number)
        else:
            store.put_event(event(number)[1])
        if number % 1000 == 0:
            assert not await store.commit()
    assert len(store._waiting) <= 102
    spool.fault = None
    await store.close()
    places = [entry for commit in spool.commits for _, entry in commit]
    assert sum(getattr(entry, "count", 1) for entry in places) == 20_000


async def test_edgex_1516_hours_offline_with_a_working_disk_take_no_memory(path) -> None:
    store = await Store.open(path, SETTINGS, Steady())
    for hour in range(20):
        put(store, *range(hour * 100, hour * 100 + 100))
        assert await store.commit()
        assert len(store._waiting) == 0
    talk = Conversation()
    talk.update(await store.marks())
    assert talk.pending == 2000
    assert sum(len(epochs) for epochs in talk._cursors.values()) == 3
    await store.close()


async def test_neuron_2148_cache_has_one_name_and_a_restart_finds_it(path) -> None:
    epochs = []
    for start in range(3):
        store = await Store.open(path, SETTINGS, Steady())
        put(store, start)
        await store.close()
        epochs.append(store.epoch)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    spool = begin(path)
    parts = [spool.read(epoch, M, 0, 100) for epoch in epochs]
    assert [number_of(part.items[0]) for part in parts if part is not None] == [0, 1, 2]
    spool.close()


def test_kura_2169_file_that_a_power_cut_damaged_is_kept_and_read(path) -> None:
    spool = begin(path)
    fill(spool, 1, 500)
    epoch = spool.epoch
    spool.close()
    damaged = bytearray(path.read_bytes())
    page = find_pages(path, "chunk")[5]
    damaged[(page - 1) * PAGE : (page - 1) * PAGE + 100] = bytes(100)
    path.write_bytes(bytes(damaged))
    again = begin(path)
    (kept,) = [entry for entry in path.parent.glob("*.corrupt-*") if not entry.name.endswith(("-wal", "-shm"))]
    assert kept.read_bytes() == bytes(damaged)
    assert epoch in {mark.epoch for mark in again.marks()}
    assert again.accounts()[M].pending > 400
    again.close()


def test_thin_edge_3083_records_are_stored_while_there_is_no_bridge_at_all(path) -> None:
    spool = begin(path)
    fill(spool, 1, 50)  # no conversation has ever begun
    epoch = spool.epoch
    spool.close()
    again = begin(path)
    talk = Conversation()
    welcome(again, talk, 0)
    assert send_all(again, talk) == [*range(1, 51)]
    assert {mark.epoch for mark in again.marks()} == {epoch, again.epoch}
    again.close()


def bulky(number: int) -> tuple[Lane, ScanRecord]:
    return M, ScanRecord(LAYOUT_ID, number, None, (random.Random(number).randbytes(10_000).hex(),))


def test_thin_edge_3725_what_is_discarded_is_chosen_and_alarms_are_not(path) -> None:
    spool = begin(path, max_bytes=500_000)
    for number in range(200):
        spool.append([bulky(number), event(number)], LAYOUTS)
    assert spool.accounts()[M].tombstoned > 100
    assert spool.accounts()[A].tombstoned == 0
    part = spool.read(spool.epoch, A, 0, 10**6)
    assert part is not None
    assert [*map(number_of, part.items)] == [*range(200)]
    spool.close()


def test_iot_edge_835_room_of_what_was_delivered_is_used_again(path) -> None:
    spool = begin(path, max_bytes=500_000)
    for turn in range(10):
        for number in range(20):
            spool.append([bulky(20 * turn + number)], LAYOUTS)
        spool.set_committed([(spool.epoch, M, 20 * turn + 20)])
        spool.prune(keep_s=-10)
    assert spool.lost() == 0
    assert spool.size_bytes() < 100_000
    spool.close()
    assert path.stat().st_size < 700_000


def test_ringserver_43_backlog_goes_on_where_it_was_and_not_from_now(spool) -> None:
    talk = Conversation()
    fill(spool, 1, 3)
    welcome(spool, talk, 0)
    assert send_all(spool, talk) == [1, 2, 3]
    talk.connect(1.0)  # the link is lost
    fill(spool, 4, 90)
    welcome(spool, talk, 3)
    fill(spool, 91, 92)
    talk.update(spool.marks())
    assert send_all(spool, talk) == [*range(4, 93)]
