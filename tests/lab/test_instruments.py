"""Instruments against clients and parsers that we did not write."""

import asyncio
import os
import select
import struct
import tty
from contextlib import asynccontextmanager

import modbus_tk.defines as tk
import modbus_tk.modbus_rtu as modbus_rtu
import pynmea2
import pytest
import serial
from pyModbusTCP.client import ModbusClient

from lab.instruments.accelerometer import Accelerometer
from lab.instruments.gas import STATUS_LEL, GasDetector
from lab.instruments.ground import Ground, load_recording
from lab.instruments.modbus import RtuSlave, TcpSlave, answer, crc16, rtu_frame, take_rtu_request
from lab.instruments.pty_line import PtyLine
from lab.instruments.siren import RelayModule
from lab.instruments.tanks import TankFarm
from lab.instruments.weather import NmeaStation, WeatherTransmitter
from lab.ledger import Ledger

pytestmark = pytest.mark.peer
GATEWAY = "gw-test-0001"


class Seen:
    """Gathers what instruments tell the truth keeper."""

    def __init__(self):
        self.values = []
        self.switches = []

    def observe(self, tag, value, at_ns):
        self.values.append((tag, value, at_ns))

    def switched(self, device, coil, on, at_ns):
        self.switches.append((device, coil, on, at_ns))


@pytest.fixture
def seen():
    return Seen()


@asynccontextmanager
async def tcp(unit):
    slave = TcpSlave({1: unit})
    client = ModbusClient(host="127.0.0.1", port=await slave.open(), unit_id=1, timeout=1.0, auto_open=True)
    try:
        yield slave, client
    finally:
        client.close()
        await slave.close()


@asynccontextmanager
async def rtu(units):
    line = PtyLine()
    slave = RtuSlave(line, units)
    task = asyncio.create_task(slave.run())
    master = modbus_rtu.RtuMaster(serial.Serial(line.path, 9600))
    master.set_timeout(0.5)
    try:
        yield slave, master
    finally:
        master.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()


async def test_tank_farm_counts_every_read_that_covers_its_counter(seen):
    farm = TankFarm(GATEWAY, "tanks", "fast", seen.observe)
    async with tcp(farm.unit) as (_, client):
        for count in (1, 2, 3):
            words = await asyncio.to_thread(client.read_holding_registers, 0, 37)
            assert words[36] == count
        assert await asyncio.to_thread(client.read_holding_registers, 0, 36) is not None
    assert farm.ledger.scans == 3
    assert farm.ledger.samples == 3 * 37
    level, temperature, pressure = words[0] * 0.01, words[1] * 0.1, words[2] * 0.001
    assert 30 < level < 70
    assert 10 < temperature < 40
    assert 0 < pressure < 0.6


async def test_tank_farm_tells_exactly_the_values_that_it_served(seen):
    farm = TankFarm(GATEWAY, "tanks", "fast", seen.observe)
    async with tcp(farm.unit) as (_, client):
        words = await asyncio.to_thread(client.read_holding_registers, 0, 37)
    told = {tag: value for tag, value, _ in seen.values}
    assert len(told) == 36
    assert told["tanks.t101-level"] == words[0] * 0.01
    assert told["tanks.t112-pressure"] == words[35] * 0.001


async def test_reading_outside_the_map_gets_an_exception_and_is_not_counted(seen):
    farm = TankFarm(GATEWAY, "tanks", "fast", seen.observe)
    async with tcp(farm.unit) as (_, client):
        assert await asyncio.to_thread(client.read_holding_registers, 0, 38) is None
        assert client.last_except == 2
        assert await asyncio.to_thread(client.read_input_registers, 0, 1) is None
        assert await asyncio.to_thread(client.write_single_register, 0, 1) is False
        assert client.last_except == 1
    assert farm.ledger.head == 0


async def test_a_silenced_slave_neither_answers_nor_counts(seen):
    farm = TankFarm(GATEWAY, "tanks", "fast", seen.observe)
    async with tcp(farm.unit) as (slave, client):
        client.timeout = 0.2
        assert await asyncio.to_thread(client.read_holding_registers, 0, 37) is not None
        slave.power_off()
        assert await asyncio.to_thread(client.read_holding_registers, 0, 37) is None
    assert farm.ledger.scans == 1


async def test_an_overfill_passes_both_limits(seen):
    farm = TankFarm(GATEWAY, "tanks", "fast", seen.observe)
    farm.overfill(2, 0)
    words, _ = farm.unit.read(3, 6, 1, 10_000_000_000)
    assert words[0] * 0.01 > 95.0


