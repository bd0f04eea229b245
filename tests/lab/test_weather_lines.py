"""Weather instruments on serial lines: against programs that we did not write, and against our own drivers."""

import asyncio
import os
import tty
from contextlib import asynccontextmanager

import pytest
from pyvantagepro import VantagePro2

from drivers.base import Group, find
from drivers.errors import LinkTimeoutError
from lab.instruments.davis import UNKNOWN_RAIN, VantageConsole, crc_ccitt
from lab.instruments.pty_line import PtyLine
from lab.instruments.sdi12 import RiverGauge, Sdi12Bus, crc_text
from lab.instruments.wxt530 import COUNTERS, WxtTransmitter
from lab.ledger import Ledger, Numbers

GATEWAY = "gw-test-0001"


class Seen:
    def __init__(self):
        self.values = []

    def __call__(self, tag, value, _at_ns):
        self.values.append((tag, value))


@pytest.fixture
def seen():
    return Seen()


@asynccontextmanager
async def running(line, instrument):
    task = asyncio.create_task(instrument.run())
    try:
        yield instrument
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()


@asynccontextmanager
async def reading(kind_name, line, group, **settings):
    """Open our driver on the instrument's line."""
    kind = find(kind_name)
    url = f"serial://{line.path}"
    driver = kind.build(kind.settings(url=url, baud=19_200, **settings), [group])
    await driver.open()
    try:
        yield driver
    finally:
        await driver.close()


def group_of(kind_name, name, device, **fields):
    """Make a group of one device: tag name to fields of its source."""
    kind = find(kind_name)
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=kind.device(**device),
        tags=tuple(f"{name.partition('.')[0]}.{tag}" for tag in fields),
        sources=tuple(kind.source(**source) for source in fields.values()),
    )


def test_checks_are_those_that_the_makers_print():
    assert crc_text("0r1") == "Goe"
    assert crc_text("1+2.7+85.2-0.2-2.7+770.5") == "CAH"
    assert crc_ccitt(bytes.fromhex("c6ce a203 e2b4".replace(" ", ""))) == 0  # the manual's own example, XII


async def test_console_is_understood_by_pyvantagepro_and_counts_each_packet(seen):
    line = PtyLine()
    console = VantageConsole(line, Ledger(GATEWAY, "roof.weather", values=3, counter="roof.polls"), seen)
    async with running(line, console):
        station = await asyncio.to_thread(VantagePro2.from_serial, line.path, 19_200, 5)
        try:
            packets = [await asyncio.to_thread(station.get_current_data) for _ in range(2)]
        finally:
            await asyncio.to_thread(station.link.close)
    assert all(packet.crc_error is False for packet in packets)
    assert [round(packet["RainYear"] * 100) for packet in packets] == [1, 2]
    assert 29.5 < packets[0]["Barometer"] < 30.5
    assert 1 <= packets[0]["WindDir"] <= 360
    assert console.ledger.scans == 2
    celsius = [round((packet["TempOut"] - 32) / 1.8, 6) for packet in packets]
    assert [(tag, round(value, 6)) for tag, value in seen.values] == [("roof.temperature", each) for each in celsius]


async def test_davis_driver_reads_what_the_console_counts(seen):
    line = PtyLine()
    ledger = Ledger(GATEWAY, "roof.weather", values=3, counter="roof.polls")
    group = group_of(
        "davis",
        "roof.weather",
        {},
        temperature={"field": "outside_temperature"},
        extra={"field": "extra_temperature_1"},
        polls={"field": "year_rain", "scale": 5},
    )
    async with running(line, VantageConsole(line, ledger, seen)) as console, reading("davis", line, group) as driver:
        scans = [await driver.read(group) for _ in range(3)]
        assert [scan.values[2] for scan in scans] == [1, 2, 3]
        assert [scan.quality for scan in scans] == [(0, 0x85, 0)] * 3
        assert [round(value, 6) for _, value in seen.values] == [scan.values[0] for scan in scans]
        assert await driver.identify(driver.candidates()[0]) == {"vendor": "Davis Instruments", "model": "Vantage Pro"}
        console.power_off()
    assert ledger.scans == 3


async def test_console_leaves_out_the_number_that_is_a_dash(seen):
    line = PtyLine()
    ledger = Ledger(GATEWAY, "roof.weather", values=3, counter="roof.polls")
    ledger.head = UNKNOWN_RAIN - 1
    group = group_of("davis", "roof.weather", {}, polls={"field": "year_rain", "scale": 5})
    async with running(line, VantageConsole(line, ledger, seen)), reading("davis", line, group) as driver:
        assert (await driver.read(group)).values == (0,)
    assert ledger.head == UNKNOWN_RAIN + 1
    assert ledger.scans == UNKNOWN_RAIN


