"""What can be read of a damaged spool, put into a new one. Records keep their identity; what is missing is declared.

    damaged file --read row by row--> <name>.salvaging --rename--> <name>.salvaged
    damaged file --rename--> <name>.corrupt-<time>           kept, never deleted
    <name>.salvaged --rename--> the spool

Each step can be the last one before the power goes: the next start takes up where this one ended.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import UnionType

import msgspec

from edge.spool.file import Row, SpoolFile, classify, unpack, whole
from edge.spool.tombstones import Tombstones
from wire.record import LANES, Lane

TABLES: dict[str, dict[str, type | UnionType]] = {
    "epoch": {"n": int, "id": str, "boot": str, "offset_ns": int | None, "quality": str},
    "mark": {"lane": str, "n": int, "head": int, "committed": int},
    "layout": {"id": bytes, "body": bytes},
    "raised": {"alarm": str, "body": bytes},
    "standing": {"alarm": str, "body": bytes},
    "folded": {"rule": str, "body": bytes},
    "retired": {"lane": str, "assigned": int, "tombstoned": int},
    "chunk": {
        "lane": str, "n": int, "first": int, "last": int, "stored_s": int, "layouts": bytes, "body": bytes,
    },
    "tombstone": {
        "lane": str, "n": int, "first": int, "last": int, "reason": str, "from_ns": int | None, "to_ns": int | None,
        "layouts": bytes, "minutes": bytes,
    },
}  # fmt: skip
PROBES_MOST = 20_000
"""Places looked at in one table: what a damaged page hides is passed over by halves."""
SIDE_FILES = ("-wal", "-shm")
NO_DAMAGE = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY,
)  # fmt: skip
"""A disk without room for what SQLite needs to read a log, or somebody else's lock: it says nothing of the rows."""
NOT_UNDERSTOOD = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What was read is no such table: it will not be one the next time."""
ASKED_MOST = 5
"""How often a disk is asked that does not give what stands on it: without 'epoch' all other tables would be lost."""


class Salvaged(msgspec.Struct, frozen=True):
    """What came of it: where the damaged file is, how many records were saved, and how many are declared lost."""

    aside: Path
    saved: int
    lost: int


def resume(path: Path) -> None:
    """Finish what an earlier start could not: a salvaged spool that is complete and not yet in its place."""
    ready = path.with_name(f"{path.name}.salvaged")
    if ready.exists():
        move_aside(path)
        os.replace(ready, path)
        _sync(path.parent)


def salvage(path: Path) -> Salvaged:
    """Put a new spool in the place of a damaged one, with all that can be read of it. Raises SpoolError."""
    unfinished, ready = (path.with_name(f"{path.name}.{word}") for word in ("salvaging", "salvaged"))
    for suffix in ("", *SIDE_FILES):
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    file = SpoolFile(unfinished)
    try:
        saved, lost = _fill(file, _read_tables(path))
        file.empty_log()
    finally:
        file.close()
    os.replace(unfinished, ready)
    _sync(path.parent)
    aside = move_aside(path)
    os.replace(ready, path)
    _sync(path.parent)
    return Salvaged(aside, saved, lost)


def move_aside(path: Path) -> Path:
    """Rename a damaged file, and what belongs to it. Returns its new place.

    The log goes first: left behind alone, it would be taken for the log of what comes next to that name.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}-{secrets.token_hex(2)}")
    for suffix in (*SIDE_FILES, ""):  # the file last: a log left behind would be taken for that of the new one
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))
    return aside


def _read_tables(path: Path) -> dict[str, list[Row]]:
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:  # no descriptor left, for instance: that is no damage
        raise classify(error, path) from error
    try:
        return {table: read_rows(db, table, tuple(columns)) for table, columns in TABLES.items()}
    except sqlite3.Error as error:
        raise classify(error, path) from error
    finally:
        db.close()


