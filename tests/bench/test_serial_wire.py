"""The wire that the serial figures rest on: no octet comes sooner than its bits would, and it counts what passed."""

import asyncio
import time

import pytest

from drivers.bits import crc16_modbus
from drivers.transport import LineSettings, Serial
from tests.bench.compiled import build
from tests.bench.serial_wire import wired

pytestmark = pytest.mark.peer

BAUD, UNITS, REGISTERS = 19200, 3, 50
SETTINGS = LineSettings(url="", baud=BAUD, parity="E")
REQUEST_OCTETS, REPLY_OCTETS = 8, 5 + 2 * REGISTERS


@pytest.fixture(scope="module")
def wire():
    try:
        build("serial_bus")
    except RuntimeError as error:
        pytest.skip(str(error))
    with wired(BAUD, UNITS, REGISTERS, dead=2) as running:
        yield running


@pytest.fixture
async def line(wire):
    port = Serial(wire.path, SETTINGS)
    await port.open()
    wire.passed()
    yield port
    await port.close()


async def ask(line: Serial, unit: int) -> bytes:
    body = bytes((unit, 3, 0, 0, 0, REGISTERS))
    await line.write(body + crc16_modbus(body).to_bytes(2, "little"))
    reply = b""
    while len(reply) < REPLY_OCTETS:
        reply += await line.read()
    return reply


async def test_octets_take_the_time_of_their_bits_and_each_exchange_is_counted(wire, line):
    for unit in (1, 3, 1):
        began = time.monotonic()
        assert (await ask(line, unit))[3:7] == bytes((unit, 0, unit, 1))
        assert time.monotonic() - began >= (REQUEST_OCTETS + REPLY_OCTETS) * SETTINGS.character_s
    passed = wire.passed()
    assert (passed.requests, passed.replies, passed.octets) == (2, 2, 2 * (REQUEST_OCTETS + REPLY_OCTETS))
    assert passed.collisions == 0


async def test_silence_before_a_request_is_measured(wire, line):
    await ask(line, 1)
    await asyncio.sleep(0.05)
    await ask(line, 3)
    assert wire.passed().silence_min >= 50_000_000


async def test_dead_unit_stays_silent(line):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(line, 2), 0.1)


async def test_speaking_while_another_speaks_is_seen(wire, line):
    reading = asyncio.create_task(ask(line, 1))
    await asyncio.sleep(0.02)
    await line.write(b"\x01")
    await reading
    assert wire.passed().collisions == 1
