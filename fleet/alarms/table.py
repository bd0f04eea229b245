"""The journal as CSV, for a spreadsheet. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime

from fleet.alarms.models import AlarmEvent
from wire.alarm import Standing, state_of

BOM = "\ufeff"
"""Without it a spreadsheet takes UTF-8 for something else."""
COLUMNS = (
    "id", "gateway", "kind", "at", "received_at", "alarm", "tag", "level", "priority", "value", "limit", "state",
    "by", "where", "comment", "until", "output", "event", "detail",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_journal(events: Iterable[AlarmEvent]) -> str:
    """Write lines of the journal with a line of names before them; times are ISO 8601 in UTC."""
    text = io.StringIO()
    text.write(BOM)
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for event in events:
        writer.writerow([_plain(cell) for cell in _cells(event)])
    return text.getvalue()


def _cells(event: AlarmEvent) -> Iterable[object]:
    state = event.state if event.standing is None else state_of(Standing(event.standing))
    return (
        event.id, event.gateway, event.kind, _time(event.at_ns), _time(event.received_ns), event.alarm, event.tag,
        event.level, event.priority, event.value, event.limit, state, event.by, event.where, event.comment,
        _time(event.until_ns), event.output, event.event, event.detail,
    )  # fmt: skip


def _plain(cell: object) -> object:
    """A text that a spreadsheet would compute stands as the text that it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _time(at_ns: int | None) -> str:
    if at_ns is None:
        return ""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
