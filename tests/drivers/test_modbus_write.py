"""What is sent to set a tag, and who is on the line."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import bits
from drivers.base import Scannable, find
from drivers.errors import FrameError, LinkError, SettingsError
from drivers.modbus.decode import Decoder, Tag
from drivers.modbus.model import Device, Source
from drivers.modbus.write import change
from tests.drivers.cases import Clock
from tests.drivers.lines import Answering
from tests.drivers.test_modbus import RTU, driver_on, framed, group

KIND = find("modbus")


class Slave:
    """An RTU slave that knows the functions it is given, and says nothing to others."""

    def __init__(self, *functions: int) -> None:
        self.registers, self.functions = [0] * 32, functions

    def __call__(self, request: bytes) -> tuple[bytes, float]:
        unit, function, address, word = struct.unpack_from(">BBHH", request)
        if function not in self.functions:
            return framed(bytes((unit, function | 0x80, 1))), 0.0
        if function == 3:
            words = self.registers[address : address + word]
            return framed(struct.pack(f">BBB{word}H", unit, 3, 2 * word, *words)), 0.0
        if function == 6:
            self.registers[address] = word
            return framed(request[:6]), 0.0
        if function == 22:
            (put,) = struct.unpack_from(">H", request, 6)
            self.registers[address] = self.registers[address] & word | put & ~word
            return framed(request[:8]), 0.0
        self.registers[address : address + word] = struct.unpack_from(f">{word}H", request, 7)
        return framed(request[:6]), 0.0


async def written(slave: Slave, tag: dict, value, **device) -> list[int]:
    """Set a tag; return the functions that were used."""
    one, line = group({"address": 0, **tag}, **device), Answering(slave)
    driver = driver_on(line, one)
    await driver.open()
    await driver.write(one, "d.t0", value)
    await driver.close()
    return [request[1] for request in line.sent]


async def test_bit_is_set_by_function_22_and_leaves_the_others():
    slave = Slave(3, 22)
    slave.registers[0] = 0xF0F0
    assert await written(slave, {"bit": 8}, True, mask_write=True) == [22, 3]
    assert slave.registers[0] == 0xF1F0
    assert await written(slave, {"mask": 0x00F0}, 5, mask_write=True) == [22, 3]
    assert slave.registers[0] == 0xF150


async def test_bit_of_a_long_number_is_set_in_the_register_where_it_lies():
    slave = Slave(3, 22)
    await written(slave, {"type": "u32", "order": "CDAB", "bit": 17}, True, mask_write=True)
    assert slave.registers[:2] == [0, 2]


async def test_bits_are_written_back_with_their_register_only_where_that_is_allowed():
    slave = Slave(3, 6)
    slave.registers[0] = 0x00F1
    with pytest.raises(SettingsError, match="part of a register") as caught:
        await written(slave, {"mask": 0x0F00}, 3)
    assert "mask_write" in caught.value.hint
    assert await written(slave, {"mask": 0x0F00}, 3, read_modify_write=True) == [3, 6, 3]
    assert slave.registers[0] == 0x03F1


async def test_mask_across_two_registers_is_not_set_bit_by_bit():
    slave = Slave(3, 16)
    tag = {"type": "u32", "mask": 0x0001_8000}
    with pytest.raises(SettingsError, match="part of a register"):
        await written(slave, tag, 3, mask_write=True)
    assert await written(slave, tag, 3, mask_write=True, read_modify_write=True) == [3, 16, 3]
    assert slave.registers[:2] == [1, 0x8000]


async def test_word_and_text_are_set():
    slave = Slave(3, 6, 16)
    await written(slave, {"text": {"1": "open", "2": "shut"}}, "shut")
    assert slave.registers[0] == 2
    await written(slave, {"type": "string", "length": 2}, "abc")
    assert slave.registers[:2] == [0x6162, 0x6300]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ({"mask": 0x0F00}, 16),
        ({"mask": 0x0500}, 2),
        ({"text": {"1": "open"}}, "ajar"),
        ({"text": {"1": "open"}}, 1),
        ({"type": "string", "length": 1}, "abc"),
        ({"type": "string", "length": 1}, 7),
        ({"type": "bcd16"}, 10_000),
        ({"type": "bcd16"}, -1),
        ({"type": "f32"}, float("nan")),
        ({"type": "f32"}, float("inf")),
        ({"type": "f32"}, 1e39),
        ({"decimals_from": {"address": 1}}, 7),
        ({"type": "f32", "order_from": {"address": 9, "table": {"0": "ABCD"}}}, 7.0),
        ({"type": "string", "length": 124}, "too many for one request"),
    ],
)
async def test_value_that_cannot_be_set_is_refused_before_anything_is_sent(tag, value):
    line, one = Answering(Slave(3, 6, 16)), group({"address": 0, **tag})
    driver = driver_on(line, one)
    await driver.open()
    with pytest.raises(SettingsError):
        await driver.write(one, "d.t0", value)
    assert line.sent == []


TARGETS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bcd16", "bcd32", "bcd64"]),
        "order": st.sampled_from(bits.ORDERS),
        "scale": st.sampled_from([1.0, 0.1, 2.0]),
        "offset": st.sampled_from([0.0, -10.0]),
    }
)


@given(TARGETS, st.integers(0, 900))
def test_what_was_set_is_read_again(table, number):
    tag = Tag("t", Source(address=3, **table), Device())
    new = change(tag, number)
    assert new.span == tag.column.span
    (value,), (quality,) = Decoder([tag], [new.span])([new.data])
    assert (value, quality) == (pytest.approx(number, abs=table["scale"] / 2 + 1e-4), 0)


@given(st.sampled_from(["u16", "u32", "u64"]), st.sampled_from(bits.ORDERS), st.data())
def test_part_of_a_register_is_changed_and_nothing_else(kind, order, data):
    size = bits.width(kind)
    mask = data.draw(st.integers(1, (1 << 8 * size) - 1))
    low = mask & -mask
    number = data.draw(st.integers(0, (1 << 8 * size) - 1)) & mask
    held = data.draw(st.binary(min_size=size, max_size=size))
    tag = Tag("t", Source(address=0, type=kind, order=order, mask=mask), Device())
    if number // low > 1 << 50:
        return
    whole = change(tag, number // low).put_into(held)
    before, after = (bits.reader(kind, order)(octets, 0) for octets in (held, whole.data))
    assert after == before & ~mask | number


def objects(*texts: bytes, first: int = 0, more: int = 0) -> bytes:
    listed = b"".join(bytes((first + at, len(text))) + text for at, text in enumerate(texts))
    return bytes((1, 0x2B, 0x0E, 1, 1, 0xFF if more else 0, more, len(texts))) + listed


async def identified(answer) -> tuple[dict[str, str] | None, list[bytes]]:
    one, line = group({"address": 0}), Answering(answer)
    driver = driver_on(line, one)
    assert isinstance(driver, Scannable)
    await driver.open()
    try:
        return await driver.identify(one.device), line.sent
    finally:
        await driver.close()


async def test_parts_of_an_identification_are_put_together():
    parts = iter([objects(b"Acme", b"P1", more=2), objects(b"1.0\0", first=2)])
    told, sent = await identified(lambda _: (framed(next(parts)), 0.0))
    assert told == {"vendor": "Acme", "product_code": "P1", "revision": "1.0", "model": "P1"}
    assert [request[2:5].hex() for request in sent] == ["0e0100", "0e0102"]


async def test_identification_that_goes_in_circles_ends():
    told, sent = await identified(lambda _: (framed(objects(b"Acme", more=1)), 0.0))
    assert told == {"vendor": "Acme"}
    assert len(sent) == 2


@pytest.mark.parametrize("function", [43, 3, 4, 1])
async def test_any_answer_shows_that_somebody_is_there(function):
    def answer(request: bytes) -> tuple[bytes, float]:
        return (framed(bytes((1, function | 0x80, 1))), 0.0) if request[1] == function else (b"", 0.0)

    told, _ = await identified(answer)
    assert told == {}


async def test_nobody_is_where_nothing_but_noise_comes():
    assert (await identified(lambda _: (b"", 0.0)))[0] is None
    assert (await identified(lambda _: (b"\x01\xff\x00\x80", 0.0)))[0] is None


async def test_line_that_is_down_is_no_silent_instrument():
    one = group({"address": 0})
    with pytest.raises(LinkError):
        await driver_on(Answering(Slave()), one).identify(one.device)


@pytest.mark.parametrize(("url", "first"), [(RTU, [1, 2, 3]), ("tcp://127.0.0.1", [1, 255, 0])])
def test_likely_units_come_first(url, first):
    units = [device.unit for device in driver_on(Answering(Slave()), url=url).candidates()]
    assert units[:3] == first
    assert set(range(1, 248)) <= set(units)


async def test_instrument_is_left_in_peace_after_the_line_was_opened():
    clock = Clock()
    one = group({"address": 0}, connect_pause_ms=10_000)
    line = Answering(Slave(3))
    driver = driver_on(line, one, clock=clock)
    await driver.open()
    clock.advance(9.99)
    before = clock()
    await driver.read(one)
    assert clock() - before >= 9_000_000


async def test_other_master_that_never_stops_is_a_frame_error():
    one, line = group({"address": 0}), Answering(Slave(3))
    line.discard = lambda: 1
    driver = driver_on(line, one)
    await driver.open()
    with pytest.raises(FrameError, match="never falls silent"):
        await driver.read(one)
    assert line.sent == []
