"""The Modbus driver against pymodbus' servers, the one peer that has TLS, ASCII, identification and function 22.

Functions 15 and 23 have libmodbus and modbus-tk as further peers (`test_modbus_peers`).
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.server.base import ModbusBaseServer

from drivers.base import Group, find
from drivers.errors import LinkError, SettingsError
from tests.drivers.ptys import cable
from tests.servers import free_port

pytestmark = pytest.mark.peer
UNIT = 5
KIND = find("modbus")
HOLDING = [734, 65536 - 125, 0x0012, 0x3456, 0, 0x4148, 0x0200, 0x4142, 0x4300, 2]
LONG = {"vendor": "v" * 120, "product_code": "p" * 120, "revision": "r" * 120}


def context() -> ModbusServerContext:
    inputs, coils = [0] * 20, [False] * 20
    inputs[2], coils[3] = 41, True
    device = ModbusDeviceContext(
        di=ModbusSequentialDataBlock(1, [False] * 9 + [True] * 11),
        co=ModbusSequentialDataBlock(1, coils),
        hr=ModbusSequentialDataBlock(1, HOLDING + [0] * 10),
        ir=ModbusSequentialDataBlock(1, inputs),
    )
    return ModbusServerContext(devices={UNIT: device}, single=False)


def identity(**told: str) -> ModbusDeviceIdentification:
    names = {"vendor": "VendorName", "product_code": "ProductCode", "revision": "MajorMinorRevision"}
    names |= {"model": "ModelName", "product": "ProductName"}
    return ModbusDeviceIdentification(info_name={names[name]: text for name, text in told.items()})


Make = Callable[..., ModbusBaseServer]


@asynccontextmanager
async def serving(make: Make, **told: str) -> AsyncIterator[None]:
    """Serve. The control block is one for all servers of a process, so that an identity must be set each time."""
    server = make(context(), identity=identity(**{"vendor": "Fengsui", "product_code": "T1", "revision": "1.0"} | told))
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=plc"
    files = ["-keyout", "plc.key", "-out", "plc.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *words.split(), *files], cwd=folder, check=True, capture_output=True)
    return folder / "plc.pem"


def make_tcp(port: int, framer: FramerType = FramerType.SOCKET) -> Make:
    return lambda store, **more: ModbusTcpServer(store, address=("127.0.0.1", port), framer=framer, **more)


def make_tls(port: int, certificate: Path) -> Make:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return lambda store, **more: ModbusTlsServer(store, address=("127.0.0.1", port), sslctx=tls, **more)


def make_serial(port: str, framer: FramerType) -> Make:
    return lambda store, **more: ModbusSerialServer(store, port=port, framer=framer, baudrate=9600, **more)


def tank(**device) -> Group:
    sources = {
        "level": {"address": 0, "scale": 0.01},
        "temperature": {"register": 40002, "type": "i16", "scale": 0.1},
        "total": {"address": 2, "type": "bcd32", "decimals_from": {"address": 9}},
        "flow": {"address": 4, "type": "f32", "order": "CDAB"},
        "alarm": {"address": 6, "bit": 9},
        "valve": {"address": 6, "mask": 0x0300, "text": {"0": "shut", "2": "open"}},
        "name": {"address": 7, "type": "string", "length": 2},
        "polls": {"register": 30003},
        "pump": {"function": 1, "address": 3},
        "door": {"function": 2, "address": 9},
    }
    return Group(
        name="plc.tank",
        device_name="plc",
        device=KIND.device(unit=UNIT, **device),
        tags=tuple(f"plc.{name}" for name in sources),
        sources=tuple(msgspec.convert(source, KIND.source) for source in sources.values()),
    )


READ = (7.34, -12.5, 1234.56, 12.5, True, "open", "ABC", 41, True, True)


@asynccontextmanager
async def opened(group: Group, url: str, **settings):
    driver = KIND.build(KIND.settings(url=url, timeout_s=2.0, **settings), [group])
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


async def reads_and_writes(url: str, **settings) -> None:
    group = tank(mask_write=True)
    async with opened(group, url, **settings) as driver:
        scan = await driver.read(group)
        assert scan.values == READ
        assert set(scan.quality) == {0}
        await driver.write(group, "plc.pump", False)
        await driver.write(group, "plc.level", 8.01)
        await driver.write(group, "plc.flow", -0.75)
        await driver.write(group, "plc.alarm", False)
        await driver.write(group, "plc.name", "XYZ")
        scan = await driver.read(group)
        assert scan.values == (8.01, -12.5, 1234.56, -0.75, False, "shut", "XYZ", 41, False, True)
        await driver.write(group, "plc.valve", "open")
        assert (await driver.read(group)).values[5] == "open"


async def test_over_tcp():
    port = free_port()
    async with serving(make_tcp(port)):
        await reads_and_writes(f"tcp://127.0.0.1:{port}")


async def test_over_tls(certificate):
    port = free_port()
    async with serving(make_tls(port, certificate)):
        await reads_and_writes(f"tls://127.0.0.1:{port}", ca_file=str(certificate))


async def test_tls_certificate_that_is_not_trusted_is_refused(certificate):
    port, group = free_port(), tank()
    async with serving(make_tls(port, certificate)):
        driver = KIND.build(KIND.settings(url=f"tls://127.0.0.1:{port}"), [group])
        with pytest.raises((LinkError, SettingsError)):
            await driver.open()
        await driver.close()


@pytest.mark.parametrize(("scheme", "framer"), [("ascii", FramerType.ASCII), ("rtu", FramerType.RTU)])
async def test_over_a_serial_line(scheme, framer):
    with cable() as (ours, theirs):
        async with serving(make_serial(theirs, framer)):
            await reads_and_writes(f"{scheme}://{ours}")


@pytest.mark.parametrize(("scheme", "framer"), [("ascii", FramerType.ASCII), ("rtu", FramerType.RTU)])
async def test_serial_frames_over_tcp(scheme, framer):
    port = free_port()
    async with serving(make_tcp(port, framer)):
        await reads_and_writes(f"{scheme}+tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("device", [{"read_write": True}, {"write_single": False}, {"read_modify_write": True}])
async def test_other_ways_to_set_registers_and_coils(device):
    port, group = free_port(), tank(**device)
    async with serving(make_tcp(port)), opened(group, f"tcp://127.0.0.1:{port}") as driver:
        await driver.write(group, "plc.level", 8.01)
        await driver.write(group, "plc.flow", -0.75)
        await driver.write(group, "plc.pump", False)
        if "read_modify_write" in device:
            await driver.write(group, "plc.alarm", False)
        scan = await driver.read(group)
        assert (scan.values[0], scan.values[3], scan.values[8]) == (8.01, -0.75, False)
        assert scan.values[4] is ("read_modify_write" not in device)


@pytest.mark.parametrize("scheme", ["tcp", "rtu+tcp", "ascii+tcp"])
async def test_unit_tells_who_it_is(scheme):
    port, group = free_port(), tank()
    framer = {"tcp": FramerType.SOCKET, "rtu+tcp": FramerType.RTU, "ascii+tcp": FramerType.ASCII}[scheme]
    async with serving(make_tcp(port, framer), model="T1-X"), opened(group, f"{scheme}://127.0.0.1:{port}") as driver:
        told = await driver.identify(group.device)
        assert told == {"vendor": "Fengsui", "product_code": "T1", "revision": "1.0", "model": "T1-X"}


async def test_identification_too_long_for_one_answer_comes_in_parts():
    port, group = free_port(), tank()
    async with serving(make_tcp(port), **LONG), opened(group, f"tcp://127.0.0.1:{port}") as driver:
        told = await driver.identify(group.device)
        assert told is not None
        assert {name: told[name] for name in LONG} == LONG