def read_rows(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[Row]:
    """Read every row of a table that can be read. What stands on a damaged page is passed over.

    Raises sqlite3.Error for what is no damage.
    """
    found: dict[int, Row] = {}
    sql = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - ours
    if not _is_understood(db, sql):
        return []
    waiting = [(0, _highest(db, table))]
    probes = 0
    while waiting and probes < PROBES_MOST:
        low, high = waiting.pop()
        probes += 1
        try:
            for row in db.execute(sql, (low, high)):
                found[row[0]] = row[1:]
                low = row[0] + 1
        except sqlite3.Error:
            if low < high:
                middle = (low + high) // 2
                waiting += [(middle + 1, high), (low, middle)]
    return [found[number] for number in sorted(found)]


def _is_understood(db: sqlite3.Connection, sql: str) -> bool:
    """Whether there is such a table: in a file that is no database every probe would fail as the first one does.

    Raises sqlite3.Error for what is no damage.
    """
    for _ in range(ASKED_MOST):
        try:
            db.execute(f"EXPLAIN {sql}", (0, 0)).fetchall()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code in NO_DAMAGE:
                raise
            if code & 0xFF in NOT_UNDERSTOOD:
                return False
        else:
            return True
    return False


def _highest(db: sqlite3.Connection, table: str) -> int:
    """Return the highest row number, or where that is hidden one beyond any that a spool gets to in practice."""
    try:
        ((highest,),) = db.execute(f"SELECT MAX(rowid) FROM {table}").fetchall()  # noqa: S608 - ours
    except sqlite3.Error:
        return 2**32
    return highest or 0


def _fill(file: SpoolFile, tables: dict[str, list[Row]]) -> tuple[int, int]:
    """Write the rows that make sense into a new file. Returns how many records were saved and how many are lost."""
    with file.transaction():
        for table, columns in TABLES.items():
            marks = ", ".join("?" * len(columns))
            for row in tables.get(table, ()):
                if _makes_sense(table, row):
                    file.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)  # noqa: S608 - ours
        for table in ("mark", "chunk", "tombstone"):  # without its epoch nothing of it can be told from another's
            file.execute(f"DELETE FROM {table} WHERE n NOT IN (SELECT n FROM epoch)")  # noqa: S608 - ours
        lost = sum(_mend(file, lane, whole(n)) for (n,) in file.query("SELECT n FROM epoch") for lane in LANES)
    return file.number("SELECT SUM(last - first + 1) FROM chunk"), lost


def _makes_sense(table: str, row: Row) -> bool:
    kinds = TABLES[table]
    if not all(isinstance(value, kind) for value, kind in zip(row, kinds.values(), strict=True)):
        return False
    columns = dict(zip(kinds, row, strict=True))
    if "lane" in columns and columns["lane"] not in LANES:
        return False
    if "first" in columns and not 1 <= whole(columns["first"]) <= whole(columns["last"]):
        return False
    if table == "chunk":
        items = unpack(columns["body"], list[bytes])
        return items is not None and len(items) == whole(columns["last"]) - whole(columns["first"]) + 1
    return True


def _mend(file: SpoolFile, lane: Lane, n: int) -> int:
    """Bring a lane's mark in order and declare what is missing of it. Returns how many records that is."""
    where = (lane, n)
    _drop_overlaps(file, lane, n)
    file.execute("INSERT OR IGNORE INTO mark VALUES (?, ?, 0, 0)", where)
    for table in ("chunk", "tombstone"):
        file.execute(
            f"UPDATE mark SET head = MAX(head, COALESCE((SELECT MAX(last) FROM {table} WHERE lane = ? AND n = ?), 0))"  # noqa: S608 - ours
            " WHERE lane = ? AND n = ?",
            where * 2,
        )
    file.execute("UPDATE mark SET committed = MAX(0, MIN(committed, head)) WHERE lane = ? AND n = ?", where)
    ((head, committed),) = file.query("SELECT head, committed FROM mark WHERE lane = ? AND n = ?", where)
    count = "SELECT SUM(last - first + 1) FROM tombstone WHERE lane = ? AND n = ?"
    before = file.number(count, where)
    Tombstones(file).cover(lane, n, whole(committed), whole(head), "corrupt")
    return file.number(count, where) - before


def _drop_overlaps(file: SpoolFile, lane: Lane, n: int) -> None:
    """Leave no number to two rows: of rows that overlap, the one that begins in another goes."""
    reached = 0
    for table, row, first, last in file.query(
        "SELECT 'chunk', id, first, last FROM chunk WHERE lane = ? AND n = ? UNION ALL"
        " SELECT 'tombstone', id, first, last FROM tombstone WHERE lane = ? AND n = ? ORDER BY last, first DESC",
        (lane, n, lane, n),
    ):
        if whole(first) > reached:
            reached = whole(last)
        else:
            file.execute(f"DELETE FROM {table} WHERE id = ?", (row,))  # noqa: S608 - ours


def _sync(folder: Path) -> None:
    """Make renames durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
