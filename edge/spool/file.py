"""The spool's file: its tables, its one connection, transactions, and how much it takes.

The schema grows by additions that every agent of the same major version reads; what a newer minor version added is
left alone. A newer major version is refused, and is not damage.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import zstandard

from edge.errors import SpoolCorruptError, SpoolError, SpoolFullError
from wire.record import LANES, Lane

MAJOR = 1
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
CREATE TABLE IF NOT EXISTS tombstone (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, n INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, from_ns INTEGER, to_ns INTEGER, layouts BLOB NOT NULL, minutes BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS tombstone_place ON tombstone (lane, n, last);
CREATE TABLE IF NOT EXISTS layout (id BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS raised (alarm TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS standing (alarm TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS folded (rule TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS retired (lane TEXT PRIMARY KEY, assigned INTEGER NOT NULL);
"""
ADDITIONS = (("retired", "tombstoned", "INTEGER NOT NULL DEFAULT 0"),)
"""Columns that came later: table, column, declaration."""

CACHE_KIB = 512
"""Of pages in memory: what is written is read once, soon after, and the system's own cache still has it."""
LAYOUT_ID_OCTETS = 8
_SQLITE_FULL = 13
_SQLITE_CORRUPT = (11, 26)
Row = tuple[object, ...]
T = TypeVar("T")


class _Zstd(threading.local):
    """Compressor and decompressor of a thread: shared by the threads of two spools, they write damaged rows."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


class SpoolFile:
    """One SQLite file, one connection, in WAL mode with ``synchronous=FULL``. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._db = _connect(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is executed in the block becomes durable at its end, or nothing of it does."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise classify(error, self.path) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Change something within a transaction; returns how many rows."""
        return self._db.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Read rows as they are asked for."""
        try:
            yield from self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise classify(error, self.path) from error

    def query(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Read rows, all at once."""
        return list(self.rows(sql, values))

    def number(self, sql: str, values: Sequence[object] = ()) -> int:
        """Read one number; 0 where there is none."""
        ((found,),) = self.query(sql, values)
        return 0 if found is None else whole(found)

    def size_bytes(self) -> int:
        """Octets that the file takes, free pages of its own included, its log not."""
        return self.number("PRAGMA page_count") * self.number("PRAGMA page_size")

    def used_bytes(self) -> int:
        """Octets in use in the file."""
        return self.size_bytes() - self.number("PRAGMA freelist_count") * self.number("PRAGMA page_size")

    def disk_bytes(self) -> tuple[int, int]:
        """Octets that the disk has free, and in all."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def restart_log(self) -> None:
        """Move the log into the file, so that the next commit needs no more of the disk than the log has already."""
        self.query("PRAGMA wal_checkpoint(RESTART)")

    def empty_log(self) -> None:
        """Move all of the log into the file, so that the file alone is whole. Raises SpoolFullError if it cannot."""
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    except sqlite3.Error as error:
        raise classify(error, path) from error
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        raise classify(error, path) from error
    except SpoolError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA busy_timeout=5000")
    db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    ((verdict,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise SpoolCorruptError(f"spool {path} is damaged: {verdict}")
    ((version,),) = db.execute("PRAGMA user_version").fetchall()
    if version > MAJOR:
        raise SpoolError(
            f"spool {path} was written by a later major version ({version}; this agent reads {MAJOR})",
            hint="run the release that wrote it, or give this one another data directory",
        )
    db.executescript(SCHEMA)
    for table, column, declaration in ADDITIONS:
        if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")
    if version != MAJOR:
        db.execute(f"PRAGMA user_version={MAJOR}")


def classify(error: sqlite3.Error, path: Path) -> SpoolError:
    """Say what an error of SQLite means for the spool."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _SQLITE_FULL:
        return SpoolFullError(
            f"disk full while writing {path}", hint="free disk space; acquisition and local alarms go on"
        )
    if code in _SQLITE_CORRUPT:
        return SpoolCorruptError(f"spool {path} is damaged: {error}")
    return SpoolError(f"spool {path}: {error}")


def pack(items: object) -> bytes:
    """Write a column of octets: zstd, with a checksum, of msgpack."""
    return _zstd.compressor.compress(msgspec.msgpack.encode(items))


def unpack(body: object, kind: type[list[T]]) -> list[T] | None:
    """Read what `pack` wrote; None if it is damaged."""
    if not isinstance(body, bytes):
        return None
    try:
        return msgspec.msgpack.decode(_zstd.decompressor.decompress(body), type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError):
        return None


def split_ids(ids: object) -> list[bytes]:
    """Take layout ids apart that were written one after the other."""
    found = octets(ids)
    return [found[at : at + LAYOUT_ID_OCTETS] for at in range(0, len(found), LAYOUT_ID_OCTETS)]


def whole(value: object) -> int:
    """Take a column for the whole number that it is. Raises SpoolCorruptError: any column of SQLite takes anything."""
    if not isinstance(value, int):
        raise SpoolCorruptError(f"the spool is damaged: {value!r:.40} stands where a number should")
    return value


def octets(value: object) -> bytes:
    """Take a column for the octets that it is. Raises SpoolCorruptError."""
    if not isinstance(value, bytes):
        raise SpoolCorruptError(f"the spool is damaged: {value!r:.40} stands where octets should")
    return value


def lane_of(value: object) -> Lane:
    """Take a column for the lane that it is. Raises SpoolCorruptError."""
    if value not in LANES:
        raise SpoolCorruptError(f"the spool is damaged: {value!r:.40} stands where a lane should")
    return Lane(str(value))
