"""What an earlier release put on the wire is read by this one: octets kept in tests/cases/wire/release-*."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.wire.messages import LAYOUT, MESSAGES, RECORDS
from wire import codec
from wire.conversation import Batch
from wire.errors import DecodeError
from wire.record import (
    CRC_OCTETS,
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FoldedRecord,
    ScanRecord,
    columns_of,
    decode_record,
    layout_id,
)
from wire.topics import parse_topic

CASES = Path(__file__).parents[1] / "cases" / "wire"
CAPTURED = sorted(CASES.glob("release-*/*.bin"))
MODELS = {kind.value: model for kind, model in codec.KINDS.items()}


def contains(now: Any, then: Any) -> bool:
    """Tell whether everything that was said then is still said: maps may have gained keys, arrays an end."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(key in now and contains(now[key], value) for key, value in then.items())
    if isinstance(then, list):
        return isinstance(now, list) and len(now) >= len(then) and all(map(contains, now, then))
    return type(now) is type(then) and bool(now == then)


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_octets_of_an_earlier_release_mean_what_they_meant(case) -> None:
    octets = case.read_bytes()
    is_record = case.stem.startswith("record-")
    meant = decode_record(octets) if is_record else codec.decode(octets, MODELS[case.stem])
    if isinstance(meant, Batch):
        kinds = [type(decode_record(item)) for item in meant.items]
        assert kinds == [type(record) for record in RECORDS.values()][: len(kinds)]
    assert contains(json.loads(msgspec.json.encode(meant)), json.loads(case.with_suffix(".json").read_text("utf-8")))


def test_every_message_and_record_of_the_first_release_is_kept() -> None:
    kept = {case.stem for case in CAPTURED if case.parent.name == "release-0.1"}
    assert kept >= ({kind.value for kind in MESSAGES} | set(RECORDS)) - {
        "layout",
        "record-folded",
        "record-standing",
        "record-waveform",
        "record-file",
        "record-quake",
        "part",
        "checklist",
        "command",
        "progress",
        "target",
    }


class FirstAudit(msgspec.Struct, array_like=True, tag="audit"):
    """The audit event of release 0.1, which knew no commands."""

    mono_ns: int
    wall_ns: int | None
    event: str
    detail: str = ""


def test_first_release_reads_the_answer_to_a_command_as_the_audit_event_that_it_is() -> None:
    octets = (CASES / "release-0.3" / "record-audit.bin").read_bytes()
    seen = msgspec.msgpack.decode(octets[CRC_OCTETS:], type=FirstAudit)
    assert (seen.event, seen.detail[:6]) == ("command-done", "report")


@pytest.mark.parametrize("kind", ["up/part", "down/command"])
def test_kind_of_message_that_a_release_does_not_know_is_refused_as_a_topic(kind) -> None:
    """What release 0.1 did with these two: its table of kinds was this one, less them."""
    with pytest.raises(DecodeError, match="no message kind"):
        parse_topic(f"fs/1/gw-test-0001/{kind}s")


class FirstScan(msgspec.Struct, array_like=True, tag="scan"):
    """The scan of release 0.1, which knew no map of columns."""

    layout: bytes
    mono_ns: int
    wall_ns: int | None
    values: tuple[float | int | bool | str | None, ...]
    quality: bytes = b""


def test_first_release_sees_too_few_values_in_a_scan_reported_in_part_and_refuses_it() -> None:
    octets = (CASES / "release-0.2" / "record-scan-part.bin").read_bytes()
    seen = msgspec.msgpack.decode(octets[CRC_OCTETS:], type=FirstScan)
    assert seen.layout == layout_id(LAYOUT)
    # Release 0.1 took a scan only if it had a value for each tag of its layout.
    assert len(seen.values) < len(LAYOUT.tags)


def test_release_that_knows_no_waveforms_refuses_them_by_their_tag() -> None:
    octets = (CASES / "release-0.3" / "record-waveform.bin").read_bytes()
    known = FirstScan | AlarmRecord | ActionRecord | AuditRecord | FoldedRecord
    with pytest.raises(msgspec.ValidationError, match="waveform"):
        msgspec.msgpack.decode(octets[CRC_OCTETS:], type=known)


def test_scan_reported_in_part_belongs_to_the_tags_that_its_map_names() -> None:
    record = decode_record((CASES / "release-0.2" / "record-scan-part.bin").read_bytes())
    assert isinstance(record, ScanRecord)
    tags = [LAYOUT.tags[column] for column in columns_of(record, len(LAYOUT.tags))]
    assert dict(zip(tags, record.values, strict=True)) == {"tank.level": 52.5, "tank.mode": "auto"}


def test_contains_notices_what_changed() -> None:
    assert contains({"a": 1, "b": 2}, {"a": 1})
    assert not contains({"b": 1}, {"a": 1})
    assert not contains([1, 3], [1, 2])
    assert not contains({"a": 1.0}, {"a": 1})