@pytest.mark.parametrize("device", [{}, {"crc": False}, {"composite": True}, {"address": "c"}])
async def test_wxt530_driver_reads_what_the_transmitter_counts(seen, device):
    line = PtyLine()
    ledger = Ledger(GATEWAY, "mast.weather", values=5, counter="mast.polls")
    names = {"direction": "Dm", "speed": "Sm", "pressure": "Pa", "heating": "Vh", "polls": "Rd"}
    fields = {tag: {"parameter": name} for tag, name in names.items()}
    group = group_of("wxt530", "mast.weather", device, **fields)
    transmitter = WxtTransmitter(line, "mast", {"3": ledger}, seen, device.get("address", "0"))
    async with running(line, transmitter), reading("wxt530", line, group, timeout_s=0.5) as driver:
        scans = [await driver.read(group) for _ in range(3)]
        assert [scan.values[4] for scan in scans] == [1, 2, 3]
        assert all(scan.quality == (0,) * 5 for scan in scans)
        assert 970 < scans[0].values[2] < 995
        told = {"vendor": "Vaisala", "model": "WXT530", "version": "1.00"}
        assert await driver.identify(group.device) == told
        transmitter.power_off()
        with pytest.raises(LinkTimeoutError):
            await driver.read(group)
        assert await driver.identify(group.device) is None
    assert ledger.scans == 3


async def test_each_message_of_a_wxt530_has_a_counter_of_its_own(seen):
    line = PtyLine()
    ledgers = {message: Ledger(GATEWAY, f"mast.{message}", values=1, counter="polls") for message in COUNTERS}
    names = {"1": "Sn", "2": "Tp", "3": "Rd", "5": "Vr"}
    groups = [group_of("wxt530", f"mast.{each}", {}, polls={"parameter": name}) for each, name in names.items()]
    kind = find("wxt530")
    async with running(line, WxtTransmitter(line, "mast", ledgers, seen)):
        driver = kind.build(kind.settings(url=f"serial://{line.path}", timeout_s=0.5), groups)
        await driver.open()
        try:
            scans = [await driver.read(group) for times, group in enumerate(groups, 1) for _ in range(times)]
        finally:
            await driver.close()
    assert [scan.values[0] for scan in scans] == [1, 1, 2, 1, 2, 3, 1, 2, 3, 4]
    assert [ledger.scans for ledger in ledgers.values()] == [1, 2, 3, 4]


@pytest.mark.parametrize("crc", [True, False])
@pytest.mark.parametrize("measurement", ["M", "C", "R0"])
async def test_sdi12_driver_reads_what_the_gauges_count(seen, measurement, crc):
    line = PtyLine()
    gauges = {address: RiverGauge(GATEWAY, f"river-{address}", "level", seen) for address in "1b"}
    groups = [
        group_of(
            "sdi12",
            f"river-{address}.level",
            {"address": address, "crc": crc},
            level={"measurement": measurement, "value": 1},
            polls={"measurement": measurement, "value": 3},
        )
        for address in "1b"
    ]
    kind = find("sdi12")
    async with running(line, Sdi12Bus(line, gauges)) as bus:
        # A pty carries eight bits only: seven and parity are between the adapter and its sensors.
        settings = kind.settings(url=f"serial://{line.path}", parity="N", data_bits=8, timeout_s=0.5)
        driver = kind.build(settings, groups)
        await driver.open()
        try:
            scans = [await driver.read(group) for group in groups for _ in range(2)]
            told = await driver.identify(groups[1].device)
            bus.power_off()
            assert await driver.identify(groups[1].device) is None
        finally:
            await driver.close()
    assert [scan.values[1] for scan in scans] == [1, 2, 1, 2]
    assert [value for _, value in seen.values] == [scan.values[0] for scan in scans]
    assert [gauge.ledger.scans for gauge in gauges.values()] == [2, 2]
    assert told == {"sdi12": "1.4", "vendor": "FENGSUI", "model": "RIVER", "version": "100", "serial": "b"}


async def test_gauge_does_not_count_a_measurement_that_nobody_fetched(seen):
    line = PtyLine()
    gauge = RiverGauge(GATEWAY, "river", "level", seen)
    async with running(line, Sdi12Bus(line, {"0": gauge})):
        port = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(port)
        try:
            await talk(port, b"0M!", b"00013\r\n0\r\n")
            await talk(port, b"0M!", b"00013\r\n")
            await talk(port, b"0D0!", b"0\r\n")
            await talk(port, b"0M9!", b"00000\r\n")
        finally:
            os.close(port)
    assert gauge.ledger.scans == 0
    assert seen.values == []


def test_gauge_that_is_switched_off_owes_no_measurement(seen):
    line = PtyLine()
    gauge = RiverGauge(GATEWAY, "river", "level", seen)
    bus = Sdi12Bus(line, {"0": gauge})
    gauge.measure(0, crc=False)
    assert gauge.ledger.lost(Numbers()) == [(1, 1)]
    bus.power_off()
    assert gauge.ledger.lost(Numbers()) == []
    line.close()


async def talk(port, command, reply):
    """Send a command and wait for exactly this reply."""
    os.write(port, command)
    heard = b""
    while len(heard) < len(reply):
        heard += await asyncio.to_thread(os.read, port, 64)
    assert heard == reply
