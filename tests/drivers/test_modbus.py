"""The Modbus driver on lines that misbehave."""

import asyncio
import struct

import msgspec
import pytest

from drivers.base import Group, Writable, find
from drivers.bits import crc16_modbus
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError, SettingsError
from tests.drivers.cases import Clock
from tests.drivers.lines import Answering

KIND = find("modbus")
RTU = "rtu:///dev/ttyS0"
TIMEOUT_S = 0.01


def group(*tags: dict, unit: int = 1, name: str = "d.g", **device) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(unit=unit, **device),
        tags=tuple(f"d.t{number}" for number in range(len(tags))),
        sources=tuple(msgspec.convert(tag, KIND.source) for tag in tags),
    )


def driver_on(line: Answering, *groups: Group, url: str = RTU, clock: Clock | None = None):
    settings = KIND.settings(url=url, baud=4_000_000, timeout_s=TIMEOUT_S)
    return KIND.build(settings, groups, clock=clock or Clock(), line=line)


def framed(octets: bytes) -> bytes:
    return octets + crc16_modbus(octets).to_bytes(2, "little")


def registers_that_hold_their_address(request: bytes) -> bytes:
    unit, function, address, count = struct.unpack_from(">BBHH", request)
    data = struct.pack(f">{count}H", *((address + n) & 0xFFFF for n in range(count)))
    return framed(bytes((unit, function, len(data))) + data)


class Relay:
    """An RTU slave with coils and registers that can be set, and may be stuck."""

    def __init__(self, stuck: bool = False) -> None:
        self.coils, self.registers, self.stuck = [0] * 16, [0] * 16, stuck

    def __call__(self, request: bytes) -> tuple[bytes, float]:
        unit, function, address, word = struct.unpack_from(">BBHH", request)
        if function in {5, 6}:
            if not self.stuck:
                (self.coils if function == 5 else self.registers)[address] = int(
                    word == 0xFF00 if function == 5 else word
                )
            return framed(request[:6]), 0.0
        if function == 1:
            return framed(bytes((unit, 1, 1, self.coils[address]))), 0.0
        return framed(struct.pack(">BBBH", unit, 3, 2, self.registers[address])), 0.0


async def test_garbled_reply_is_a_frame_error_that_shows_what_came():
    line = Answering(lambda request: (registers_that_hold_their_address(request)[:-1] + b"\x00", 0.0))
    one = group({"address": 0x4142})
    driver = driver_on(line, one)
    await driver.open()
    with pytest.raises(FrameError, match="01 03 02 41 42"):
        await driver.read(one)


async def test_tcp_reply_that_comes_in_pieces_around_a_time_out_leaves_the_stream_in_step():
    numbers = []

    def answer(request: bytes) -> tuple[bytes, float]:
        numbers.append(request[:2])
        if len(numbers) == 1:
            return numbers[0] + bytes.fromhex("0000 0005 01 03"), 0.0
        return bytes.fromhex("02 0001") + numbers[1] + bytes.fromhex("0000 0005 01 03 02 0002"), 0.0

    one = group({"address": 0})
    driver = driver_on(Answering(answer), one, url="tcp://127.0.0.1:502")
    await driver.open()
    with pytest.raises(DriverError):
        await driver.read(one)
    assert (await driver.read(one)).values == (2,)


async def test_line_that_hangs_up_ends_a_waiting_read_at_once():
    line = Answering(lambda _: (b"", 0.0))
    one = group({"address": 0})
    settings = KIND.settings(url=RTU, timeout_s=60.0)
    driver = KIND.build(settings, [one], line=line)
    await driver.open()
    reading = asyncio.create_task(driver.read(one))
    await asyncio.sleep(0.01)
    line.hang_up()
    with pytest.raises(LinkError) as caught:
        await asyncio.wait_for(reading, 1.0)
    assert not isinstance(caught.value, LinkTimeoutError)


async def test_write_waits_for_the_exchange_under_way_and_no_longer():
    relay = Relay()
    line = Answering(lambda request: (relay(request)[0], 0.002))
    one = group({"function": 1, "address": 0}, {"address": 1})
    driver = driver_on(line, one)
    await driver.open()
    reading = asyncio.create_task(driver.read(one))
    await asyncio.sleep(0)
    await driver.write(one, "d.t0", True)
    assert relay.coils[0] == 1
    assert (await reading).quality == (0, 0)


async def test_coil_and_register_are_set_and_read_back():
    relay = Relay()
    one = group({"function": 1, "address": 3}, {"address": 2, "scale": 0.1, "type": "i16"})
    driver = driver_on(Answering(relay), one)
    assert isinstance(driver, Writable)
    await driver.open()
    await driver.write(one, "d.t0", 1)
    await driver.write(one, "d.t1", -12.5)
    assert (relay.coils[3], relay.registers[2]) == (1, 65536 - 125)
    await driver.write(one, "d.t0", False)
    assert relay.coils[3] == 0


async def test_output_that_does_not_hold_what_was_set_is_a_device_error():
    one = group({"function": 1, "address": 3})
    driver = driver_on(Answering(Relay(stuck=True)), one)
    await driver.open()
    with pytest.raises(DeviceError, match="holds 00"):
        await driver.write(one, "d.t0", 1)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ({"function": 4, "address": 0}, 1),
        ({"function": 2, "address": 0}, 1),
        ({"address": 0, "bit": 3}, True),
        ({"address": 0}, 70000),
        ({"address": 0}, "on"),
        ({"address": 0}, None),
    ],
)
async def test_what_cannot_be_written_is_refused_before_anything_is_sent(tag, value):
    line = Answering(Relay())
    one = group(tag)
    driver = driver_on(line, one)
    await driver.open()
    with pytest.raises(SettingsError):
        await driver.write(one, "d.t0", value)
    with pytest.raises(SettingsError, match="has no tag"):
        await driver.write(one, "d.other", 1)
    assert line.sent == []


@pytest.mark.parametrize(
    ("tag", "device", "says"),
    [
        ({"function": 1, "address": 0, "type": "u16"}, {}, "is a bool"),
        ({"address": 0, "type": "bool"}, {}, "which bit"),
        ({"address": 0, "bit": 1, "mask": 6}, {}, "exclude"),
        ({"address": 0, "type": "f32", "bit": 1}, {}, "no bits"),
        ({"address": 0, "bit": 16}, {}, "only 16 bits"),
        ({"address": 65535, "type": "u32"}, {}, "past address 65535"),
        ({"address": 0, "scale": 0.0}, {}, "scale"),
        ({"address": 0, "type": "f64"}, {"max_registers": 2}, "4 registers"),
        ({"address": 0}, {"unit": 0}, "broadcast"),
    ],
)
def test_group_that_cannot_be_read_is_refused_when_the_driver_is_made(tag, device, says):
    with pytest.raises(SettingsError, match=says):
        driver_on(Answering(Relay()), group(tag, **device))


async def test_status_bits_masks_and_orders_of_one_register_block():
    one = group(
        {"address": 0x0203, "mask": 0xFF00},
        {"address": 0x0203, "bit": 1},
        {"address": 0x0203, "bit": 2},
        {"address": 0x0203, "type": "u16", "order": "BADC"},
    )
    driver = driver_on(Answering(lambda r: (registers_that_hold_their_address(r), 0.0)), one)
    await driver.open()
    assert (await driver.read(one)).values == (2, True, False, 0x0302)
