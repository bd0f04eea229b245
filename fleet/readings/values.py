"""Put the values of scans into their table, many at once and in the way that each database takes them fastest.

A value costs more to hand over than to store, so nothing here works value by value where all of a scan are numbers.
Those of one tag go one after the other, as the table has them: SQLite is four times as fast then. SQLite takes a
hundred rows in one statement, PostgreSQL a stream in its binary COPY format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.db import copying
from fleet.readings.items import VALUE_MAX, Item, quality_of, split_value
from wire.record import ScanRecord, columns_of
from wire.sample import Quality, is_bad

Row = tuple[int, int, int, float | None, str | None, int]
"""A value as the table has it: tag_id, at_ns, record_id, value, text, quality."""
NUMBERS = {int, float, bool}
STATEMENT_ROWS = 100
"""Rows in one statement to SQLite: twice as fast as one by one, and more are no faster."""


class Columns(NamedTuple):
    """Rows whose values are all numbers, as columns of one length."""

    tag_id: list[int]
    at_ns: list[int]
    record_id: list[int]
    value: list[float]
    quality: list[int]


class _Scans(NamedTuple):
    """Scans of the same tags, of which every value is a number: nothing of them needs a second look."""

    at_ns: list[int]
    record_id: list[int]
    values: list[list[float]]
    quality: list[bytes]


class Values:
    """The values of one transaction: `add` scans, then `insert` them all."""

    def __init__(self) -> None:
        self._scans: dict[tuple[int, ...], _Scans] = {}
        self._rows: list[Row] = []

    def add(self, item: Item, record_id: int, tag_ids: Mapping[str, int]) -> None:
        """Take a scan. ``tag_ids`` are in the order of its layout.

        A scan without a time has no values here: it stays a record until the time is known.
        """
        record, at_ns = item.record, item.captured_ns
        if not isinstance(record, ScanRecord) or at_ns is None:
            return
        ids = tuple(tag_ids.values())
        if record.columns:
            ids = tuple(ids[column] for column in columns_of(record, len(ids)))
        if are_numbers(record.values):
            scans = self._scans.setdefault(ids, _Scans([], [], [], []))
            scans.at_ns.append(at_ns)
            scans.record_id.append(record_id)
            scans.values.append(list(map(float, record.values)))  # type: ignore[arg-type]
            scans.quality.append(record.quality or bytes(len(ids)))
        else:
            self._rows += _split(record, ids, at_ns, record_id)

    def insert(self, session: Session) -> None:
        """Insert what was taken. Raises SQLAlchemyError."""
        if not self._scans and not self._rows:
            return
        connection = session.connection()
        INSERT[connection.dialect.name](connection, self._arrange(), self._rows)

    def _arrange(self) -> Columns:
        columns = Columns([], [], [], [], [])
        for ids, scans in self._scans.items():
            columns.tag_id.extend(tag_id for tag_id in ids for _ in scans.at_ns)
            columns.at_ns.extend(scans.at_ns * len(ids))
            columns.record_id.extend(scans.record_id * len(ids))
            columns.value.extend(chain.from_iterable(zip(*scans.values, strict=True)))
            columns.quality.extend(chain.from_iterable(zip(*scans.quality, strict=True)))
        return columns


def are_numbers(values: Sequence[object]) -> bool:
    """Tell whether all are numbers that can be stored: finite, and within all measure."""
    # A sum with something that is not finite is not finite, or not a number, and both fail the comparison.
    return NUMBERS.issuperset(map(type, values)) and sum(map(abs, values)) <= VALUE_MAX  # type: ignore[arg-type]


def _split(record: ScanRecord, tag_ids: Sequence[int], at_ns: int, record_id: int) -> list[Row]:
    rows: list[Row] = []
    for index, (tag_id, raw) in enumerate(zip(tag_ids, record.values, strict=True)):
        value, text = split_value(raw)
        quality = quality_of(record, index)
        if value is None and text is None and not is_bad(quality):
            quality = int(Quality.BAD_SENSOR)  # a number that is not finite is no value
        rows.append((tag_id, at_ns, record_id, value, text, quality))
    return rows


_ONE = "INSERT INTO reading (tag_id, at_ns, record_id, value, text, quality) VALUES (?, ?, ?, ?, ?, ?)"
_FEW = "INSERT INTO reading (tag_id, at_ns, record_id, value, quality) VALUES (?, ?, ?, ?, ?)"
_MANY = _FEW + ", (?, ?, ?, ?, ?)" * (STATEMENT_ROWS - 1)
_WIDTH = 5


def _insert_sqlite(connection: sa.Connection, numbers: Columns, rows: Sequence[Row]) -> None:
    flat: list[float] = [0] * (len(numbers.value) * _WIDTH)
    columns: Sequence[Sequence[float]] = numbers
    for place, column in enumerate(columns):
        flat[place::_WIDTH] = column
    whole = len(flat) - len(flat) % (STATEMENT_ROWS * _WIDTH)
    for statement, begin, end, step in (
        (_MANY, 0, whole, STATEMENT_ROWS * _WIDTH),
        (_FEW, whole, len(flat), _WIDTH),
    ):
        if parameters := [tuple(flat[at : at + step]) for at in range(begin, end, step)]:
            connection.exec_driver_sql(statement, parameters)
    if rows:
        connection.exec_driver_sql(_ONE, list(rows))


_COPY = "COPY reading (tag_id, at_ns, record_id, value, text, quality) FROM STDIN (FORMAT BINARY)"
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL = b"\xff\xff"
# A row is the count of its fields, and each field its length (-1 for none) and its octets, all big-endian.
_KEY = struct.Struct("!hiqiqiq")
_NUMBER = struct.Struct("!hiqiqiqidiiq")
_LENGTH, _FLOAT, _INT = struct.Struct("!i"), struct.Struct("!id"), struct.Struct("!iq")


def _copy_postgresql(connection: sa.Connection, numbers: Columns, rows: Sequence[Row]) -> None:
    body = pack_numbers(numbers) + b"".join(map(pack_row, rows))
    with copying(connection, _COPY) as copy:
        copy.write(_COPY_HEAD + body + _COPY_TAIL)


def pack_numbers(numbers: Columns) -> bytes:
    """Write rows of numbers as PostgreSQL's binary COPY has them."""
    pack = _NUMBER.pack
    rows = zip(*numbers, strict=True)
    return b"".join([pack(6, 8, tag, 8, at, 8, record, 8, value, -1, 8, q) for tag, at, record, value, q in rows])


def pack_row(row: Row) -> bytes:
    """Write any row as PostgreSQL's binary COPY has it."""
    tag_id, at_ns, record_id, value, text, quality = row
    octets = b"" if text is None else text.encode("utf-8", "replace")
    return b"".join(
        (
            _KEY.pack(6, 8, tag_id, 8, at_ns, 8, record_id),
            _LENGTH.pack(-1) if value is None else _FLOAT.pack(8, value),
            _LENGTH.pack(-1) if text is None else _LENGTH.pack(len(octets)) + octets,
            _INT.pack(8, quality),
        )
    )


INSERT: dict[str, Callable[[sa.Connection, Columns, Sequence[Row]], None]] = {
    "sqlite": _insert_sqlite,
    "postgresql": _copy_postgresql,
}
"""How each database takes values."""
