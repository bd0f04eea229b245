"""The spool: the only durability boundary of a gateway. Records leave only from here, and it forgets only what the
fleet has committed.

One SQLite file, one connection, one thread (`edge.store` owns it). A record exists once a ``synchronous=FULL`` commit
holds it. Identity is (epoch, lane, seq): an epoch per agent start, seq dense from 1 per epoch and lane, allocated in
the transaction that stores the record. A row ("chunk") holds consecutive records of one commit:

    chunk   lane, epoch, first..last, body = zstd(msgpack([record octets, ...])), ids of the layouts used
    mark    lane, epoch: head (last seq assigned) and committed (last seq the fleet has)
    epoch   its text identity, its boot and that boot's last known clock
    raised  alarms that are up, so that a restart neither raises nor forgets them
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zstandard

from edge.errors import SpoolCorruptError, SpoolError, SpoolFullError
from wire.conversation import BATCH_ITEMS_MOST, Clock, Span
from wire.health import LaneHealth
from wire.record import LANES, AlarmRecord, Lane, Layout, Record, ScanRecord, encode_record

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS epoch (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, boot TEXT NOT NULL, offset_ns INTEGER, quality TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS mark (
    lane TEXT NOT NULL, n INTEGER NOT NULL, head INTEGER NOT NULL, committed INTEGER NOT NULL, PRIMARY KEY (lane, n)
);
CREATE TABLE IF NOT EXISTS chunk (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    stored_s INTEGER NOT NULL, layouts BLOB NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS chunk_place ON chunk (lane, n, last);
CREATE TABLE IF NOT EXISTS layout (id BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS raised (alarm TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS retired (lane TEXT PRIMARY KEY, assigned INTEGER NOT NULL);
"""

LAYOUT_ID_OCTETS = 8
_SQLITE_FULL = 13
_SQLITE_CORRUPT = (11, 26)
CACHE_KIB = 512
"""Of pages in memory: what is written is read once, soon after, and the system's own cache still has it."""
PRUNE_ROWS = 500
EVENT_RESERVE = 10
"""One part in this many of the quota is kept beyond it for lane A."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one epoch and lane, ready to go into a batch."""

    epoch: str
    lane: Lane
    first: int
    items: tuple[bytes, ...]
    layouts: dict[bytes, Layout]
    boot: str
    clock: Clock

    @property
    def last(self) -> int:
        """The seq of the last record."""
        return self.first + len(self.items) - 1


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where an epoch's lane stands: the last seq assigned and the last one the fleet has."""

    epoch: str
    lane: Lane
    first: int
    head: int
    committed: int


