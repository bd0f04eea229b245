"""Store committed records; keep what could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.db import copying
from fleet.readings.items import Item, Unreadable, escape_text
from fleet.readings.models import Quarantined
from wire.conversation import Batch

QUARANTINE_BODY_MAX = 64 * 1024
"""Octets kept of a message or item that cannot be read."""
REASON_MAX = 500
"""Characters kept of why."""


def add_records(session: Session, brought: Sequence[tuple[str, Batch, Sequence[Item], int]]) -> Sequence[int]:
    """Insert the records of some batches, each with its gateway and when it was received in ns.

    Returns their ids in the same order. An id is a position in the outbox: the caller has taken its turn
    (`fleet.db.take_turn`), so that no position becomes visible after a higher one. Raises SQLAlchemyError.
    """
    rows: list[Row] = [
        (
            gateway,
            batch.epoch,
            batch.lane.value,
            item.seq,
            item.kind,
            item.samples,
            received_ns,
            item.captured_ns,
            item.body,
        )
        for gateway, batch, items, received_ns in brought
        for item in items
    ]
    if not rows:
        return []
    connection = session.connection()
    draw, insert = DIALECTS[connection.dialect.name]
    ids = draw(connection, len(rows))
    insert(connection, [(record_id, *row) for record_id, row in zip(ids, rows, strict=True)])
    return ids


_COLUMNS = "id, gateway, epoch, lane, seq, kind, samples, received_ns, captured_ns, body"
_TYPES = ("int8", "text", "text", "text", "int8", "text", "int8", "int8", "int8", "bytea")


def _draw_sqlite(connection: sa.Connection, count: int) -> Sequence[int]:
    """Return the next ids, which only this writer can draw. SQLite moves its sequence when they are used."""
    last = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'record'").scalar() or 0
    return range(last + 1, last + 1 + count)


def _insert_sqlite(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(_TYPES))
    connection.exec_driver_sql(f"INSERT INTO record ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608 (both are ours)


def _draw_postgresql(connection: sa.Connection, count: int) -> Sequence[int]:
    drawn = sa.select(sa.func.nextval(sa.func.pg_get_serial_sequence("record", "id")))
    return connection.scalars(drawn.select_from(sa.func.generate_series(1, count))).all()


def _insert_postgresql(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    with copying(connection, f"COPY record ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


Row = tuple[str, str, str, int, str, int, int, int | None, bytes]
Draw = Callable[[sa.Connection, int], Sequence[int]]
Insert = Callable[[sa.Connection, list[tuple[Any, ...]]], None]
DIALECTS: dict[str, tuple[Draw, Insert]] = {
    "sqlite": (_draw_sqlite, _insert_sqlite),
    "postgresql": (_draw_postgresql, _insert_postgresql),
}
"""How each database gives ids to records and takes them."""


def quarantine_items(
    session: Session, gateway: str, batch: Batch, items: Sequence[Unreadable], received_ns: int
) -> None:
    """Keep items that cannot be read; they count as committed."""
    rows = [
        {
            "gateway": gateway,
            "kind": "batch",
            "epoch": batch.epoch,
            "lane": batch.lane.value,
            "seq": item.seq,
            "reason": write_reason(item.reason, item.body),
            "body": item.body[:QUARANTINE_BODY_MAX],
            "received_ns": received_ns,
        }
        for item in items
    ]
    if rows:
        session.execute(sa.insert(Quarantined), rows)


def quarantine_message(session: Session, gateway: str, kind: str, reason: str, body: bytes, received_ns: int) -> None:
    """Keep a whole message that cannot be read; its sender will send it again or give up."""
    row = {"gateway": gateway, "kind": kind, "reason": write_reason(reason, body), "received_ns": received_ns}
    session.execute(sa.insert(Quarantined), [{**row, "body": body[:QUARANTINE_BODY_MAX]}])


def write_reason(reason: str, body: bytes) -> str:
    """Write a reason so that every database takes it; what was cut off of the body is known by its digest."""
    text = escape_text(reason)[:REASON_MAX]
    if len(body) <= QUARANTINE_BODY_MAX:
        return text
    return f"{text} ({len(body)} octets, SHA-256 {hashlib.sha256(body).hexdigest()})"