async def test_gas_detectors_share_a_line_and_count_apart(seen):
    detectors = [GasDetector(GATEWAY, f"gd-{unit:02d}", "fast", seen.observe) for unit in range(1, 9)]
    async with rtu({unit: gas.unit for unit, gas in enumerate(detectors, start=1)}) as (_, master):
        for unit in range(1, 9):
            for count in range(1, unit + 1):
                words = await asyncio.to_thread(master.execute, unit, tk.READ_HOLDING_REGISTERS, 0, 8)
                assert words[1] == STATUS_LEL
                assert (words[2], words[4]) == (25, 50)
                assert words[7] == count
                assert words[0] < 25
    assert [detector.ledger.scans for detector in detectors] == list(range(1, 9))


async def test_an_address_that_nobody_has_stays_silent(seen):
    gas = GasDetector(GATEWAY, "gd-01", "fast", seen.observe)
    async with rtu({1: gas.unit}) as (_, master):
        with pytest.raises(modbus_rtu.ModbusInvalidResponseError):
            await asyncio.to_thread(master.execute, 9, tk.READ_HOLDING_REGISTERS, 0, 8)
        assert await asyncio.to_thread(master.execute, 1, tk.READ_HOLDING_REGISTERS, 0, 8)


async def test_a_leak_passes_both_limits(seen):
    gas = GasDetector(GATEWAY, "gd-01", "fast", seen.observe)
    gas.leak(0)
    words, _ = gas.unit.read(3, 0, 1, 10_000_000_000)
    assert words[0] > 50


async def test_weather_transmitter_serves_tenths_in_the_published_places(seen):
    transmitter = WeatherTransmitter(GATEWAY, "wxt", "weather", seen.observe)
    async with rtu({1: transmitter.unit}) as (_, master):
        words = await asyncio.to_thread(master.execute, 1, tk.READ_INPUT_REGISTERS, 0x0A, 0x24 - 0x0A + 1)
    assert 60 < words[0x0A - 0x0A] / 10 < 100
    assert 950 < words[0x0E - 0x0A] / 10 < 1010
    assert 10 < words[0x1F - 0x0A] / 10 < 25
    assert words[0x24 - 0x0A] == 1
    assert transmitter.ledger.samples == 6


async def test_siren_remembers_when_its_coils_were_switched(seen):
    relay = RelayModule(GATEWAY, "relay-1", "state", seen.switched)
    async with tcp(relay) as (_, client):
        assert await asyncio.to_thread(client.write_single_coil, 0, True)
        assert await asyncio.to_thread(client.write_multiple_coils, 0, [False, True])
        assert await asyncio.to_thread(client.read_coils, 0, 2) == [False, True]
        assert await asyncio.to_thread(client.read_holding_registers, 0, 1) == [1]
        assert await asyncio.to_thread(client.write_single_coil, 2, True) is False
    assert [(device, coil, on) for device, coil, on, _ in seen.switches] == [
        (f"{GATEWAY}/relay-1", 0, True),
        (f"{GATEWAY}/relay-1", 0, False),
        (f"{GATEWAY}/relay-1", 1, True),
    ]
    assert relay.ledger.samples == 3


def test_crc_is_that_of_the_published_vector():
    assert crc16(bytes.fromhex("010300000002")) == 0x0BC4


def test_a_request_in_pieces_waits_and_a_garbled_one_is_dropped():
    request = rtu_frame(1, struct.pack(">BHH", 3, 0, 8))
    assert take_rtu_request(request[:5]) == (None, 0)
    assert take_rtu_request(request) == ((1, request[1:-2]), 8)
    garbled = request[:-1] + bytes((request[-1] ^ 1,))
    assert take_rtu_request(garbled) == (None, 8)


@pytest.mark.parametrize("request_pdu", [b"", b"\x03", b"\x03\x00\x00\x00\x00", b"\x05\x00\x00\x12\x34", b"\x2b\x0e"])
def test_a_malformed_request_gets_an_exception(seen, request_pdu):
    reply, served = answer(TankFarm(GATEWAY, "tanks", "fast", seen.observe).unit, request_pdu, 0)
    assert reply[0] & 0x80
    assert served is None