class Spool:
    """See the module. Every method may raise SpoolError; none is safe to call from two threads."""

    def __init__(self, path: Path, *, max_bytes: int, boot: str, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._path = path
        self._boot = boot
        self._layouts: dict[bytes, Layout] = {}
        self._unpacked: tuple[tuple[str, Lane, int], list[bytes]] = (("", Lane.MEASUREMENTS, 0), [])
        self._compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self._decompressor = zstandard.ZstdDecompressor()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = _connect(path)
        try:
            with self._transaction():
                self._begin_epoch(clock)
        except SpoolError:
            self._db.close()
            raise

    @classmethod
    def open(cls, path: Path, *, max_bytes: int, boot: str, clock: Clock) -> tuple[Spool, Path | None]:
        """Open the spool. A damaged file is moved aside and a new one begun; its new place comes too."""
        try:
            return cls(path, max_bytes=max_bytes, boot=boot, clock=clock), None
        except SpoolCorruptError:
            aside = _move_aside(path)
            return cls(path, max_bytes=max_bytes, boot=boot, clock=clock), aside

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _classify(error, self._path) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _classify(error, self._path) from error

    def _begin_epoch(self, clock: Clock) -> None:
        row = self._db.execute("SELECT COALESCE(MAX(n), 0) FROM epoch").fetchone()
        self._n = int(row[0]) + 1
        self.epoch = f"{self._n:08d}-{secrets.token_hex(16)}"
        self._heads = dict.fromkeys(LANES, 0)
        self._db.execute(
            "INSERT INTO epoch (n, id, boot, offset_ns, quality) VALUES (?, ?, ?, ?, ?)",
            (self._n, self.epoch, self._boot, clock.offset_ns, clock.quality),
        )
        self._db.executemany("INSERT INTO mark VALUES (?, ?, 0, 0)", [(lane, self._n) for lane in LANES])

    def append(
        self, records: Sequence[tuple[Lane, Record]], layouts: dict[bytes, Layout], clock: Clock | None = None
    ) -> None:
        """Store records in one durable commit: when this returns, they exist.

        ``layouts`` holds the columns of the scans among them; ``clock`` is this boot's clock as known now. Raises
        SpoolFullError when there is no room; then nothing was stored and no seq was used. Events alone may go a
        tenth beyond the quota: measurements that fill the spool must not silence an alarm.
        """
        events_only = all(lane is Lane.ALARMS for lane, _ in records)
        quota = self._max_bytes + (self._max_bytes // EVENT_RESERVE if events_only else 0)
        if self.size_bytes() >= quota and not self._reuse_room():
            raise SpoolFullError(
                f"spool {self._path} has reached its {self._max_bytes} octets",
                hint="raise [spool] max_bytes, or restore the link to the fleet",
            )
        heads = dict(self._heads)
        with self._transaction():
            for lane in LANES:
                chosen = [record for record_lane, record in records if record_lane is lane]
                if chosen:
                    heads[lane] = self._store(lane, heads[lane], chosen, layouts)
            if clock is not None:
                self._db.execute(
                    "UPDATE epoch SET offset_ns = ?, quality = ? WHERE n = ?", (clock.offset_ns, clock.quality, self._n)
                )
        self._heads = heads
        self._layouts.update({r.layout: layouts[r.layout] for _, r in records if isinstance(r, ScanRecord)})

    def _store(self, lane: Lane, head: int, records: Sequence[Record], layouts: dict[bytes, Layout]) -> int:
        used = {record.layout: None for record in records if isinstance(record, ScanRecord)}
        for key in used:
            if key not in self._layouts:
                self._db.execute(
                    "INSERT OR IGNORE INTO layout VALUES (?, ?)", (key, msgspec.msgpack.encode(layouts[key]))
                )
        for record in records:
            if isinstance(record, AlarmRecord):
                self._remember(record)
        body = self._compressor.compress(msgspec.msgpack.encode([encode_record(record) for record in records]))
        last = head + len(records)
        self._db.execute(
            "INSERT INTO chunk (lane, n, first, last, stored_s, layouts, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (lane, self._n, head + 1, last, int(time.time()), b"".join(used), body),
        )
        self._db.execute("UPDATE mark SET head = ? WHERE lane = ? AND n = ?", (last, lane, self._n))
        return last

    def _remember(self, record: AlarmRecord) -> None:
        if record.change == "raised":
            body = msgspec.msgpack.encode(record)
            self._db.execute("INSERT OR REPLACE INTO raised VALUES (?, ?)", (record.alarm, body))
        else:
            self._db.execute("DELETE FROM raised WHERE alarm = ?", (record.alarm,))

    def raised(self) -> dict[str, AlarmRecord]:
        """The alarms that are up, by name, as they were raised."""
        found: dict[str, AlarmRecord] = {}
        for alarm, body in self._query("SELECT alarm, body FROM raised"):
            try:
                found[str(alarm)] = msgspec.msgpack.decode(_octets(body), type=AlarmRecord)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.error("that alarm %s was up cannot be read from %s: %s", alarm, self._path, error)
        return found

    def marks(self) -> list[Mark]:
        """Where every epoch and lane held stands, oldest epoch first."""
        rows = self._query(
            "SELECT epoch.id, mark.lane, mark.head, mark.committed,"
            " (SELECT MIN(first) FROM chunk WHERE chunk.lane = mark.lane AND chunk.n = mark.n)"
            " FROM mark JOIN epoch ON epoch.n = mark.n ORDER BY epoch.n, mark.lane"
        )
        return [
            Mark(
                epoch=str(epoch),
                lane=Lane(str(lane)),
                first=_whole(first) if first is not None else _whole(head) + 1,
                head=_whole(head),
                committed=_whole(committed),
            )
            for epoch, lane, head, committed, first in rows
        ]

    def read(self, epoch: str, lane: Lane, after: int, max_bytes: int) -> Slice | None:
        """Return the records after seq ``after``: at least one, about ``max_bytes`` at most; None if there are none."""
        items: list[bytes] = []
        layout_ids: dict[bytes, None] = {}
        first = size = 0
        try:
            rows = self._db.execute(
                "SELECT chunk.id, chunk.first, chunk.last, chunk.layouts FROM chunk JOIN epoch ON epoch.n = chunk.n"
                " WHERE epoch.id = ? AND chunk.lane = ? AND chunk.last > ? ORDER BY chunk.last",
                (epoch, lane, after),
            )
            for chunk, chunk_first, chunk_last, ids in rows:
                if items and chunk_first != first + len(items):
                    break  # a hole: what follows it goes into another slice
                start = max(after + 1, chunk_first)
                first = first or start
                chosen = self._unpack((epoch, lane, chunk_last), chunk, chunk_last - chunk_first + 1)[
                    start - chunk_first :
                ]
                room = min(_fit(chosen, max_bytes - size, at_least=0 if items else 1), BATCH_ITEMS_MOST - len(items))
                items += chosen[:room]
                size += sum(map(len, chosen[:room]))
                layout_ids.update(dict.fromkeys(_split(ids)))
                if room < len(chosen) or size >= max_bytes or first + len(items) - 1 < chunk_last:
                    break
        except sqlite3.Error as error:
            raise _classify(error, self._path) from error
        return self._slice(epoch, lane, first, items, layout_ids) if items else None

    def _slice(self, epoch: str, lane: Lane, first: int, items: list[bytes], layout_ids: Iterable[bytes]) -> Slice:
        ((boot, offset_ns, quality),) = self._query("SELECT boot, offset_ns, quality FROM epoch WHERE id = ?", (epoch,))
        return Slice(
            epoch=epoch,
            lane=lane,
            first=first,
            items=tuple(items),
            layouts={key: layout for key in layout_ids if (layout := self._layout(key)) is not None},
            boot=str(boot),
            clock=Clock(offset_ns=None if offset_ns is None else _whole(offset_ns), quality=str(quality)),
        )

    def _layout(self, key: bytes) -> Layout | None:
        """The columns of a layout; None when they are damaged, and the fleet then quarantines the scans."""
        if key not in self._layouts:
            try:
                ((body,),) = self._query("SELECT body FROM layout WHERE id = ?", (key,))
                self._layouts[key] = msgspec.msgpack.decode(_octets(body), type=Layout)
            except (ValueError, msgspec.MsgspecError) as error:
                log.error("layout %s cannot be read from %s: %s", key.hex(), self._path, error)
                return None
        return self._layouts[key]

    def _unpack(self, place: tuple[str, Lane, int], chunk: int, count: int) -> list[bytes]:
        """Return a chunk's records; the last one's are remembered, for a chunk may go out in several slices."""
        if self._unpacked[0] != place:
            ((body,),) = self._query("SELECT body FROM chunk WHERE id = ?", (chunk,))
            self._unpacked = (place, self._decode(_octets(body), count))
        return self._unpacked[1]

    def _decode(self, body: bytes, count: int) -> list[bytes]:
        """Take a chunk's body apart. Of a damaged one each record is empty: the fleet quarantines what it cannot decode
        and goes on, where a gap would stop everything behind it."""
        try:
            items = msgspec.msgpack.decode(self._decompressor.decompress(body), type=list[bytes])
        except (zstandard.ZstdError, msgspec.MsgspecError) as error:
            log.error("%d records of %s cannot be read and go out empty: %s", count, self._path, error)
            return [b""] * count
        return (items + [b""] * count)[:count]

    def set_committed(self, cursors: Iterable[tuple[str, Lane, int]]) -> None:
        """Take over the fleet's cursors. They are absolute, and may go back when the fleet was restored."""
        with self._transaction():
            self._db.executemany(
                "UPDATE mark SET committed = MAX(0, MIN(?, head))"
                " WHERE lane = ? AND n = (SELECT n FROM epoch WHERE id = ?)",
                [(committed, lane, epoch) for epoch, lane, committed in cursors],
            )

    def prune(self, keep_s: float) -> int:
        """Forget records that the fleet has had for ``keep_s`` seconds, or sooner when room is short. Returns rows."""
        oldest = int(time.time() - keep_s)
        removed = self._delete_delivered(f"stored_s < {oldest}")
        if self.size_bytes() > self._max_bytes * 9 // 10:
            removed += self._delete_delivered("1")
        with self._transaction():
            self._retire_epochs()
        return removed

    def _delete_delivered(self, condition: str) -> int:
        with self._transaction():
            cursor = self._db.execute(
                "DELETE FROM chunk WHERE id IN (SELECT chunk.id FROM chunk JOIN mark ON mark.lane = chunk.lane"  # noqa: S608 - the condition is ours
                f" AND mark.n = chunk.n WHERE chunk.last <= mark.committed AND {condition}"
                f" ORDER BY chunk.id LIMIT {PRUNE_ROWS})"
            )
        return cursor.rowcount

    def _retire_epochs(self) -> None:
        """Drop epochs of earlier starts that are delivered and forgotten; their sums stay in the accounts."""
        rows = self._db.execute(
            "SELECT epoch.n FROM epoch WHERE epoch.n <> ?"
            " AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.n = epoch.n)"
            " AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.n = epoch.n AND mark.committed < mark.head)",
            (self._n,),
        ).fetchall()
        for (n,) in rows:
            self._db.execute(
                "INSERT INTO retired SELECT lane, head FROM mark WHERE n = ?"
                " ON CONFLICT (lane) DO UPDATE SET assigned = assigned + excluded.assigned",
                (n,),
            )
            self._db.execute("DELETE FROM mark WHERE n = ?", (n,))
            self._db.execute("DELETE FROM epoch WHERE n = ?", (n,))

    def _reuse_room(self) -> bool:
        return self._delete_delivered("1") > 0

    def accounts(self) -> dict[Lane, LaneHealth]:
        """Account for every record ever assigned here: assigned = delivered + pending."""
        retired = {str(lane): _whole(assigned) for lane, assigned in self._query("SELECT lane, assigned FROM retired")}
        rows = self._query("SELECT lane, SUM(head), SUM(committed) FROM mark GROUP BY lane")
        return {
            Lane(str(lane)): LaneHealth(
                assigned=_whole(head) + retired.get(str(lane), 0),
                delivered=_whole(committed) + retired.get(str(lane), 0),
                pending=_whole(head) - _whole(committed),
            )
            for lane, head, committed in rows
        }

    def size_bytes(self) -> int:
        """Octets in use in the file, free pages not counted."""
        (((pages),),) = self._query("PRAGMA page_count")
        ((free,),) = self._query("PRAGMA freelist_count")
        ((page_size,),) = self._query("PRAGMA page_size")
        return (_whole(pages) - _whole(free)) * _whole(page_size)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def spans(marks: Iterable[Mark]) -> dict[str, dict[Lane, Span]]:
    """Tell the fleet what is held: for `Hello.epochs`. Lanes with nothing assigned are left out."""
    held: dict[str, dict[Lane, Span]] = {}
    for mark in marks:
        if mark.head:
            held.setdefault(mark.epoch, {})[mark.lane] = Span(first=mark.first, head=mark.head)
    return held


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    except sqlite3.Error as error:
        raise _classify(error, path) from error
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA busy_timeout=5000")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        db.executescript(SCHEMA)
        ((verdict,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        db.close()
        raise _classify(error, path) from error
    if verdict != "ok":
        db.close()
        raise SpoolCorruptError(f"spool {path} is damaged: {verdict}")
    return db


def _move_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}-{secrets.token_hex(2)}")
    os.replace(path, aside)
    for suffix in ("-wal", "-shm"):
        extra = path.with_name(path.name + suffix)
        if extra.exists():
            os.replace(extra, aside.with_name(aside.name + suffix))
    return aside


def _classify(error: sqlite3.Error, path: Path) -> SpoolError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _SQLITE_FULL:
        return SpoolFullError(
            f"disk full while writing {path}", hint="free disk space; acquisition and local alarms go on"
        )
    if code in _SQLITE_CORRUPT:
        return SpoolCorruptError(f"spool {path} is damaged: {error}")
    return SpoolError(f"spool {path}: {error}")


def _fit(items: Sequence[bytes], max_bytes: int, *, at_least: int) -> int:
    size = 0
    for count, item in enumerate(items):
        size += len(item)
        if size > max_bytes and count >= at_least:
            return count
    return len(items)


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + LAYOUT_ID_OCTETS] for at in range(0, len(ids), LAYOUT_ID_OCTETS)]


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def _octets(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
