from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.messages import LAYOUT, RECORDS
from wire.errors import DecodeError, WireError
from wire.record import (
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FileRecord,
    FoldedRecord,
    Layout,
    QuakeRecord,
    Record,
    ScanRecord,
    StandingRecord,
    WaveformRecord,
    columns_of,
    decode_record,
    encode_record,
    layout_id,
    pack_columns,
)

pack = msgspec.msgpack.encode
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.none() | st.booleans() | INT64 | st.floats(allow_nan=False) | st.text()
WALLS = st.none() | INT64
PARTS = {
    ScanRecord: st.builds(ScanRecord, st.binary(), INT64, WALLS, st.lists(VALUES).map(tuple), st.binary(), st.binary()),
    AlarmRecord: st.builds(
        AlarmRecord,
        INT64,
        WALLS,
        st.text(),
        st.text(),
        st.text(),
        st.text(),
        st.integers(1, 4),
        VALUES,
        st.none() | st.floats(allow_nan=False),
        st.integers(0, 255),
    ),
    StandingRecord: st.builds(
        StandingRecord,
        INT64,
        WALLS,
        st.text(),
        st.text(),
        st.text(),
        st.text(),
        st.integers(1, 4),
        st.integers(0, 255),
        WALLS,
        INT64,
        st.text(),
        st.text(),
        st.text(),
        st.text(),
    ),
    ActionRecord: st.builds(ActionRecord, INT64, WALLS, st.text(), st.text(), st.text(), INT64, st.text()),
    AuditRecord: st.builds(AuditRecord, INT64, WALLS, st.text(), st.text()),
    FoldedRecord: st.builds(FoldedRecord, INT64, WALLS, st.text(), st.integers(0, 2**63 - 1), INT64, WALLS),
    WaveformRecord: st.builds(
        WaveformRecord,
        st.text(),
        INT64,
        WALLS,
        st.floats(allow_nan=False),
        INT64,
        st.text(),
        st.binary(),
        st.integers(-1, 100),
        st.integers(0, 127),
    ),
    QuakeRecord: st.builds(
        QuakeRecord,
        st.text(),
        INT64,
        WALLS,
        INT64,
        st.text(),
        WALLS,
        WALLS,
        *[st.floats(allow_nan=False)] * 6,
        st.integers(1, 12),
        st.integers(0, 255),
        *[st.none() | st.floats(allow_nan=False)] * 4,
        st.lists(st.floats(allow_nan=False), max_size=32).map(tuple),
        st.text(),
    ),
    FileRecord: st.builds(FileRecord, INT64, WALLS, st.text(), INT64, INT64, st.binary()),
}


def sealed(body: bytes) -> bytes:
    """What a writer of another release, or a malicious one, could send with the right CRC."""
    return zlib.crc32(body).to_bytes(4, "big") + body


def test_every_kind_of_record_is_tried_here() -> None:
    assert set(PARTS) == set(Record.__args__) == {type(record) for record in RECORDS.values()}


@given(st.one_of(*PARTS.values()))
def test_record_survives_the_round_trip(record) -> None:
    assert decode_record(encode_record(record)) == record


def test_true_stays_true_and_does_not_become_one() -> None:
    record = ScanRecord(b"12345678", 1, 2, (True, 1, 1.0, "1"))
    back = decode_record(encode_record(record))
    assert isinstance(back, ScanRecord)
    assert [type(value) for value in back.values] == [bool, int, float, str]


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_every_flipped_bit_and_every_truncation_is_noticed(record) -> None:
    item = encode_record(record)
    for at in range(len(item)):
        for bit in range(8):
            flipped = bytearray(item)
            flipped[at] ^= 1 << bit
            with pytest.raises(DecodeError, match="CRC"):
                decode_record(bytes(flipped))
        with pytest.raises(DecodeError):
            decode_record(item[:at])


@pytest.mark.parametrize("item", [b"", b"\0", b"\0\0\0\0"])
def test_item_too_short_for_a_record_is_refused(item) -> None:
    with pytest.raises(DecodeError, match="too short"):
        decode_record(item)


def test_kind_of_a_newer_release_is_refused_for_quarantine() -> None:
    with pytest.raises(DecodeError, match="wave"):
        decode_record(sealed(pack(["wave", 1, 2, b"..."])))


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_elements_of_a_newer_release_at_the_end_are_ignored(record) -> None:
    array = msgspec.msgpack.decode(pack(record))
    assert decode_record(sealed(pack([*array, "future", {"of": [None, 1]}]))) == record


