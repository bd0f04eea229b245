"""Read the items of a batch, one by one: pure, and no item can spoil another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fleet.conversation import WINDOW_OCTETS
from fleet.waveforms.packets import read_counts
from wire.conversation import Batch, Clock
from wire.errors import WireError
from wire.record import (
    FILE_PART_OCTETS,
    FILE_PARTS_MOST,
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FileRecord,
    FoldedRecord,
    Lane,
    Layout,
    QuakeRecord,
    Record,
    ScanRecord,
    StandingRecord,
    WaveformRecord,
    columns_of,
    decode_record,
)
from wire.sample import Quality, Value

INT_MAX = 2**63 - 1
NAME_MAX = 500
"""Most characters of a name that a table is keyed by: a row of an index holds no more than a third of a page."""
BATCH_VALUES_MOST = WINDOW_OCTETS
"""A batch that keeps to the window cannot hold more values than octets."""
BATCH_COUNTS_MOST = 16 * WINDOW_OCTETS
"""Samples of waveforms in one batch: more than the packets of a dead channel have in a window."""
VALUE_MAX = 1e100
"""The largest number taken for a value: the sum of very many of them is still finite, here and in the database."""
QUAKE_STATES = ("onset", "p-wave", "grown", "closed", "rejected")
STATION_MAX = 20
"""Most characters of ``NET.STA``."""
SPECTRUM_MAX = 256
QUAKE_VALUE_MAX, GRADE_MAX = 1e6, 12
KINDS: dict[type[Record], str] = {
    ScanRecord: "scan",
    AlarmRecord: "alarm",
    StandingRecord: "standing",
    ActionRecord: "action",
    AuditRecord: "audit",
    FoldedRecord: "folded",
    WaveformRecord: "waveform",
    FileRecord: "file",
    QuakeRecord: "quake",
}
LANE_OF: dict[type[Record], Lane] = {
    ScanRecord: Lane.MEASUREMENTS,
    AlarmRecord: Lane.ALARMS,
    StandingRecord: Lane.ALARMS,
    ActionRecord: Lane.ALARMS,
    AuditRecord: Lane.ALARMS,
    FoldedRecord: Lane.ALARMS,
    WaveformRecord: Lane.WAVEFORMS,
    FileRecord: Lane.WAVEFORMS,
    QuakeRecord: Lane.ALARMS,
}
FindLayout = Callable[[bytes], Layout | None]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item that could be read. ``layout`` is set for scans, ``counts`` are the samples of a waveform.

    ``captured_ns`` is None while UTC is unknown.
    """

    seq: int
    body: bytes
    record: Record
    layout: Layout | None
    captured_ns: int | None
    counts: Sequence[int] = ()

    @property
    def kind(self) -> str:
        """The word for the record's kind."""
        return KINDS[type(self.record)]

    @property
    def samples(self) -> int:
        """How many values of tags it holds."""
        return len(self.record.values) if isinstance(self.record, ScanRecord) else 0


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """One item that could not be read, and why."""

    seq: int
    body: bytes
    reason: str


def read_items(batch: Batch, skip: int, find_layout: FindLayout) -> list[Item | Unreadable]:
    """Read ``batch.items[skip:]``. ``find_layout`` knows the columns of a scan by their id."""
    read: list[Item | Unreadable] = []
    values = counts = 0
    for index, body in enumerate(batch.items[skip:], start=skip):
        seq = batch.first + index
        try:
            item = _read_item(seq, body, batch, find_layout, BATCH_COUNTS_MOST - counts)
            values, counts = values + item.samples, counts + len(item.counts)
        except WireError as error:
            read.append(Unreadable(seq=seq, body=body, reason=str(error)))
        else:
            fits = values <= BATCH_VALUES_MOST
            excess = f"more than {BATCH_VALUES_MOST} values in one batch"
            read.append(item if fits else Unreadable(seq=seq, body=body, reason=excess))
    return read


def unstorable(batch: Batch, skip: int, reason: str) -> list[Item | Unreadable]:
    """Give up on ``batch.items[skip:]``, for the same reason each."""
    rest = enumerate(batch.items[skip:], start=batch.first + skip)
    return [Unreadable(seq=seq, body=body, reason=reason) for seq, body in rest]


