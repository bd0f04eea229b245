"""Instruments that speak by themselves, over real ptys and sockets, against the drivers that take them."""

import asyncio
import socket
from contextlib import asynccontextmanager

import msgspec
import pytest

from drivers.base import Group, find
from lab.instruments.digitiser import Digitiser
from lab.instruments.fire import DETECTORS, FireTransmitter
from lab.instruments.frames import AccelerometerBoard, Anemometer
from lab.instruments.ground import Ground
from lab.instruments.hj212 import WaterLogger, crc16
from lab.instruments.pty_line import PtyLine
from lab.instruments.shake import Shake, connect
from lab.instruments.upload import Upload
from lab.ledger import Ledger, Unwrapped
from tests.servers import free_port

MN = "010000A8900016F000169DC0"
SOON_S = 20.0


@pytest.fixture
def seen():
    values = []

    def observe(tag, value, at_ns):  # noqa: ARG001 - when does not matter here
        values.append((tag, value))

    observe.values = values
    return observe


def driver_of(name: str, url: str, groups: dict[str, list[dict]], **device):
    kind = find(name)
    made = [
        Group(
            name=group,
            device_name=group.partition(".")[0],
            device=msgspec.convert(device, kind.device),
            tags=tuple(f"{group}-{number}" for number in range(len(fields))),
            sources=tuple(msgspec.convert(field, kind.source) for field in fields),
        )
        for group, fields in groups.items()
    ]
    return kind.build(kind.settings(url=url, timeout_s=10.0), made)


