import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import bits
from drivers.errors import SettingsError
from wire.sample import Quality

NUMBER = {
    "ABCD": "41 48 00 00",
    "CDAB": "00 00 41 48",
    "BADC": "48 41 00 00",
    "DCBA": "00 00 48 41",
}


@pytest.mark.parametrize(("order", "octets"), NUMBER.items())
def test_float_in_each_order(order, octets):
    assert bits.reader("f32", order)(bytes.fromhex("ff ff" + octets), 2) == 12.5
    assert bits.pack(12.5, "f32", order) == bytes.fromhex(octets)


def test_eight_octets_with_words_swapped():
    assert bits.reader("u64", "CDAB")(bytes.fromhex("07 08 05 06 03 04 01 02"), 0) == 0x0102030405060708


@pytest.mark.parametrize(("order", "number"), [("ABCD", 0x0102), ("CDAB", 0x0102), ("BADC", 0x0201), ("DCBA", 0x0201)])
def test_one_word_knows_only_its_octets(order, number):
    assert bits.reader("u16", order)(b"\x01\x02", 0) == number


@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64"]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.binary(min_size=8, max_size=8),
)
def test_what_was_read_is_packed_again(kind, order, octets):
    size = bits.width(kind)
    assert bits.pack(bits.reader(kind, order)(octets, 0), kind, order) == octets[:size]


@given(st.floats(width=32), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
def test_floats_survive(number, order):
    back = bits.reader("f32", order)(bits.pack(number, "f32", order), 0)
    assert back == number or (math.isnan(back) and math.isnan(number))


@pytest.mark.parametrize(("number", "kind"), [(65536, "u16"), (-1, "u32"), (40000, "i16"), (1e39, "f32")])
def test_number_that_does_not_fit_is_refused(number, kind):
    with pytest.raises(ValueError, match="does not fit"):
        bits.pack(number, kind)


def test_tenths_have_no_binary_noise():
    tenths = bits.converter(scale=0.1)
    assert [tenths(raw)[0] for raw in range(1000)] == [raw / 10 for raw in range(1000)]
    assert tenths(3) == (0.3, Quality.GOOD)


def test_plain_integers_stay_integers():
    assert bits.converter()(7) == (7, Quality.GOOD)


def test_scale_and_offset():
    assert bits.converter(scale=2.5, offset=-40)(20) == (10.0, Quality.GOOD)
    assert bits.converter(scale=-0.5)(3) == (-1.5, Quality.GOOD)


def test_invalid_sentinel_is_compared_before_scaling():
    convert = bits.converter(scale=0.1, invalid=(32767,))
    assert convert(32767) == (None, Quality.BAD_SENSOR)
    assert convert(32766) == (3276.6, Quality.GOOD)


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_not_a_number_is_no_value(raw):
    assert bits.converter()(raw) == (None, Quality.BAD_SENSOR)


def test_what_a_scale_makes_infinite_is_no_value():
    assert bits.converter(scale=1e200)(-1e200) == (None, Quality.BAD_SENSOR)


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf])
def test_scale_that_makes_no_value_is_refused(scale):
    with pytest.raises(SettingsError):
        bits.converter(scale=scale)


@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6), st.integers(-32768, 32767))
def test_unconvert_goes_back(scale, offset, raw):
    value, _ = bits.converter(scale, offset)(raw)
    assert bits.unconvert(value, scale, offset) == pytest.approx(raw, abs=1e-3 + abs(offset) / scale * 1e-9)


def test_mask_takes_bits_as_a_number():
    assert bits.masked(0xFF00)(0x0203) == 2
    assert bits.masked(0x0006)(0b1011) == 1


def test_checksums_of_published_frames():
    assert bits.crc16_modbus(b"123456789") == 0x4B37
    assert bits.crc16_modbus(bytes.fromhex("01 04 02 ff ff b8 80")) == 0
    assert bits.xor8(b"GPGLL,5300.97914,N,00259.98174,E,125926,A") == 0x28
    assert bits.sum8(struct.pack("<4H", 0x5155, 0xFFFF, 0, 1)) == (0x55 + 0x51 + 0xFF + 0xFF + 1) % 256
