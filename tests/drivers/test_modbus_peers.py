"""The Modbus driver against slaves that others wrote."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from modbus_tk import defines, modbus_rtu
from pyModbusTCP.server import ModbusServer

from drivers.base import Group, find
from drivers.errors import DeviceError, LinkError, LinkTimeoutError
from tests.drivers.ptys import cable
from tests.servers import free_port

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:modbus_tk"),
]

UNIT = 5
FLOW_CDAB = struct.unpack(">HH", struct.pack(">f", 12.5))[::-1]
HOLDING = [734, 65536 - 125, 0, 0, *FLOW_CDAB, 0x0200]

KIND = find("modbus")


@pytest.fixture(scope="module")
def libmodbus_slave(tmp_path_factory) -> Path:
    """Compile the libmodbus slave."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/usr/include/modbus/modbus.h").exists():
        pytest.skip("gcc or libmodbus-dev is missing: apt-get install gcc libmodbus-dev")
    program = tmp_path_factory.mktemp("peer") / "slave"
    source = Path(__file__).parent / "peers" / "slave.c"
    command = [compiler, "-Wall", "-Werror", "-I/usr/include/modbus", str(source), "-o", str(program), "-lmodbus"]
    subprocess.run(command, check=True)
    return program


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.terminate()


@contextmanager
def pymodbustcp_slave(port: int) -> Iterator[None]:
    server = ModbusServer(host="127.0.0.1", port=port, no_block=True)
    server.start()
    try:
        server.data_bank.set_holding_registers(0, HOLDING)
        server.data_bank.set_input_registers(2, [41])
        server.data_bank.set_coils(3, [True])
        server.data_bank.set_discrete_inputs(9, [True])
        yield
    finally:
        server.stop()


@contextmanager
def modbus_tk_slave(path: str) -> Iterator[None]:
    server = modbus_rtu.RtuServer(serial.Serial(path, 9600, timeout=0.01))
    server.start()
    try:
        slave = server.add_slave(UNIT)
        slave.add_block("holding", defines.HOLDING_REGISTERS, 0, 20)
        slave.add_block("input", defines.READ_INPUT_REGISTERS, 0, 20)
        slave.add_block("coils", defines.COILS, 0, 20)
        slave.add_block("inputs", defines.DISCRETE_INPUTS, 0, 20)
        slave.set_values("holding", 0, HOLDING)
        slave.set_values("input", 2, [41])
        slave.set_values("coils", 3, [1])
        slave.set_values("inputs", 9, [1])
        yield
    finally:
        server.stop()


def tank(unit: int, device: dict | None = None, **more: dict) -> Group:
    sources = {
        "level": {"address": 0, "scale": 0.01},
        "temperature": {"address": 1, "type": "i16", "scale": 0.1},
        "flow": {"address": 4, "type": "f32", "order": "CDAB"},
        "alarm": {"address": 6, "bit": 9},
        "polls": {"function": 4, "address": 2},
        "pump": {"function": 1, "address": 3},
        "door": {"function": 2, "address": 9},
    } | more
    return Group(
        name="plc.tank",
        device_name="plc",
        device=KIND.device(unit=unit, max_hole=4, **(device or {})),
        tags=tuple(f"plc.{name}" for name in sources),
        sources=tuple(KIND.source(**source) for source in sources.values()),
    )


async def reads_and_writes(url: str, unit: int) -> None:
    group = tank(unit)
    driver = KIND.build(KIND.settings(url=url, timeout_s=2.0), [group])
    await driver.open()
    try:
        scan = await driver.read(group)
        assert scan.values == (7.34, -12.5, 12.5, True, 41, True, True)
        assert set(scan.quality) == {0}
        await driver.write(group, "plc.pump", False)
        await driver.write(group, "plc.level", 8.01)
        await driver.write(group, "plc.flow", -0.75)
        scan = await driver.read(group)
        assert scan.values == (8.01, -12.5, -0.75, True, 41, False, True)
    finally:
        await driver.close()


async def keeps_the_rest_of_a_group_when_one_block_is_refused(url: str, unit: int) -> None:
    group = tank(unit, absent={"function": 3, "address": 9000})
    driver = KIND.build(KIND.settings(url=url, timeout_s=2.0), [group])
    await driver.open()
    try:
        scan = await driver.read(group)
        assert scan.values[0] == 7.34
        assert scan.quality == (0, 0, 0, 0, 0, 0, 0, 0x84)
        with pytest.raises(DeviceError, match="nothing at this address"):
            await driver.write(group, "plc.absent", 1)
    finally:
        await driver.close()


