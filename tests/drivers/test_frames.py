import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find
from drivers.errors import LinkTimeoutError, SettingsError
from drivers.framing.binary import TYPES, number_at
from drivers.framing.layout import prepare, prepare_group
from drivers.framing.model import Framed
from drivers.replay import Replay, Step
from wire.sample import Quality

KIND = find("frames")
BAD_SENSOR, BAD_FRAME, BAD_DEVICE = Quality.BAD_SENSOR, Quality.BAD_FRAME, Quality.BAD_DEVICE


def group(device: dict, *fields: dict, name: str = "mast.wind") -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=msgspec.convert(device, KIND.device),
        tags=tuple(f"mast.t{number}" for number in range(len(fields))),
        sources=tuple(msgspec.convert(field, KIND.source) for field in fields),
    )


def text(pattern: str, **more) -> dict:
    return {"text": {"pattern": pattern, **more}}


def binary(**more) -> dict:
    return {"binary": {"header": "AA", **more}}


def values_of(device: dict, data: bytes, *fields: dict) -> list[tuple]:
    """What one group makes of octets: values and qualities of each scan."""
    one = group(device, *fields)
    layout = prepare(one.device)
    reading, splitter = prepare_group(one, layout), layout.make_splitter(int)
    scans = [reading.scan(frame) for frame in splitter.feed(data)]
    return [(scan.values, scan.quality) for scan in scans if scan is not None]


NUMBER = text(r"(?P<v>[^;]*);?(?P<s>.*)")


@pytest.mark.parametrize(
    ("sent", "field", "value", "quality"),
    [
        ("21.5", {}, 21.5, 0),
        (" -7 ", {}, -7, 0),
        ("+.5e1", {}, 5.0, 0),
        ("12", {"scale": 0.1, "offset": 1}, 2.2, 0),
        (";", {}, None, BAD_SENSOR),
        ("nan", {}, None, BAD_SENSOR),
        ("1_0", {}, None, BAD_SENSOR),
        ("٣", {}, None, BAD_SENSOR),
        ("9" * 200, {"scale": 1e200}, None, BAD_SENSOR),
        ("1e999", {}, None, BAD_SENSOR),
        ("9999", {"invalid": [9999]}, None, BAD_SENSOR),
        ("///", {"invalid": ["///"], "read": "text"}, None, BAD_SENSOR),
        ("A", {"read": "text"}, "A", 0),
        ("\u6b63", {"read": "text"}, None, BAD_SENSOR),
        ("A", {"read": "text", "words": {"A": "ok"}}, "ok", 0),
        ("B", {"read": "text", "words": {"A": "ok"}}, None, BAD_SENSOR),
        ("2", {"words": {"2": "open"}}, "open", 0),
        ("fF", {"read": "hex"}, 255, 0),
        ("fF", {"read": "hex", "bit": 7}, True, 0),
        ("fF", {"read": "hex", "mask": 0xF0}, 15, 0),
        ("g", {"read": "hex"}, None, BAD_SENSOR),
        ("2.5", {"bit": 1}, None, BAD_SENSOR),
        ("5;ok", {"status": {"field": "s", "words": ["ok"]}}, 5, 0),
        ("5;err", {"status": {"field": "s", "words": ["ok"]}}, None, BAD_DEVICE),
        ("5;err", {"status": {"field": "s", "words": ["ok"], "quality": "uncertain"}}, 5, Quality.UNCERTAIN_STATUS),
        ("x;err", {"status": {"field": "s", "words": ["ok"], "quality": "uncertain"}}, None, BAD_SENSOR),
    ],
)
def test_words_of_a_text_become_values(sent, field, value, quality):
    ((values, qualities),) = values_of(NUMBER, sent.encode("utf-8") + b"\r\n", {"field": "v", **field})
    assert values == (pytest.approx(value) if isinstance(value, float) else value,)
    assert type(values[0]) is type(value)
    assert qualities == (quality,)


