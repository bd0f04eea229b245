"""From registers to values: every type and order, and whatever may make a value none."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import bits
from drivers.errors import SettingsError
from drivers.modbus.decode import Decoder, Tag
from drivers.modbus.model import Device, Source
from drivers.modbus.place import ADDRESSES, Span
from drivers.modbus.plan import limits, plan
from wire.sample import Quality

GOOD, SENSOR, DEVICE = Quality.GOOD, Quality.BAD_SENSOR, Quality.BAD_DEVICE
STATUS, CONFIG = Quality.UNCERTAIN_STATUS, Quality.BAD_CONFIG


def source(table: dict) -> Source:
    return msgspec.convert(table, Source)


def decoded(tables: list[dict], registers: dict[int, int], *, refused: tuple[int, ...] = (), **device):
    """Decode from an image of the registers (bits: addresses from 10000); ``refused`` are numbers of blocks."""
    what = msgspec.convert(device, Device)
    tags = [Tag(f"t{number}", source(table), what) for number, table in enumerate(tables)]
    blocks = plan({span for tag in tags for span in tag.spans}, limits(what))
    replies = [None if at in refused else reply(block, registers) for at, block in enumerate(blocks)]
    return Decoder(tags, blocks)(replies)


def reply(block: Span, registers: dict[int, int]) -> bytes:
    if block.is_bits:
        octets = bytearray((block.count + 7) // 8)
        for at in range(block.count):
            octets[at // 8] |= registers.get(10_000 + block.address + at, 0) << at % 8
        return bytes(octets)
    return b"".join(registers.get(at, 0).to_bytes(2, "big") for at in range(block.address, block.end))


def one(table: dict, *words: int, **device) -> tuple[object, int]:
    (value,), (quality,) = decoded([{"address": 0, **table}], dict(enumerate(words)), **device)
    return value, quality


@pytest.mark.parametrize(
    ("table", "words", "value"),
    [
        ({}, [65535], 65535),
        ({"type": "i16"}, [0x8000], -32768),
        ({"type": "i16", "order": "BADC"}, [0x0080], -32768),
        ({"type": "u32"}, [1, 2], 65538),
        ({"type": "i32", "order": "CDAB"}, [0xFFFE, 0xFFFF], -2),
        ({"type": "f32"}, [0x4148, 0], 12.5),
        ({"type": "f32", "order": "CDAB"}, [0, 0x4148], 12.5),
        ({"type": "f32", "order": "BADC"}, [0x4841, 0], 12.5),
        ({"type": "f32", "order": "DCBA"}, [0, 0x4841], 12.5),
        ({"type": "u64", "order": "CDAB"}, [4, 3, 2, 1], 1 << 48 | 2 << 32 | 3 << 16 | 4),
        ({"type": "i64"}, [65535, 65535, 65535, 65533], -3),
        ({"type": "f64"}, [0x4029, 0, 0, 0], 12.5),
        ({"type": "bcd16"}, [0x1234], 1234),
        ({"type": "bcd32", "scale": 0.01}, [0x0012, 0x3456], 1234.56),
        ({"type": "bcd32", "order": "CDAB"}, [0x3456, 0x0012], 123456),
        ({"type": "bcd64"}, [0x9999, 0, 0, 1], 9999000000000001),
        ({"type": "string", "length": 3}, [0x4142, 0x4300, 0], "ABC"),
        ({"type": "string", "length": 2, "order": "BADC"}, [0x4241, 0x2043], "ABC"),
        ({"type": "string", "length": 2}, [0xE6B0, 0xB400], "水"),
        ({"scale": 0.1, "offset": -40}, [652], 25.2),
        ({"scale": -2.5}, [2], -5.0),
        ({"bit": 9}, [0x0200], True),
        ({"type": "u32", "bit": 16}, [1, 0], True),
        ({"mask": 0xFF00}, [0x0207], 2),
        ({"mask": 0x0FF0, "scale": 0.1}, [0xF0FF], 1.5),
        ({"text": {"1": "open", "0x02": "closed"}}, [2], "closed"),
        ({"bit": 0, "text": {"0": "off", "1": "on"}}, [1], "on"),
        ({"mask": 0x0C, "text": {"3": "both"}}, [0x0C], "both"),
    ],
)  # fmt: skip
def test_every_type(table, words, value):
    shown, quality = one(table, *words)
    assert (shown, quality) == (value, GOOD)
    assert type(shown) is type(value)


@pytest.mark.parametrize(
    ("table", "words", "quality"),
    [
        ({"type": "f32"}, [0x7FC0, 0], SENSOR),
        ({"type": "f32", "scale": 0.1}, [0x7F80, 0], SENSOR),
        ({"type": "f64", "scale": 1e300}, [0x7FE0, 0, 0, 0], SENSOR),
        ({"type": "bcd16"}, [0x12A4], SENSOR),
        ({"type": "bcd32"}, [0xFFFF, 0xFFFF], SENSOR),
        ({"type": "string", "length": 2}, [0, 0], SENSOR),
        ({"type": "string", "length": 2}, [0x4101, 0x4142], SENSOR),
        ({"type": "string", "length": 1}, [0xFFFF], SENSOR),
        ({"type": "i16", "invalid": [-1], "scale": 0.1}, [0xFFFF], SENSOR),
        ({"invalid": [0x7FFF, 0xFFFF]}, [0xFFFF], SENSOR),
        ({"invalid": [0xFFFF], "mask": 0xFF}, [0xFFFF], SENSOR),
        ({"invalid": [0xFFFF], "bit": 3}, [0xFFFF], SENSOR),
        ({"type": "bcd16", "invalid": [9999]}, [0x9999], SENSOR),
        ({"type": "f32", "invalid": [-9999.0]}, [0xC61C, 0x3C00], SENSOR),
    ],
)
def test_what_is_no_value(table, words, quality):
    assert one(table, *words) == (None, quality)


def test_number_without_a_word_is_shown_and_uncertain():
    assert one({"text": {"1": "open"}}, 7) == ("7", STATUS)


def test_coils_and_inputs():
    tables = [{"function": 1, "address": at} for at in (0, 9, 1)] + [{"function": 2, "address": 3, "text": {"1": "in"}}]
    values, quality = decoded(tables, {10_000: 1, 10_009: 1, 10_003: 1})
    assert values == (True, True, False, "in")
    assert quality == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("register", "function", "address"),
    [
        (1, 1, 0), (9999, 1, 9998), (10001, 2, 0), (30001, 4, 0), (40001, 3, 0), (49999, 3, 9998),
        (165536, 2, 65535), (300001, 4, 0), (365536, 4, 65535), (400001, 3, 0), (465536, 3, 65535),
    ],
)  # fmt: skip
def test_register_numbers_of_manuals(register, function, address):
    (span,) = Tag("t", Source(register=register), Device(base=1)).spans
    assert span == Span(function, address, 1)


def test_addresses_may_count_from_one():
    assert Tag("t", Source(address=1), Device(base=1)).spans == (Span(3, 0, 1),)


DECIMALS = {"decimals_from": {"address": 1}}


@pytest.mark.parametrize(
    ("table", "words", "told"),
    [
        (DECIMALS, [1234, 2], (12.34, GOOD)),
        (DECIMALS, [1234, 0], (1234, GOOD)),
        ({"decimals_from": {"address": 1, "type": "i16"}}, [1234, 0xFFFF], (12340.0, GOOD)),
        (DECIMALS, [1234, 99], (None, DEVICE)),
        ({"decimals_from": {"address": 1, "table": {"7": 3}}}, [1234, 7], (1.234, GOOD)),
        ({"decimals_from": {"address": 1, "table": {"7": 3}}}, [1234, 3], (None, CONFIG)),
        ({"scale_from": {"address": 1, "table": {"0": 0.1, "1": 0.001}}}, [3, 0], (0.3, GOOD)),
        ({"scale_from": {"address": 1}, "scale": 0.5}, [3, 10], (15.0, GOOD)),
        ({"scale_from": {"address": 1}}, [3, 0], (None, DEVICE)),
        ({"scale_from": {"address": 1, "type": "f32"}}, [3, 0x7FC0, 0], (None, DEVICE)),
        ({"scale_from": {"address": 1}, "decimals_from": {"address": 2}}, [3, 10, 2], (0.3, GOOD)),
        ({"scale_from": {"function": 2, "address": 5, "table": {"0": 1, "1": 10}}}, [3], (3.0, GOOD)),
    ],
)
def test_scale_that_another_register_says(table, words, told):
    assert one(table, *words) == told


@pytest.mark.parametrize(("number", "words"), [(0, [0x4148, 0]), (1, [0, 0x4148]), (2, [0, 0x4841]), (5, [0x4148, 0])])
def test_order_that_another_register_says(number, words):
    table = {"type": "f32", "order_from": {"address": 9, "table": {"0": "ABCD", "1": "CDAB", "2": "DCBA"}}}
    registers = {**dict(enumerate(words)), 9: number}
    assert decoded([{"address": 0, **table}], registers) == (((None,), (CONFIG,)) if number == 5 else ((12.5,), (0,)))


@pytest.mark.parametrize(
    ("rule", "word", "told"),
    [
        ({"mask": 0x0004}, 0x0003, (5, GOOD)),
        ({"mask": 0x0004}, 0x0004, (None, SENSOR)),
        ({"mask": 0x0004, "quality": "uncertain"}, 0x0004, (5, STATUS)),
        ({"mask": 0xFF00, "equals": 3}, 0x0300, (None, SENSOR)),
        ({"mask": 0xFF00, "equals": 3}, 0x0203, (5, GOOD)),
        ({"equals": 0}, 0, (None, SENSOR)),
        ({}, 1, (None, SENSOR)),
        ({}, 0, (5, GOOD)),
        ({"type": "bcd16", "equals": 1}, 0x000A, (None, SENSOR)),
    ],
)
def test_status_register_spoils_the_tag(rule, word, told):
    assert one({"status": [{"address": 1, **rule}]}, 5, word) == told


def test_status_that_is_a_float_spoils_when_it_is_not_a_number():
    assert one({"status": [{"address": 1, "type": "f32", "equals": 1.0}]}, 5, 0x7FC0, 0) == (None, SENSOR)


def test_worse_of_two_rules_counts_and_other_tags_stay_good():
    rules = [{"address": 5, "quality": "uncertain"}, {"address": 6}]
    values, quality = decoded([{"address": 0, "status": rules}, {"address": 1}], {0: 7, 1: 8, 5: 1, 6: 1})
    assert (values, quality) == ((None, 8), (SENSOR, GOOD))


def test_tag_is_bad_when_the_register_that_says_how_to_read_it_was_refused():
    tables = [
        {"address": 0, "decimals_from": {"address": 900}},
        {"address": 1, "status": [{"address": 900}]},
        {"address": 2},
    ]
    values, quality = decoded(tables, {0: 5, 1: 6, 2: 7}, refused=(1,))
    assert (values, quality) == ((None, None, 7), (DEVICE, DEVICE, GOOD))


NUMBERS = st.sampled_from(["u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64"])
tables = st.lists(
    st.fixed_dictionaries(
        {
            "address": st.integers(0, 60),
            "type": NUMBERS,
            "order": st.sampled_from(bits.ORDERS),
            "scale": st.sampled_from([1.0, 1.0, 0.1, 2.5]),
            "offset": st.sampled_from([0.0, 0.0, -40.0]),
            "invalid": st.sampled_from([(), (0,), (65535, -1)]),
        }
    ),
    min_size=1,
    max_size=20,
)


@given(tables, st.binary(min_size=140, max_size=140), st.sampled_from([{}, {"max_hole": 0}, {"one_by_one": True}]))
def test_columns_give_what_tags_give_one_by_one(tables, image, device):
    words = dict(enumerate(struct.unpack(">70H", image)))
    values, quality = decoded(tables, words, **device)
    for table, value, told in zip(tables, values, quality, strict=True):
        raw = bits.reader(table["type"], table["order"])(image, 2 * table["address"])
        wanted = bits.converter(table["scale"], table["offset"], table["invalid"])(raw)
        assert (value, told) == wanted or (told == SENSOR and not math.isfinite(raw))


@given(tables, st.lists(st.integers(0, 8)))
def test_tags_of_a_refused_block_are_bad_and_the_others_as_ever(tables, refused):
    words = dict.fromkeys(range(80), 1)
    whole = decoded(tables, words, max_hole=0)
    values, quality = decoded(tables, words, max_hole=0, refused=tuple(refused))
    for value, told, *wanted in zip(values, quality, *whole, strict=True):
        assert [value, told] in ([None, DEVICE], wanted)


@pytest.mark.parametrize(
    ("table", "device", "says"),
    [
        ({}, {}, "where does it live"),
        ({"address": 1, "register": 40001}, {}, "where does it live"),
        ({"address": 0}, {"base": 1}, "no address 0"),
        ({"address": 65536}, {}, "no address 65536"),
        ({"register": 50000}, {}, "no register 50000"),
        ({"register": 20000}, {}, "no register 20000"),
        ({"register": 30001, "function": 3}, {}, "not of function 3"),
        ({"address": ADDRESSES - 1, "type": "u32"}, {}, "past address 65535"),
        ({"address": 0, "type": "string"}, {}, "has a length"),
        ({"address": 0, "length": 2}, {}, "has a length"),
        ({"address": 0, "type": "string", "length": 2, "order": "CDAB"}, {}, "has no order"),
        ({"address": 0, "type": "string", "length": 2, "scale": 0.1}, {}, "only a number"),
        ({"address": 0, "type": "string", "length": 2, "invalid": [1]}, {}, "neither"),
        ({"address": 0, "type": "string", "length": 9}, {"max_registers": 8}, "9 registers"),
        ({"address": 0, "type": "f32", "text": {"1": "a"}}, {}, "words"),
        ({"address": 0, "text": {"one": "a"}}, {}, "no number"),
        ({"address": 0, "text": {"1.5": "a"}}, {}, "no whole number"),
        ({"address": 0, "text": {"1": "a"}, "scale": 0.1}, {}, "only a number"),
        ({"address": 0, "bit": 1, "scale": 0.1}, {}, "only a number"),
        ({"address": 0, "type": "bcd16", "bit": 1}, {}, "no bits"),
        ({"address": 0, "order_from": {"address": 1}}, {}, "needs a table"),
        ({"address": 0, "order": "CDAB", "order_from": {"address": 1, "table": {"0": "ABCD"}}}, {}, "exclude"),
        ({"address": 0, "order_from": {"address": 1, "table": {"0": 2}}}, {}, "cannot mean"),
        ({"address": 0, "scale_from": {"address": 1, "table": {"0": 0}}}, {}, "cannot mean"),
        ({"address": 0, "decimals_from": {"address": 1, "table": {"0": "ABCD"}}}, {}, "cannot mean"),
        ({"address": 0, "decimals_from": {"address": 1, "table": {"0": 1.5}}}, {}, "cannot mean"),
        ({"address": 0, "status": [{"address": 1, "mask": 0x10000}]}, {}, "does not fit"),
        ({"address": 0, "status": [{"function": 2, "address": 1, "mask": 1}]}, {}, "does not fit"),
        ({"address": 0, "status": [{"address": 1, "mask": 0x0C, "equals": 4}]}, {}, "never gives"),
        ({"address": 5}, {"forbidden": [{"first": 4, "last": 6}]}, "forbidden"),
        ({"address": 0, "status": [{"address": 5}]}, {"forbidden": [{"first": 4, "last": 6}]}, "forbidden"),
    ],
)
def test_source_that_contradicts_itself_is_refused_with_the_name_of_its_tag(table, device, says):
    with pytest.raises(SettingsError, match=rf"^gas: .*{says}") as caught:
        Tag("gas", source(table), msgspec.convert(device, Device))
    assert caught.value.hint or "past" in says or "cannot mean" in says or "neither" in says
