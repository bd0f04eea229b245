"""What a destination is sent: JSON of records with their idempotency keys. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec

from fleet.ledger.models import Tally
from fleet.readings.items import quality_of, split_value
from fleet.relay.service import Columns, OutboxRow
from wire.alarm import Standing, state_of
from wire.record import (
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FileRecord,
    FoldedRecord,
    QuakeRecord,
    ScanRecord,
    StandingRecord,
    WaveformRecord,
    columns_of,
    decode_record,
)
from wire.sample import Value, is_bad, quality_class

FindColumns = Callable[[str, bytes], Columns | None]
KEY_DIGITS = 32


def counts_key(destination: str, after_ns: int, to_ns: int, part: int) -> str:
    """Return the idempotency key of a part of a report of counts."""
    return _digest(destination, "counts", str(after_ns), str(to_ns), str(part))


def write_counts(destination: str, after_ns: int, to_ns: int, part: int, tallies: Sequence[Tally], more: bool) -> bytes:
    """Return the body of a part of a report: absolute counts of the hours that changed since the last report."""
    counts = [
        {
            "gateway": tally.gateway,
            "lane": tally.lane,
            "hour": write_time(tally.hour_ns),
            "records": tally.records,
            "samples": tally.samples,
            "quarantined": tally.quarantined,
            "lost": tally.lost,
        }
        for tally in tallies
    ]
    return msgspec.json.encode(
        {
            "destination": destination,
            "since": write_time(after_ns),
            "until": write_time(to_ns),
            "part": part,
            "more": more,
            "counts": counts,
        }
    )


def record_key(destination: str, row: OutboxRow) -> str:
    """Return the idempotency key of a record at a destination: the same for ever, also after a restore."""
    return _digest(destination, row.gateway, row.epoch, row.lane, str(row.seq))


def batch_key(keys: Sequence[str]) -> str:
    """Return the key of a request: what it holds decides."""
    return _digest(*keys)


def _digest(*parts: str) -> str:
    # The length before each part keeps ("a", "bc") apart from ("ab", "c").
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def build(destination: str, rows: Sequence[OutboxRow], find_columns: FindColumns) -> tuple[str, bytes]:
    """Return the request's idempotency key and its body."""
    records = [describe(destination, row, find_columns) for row in rows]
    body = msgspec.json.encode({"destination": destination, "records": records})
    return batch_key([record["key"] for record in records]), body


def describe(destination: str, row: OutboxRow, find_columns: FindColumns) -> dict[str, Any]:
    """Describe one record."""
    return {
        "key": record_key(destination, row),
        "gateway": row.gateway,
        "site": row.site,
        "epoch": row.epoch,
        "lane": row.lane,
        "seq": row.seq,
        "captured_at": write_time(row.captured_ns),
        "received_at": write_time(row.received_ns),
        **_describe_bounds(row),
        **_describe_body(row, find_columns),
    }


def _describe_bounds(row: OutboxRow) -> dict[str, Any]:
    """Say between which times a record was captured whose boot never learned the time."""
    if row.captured_ns is not None:
        return {}
    return {
        "clock": "unset",
        "not_before": write_time(row.not_before_ns),
        "not_after": write_time(row.not_after_ns),
    }


def _describe_body(row: OutboxRow, find_columns: FindColumns) -> dict[str, Any]:
    record = decode_record(row.body)
    assert not isinstance(record, WaveformRecord | FileRecord), "lane W is not relayed"
    match record:
        case ScanRecord():
            return _describe_scan(record, find_columns(row.gateway, record.layout))
        case AlarmRecord():
            return {
                "kind": "alarm",
                "alarm": record.alarm,
                "tag": record.tag,
                "level": record.level,
                "change": record.change,
                "priority": record.priority,
                "value": _plain(record.value),
                "limit": record.limit,
                "quality": quality_class(record.quality),
            }
        case StandingRecord():
            return {
                "kind": "standing",
                "alarm": record.alarm,
                "tag": record.tag,
                "level": record.level,
                "change": record.change,
                "priority": record.priority,
                "state": state_of(Standing(record.standing)),
                "by": record.by,
                "where": record.where,
                "comment": record.comment,
            }
        case ActionRecord():
            return {
                "kind": "action",
                "output": record.output,
                "state": record.state,
                "cause": record.cause,
                "delay_ms": record.delay_ns / 1e6,
                "error": record.error,
            }
        case AuditRecord():
            return {"kind": "audit", "event": record.event, "detail": record.detail}
        case FoldedRecord():
            return {"kind": "folded", "rule": record.rule, "count": record.count}
        case QuakeRecord():
            return {
                "kind": "quake",
                "station": record.station,
                "quake": str(record.quake),
                "state": record.state,
                "onset_at": write_time(record.onset_ns),
                "peak_at": write_time(record.peak_ns),
                "duration_s": record.duration_s,
                "pga_gal": record.pga_gal,
                "pgv_cm_s": record.pgv_cm_s,
                "pgd_cm": record.pgd_cm,
                "intensity_gb": record.intensity_gb,
                "intensity_jma": record.intensity_jma,
                "grade": record.grade,
                "quality": quality_class(record.quality),
                "magnitude": record.magnitude,
                "magnitude_error": record.magnitude_error,
                "reason": record.reason,
            }
        case _:  # pragma: no cover
            assert_never(record)


def _describe_scan(record: ScanRecord, columns: Columns | None) -> dict[str, Any]:
    assert columns is not None, "ingest takes no scan without its layout"
    values = {}
    present = columns_of(record, len(columns.tags))
    for index, (column, value) in enumerate(zip(present, record.values, strict=True)):
        quality = quality_of(record, index)
        plain = None if is_bad(quality) else _plain(value)
        # A number that is not finite came without a value, whatever was said of it.
        word = "bad" if plain is None else quality_class(quality)
        values[columns.tags[column]] = {"value": plain, "quality": word, "unit": columns.units[column]}
    return {"kind": "scan", "group": columns.group, "values": values}


def _plain(value: Value) -> Value:
    number, text = split_value(value)
    return None if number is None and text is None else (text if isinstance(value, str) else value)


def write_time(at_ns: int | None) -> str | None:
    """Write a time as ISO 8601 in UTC with milliseconds."""
    if at_ns is None:
        return None
    moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03d}Z"