def test_kinds_of_line_are_told_apart_and_a_part_that_a_line_lacks_is_bad():
    device = text(r"W,(?P<speed>\d+)(?:,(?P<gust>\d+))?|T,(?P<t>\d+)|#.*")
    data = b"#hello\r\nW,3,5\r\nT,21\r\nW,4\r\n"
    assert values_of(device, data, {"field": "speed"}, {"field": "gust"}) == [
        ((3, 5), (0, 0)),
        ((4, None), (0, BAD_FRAME)),
    ]
    assert values_of(device, data, {"field": "t"}) == [((21,), (0,))]


def test_frame_behind_garbage_on_its_line_is_found_by_its_start():
    device = text(r"\$(?P<v>\d+)", start="$")
    assert values_of(device, b"\xff$x$1$23\r\n", {"field": "v"}) == [((23,), (0,))]


def test_line_that_does_not_fit_is_a_fault():
    one = group(text(r"(?P<v>\d+)", most=8), {"field": "v"})
    splitter = prepare(one.device).make_splitter(int)
    assert [frame.parts for frame in splitter.feed(b"12\r\n\r\nx\r\n123456789\r\n\xb2\r\n")] == [{"v": "12"}]
    assert splitter.faults == 3


FORMS = {
    "u8": "B",
    "i8": "b",
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "u64": "Q",
    "i64": "q",
    "f32": "f",
    "f64": "d",
}


@given(st.binary(min_size=8, max_size=8), st.sampled_from(["big", "little"]))
def test_numbers_are_those_of_struct(data, order):
    mark = ">" if order == "big" else "<"
    for kind, form in FORMS.items():
        (theirs,) = struct.unpack_from(mark + form, data)
        ours = number_at(data, 0, kind, order)
        assert ours == theirs or (ours != ours and theirs != theirs)
    padded = data[:3] + b"\0" if order == "big" else b"\0" + data[:3]
    assert number_at(data, 0, "i24", order) == struct.unpack(mark + "i", padded)[0] >> 8
    assert number_at(data, 0, "u24", order) == struct.unpack(mark + "I", padded)[0] >> 8
    assert number_at(data, 0, "i20", order) == struct.unpack(mark + "i", padded)[0] >> 12


@pytest.mark.parametrize(
    ("octets", "field", "value", "quality"),
    [
        ("AA 01 00 10", {"at": 2, "type": "u16"}, 16, 0),
        ("AA 01 00 10", {"at": 2, "type": "u16", "order": "little", "scale": 0.5}, 2048.0, 0),
        ("AA 01 00 10", {"at": 3, "bit": 4}, True, 0),
        ("AA 01 00 10", {"at": 3, "bit": 4, "words": {"0": "shut", "1": "open"}}, "open", 0),
        ("AA 01 FF FF", {"at": 2, "type": "i16", "invalid": [-1]}, None, BAD_SENSOR),
        ("AA 01 FF FF", {"at": 2, "type": "u16", "mask": 0xFFF0, "invalid": [0xFFFF]}, None, BAD_SENSOR),
        ("AA 01 00 10", {"at": 2, "type": "u16", "status": {"at": 1, "mask": 3, "equals": 1}}, 16, 0),
        ("AA 02 00 10", {"at": 2, "type": "u16", "status": {"at": 1, "mask": 3, "equals": 1}}, None, BAD_DEVICE),
    ],
)
def test_octets_become_values(octets, field, value, quality):
    assert values_of(binary(length=4), bytes.fromhex(octets), field) == [((value,), (quality,))]


@pytest.mark.parametrize("octets", ["7F800000", "7FC00000", "FF800000"])
def test_number_that_is_none_is_no_value(octets):
    data = bytes.fromhex("AA" + octets)
    assert values_of(binary(length=5), data, {"at": 1, "type": "f32"}) == [((None,), (BAD_SENSOR,))]


def test_tag_behind_the_end_of_a_short_frame_is_bad():
    device = binary(length={"at": 1, "add": 2}, most=16)
    fields = {"at": 2}, {"at": 4, "type": "u16"}
    data = bytes.fromhex("AA 04 01 02 03 04  AA 02 05 06")
    assert values_of(device, data, *fields) == [((1, 772), (0, 0)), ((5, None), (0, BAD_FRAME))]