def _read_item(seq: int, body: bytes, batch: Batch, find_layout: FindLayout, room: int) -> Item:
    """Read one item. ``room`` is how many samples of waveforms it may still have."""
    record = decode_record(body)
    if batch.lane is not LANE_OF[type(record)]:
        raise WireError(f"a record of kind '{KINDS[type(record)]}' does not belong in lane {batch.lane}")
    layout = None
    _check_storable(record)
    if isinstance(record, ScanRecord):
        layout = find_layout(record.layout)
        _check_scan(record, layout)
    counts: Sequence[int] = ()
    if isinstance(record, WaveformRecord):
        if record.samples > room:
            raise WireError(f"more than {BATCH_COUNTS_MOST} samples of waveforms in one batch")
        counts = read_counts(record)
    at_ns = captured_ns(record, batch.clock)
    return Item(seq=seq, body=body, record=record, layout=layout, captured_ns=at_ns, counts=counts)


def _check_storable(record: Record) -> None:
    """Refuse here what no table takes, so that one look does instead of many failed transactions."""
    if isinstance(record, ScanRecord):
        return
    for name, value in msgspec.structs.asdict(record).items():
        if isinstance(value, str) and name != "value" and "\0" in value:
            raise WireError(f"{name} holds a NUL")
        if isinstance(value, int) and name != "value" and not -INT_MAX <= value <= INT_MAX:
            raise WireError(f"{name} {value} is out of range")
    if isinstance(record, AlarmRecord | StandingRecord) and max(len(record.alarm), len(record.tag)) > NAME_MAX:
        raise WireError(f"an alarm's name has more than {NAME_MAX} characters")
    if isinstance(record, FileRecord):
        _check_part(record)
    if isinstance(record, QuakeRecord):
        _check_quake(record)


def _check_quake(record: QuakeRecord) -> None:
    numbers = [value for value in msgspec.structs.astuple(record) if isinstance(value, float)]
    if not all(abs(number) <= QUAKE_VALUE_MAX for number in (*numbers, *record.spectrum)):
        raise WireError("a quake has a value beyond all measure")
    if not 0 <= record.grade <= GRADE_MAX or record.duration_s < 0:
        raise WireError(f"a quake is of class {record.grade} and lasts {record.duration_s} s")
    if record.state not in QUAKE_STATES:
        raise WireError(f"a quake is '{record.state[:NAME_MAX]}': use one of {', '.join(QUAKE_STATES)}")
    if not record.station.isprintable() or not 0 < len(record.station) <= STATION_MAX:
        raise WireError("a quake's station has no name that can be")
    if len(record.spectrum) > SPECTRUM_MAX or len(record.reason) > NAME_MAX:
        raise WireError("a quake's reason or spectrum is too long")


def _check_part(record: FileRecord) -> None:
    if not 1 <= record.number <= record.of <= FILE_PARTS_MOST:
        raise WireError(f"part {record.number} of {record.of} of a file: there are {FILE_PARTS_MOST} at most")
    if len(record.payload) > FILE_PART_OCTETS:
        raise WireError(f"a part of a file has {len(record.payload)} octets, more than {FILE_PART_OCTETS}")


def is_storable(layout: Layout) -> bool:
    """Tell whether every database takes the names. A scan of another layout is refused by one look as well."""
    return all(len(name) <= NAME_MAX and "\0" not in name for name in (layout.group, *layout.tags))


def _check_scan(record: ScanRecord, layout: Layout | None) -> None:
    if layout is None:
        raise WireError(f"layout {record.layout.hex()} was never sent")
    columns_of(record, len(layout.tags))
    if record.quality and len(record.quality) != len(record.values):
        raise WireError(f"scan of {len(record.values)} values has {len(record.quality)} qualities")


def captured_ns(record: Record, clock: Clock) -> int | None:
    """Return when a record was captured, UTC in ns; None while the boot that made it has not learned the time."""
    at = record.wall_ns
    if at is None and clock.offset_ns is not None:
        at = record.mono_ns + clock.offset_ns
    if at is not None and not 0 <= at <= INT_MAX:
        raise WireError(f"time {at} ns is out of range")
    return at


def quality_of(record: ScanRecord, index: int) -> int:
    """Return the quality of one value of a scan."""
    return record.quality[index] if record.quality else int(Quality.GOOD)


def split_value(value: Value) -> tuple[float | None, str | None]:
    """Split a value into a number (true is 1) and a text. What is not finite, or beyond all measure, is no number."""
    if value is None:
        return None, None
    if isinstance(value, str):
        return None, value.replace("\0", "")
    number = float(value)
    return (number, None) if abs(number) <= VALUE_MAX else (None, None)


def escape_text(text: str) -> str:
    """Write a text of unknown origin so that every database takes it: no NUL, no half of a character."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
