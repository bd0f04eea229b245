"""The lab's slave, asked who it is by pymodbus' client."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerType

from lab.instruments.modbus import IDENTITY, AsciiSlave, RtuSlave, TcpSlave, answer, ascii_frame, take_ascii_request
from lab.instruments.pty_line import PtyLine
from lab.instruments.serial_server import SerialServer
from lab.instruments.siren import RelayModule

pytestmark = pytest.mark.peer


def relay() -> RelayModule:
    return RelayModule("g", "relay", "coils", lambda *_: None)


@asynccontextmanager
async def over_tcp():
    slave = TcpSlave({1: relay()})
    client = AsyncModbusTcpClient("127.0.0.1", port=await slave.open())
    try:
        yield client
    finally:
        client.close()
        await slave.close()


@asynccontextmanager
async def answering(slave):
    task = asyncio.create_task(slave.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def over_pty(make, framer):
    line = PtyLine()
    client = AsyncModbusSerialClient(line.path, framer=framer)
    async with answering(make(line, {1: relay()})):
        yield client
        client.close()
    line.close()


def over_rtu():
    return over_pty(RtuSlave, FramerType.RTU)


def over_ascii():
    return over_pty(AsciiSlave, FramerType.ASCII)


@asynccontextmanager
async def over_serial_server():
    server = SerialServer()
    client = AsyncModbusTcpClient("127.0.0.1", port=await server.open(), framer=FramerType.RTU)
    async with answering(RtuSlave(server, {1: relay()})):
        yield client
        client.close()
    await server.close()


LINES = {"tcp": over_tcp, "rtu": over_rtu, "ascii": over_ascii, "rtu+tcp": over_serial_server}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
async def test_slave_tells_who_it_is(line):
    async with line() as client:
        await client.connect()
        reply = await client.read_device_information(device_id=1)
        assert tuple(reply.information.values()) == IDENTITY
        assert not (await client.read_coils(0, count=1, device_id=1)).isError()


@pytest.mark.parametrize("request_pdu", ["2b", "2b0e01", "2b0d0100", "2b0e0400", "2b0e0103"])
def test_question_that_it_does_not_know_gets_an_exception(request_pdu):
    assert answer(relay(), bytes.fromhex(request_pdu), 0) == (b"\xab\x03", None)


def test_ascii_request_is_found_behind_garbage_and_refused_with_a_wrong_sum():
    request = bytes.fromhex("0300000001")
    frame = ascii_frame(1, request)
    assert frame == b":010300000001FB\r\n"
    assert take_ascii_request(b"\xff:0" + frame + b":01") == ((1, request), len(frame) + 3)
    assert take_ascii_request(frame[:-1]) == (None, 0)
    for garbled in (b":010300000001FA\r\n", b":0103000000\xff1FB\r\n", b":01FF\r\n", b"\r\n"):
        assert take_ascii_request(garbled) == (None, len(garbled))


async def test_serial_server_serves_its_newest_client():
    server = SerialServer()
    port = await server.open()
    assert not server.write(b"nobody")
    chunks = server.received()
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    (dropped, _), (served, asking) = clients
    asking.write(b"ask")
    assert await anext(chunks) == b"ask"
    assert server.write(b"answer")
    assert await served.readexactly(6) == b"answer"
    assert await dropped.read() == b""
    for _, writer in clients:
        writer.close()
        await writer.wait_closed()
    await server.close()
