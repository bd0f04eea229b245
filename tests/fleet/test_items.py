"""Items of a batch read one by one: what is refused, why, and that its neighbours are not touched. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleet.readings.items import NAME_MAX, Item, Unreadable, escape_text, read_items, split_value, unstorable
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from wire.conversation import Clock
from wire.record import ActionRecord, AlarmRecord, AuditRecord, FoldedRecord, Lane, layout_id

UNSET = Clock()


def read(*records: Any, skip: int = 0, **changes: Any) -> list[Item | Unreadable]:
    batch = edge.batch("s", 5, *records, **changes)
    return read_items(batch, skip, {layout_id(edge.TANK): edge.TANK}.get)


ALARM = edge.alarm(1, "raised")
REFUSED = [
    ("CRC", b"garbled", Lane.MEASUREMENTS, {}),
    ("does not belong in lane", ALARM, Lane.MEASUREMENTS, {}),
    ("was never sent", msgspec.structs.replace(edge.scan(1, 1.0), layout=b"unknown!"), Lane.MEASUREMENTS, {}),
    ("has 1 qualities", edge.scan(1, 1.0, 2.0, quality=b"\x00"), Lane.MEASUREMENTS, {}),
    ("out of range", msgspec.structs.replace(edge.scan(1, 1.0, 2.0), wall_ns=-1), Lane.MEASUREMENTS, {}),
    ("out of range", msgspec.structs.replace(edge.scan(1, 1.0, 2.0), wall_ns=2**63), Lane.MEASUREMENTS, {}),
    ("out of range", edge.scan(1, 1.0, 2.0, wall=False), Lane.MEASUREMENTS, {"clock": Clock(offset_ns=-(2**62))}),
    ("detail holds a NUL", AuditRecord(1, None, "event", "a\0b"), Lane.ALARMS, {}),
    ("out of range", ActionRecord(1, None, "siren", "on", "x", 2**63), Lane.ALARMS, {}),
    ("characters", msgspec.structs.replace(ALARM, alarm="a" * (NAME_MAX + 1)), Lane.ALARMS, {}),
]


@pytest.mark.parametrize(("reason", "record", "lane", "changes"), REFUSED)
def test_an_item_is_refused_with_its_reason_and_its_neighbours_are_read(
    reason: str, record: Any, lane: Lane, changes: dict[str, Any]
) -> None:
    good = edge.alarm(2, "cleared") if lane is Lane.ALARMS else edge.scan(2, 1.0, 2.0)
    first, refused, last = read(good, record, good, lane=lane, **changes)
    assert isinstance(refused, Unreadable)
    assert reason in refused.reason
    assert refused.seq == 6
    assert isinstance(first, Item)
    assert isinstance(last, Item)
    assert (first.seq, last.seq) == (5, 7)


def test_every_kind_of_lane_a_is_read() -> None:
    folded = FoldedRecord(1, START_NS, "tank-01.level:high", 3, 1, None)
    records = [ALARM, ActionRecord(1, None, "siren", "on", "x", 3), AuditRecord(1, None, "started", ""), folded]
    items = read(*records, lane=Lane.ALARMS)
    assert [item.kind for item in items if isinstance(item, Item)] == ["alarm", "action", "audit", "folded"]
    assert [item.samples for item in items if isinstance(item, Item)] == [0] * 4


def test_time_is_the_records_own_else_the_boots_else_unknown() -> None:
    own, boots = read(edge.scan(1, 1.0, 2.0), edge.scan(2, 1.0, 2.0, wall=False))
    (unknown,) = read(edge.scan(3, 1.0, 2.0, wall=False), clock=UNSET)
    times = [item.captured_ns for item in (own, boots, unknown) if isinstance(item, Item)]
    assert times == [START_NS + 10**9, START_NS + 2 * 10**9, None]


def test_more_values_than_a_window_carries_are_refused_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.readings.items.BATCH_VALUES_MOST", 5)
    items = read(*(edge.scan(n, 1.0, 2.0) for n in range(4)))
    assert [type(item) for item in items] == [Item, Item, Unreadable, Unreadable]


def test_given_up_are_all_after_the_skipped_with_the_same_reason() -> None:
    batch = edge.batch("s", 5, edge.scan(1, 1.0, 2.0), edge.scan(2, 1.0, 2.0))
    assert [(item.seq, getattr(item, "reason", "")) for item in unstorable(batch, 1, "no")] == [(6, "no")]
    (item,) = read(edge.scan(1, 1.0, 2.0), edge.scan(2, 1.0, 2.0), skip=1)
    assert item.seq == 6


@pytest.mark.parametrize(
    ("value", "split"),
    [
        (None, (None, None)), ("a\0b", (None, "ab")), (True, (1.0, None)), (3, (3.0, None)),
        (float("nan"), (None, None)), (float("inf"), (None, None)), (1e101, (None, None)),
    ],
)  # fmt: skip
def test_values_are_split_into_number_and_text(value: Any, split: tuple[float | None, str | None]) -> None:
    assert split_value(value) == split


def test_text_of_unknown_origin_is_written_so_that_every_database_takes_it() -> None:
    assert escape_text("a\0\ud800b") == "a\\0\\ud800b"


def test_a_value_that_only_looks_like_an_alarms_number_is_kept() -> None:
    (item,) = read(msgspec.structs.replace(ALARM, value=2**63), lane=Lane.ALARMS)
    assert isinstance(item, Item)
    assert isinstance(item.record, AlarmRecord)