@given(st.binary(max_size=200))
def test_any_octets_are_frames_or_faults(octets):
    device = binary(length={"at": 1, "type": "u16", "order": "little", "add": -7}, most=40, tail="0D")
    for values, quality in values_of(
        device, octets, {"at": 3, "type": "f32"}, {"at": 1, "when": {"at": 2, "equals": 0}}
    ):
        assert len(values) == len(quality) == 2


@given(st.binary(max_size=200))
def test_any_octets_are_lines_or_faults(octets):
    values_of(text(r"(?P<v>[^,]*),?(?P<w>.*)", terminator="\n"), octets, {"field": "v"}, {"field": "w", "read": "hex"})


TEXT, OCTETS = text(r"(?P<v>\d+)"), binary(length=8)


@pytest.mark.parametrize(
    ("device", "fields", "says"),
    [
        ({}, [{"field": "v"}], "declares no frames"),
        (TEXT | OCTETS, [{"field": "v"}], "two kinds"),
        (TEXT, [], "no tags"),
        (TEXT, [{"field": "w"}], "no group 'w'"),
        (TEXT, [{"at": 1}], "binary frames"),
        (TEXT, [{"field": "v", "when": {"at": 1, "equals": 1}}], "binary frames"),
        (TEXT, [{"field": "v", "status": {"field": "s"}}], "no group 's'"),
        (TEXT, [{"field": "v", "read": "text", "bit": 1}], "no bits in text"),
        (TEXT, [{"field": "v", "scale": 0}], "scale"),
        (text("(?P<v>.)", terminator="é"), [{"field": "v"}], "ASCII"),
        (text("(x+)*"), [{"field": "v"}], "repeats a group"),
        (OCTETS, [{"field": "v"}], "has 'at'"),
        (OCTETS, [{"at": 1, "field": "v"}], "has 'at'"),
        (OCTETS, [{"at": 6, "type": "u24"}], "ends behind"),
        (OCTETS, [{"at": 4, "type": "f32", "bit": 1}], "no bits in f32"),
        (OCTETS, [{"at": 4, "mask": 1, "bit": 1}], "a mask and a bit"),
        (OCTETS, [{"at": 4, "when": {"at": 8, "equals": 1}}], "names no octet"),
        (OCTETS, [{"at": 4, "when": {"at": 1, "mask": 1, "equals": 2}}], "never is"),
        (OCTETS, [{"at": 4, "status": {"mask": 1}}], "names no octet"),
        (binary(length={"at": 40}, most=20), [{"at": 1}], "length field"),
    ],
)
def test_declaration_that_cannot_work_is_refused_when_the_driver_is_made(device, fields, says):
    with pytest.raises(SettingsError, match=says):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group(device, *fields)])


@pytest.mark.parametrize(
    "device",
    [text(""), text("x", most=2000), binary(length=1), binary(length=5000), binary(length=4, tail="0"), {"x": 1}],
)
def test_declaration_out_of_bounds_is_refused_by_its_model(device):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(device, Framed)


def test_line_with_two_instruments_is_refused():
    groups = [group(TEXT, {"field": "v"}), group(TEXT, {"field": "v"}, name="other.wind")]
    with pytest.raises(SettingsError, match="one instrument"):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), groups)


def test_every_number_type_has_a_size():
    assert all(number.octets in {1, 2, 3, 4, 8} for number in TYPES.values())


async def test_garbage_only_is_silence_and_counted():
    one = group(TEXT, {"field": "v"})
    line = Replay((Step(False, b"x\r\ny\r\n"),))
    driver = KIND.build(KIND.settings(url="serial:///dev/ttyS0", timeout_s=0.02), [one], line=line)
    await driver.open()
    with pytest.raises(LinkTimeoutError, match="no valid frame"):
        await anext(driver.scans())
    assert driver.faults == 2
    await driver.close()
