"""Damage: what is saved of a spool, under which identity, what is declared, and that nothing is lost on the way."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import SpoolError
from edge.spool import Spool, salvage
from edge.spool.file import MAJOR
from edge.store import Store
from tests.edge import test_spool
from tests.edge.records import CLOCK, LAYOUTS, alarm, event, number_of, scan
from tests.edge.test_store import SETTINGS, Steady
from wire.record import AuditRecord, Lane, decode_record

A, M, W = Lane
PAGE = 4096
small_disk = test_spool.small_disk


def begin(path: Path) -> tuple[Spool, object]:
    return Spool.open(path, max_bytes=10**8, boot="boot-2", clock=CLOCK)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A spool of 3000 scans and 300 events, the first 50 scans delivered."""
    path = tmp_path_factory.mktemp("template") / "spool.sqlite3"
    spool, _ = begin(path)
    for n in range(1, 301):
        spool.append([scan(10 * n + k) for k in range(10)], LAYOUTS)
        spool.append([event(n)], {})
    spool.append([alarm(7, "raised")], {})
    spool.set_committed([(spool.epoch, M, 50)])
    spool.close()
    return path, spool.epoch


@pytest.fixture
def filled(template: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A copy of it, to be damaged."""
    path, epoch = template
    assert [one.name for one in path.parent.iterdir()] == [path.name], "closed, it is one file"
    return Path(shutil.copy(path, tmp_path)), epoch


def account(spool: Spool, epoch: str, lane: Lane, after: int = 0) -> tuple[dict[int, int], dict[str, int]]:
    """Read a lane to its end: {seq: number} of records, and how many each reason declares. Holds that it is dense."""
    records: dict[int, int] = {}
    lost: Counter[str] = Counter()
    while (part := spool.read(epoch, lane, after, 10**6)) is not None:
        assert part.first <= after + 1
        if part.tombstone is not None:
            lost[part.tombstone.reason] += part.last - after
        records |= dict(enumerate(map(number_of, part.items), part.first))
        after = part.last
    return records, dict(lost)


def balance(spool: Spool) -> None:
    for count in spool.accounts().values():
        assert count.assigned == count.delivered + count.pending + count.tombstoned


def test_what_can_be_read_keeps_its_identity_and_the_rest_is_declared(filled) -> None:
    path, epoch = filled
    data = bytearray(path.read_bytes())
    pages = find_pages(path, "chunk")
    for page in pages[len(pages) // 2 : len(pages) // 2 + 3]:
        data[(page - 1) * PAGE : (page - 1) * PAGE + 60] = bytes(60)
    path.write_bytes(bytes(data))
    spool, salvaged = begin(path)
    assert isinstance(salvaged, salvage.Salvaged)
    assert spool.epoch != epoch
    records, lost = account(spool, epoch, M, after=50)
    assert 0 < lost["corrupt"] < 2950
    assert len(records) + lost["corrupt"] == 2950
    assert all(number == seq + 9 for seq, number in records.items())
    events, events_lost = account(spool, epoch, A)
    assert len(events) + sum(events_lost.values()) == 301
    assert salvaged.lost == lost["corrupt"] + sum(events_lost.values())
    assert list(spool.standings()) == ["tank.level:high"]
    balance(spool)
    spool.append([scan(1)], LAYOUTS)
    assert account(spool, spool.epoch, M) == ({1: 1}, {})
    spool.close()


def find_pages(path: Path, table: str) -> list[int]:
    """Pages of a table's rows, as SQLite itself lists them; where it cannot, leaf pages found by their first octet."""
    data = path.read_bytes()
    root = sqlite3.connect(path).execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    interior = data[(root - 1) * PAGE]
    assert interior == 0x05, "the table has more than one page"
    cells = int.from_bytes(data[(root - 1) * PAGE + 3 : (root - 1) * PAGE + 5], "big")
    pages = []
    for cell in range(cells):
        at = (root - 1) * PAGE + 12 + 2 * cell
        offset = int.from_bytes(data[at : at + 2], "big")
        pages.append(int.from_bytes(data[(root - 1) * PAGE + offset : (root - 1) * PAGE + offset + 4], "big"))
    return pages


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_never_gives_a_false_record_and_nothing_is_missing_in_silence(filled, seed) -> None:
    path, epoch = filled
    source = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(source.choice((1, 5, 40))):
        data[source.randrange(PAGE, len(data))] ^= 1 << source.randrange(8)
    if source.random() < 0.3:
        del data[source.randrange(len(data) // 2, len(data)) :]
    path.write_bytes(bytes(data))
    spool, salvaged = begin(path)
    known = {mark.epoch for mark in spool.marks()}
    if epoch in known:
        records, lost = account(spool, epoch, M, after=50)
        assert all(number == seq + 9 for seq, number in records.items())
        head = max(mark.head for mark in spool.marks() if mark.epoch == epoch and mark.lane is M)
        assert len(records) + sum(lost.values()) == head - 50
        assert head == 3000 or salvaged is not None
    else:
        assert salvaged is not None
    balance(spool)
    spool.close()


def test_power_that_goes_between_any_two_steps_loses_nothing(filled, monkeypatch) -> None:
    """Salvaging is cut short before each rename and sync in turn, then done again."""
    path, epoch = filled
    data = bytearray(path.read_bytes())
    data[find_pages(path, "chunk")[3] * PAGE - PAGE] ^= 0xFF
    damaged = bytes(data)
    for steps in range(6):
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        path.write_bytes(damaged)
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
        spool, _ = begin(path)
        records, lost = account(spool, epoch, M, after=50)
        assert len(records) + sum(lost.values()) == 2950, steps
        assert len(records) > 2000, steps
        assert list(path.parent.glob("*.corrupt-*"))
        spool.close()


def test_power_that_goes_while_a_file_is_moved_aside_leaves_no_log_of_it_to_the_next(tmp_path, monkeypatch) -> None:
    path = tmp_path / "spool.sqlite3"
    for steps in range(4):
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.write_text("x")
        left = steps

        def cut(*arguments, rename=os.replace):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            rename(*arguments)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(os, "replace", cut)
            salvage.move_aside(path)
        assert path.exists() or not Path(f"{path}-wal").exists(), steps


def test_salvage_on_a_disk_with_too_little_room_is_done_later_and_loses_nothing(small_disk) -> None:
    path = small_disk / "spool.sqlite3"
    spool, _ = begin(path)
    for n in range(1, 61):
        spool.append([scan(n), event(n)], LAYOUTS)
    epoch = spool.epoch
    spool.close()
    damaged, ballast = path.read_bytes(), small_disk / "ballast"
    for share in (0.5, 1.5, 2.0, 2.2, 2.5):
        room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        ballast.write_bytes(bytes(max(0, room - int(len(damaged) * share))))
        with contextlib.suppress(SpoolError):
            Spool.open(path, max_bytes=10**8, boot="boot-2", clock=CLOCK, is_damaged=True)[0].close()
        ballast.unlink()
        spool, _ = begin(path)
        assert len(account(spool, epoch, M)[0]) == len(account(spool, epoch, A)[0]) == 60, share
        spool.close()
        for old in small_disk.iterdir():
            old.unlink()
        path.write_bytes(damaged)


class Faulty(sqlite3.Connection):
    """A connection whose first statements fail."""

    code = 0
    times = 0

    def execute(self, *given: object) -> sqlite3.Cursor:  # type: ignore[override]
        if self.times:
            self.times -= 1
            error = sqlite3.OperationalError("as told")
            error.sqlite_errorcode = self.code
            raise error
        return super().execute(*given)


@pytest.fixture
def fail(monkeypatch) -> Callable[[int, int], None]:
    """Have the first statements of the next salvage fail: with which code of SQLite, how many of them."""
    connect = sqlite3.connect

    def prepare(code: int, times: int) -> None:
        def connect_once(*given, uri: bool = False, **named) -> sqlite3.Connection:
            if not uri:
                return connect(*given, **named)
            monkeypatch.setattr(sqlite3, "connect", connect)
            db = connect(*given, uri=True, factory=Faulty, **named)
            db.code, db.times = code, times
            return db

        monkeypatch.setattr(sqlite3, "connect", connect_once)

    return prepare


def salvage_anew(path: Path) -> tuple[Spool, salvage.Salvaged | None]:
    return Spool.open(path, max_bytes=10**8, boot="boot-2", clock=CLOCK, is_damaged=True)


def test_disk_that_fails_once_does_not_cost_the_table_of_epochs_and_all_that_goes_with_it(filled, fail) -> None:
    path, epoch = filled
    fail(sqlite3.SQLITE_IOERR_READ, 1)
    spool, _ = salvage_anew(path)
    assert len(account(spool, epoch, M, after=50)[0]) == 2950
    spool.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY])
def test_spool_that_somebody_else_has_locked_is_salvaged_later(filled, fail, code: int) -> None:
    path, epoch = filled
    fail(code, 1)
    with pytest.raises(SpoolError, match="as told"):
        salvage_anew(path)
    spool, _ = salvage_anew(path)
    assert len(account(spool, epoch, M, after=50)[0]) == 2950
    spool.close()


def test_disk_that_never_gives_the_spool_leaves_no_gateway_without_one(filled, fail) -> None:
    path, epoch = filled
    fail(sqlite3.SQLITE_IOERR_READ, 10**9)
    spool, salvaged = salvage_anew(path)
    assert salvaged is not None
    assert (salvaged.saved, salvaged.aside.exists()) == (0, True)
    assert epoch not in {mark.epoch for mark in spool.marks()}
    spool.append([scan(1)], LAYOUTS)
    spool.close()


async def test_damage_that_shows_in_use_is_salvaged_at_once_and_declared(filled) -> None:
    path, epoch = filled
    store = await Store.open(path, SETTINGS, Steady())
    assert store._spool is not None
    await store._call(lambda spool: spool._file.query("PRAGMA wal_checkpoint(TRUNCATE)"))
    await store._call(lambda spool: spool._file.query("PRAGMA shrink_memory"))
    pages = find_pages(path, "chunk")
    with path.open("r+b") as file:
        for page in pages[5:8]:
            file.seek((page - 1) * PAGE)
            file.write(bytes(60))
    fault: SpoolError | None = None
    try:
        await store._call(lambda spool: account(spool, epoch, M))
    except SpoolError as error:
        fault = error
    assert fault is not None
    records, lost = await store._call(lambda spool: account(spool, epoch, M, after=50))
    assert len(records) + sum(lost.values()) == 2950
    assert await store.commit()
    events = await store._call(lambda spool: spool.read(spool.epoch, A, 0, 10**6))
    assert events is not None
    (declared,) = [decode_record(item) for item in events.items]
    assert isinstance(declared, AuditRecord)
    assert declared.event == "spool-corrupt"
    assert "corrupt-" in declared.detail
    await store.close()


def test_file_of_a_later_major_version_is_refused_and_left_alone(filled) -> None:
    path, _ = filled
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={MAJOR + 1}")
    db.close()
    with pytest.raises(SpoolError, match="later major version") as caught:
        begin(path)
    assert "run the release that wrote it" in caught.value.hint
    assert [entry.name for entry in path.parent.iterdir() if "corrupt" in entry.name] == []


def test_columns_of_a_newer_minor_version_do_no_harm_and_stay(filled) -> None:
    path, epoch = filled
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE chunk ADD COLUMN later TEXT")
    db.execute("CREATE TABLE later (a)")
    db.close()
    spool, salvaged = begin(path)
    assert salvaged is None
    spool.append([scan(1)], LAYOUTS)
    assert len(account(spool, epoch, M)[0]) == 3000
    spool.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT COUNT(*) FROM later").fetchone() == (0,)
    db.close()


def test_file_of_an_earlier_minor_version_gets_what_was_added(filled) -> None:
    path, epoch = filled
    db = sqlite3.connect(path)
    db.execute("DROP TABLE tombstone")
    db.execute("ALTER TABLE retired DROP COLUMN tombstoned")
    db.execute("PRAGMA user_version=0")
    db.commit()
    db.close()
    spool, salvaged = begin(path)
    assert salvaged is None
    assert len(account(spool, epoch, M)[0]) == 3000
    balance(spool)
    spool.close()
