"""The lab's slave, asked who it is by pymodbus' client."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from lab.instruments.modbus import IDENTITY, RtuSlave, TcpSlave, answer
from lab.instruments.pty_line import PtyLine
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
async def over_rtu():
    line = PtyLine()
    task = asyncio.create_task(RtuSlave(line, {1: relay()}).run())
    client = AsyncModbusSerialClient(line.path)
    try:
        yield client
    finally:
        client.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()


@pytest.mark.parametrize("line", [over_tcp, over_rtu], ids=["tcp", "rtu"])
async def test_slave_tells_who_it_is(line):
    async with line() as client:
        await client.connect()
        reply = await client.read_device_information(device_id=1)
        assert tuple(reply.information.values()) == IDENTITY
        assert not (await client.read_coils(0, count=1, device_id=1)).isError()


@pytest.mark.parametrize("request_pdu", ["2b", "2b0e01", "2b0d0100", "2b0e0400", "2b0e0103"])
def test_question_that_it_does_not_know_gets_an_exception(request_pdu):
    assert answer(relay(), bytes.fromhex(request_pdu), 0) == (b"\xab\x03", None)
