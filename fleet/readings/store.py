"""Store committed records and the values in them; keep what could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.items import Item, Unreadable, escape_text, quality_of, split_value
from fleet.readings.models import Quarantined, Reading, Record
from wire.conversation import Batch
from wire.record import ScanRecord, columns_of
from wire.sample import Quality, is_bad

QUARANTINE_BODY_MAX = 64 * 1024
"""Octets kept of a message or item that cannot be read."""
REASON_MAX = 500
"""Characters kept of why."""


def add_records(session: Session, gateway: str, batch: Batch, items: Sequence[Item], received_ns: int) -> list[int]:
    """Insert records; returns their ids, which are their positions in the outbox.

    Ids grow in the order of commits because there is one ingest process. With several, a position could become
    visible after a higher one, and a relay that reads up to the highest would miss it: they would have to take turns.
    """
    if not items:
        return []
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
        for item in items
    ]
    insert = sa.insert(Record).returning(Record.id, sort_by_parameter_order=True)
    return list(session.scalars(insert, rows))


def reading_rows(item: Item, record_id: int, tag_ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the rows of a scan's values. A scan without a time has none: it stays a record until the time is known."""
    record, layout = item.record, item.layout
    if not isinstance(record, ScanRecord) or layout is None or item.captured_ns is None:
        return []
    rows = []
    columns = columns_of(record, len(layout.tags))
    for index, (column, raw) in enumerate(zip(columns, record.values, strict=True)):
        value, text = split_value(raw)
        quality = quality_of(record, index)
        if value is None and text is None and not is_bad(quality):
            quality = int(Quality.BAD_SENSOR)  # a number that is not finite is no value
        rows.append(
            {
                "tag_id": tag_ids[layout.tags[column]],
                "at_ns": item.captured_ns,
                "record_id": record_id,
                "value": value,
                "text": text,
                "quality": quality,
            }
        )
    return rows


def add_readings(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert values."""
    if rows:
        session.execute(sa.insert(Reading.__table__), rows)  # type: ignore[arg-type]


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
