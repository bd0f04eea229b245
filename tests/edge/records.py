"""Records for the tests of spool and store, each recognisable by one number."""

from __future__ import annotations

from wire.conversation import Clock
from wire.record import AlarmRecord, AuditRecord, Lane, Layout, Record, ScanRecord, decode_record, layout_id

LAYOUT = Layout("tank.fast", ("tank.level",))
LAYOUT_ID = layout_id(LAYOUT)
LAYOUTS = {LAYOUT_ID: LAYOUT}
CLOCK = Clock(offset_ns=1_790_000_000_000_000_000, quality="synced")


def scan(number: int, layout: bytes = LAYOUT_ID) -> tuple[Lane, Record]:
    return Lane.MEASUREMENTS, ScanRecord(layout, number, None, (number,))


def event(number: int) -> tuple[Lane, Record]:
    return Lane.ALARMS, AuditRecord(number, None, "test")


def alarm(number: int, change: str, name: str = "tank.level:high") -> tuple[Lane, Record]:
    return Lane.ALARMS, AlarmRecord(number, None, name, "tank.level", "high", change, 2, 1.0)


def number_of(item: bytes) -> int:
    return decode_record(item).mono_ns
