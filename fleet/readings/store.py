"""Store committed records; keep what could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.items import Item, Unreadable, escape_text
from fleet.readings.models import Quarantined, Record
from wire.conversation import Batch

QUARANTINE_BODY_MAX = 64 * 1024
"""Octets kept of a message or item that cannot be read."""
REASON_MAX = 500
"""Characters kept of why."""


def add_records(session: Session, brought: Sequence[tuple[str, Batch, Sequence[Item], int]]) -> list[int]:
    """Insert the records of some batches, each with its gateway and when it was received in ns.

    Returns their ids in the same order. An id is a position in the outbox: the caller has taken its turn
    (`fleet.db.take_turn`), so that no position becomes visible after a higher one.
    """
    rows = [
        {
            "gateway": gateway,
            "epoch": batch.epoch,
            "lane": batch.lane.value,
            "seq": item.seq,
            "kind": item.kind,
            "samples": item.samples,
            "received_ns": received_ns,
            "captured_ns": item.captured_ns,
            "body": item.body,
        }
        for gateway, batch, items, received_ns in brought
        for item in items
    ]
    insert = sa.insert(Record).returning(Record.id, sort_by_parameter_order=True)
    return list(session.scalars(insert, rows)) if rows else []


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