@asynccontextmanager
async def running(instrument):
    task = asyncio.create_task(instrument.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def take(driver, count: int) -> list:
    """Open a driver, take so many scans, close it: what came with the last one is not answered."""
    await driver.open()
    stream = driver.scans()
    try:
        async with asyncio.timeout(SOON_S):
            return [await anext(stream) for _ in range(count)]
    finally:
        await stream.aclose()
        await driver.close()


@pytest.fixture
def line():
    line = PtyLine()
    yield line
    line.close()


async def test_anemometer_is_read_by_its_pattern(line, seen):
    instrument = Anemometer(line, Ledger("gw", "mast.wind", values=3, counter="mast.n"), seen, rate_hz=50)
    pattern = r"\x02Q,(?P<d>\d{3}),(?P<s>\d{3}\.\d{2}),M,00,(?P<n>\d+),\x03[0-9A-F]{2}"
    text = {"start": "\x02", "pattern": pattern, "checksum": {"kind": "xor8", "form": "hex", "first": 1, "gap": 1}}
    fields = [{"field": "d"}, {"field": "s"}, {"field": "n"}]
    driver = driver_of("frames", f"serial://{line.path}", {"mast.wind": fields}, text=text)
    async with running(instrument):
        scans = await take(driver, 5)
    assert [scan.values[2] for scan in scans] == [1, 2, 3, 4, 5]
    assert [("mast.speed", scan.values[1]) for scan in scans] == seen.values[:5]
    assert driver.faults == 0
    assert instrument.ledger.samples >= 15


async def test_board_is_read_by_its_layout(line, seen):
    instrument = AccelerometerBoard(line, Ledger("gw", "imu.motion", values=4, counter="imu.n"), seen, rate_hz=100)
    binary = {"header": "AA 55", "length": 15, "checksum": {"kind": "crc16-ccitt-false", "first": 2}}
    fields = [{"at": at, "type": "i20", "scale": 1 / 256_000} for at in (4, 7, 10)]
    fields.append({"at": 2, "type": "u16"})
    driver = driver_of("frames", f"serial://{line.path}", {"imu.motion": fields}, binary=binary)
    async with running(instrument):
        scans = await take(driver, 20)
    assert [scan.values[3] for scan in scans] == list(range(1, 21))
    told = [value for _, value in seen.values]
    assert [value for scan in scans for value in scan.values[:3]] == pytest.approx(told[:60])
    assert driver.faults == 0


def test_silent_instrument_counts_nothing(line, seen):
    instrument = Anemometer(line, Ledger("gw", "mast.wind", values=3, counter="mast.n"), seen, rate_hz=50)
    instrument.speak()
    instrument.power_off()
    instrument.speak()
    assert (instrument.ledger.head, instrument.ledger.scans) == (1, 0)


def test_crc_of_the_logger_is_that_of_the_published_vector():
    data = f"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN={MN};Flag=5;CP=&&RtdInterval=30&&"
    assert crc16(data.encode()) == 0x1C80


async def test_logger_loses_nothing_while_its_gateway_comes_and_goes(seen):
    port = free_port()
    upload = Upload("127.0.0.1", port, answer_s=1.0)
    instrument = WaterLogger(
        upload, Ledger("gw", "outfall.present", values=3, counter="outfall.n"), seen, MN, interval_s=0.02
    )
    fields = [{"code": "w01001"}, {"code": "w01018"}, {"code": "w99999"}]
    driver = driver_of("hj212", f"listen://127.0.0.1:{port}", {"outfall.present": fields}, mn=MN, password="123456")
    arrived = Unwrapped()
    async with running(instrument):
        for _ in range(3):
            for scan in await take(driver, 4):
                assert scan.quality == (0, 0, 0)
                arrived.add(int(scan.values[2]))
    assert arrived.numbers.highest >= 9
    assert list(arrived.numbers.missing(1, arrived.numbers.highest)) == []
    assert driver.faults == 0


async def test_fire_reaches_the_gateway_and_is_confirmed(seen):
    port = free_port()
    ledger = Ledger("gw", "hall.events", values=1, counter="hall.events")
    address = bytes.fromhex("0D8000000000")
    instrument = FireTransmitter(Upload("127.0.0.1", port, answer_s=1.0), ledger, seen, address, interval_s=0.05)
    instrument.burn(3, for_s=3600.0)
    smoke = {"what": "component", "system_type": 1, "system": 1, "component_type": 40, "component": 3}
    groups = {
        "hall.events": [{"what": "analogue", "value": "events"}],
        "hall.pump": [{"what": "analogue", "system_type": 12, "component": 7, "value": "pressure_kpa"}],
        "hall.smoke": [smoke | {"value": "fire"}, smoke | {"value": "description"}],
        "hall.fires": [{"what": "component", "value": "fire_count"}],
        "hall.system": [{"what": "system", "value": "normal"}],
        "hall.transmitter": [{"what": "transmitter", "value": "normal"}],
    }
    driver = driver_of("gb26875", f"listen://127.0.0.1:{port}", groups, address="00000000800D")
    async with running(instrument):
        scans = await take(driver, 11)
    by_group = {name: [scan for scan in scans if scan.group == name] for name in groups}
    assert [scan.group for scan in scans[:2]] == ["hall.transmitter", "hall.system"]
    assert [scan.values for scan in by_group["hall.smoke"]] == [(True, "二层控制室")]
    assert by_group["hall.fires"][-1].values == (1,)
    assert [scan.values for scan in by_group["hall.events"]][:2] == [(1,), (2,)]
    assert 700 < by_group["hall.pump"][0].values[0] < 950
    assert ("hall.fires", 1.0) in seen.values
    assert all(quality == 0 for scan in scans for quality in scan.quality)
    assert driver.faults == 0


async def test_detector_that_saw_fire_returns_to_normal(seen):
    port, now = free_port(), [0]
    ledger = Ledger("gw", "hall.events", values=1, counter="hall.events")
    upload = Upload("127.0.0.1", port, answer_s=1.0)
    instrument = FireTransmitter(upload, ledger, seen, bytes(6), interval_s=0.02, clock=lambda: now[0])
    groups = {"hall.fires": [{"what": "component", "value": "fire_count"}]}
    driver = driver_of("gb26875", f"listen://127.0.0.1:{port}", groups)
    await driver.open()
    stream = driver.scans()
    async with running(instrument), asyncio.timeout(SOON_S):
        for detector in DETECTORS:
            assert (await anext(stream)).values == (0,), detector
        instrument.burn(3, for_s=1.0)
        assert (await anext(stream)).values == (1,)
        now[0] = 1_000_000_000
        assert (await anext(stream)).values == (0,)
        await stream.aclose()
    await driver.close()
    assert [value for tag, value in seen.values if tag == "hall.fires"] == [0, 0, 0, 0, 1, 0]


async def test_upload_tells_once_that_it_was_sent_however_often_it_is():
    came, told = [], []

    async def answer_the_second(reader, writer):
        came.append(await reader.readexactly(4))
        if len(came) == 2:
            assert told == ["sent"]
            writer.write(b"yes")
        writer.close()

    server = await asyncio.start_server(answer_the_second, "127.0.0.1", 0)
    upload = Upload("127.0.0.1", server.sockets[0].getsockname()[1])
    await upload.deliver(b"fire", lambda octets: octets == b"yes", lambda: told.append("sent"))
    upload.close()
    server.close()
    await server.wait_closed()
    assert (came, told, upload.connections) == ([b"fire", b"fire"], ["sent"], 2)


async def test_fire_transmitter_tells_everything_anew_over_a_new_connection(seen):
    port = free_port()
    ledger = Ledger("gw", "hall.events", values=1, counter="hall.events")
    instrument = FireTransmitter(Upload("127.0.0.1", port, answer_s=1.0), ledger, seen, bytes(6), interval_s=0.05)
    groups = {"hall.transmitter": [{"what": "transmitter", "value": "normal"}]}
    driver = driver_of("gb26875", f"listen://127.0.0.1:{port}", groups)
    async with running(instrument):
        for _ in range(2):
            assert [scan.values for scan in await take(driver, 1)] == [(True,)]


async def test_shake_is_read_sample_by_sample(seen):
    port = free_port(socket.SOCK_DGRAM)
    ledger = Ledger("gw", "ground.motion", values=4, counter="ground.n")
    instrument = Shake(port, ledger, seen, Ground(((0.5, -0.5, 0.25),)))
    scale = 1 / 384_500
    fields = [{"channel": axis, "scale": scale} for axis in ("ENE", "ENN", "ENZ")] + [{"channel": "CNT"}]
    driver = driver_of("raspberry_shake", f"udp://127.0.0.1:{port}", {"ground.motion": fields})
    await driver.open()
    instrument.ground.strike()
    stream = driver.scans()
    async with running(instrument), asyncio.timeout(SOON_S):
        scans = [await anext(stream) for _ in range(50)]
        await stream.aclose()
    await driver.close()
    assert [scan.values[3] for scan in scans] == list(range(1, 51))
    assert scans[0].values[:3] == pytest.approx((0.5 * 9.80665, -0.5 * 9.80665, 1.25 * 9.80665), abs=1e-5)
    stamps = [scan.mono_ns for scan in scans]
    assert stamps == sorted(set(stamps))
    assert driver.faults == 0
    assert ledger.scans >= 50


async def test_digitiser_is_read_sample_by_sample(seen):
    port = free_port()
    ledger = Ledger("gw", "ground.motion", values=4, counter="ground.n")
    instrument = Digitiser(port, ledger, seen, Ground(((0.5, -0.5, 0.25),)))
    fields = [{"channel": axis, "scale": 1e-6} for axis in ("HNE", "HNN", "HNZ")] + [{"channel": "CNT"}]
    kind = find("seedlink")
    group = Group(
        name="ground.motion",
        device_name="ground",
        device=kind.device(station="CQ_SHT"),
        tags=("ground.e", "ground.n", "ground.z", "ground.samples"),
        sources=tuple(kind.source(**field) for field in fields),
    )
    driver = kind.build(kind.settings(url=f"tcp://127.0.0.1:{port}"), [group])
    async with running(instrument), asyncio.timeout(SOON_S):
        await asyncio.sleep(0.1)
        await driver.open()
        instrument.ground.strike()
        stream = driver.scans()
        scans = [await anext(stream) for _ in range(50)]
        await stream.aclose()
        await driver.close()
    first = scans[0].values[3]
    assert [scan.values[3] for scan in scans] == list(range(first, first + 50))
    assert scans[0].values[:3] == pytest.approx((0.5, -0.5, 1.25), abs=1e-6)
    assert {scan.clock.timing for scan in scans} == {100}
    assert driver.faults == 0


async def test_digitiser_that_nobody_hears_counts_nothing(seen):
    instrument = Digitiser(free_port(), Ledger("gw", "ground.motion", values=4, counter="n"), seen, Ground())
    await instrument.emit(1_700_000_000 * 10**9)
    assert instrument.ledger.scans == 0


async def test_shake_that_nobody_hears_counts_nothing(seen):
    port = free_port(socket.SOCK_DGRAM)
    instrument = Shake(port, Ledger("gw", "ground.motion", values=4, counter="n"), seen, Ground())
    with connect(port) as network:
        for number in range(3):
            instrument.emit(network, 1_700_000_000.0 + number)
    assert instrument.ledger.scans < instrument.ledger.head
