"""Instruments for the technician's tools, by programs that we did not write: modbus-tk on a pty, pymodbus over TCP."""

from __future__ import annotations

import asyncio
import os
import pty
import threading
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import serial
from modbus_tk import defines, hooks, modbus_rtu
from pymodbus import ModbusDeviceIdentification
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from tests.drivers.ptys import cable
from tests.servers import wait_for_port

BLOCKS = {1: defines.COILS, 2: defines.DISCRETE_INPUTS, 3: defines.HOLDING_REGISTERS, 4: defines.READ_INPUT_REGISTERS}

Registers = Mapping[tuple[int, int], Sequence[int]]
"""What an instrument holds: {(function, first address): values}."""

GAS: Registers = {(3, 0): [32, 0x0200]}
WEATHER: Registers = {(3, 500): [312, 4, 0, 187, 655, 235, 481, 12, 14, 1003, 0, 0, 0, 12, 0, 480]}
PLC: Registers = {(3, 0): [734, 65536 - 125, 0, 0, 0, 0x4148], (1, 0): [0] * 8}


@contextmanager
def rtu_line(units: Mapping[int, Registers]) -> Iterator[tuple[str, list[int]]]:
    """A serial line with modbus-tk slaves. Yields our end, and a list of the function codes that they were asked."""
    asked: list[int] = []

    def note(args: tuple[object, bytes]) -> None:
        asked.append(args[1][1])

    with cable() as (ours, theirs):
        server = modbus_rtu.RtuServer(serial.Serial(theirs, 9600, timeout=0.01))
        hooks.install_hook("modbus.Server.before_handle_request", note)
        server.start()
        try:
            for unit, registers in units.items():
                slave = server.add_slave(unit)
                for (function, first), values in registers.items():
                    slave.add_block(f"{function}-{first}", BLOCKS[function], first, len(values))
                    slave.set_values(f"{function}-{first}", first, list(values))
            yield ours, asked
        finally:
            server.stop()
            hooks.uninstall_hook("modbus.Server.before_handle_request", note)


@contextmanager
def tcp_instrument(port: int, unit: int, registers: Sequence[int], **identity: str) -> Iterator[None]:
    """A pymodbus server that tells who it is; unit 0 answers whatever the unit."""
    loop = asyncio.new_event_loop()
    block = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, list(registers)))
    context = ModbusServerContext(devices=block if unit == 0 else {unit: block}, single=unit == 0)
    server: list[ModbusTcpServer] = []

    async def start() -> None:
        told = ModbusDeviceIdentification(info_name=identity)
        server.append(ModbusTcpServer(context, address=("127.0.0.1", port), identity=told))
        await server[0].serve_forever(background=True)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        wait_for_port(port)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server[0].shutdown(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def talker(data: bytes, period_s: float = 0.05) -> Iterator[str]:
    """A serial port on which an instrument says the same again and again."""
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    ended = threading.Event()

    def talk() -> None:
        while not ended.wait(period_s):
            os.write(master, data)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)