def test_elements_that_an_older_release_did_not_write_take_their_defaults() -> None:
    old = decode_record(sealed(pack(["alarm", 1, 2, "t:high", "t", "high", "raised", 2, 5.0])))
    assert old == AlarmRecord(1, 2, "t:high", "t", "high", "raised", 2, 5.0, None, 0)


@given(st.integers(1, 300).flatmap(lambda width: st.tuples(st.just(width), st.sets(st.integers(0, width - 1)))))
def test_columns_survive_the_round_trip(drawn) -> None:
    width, columns = drawn
    record = ScanRecord(b"12345678", 1, 2, (1.5,) * len(columns), b"", pack_columns(columns, width))
    back = decode_record(encode_record(record))
    assert isinstance(back, ScanRecord)
    assert list(columns_of(back, width)) == sorted(columns)


def test_scan_without_a_map_of_columns_has_all_of_them() -> None:
    assert list(columns_of(ScanRecord(b"12345678", 1, 2, (1, 2, 3)), 3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ((1, 2), b""),
        ((1, 2, 3, 4), b""),
        ((1,), b"\x05"),
        ((1, 2, 3), b"\x05"),
        ((1, 2), b"\x0a"),
        ((1, 2), b"\x05\x00"),
        ((), b"\x08"),
    ],
    ids=["too few", "too many", "map of more", "map of fewer", "column 3 of 0 to 2", "map too long", "only beyond"],
)
def test_values_that_do_not_fit_the_columns_are_refused(values, columns) -> None:
    with pytest.raises(DecodeError):
        columns_of(ScanRecord(b"12345678", 1, 2, values, b"", columns), 3)


@given(st.lists(VALUES, max_size=20).map(tuple), st.binary(max_size=4), st.integers(0, 30))
def test_columns_are_as_many_as_values_or_the_record_is_refused(values, columns, width) -> None:
    try:
        found = columns_of(ScanRecord(b"12345678", 1, 2, values, b"", columns), width)
    except DecodeError:
        return
    assert len(found) == len(values)
    assert all(0 <= column < width for column in found)


@pytest.mark.parametrize(
    "body",
    [
        pack(["audit", 1, 2]),
        pack(["audit", "1", 2, "started"]),
        pack({"type": "audit"}),
        pack([]),
        pack([1]),
        pack("audit"),
        pack(["audit", 1, 2, "started"]) + b"more",
        b"\xc1",
        b"\x95\xa5audit\x01\x02\xa1\xff\xa0",
        b"\x95\xa1\xff\x01\x02\xa1a\xa0",
        b"\x96\xa5audit\x01\x02\xa1a\xa0" + b"\x91" * 5000 + b"\x90",
    ],
    ids=[
        "too few elements",
        "wrong type",
        "a map",
        "no tag",
        "tag is a number",
        "no array",
        "octets behind it",
        "no msgpack",
        "text that is not UTF-8",
        "tag that is not UTF-8",
        "too deep",
    ],
)
def test_body_with_a_right_crc_that_is_no_record_is_refused(body) -> None:
    with pytest.raises(DecodeError):
        decode_record(sealed(body))


@given(st.binary())
def test_random_octets_with_a_right_crc_only_ever_raise_wire_errors(body) -> None:
    try:
        decode_record(sealed(body))
    except WireError:
        return


@given(st.binary(), st.sampled_from(["scan", "alarm", "action", "audit"]))
def test_random_octets_behind_a_known_tag_only_ever_raise_wire_errors(rest, tag) -> None:
    try:
        decode_record(sealed(b"\x99" + pack(tag) + rest))
    except WireError:
        return


def test_layout_is_named_by_its_content() -> None:
    assert layout_id(LAYOUT) == layout_id(Layout("tank.fast", LAYOUT.tags))
    others = [
        Layout("tank.slow", LAYOUT.tags),
        Layout("tank.fast", LAYOUT.tags[::-1]),
        Layout("tank.fast", LAYOUT.tags[:1]),
    ]
    assert len({layout_id(layout) for layout in (LAYOUT, *others)}) == 4
    assert len(layout_id(LAYOUT)) == 8