def open_far_end(line):
    far = os.open(line.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(far)
    return far


def heard_on(far):
    """Everything that was said: the kernel hands a pty's octets over a moment after they were written."""
    octets = b""
    while select.select([far], [], [], 0.2)[0]:
        octets += os.read(far, 65536)
    return octets


@pytest.fixture
def line():
    line = PtyLine()
    yield line
    line.close()


def station_on(line, seen):
    wind = Ledger(GATEWAY, "station.wind", values=3, counter="station.wind-polls")
    air = Ledger(GATEWAY, "station.air", values=4, counter="station.air-polls")
    return NmeaStation(line, wind, air, seen.observe), wind, air


def test_station_speaks_sentences_that_another_parser_reads(line, seen):
    station, wind, air = station_on(line, seen)
    far = open_far_end(line)
    station.speak()
    station.speak()
    sentences = [pynmea2.parse(text, check=True) for text in heard_on(far).decode("ascii").splitlines()]
    os.close(far)
    mwv, xdr = sentences[2], sentences[3]
    assert isinstance(mwv, pynmea2.MWV)
    assert 0 < float(mwv.wind_speed) < 15
    assert mwv.status == "A"
    assert mwv.data[5] == "2"
    readings = {xdr.get_transducer(n).id: float(xdr.get_transducer(n).value) for n in range(xdr.num_transducers)}
    assert set(readings) == {"TEMP", "RH", "BARO", "POLLS"}
    assert readings["POLLS"] == 2
    assert (wind.samples, air.samples) == (6, 8)
    assert [tag for tag, _, _ in seen.values] == ["station.wind-speed"] * 2


def test_station_counts_nothing_while_nobody_listens(line, seen):
    station, wind, air = station_on(line, seen)
    station.speak()
    assert (wind.samples, air.samples) == (0, 0)


def accelerometer_on(line, seen, recording=((0.1, -0.2, 0.3),)):
    ledger = Ledger(GATEWAY, "imu.motion", values=4, counter="imu.frames")
    return Accelerometer(line, ledger, seen.observe, Ground(recording)), ledger


def frames_of(octets):
    assert len(octets) % 11 == 0
    for start in range(0, len(octets), 11):
        frame = octets[start : start + 11]
        assert frame[:2] == b"\x55\x51"
        assert sum(frame[:10]) & 0xFF == frame[10]
        yield struct.unpack("<4h", frame[2:10])


def test_accelerometer_replays_the_recording_with_gravity_on_the_vertical(line, seen):
    accelerometer, ledger = accelerometer_on(line, seen)
    far = open_far_end(line)
    accelerometer.emit()
    accelerometer.ground.strike()
    accelerometer.emit()
    accelerometer.emit()
    quiet, shaken, after = frames_of(heard_on(far))
    os.close(far)
    for ax, ay, az, _ in (quiet, after):
        assert abs(ax) <= 5
        assert abs(ay) <= 5
        assert abs(az - 2048) <= 5
    assert shaken[:3] == (205, -410, 2662)
    assert [counts[3] for counts in (quiet, shaken, after)] == [1, 2, 3]
    assert ledger.samples == 12
    assert ("imu.ax", 205 * 16 / 32768) in [(tag, value) for tag, value, _ in seen.values]


def test_frames_that_the_line_did_not_take_are_not_counted(line, seen):
    accelerometer, ledger = accelerometer_on(line, seen)
    far = open_far_end(line)
    for _ in range(20_000):
        accelerometer.emit()
    octets = heard_on(far)
    os.close(far)
    assert ledger.scans < 20_000
    assert ledger.scans == len(octets) // 11


async def test_accelerometer_streams_only_while_the_line_is_open(line, seen):
    accelerometer, ledger = accelerometer_on(line, seen)
    task = asyncio.create_task(accelerometer.run())
    await asyncio.sleep(0.2)
    assert ledger.head == 0
    far = open_far_end(line)
    await asyncio.sleep(0.1)
    assert ledger.head == 0
    async with asyncio.timeout(10):
        while ledger.scans < 20:  # noqa: ASYNC110 - the instrument tells nobody what it has sent
            await asyncio.sleep(0.01)
    octets = heard_on(far)
    os.close(far)
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(list(frames_of(octets))) == ledger.scans


def test_the_recording_is_whole_and_peaks_after_39_seconds():
    recording = load_recording()
    assert len(recording) == 12_000
    peak = max(range(len(recording)), key=lambda n: abs(recording[n][0]))
    assert 39.0 < peak / 100 < 40.0
    assert 0.56 < abs(recording[peak][0]) < 0.58