async def sets_in_every_way_it_knows(url: str, unit: int, ways: dict) -> None:
    group = tank(unit, device=ways)
    driver = KIND.build(KIND.settings(url=url, timeout_s=2.0), [group])
    await driver.open()
    try:
        await driver.write(group, "plc.pump", False)
        await driver.write(group, "plc.level", 8.01)
        await driver.write(group, "plc.flow", -0.75)
        if "mask_write" in ways:
            await driver.write(group, "plc.alarm", False)
        values = (await driver.read(group)).values
        assert values == (8.01, -12.5, -0.75, "mask_write" not in ways, 41, False, True)
    finally:
        await driver.close()


async def is_there_though_it_does_not_say_who(url: str, unit: int) -> None:
    group = tank(unit)
    driver = KIND.build(KIND.settings(url=url, timeout_s=0.5), [group])
    await driver.open()
    try:
        assert await driver.identify(group.device) == {}
    finally:
        await driver.close()


CHECKS = (
    reads_and_writes,
    keeps_the_rest_of_a_group_when_one_block_is_refused,
    is_there_though_it_does_not_say_who,
)


async def test_pymodbustcp_server_is_read_and_written():
    port = free_port()
    with pymodbustcp_slave(port):
        await reads_and_writes(f"tcp://127.0.0.1:{port}", 1)
        await is_there_though_it_does_not_say_who(f"tcp://127.0.0.1:{port}", 1)


async def test_pymodbustcp_server_is_set_by_functions_15_and_23():
    port = free_port()
    with pymodbustcp_slave(port):
        await sets_in_every_way_it_knows(f"tcp://127.0.0.1:{port}", 1, {"write_single": False, "read_write": True})


async def test_modbus_tk_slave_is_set_by_functions_15_and_23():
    with cable() as (ours, theirs), modbus_tk_slave(theirs):
        await sets_in_every_way_it_knows(f"rtu://{ours}", UNIT, {"write_single": False, "read_write": True})


async def test_libmodbus_slave_is_set_by_functions_15_22_and_23(libmodbus_slave):
    ways = {"write_single": False, "read_write": True, "mask_write": True}
    with cable() as (ours, theirs), started([str(libmodbus_slave), "rtu", theirs, str(UNIT)]):
        await sets_in_every_way_it_knows(f"rtu://{ours}", UNIT, ways)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_modbus_tk_slave_on_a_serial_line(check):
    with cable() as (ours, theirs), modbus_tk_slave(theirs):
        await check(f"rtu://{ours}", UNIT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_libmodbus_slave_over_tcp(check, libmodbus_slave):
    port = free_port()
    with started([str(libmodbus_slave), "tcp", str(port)]):
        await check(f"tcp://127.0.0.1:{port}", 1)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_libmodbus_slave_on_a_serial_line(check, libmodbus_slave):
    with cable() as (ours, theirs), started([str(libmodbus_slave), "rtu", theirs, str(UNIT)]):
        await check(f"rtu://{ours}", UNIT)


async def test_unit_that_nobody_has_times_out_and_others_on_the_line_are_still_asked():
    absent, group = tank(UNIT + 1), tank(UNIT)
    with cable() as (ours, theirs), modbus_tk_slave(theirs):
        driver = KIND.build(KIND.settings(url=f"rtu://{ours}", timeout_s=0.3), [group])
        lost = KIND.build(KIND.settings(url=f"rtu://{ours}", timeout_s=0.1), [absent])
        await lost.open()
        with pytest.raises(LinkTimeoutError):
            await lost.read(absent)
        await lost.close()
        await driver.open()
        assert (await driver.read(group)).values[0] == 7.34
        await driver.close()


async def test_server_that_was_restarted_is_read_again_after_reopening():
    port, group = free_port(), tank(1)
    driver = KIND.build(KIND.settings(url=f"tcp://127.0.0.1:{port}", timeout_s=1.0), [group])
    with pytest.raises(LinkError):
        await driver.open()
    for _ in range(2):
        with pymodbustcp_slave(port):
            await driver.open()
            assert (await driver.read(group)).values[0] == 7.34
        with pytest.raises(LinkError):
            await driver.read(group)
        await driver.close()
