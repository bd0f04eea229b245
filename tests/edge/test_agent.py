"""The agent as a program: run against a Modbus server and a broker that we did not write."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from pyModbusTCP.server import ModbusServer

from tests.edge.fleet import ScriptedFleet
from tests.servers import find_mosquitto, free_port, modbus_server, mosquitto
from wire.alarm import Standing
from wire.record import ActionRecord, AlarmRecord, AuditRecord, Lane, ScanRecord, StandingRecord

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed"),
]

GATEWAY = "gw-test-0001"

CONFIG = """
[gateway]
id = "gw-test-0001"
title = "试验"
site = "test"

[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
health_s = 0.5

[spool]
commit_s = 0.1

[health]
listen = "127.0.0.1:{health}"

[twin]
trial_s = 2.0

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://127.0.0.1:{modbus}"
timeout_s = 0.5

[[device]]
name = "tank"
bus = "plc"
unit = 1
[[device.group]]
name = "fast"
poll_s = 0.1
[[device.group.tag]]
name = "level"
unit = "%"
low = 0
high = 1000
function = 3
address = 0
type = "u16"
[[device.group.tag.alarm]]
level = "high-high"
limit = 900
deadband = 50
priority = 1
outputs = ["siren"]
[[device.group.tag]]
name = "siren"
function = 1
address = 5

[[output]]
name = "siren"
tag = "tank.siren"
"""


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    with modbus_server() as server:
        yield server


class Gateway:
    """The agent as a child process."""

    def __init__(self, folder: Path, modbus: int, mqtt: int) -> None:
        self.health = free_port()
        self.data = folder / "data"
        self.config = folder / "gateway.toml"
        self.config.write_text(CONFIG.format(modbus=modbus, mqtt=mqtt, health=self.health))
        self.log = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "edge.cli", "run", "--config", self.config, "--data", self.data]
            self._process = subprocess.Popen(command, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        os.kill(self._process.pid, number)
        return self._process.wait(15)

    async def end(self) -> int:
        """Stop it as systemd does, while the fleet goes on to answer: it waits for what is still to be acknowledged."""
        return await asyncio.to_thread(self.stop)

    def get(self, page: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/{page}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text


@pytest.fixture
def site(tmp_path: Path, plc: ModbusServer) -> Iterator[tuple[Gateway, int]]:
    with mosquitto(tmp_path) as mqtt:
        gateway = Gateway(tmp_path, plc.port, mqtt)
        gateway.start()
        yield gateway, mqtt
        if gateway._process is not None and gateway._process.poll() is None:
            gateway.stop(signal.SIGKILL)


def wait_for_coil(plc: ModbusServer) -> None:
    deadline = time.monotonic() + 15
    while plc.data_bank.get_coils(5, 1) != [True]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def levels(fleet: ScriptedFleet) -> list[object]:
    """The levels that arrived, in order, repetitions left out."""
    scans = [r for r in fleet.of_lane(Lane.MEASUREMENTS) if isinstance(r, ScanRecord)]
    return [level for level, _ in itertools.groupby(scan.values[0] for scan in scans)]


def newest_readings(fleet: ScriptedFleet) -> int:
    """How many readings arrived of the newest epoch: its alarms went before them."""
    return [lanes[Lane.MEASUREMENTS] for lanes in fleet.cursors.values()][-1]


async def test_samples_alarm_and_output_travel_from_instrument_to_fleet(site, plc) -> None:
    gateway, mqtt = site
    plc.data_bank.set_holding_registers(0, [500])
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) >= 5)
        plc.data_bank.set_holding_registers(0, [950])
        await fleet.until(
            lambda: any(isinstance(r, ActionRecord) and r.state == "on" for r in fleet.of_lane(Lane.ALARMS))
        )
        assert plc.data_bank.get_coils(5, 1) == [True]
        plc.data_bank.set_holding_registers(0, [800])
        await fleet.until(lambda: fleet.of_lane(Lane.ALARMS)[-1:] and plc.data_bank.get_coils(5, 1) == [False])
        await fleet.until(lambda: sum(isinstance(r, AlarmRecord) for r in fleet.of_lane(Lane.ALARMS)) == 2)
        alarms = [r for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AlarmRecord)]
        assert [(a.alarm, a.change, a.value) for a in alarms] == [
            ("tank.level:high-high", "raised", 950.0),
            ("tank.level:high-high", "cleared", 800.0),
        ]
        await fleet.until(lambda: levels(fleet) == [500, 950, 800])
        assert fleet.missing() == []
        await fleet.until(lambda: "tank.level" in fleet.live and len(fleet.reports) > 0)
        assert fleet.reports[0].tags[0].limits == {"high-high": 900.0}
        assert "fengsui_edge_records_total" in gateway.get("metrics")
        assert '"has_session"' in gateway.get("healthz")
        assert await gateway.end() == 0


async def test_kill_loses_nothing_that_was_stored_and_makes_a_new_epoch(site) -> None:
    gateway, mqtt = site
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) >= 3)
        gateway.stop(signal.SIGKILL)
        with sqlite3.connect(gateway.data / "spool.sqlite3") as db:
            stored = dict(db.execute("SELECT lane, head FROM mark WHERE n = 1"))
        first = next(iter(fleet.cursors))
        gateway.start()
        await fleet.until(lambda: len(fleet.cursors) == 2 and fleet.cursors[first][Lane.MEASUREMENTS] == stored["M"])
        assert fleet.missing() == []


async def test_alarm_that_was_up_before_a_kill_is_not_raised_twice(site, plc) -> None:
    gateway, mqtt = site
    plc.data_bank.set_holding_registers(0, [950])

    def changes(fleet: ScriptedFleet) -> list[str]:
        return [r.change for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AlarmRecord)]

    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: changes(fleet) == ["raised"])
        gateway.stop(signal.SIGKILL)
        gateway.start()
        await fleet.until(lambda: len(fleet.cursors) == 2 and newest_readings(fleet) >= 5)
        assert changes(fleet) == ["raised"]
        plc.data_bank.set_holding_registers(0, [10])
        await fleet.until(lambda: changes(fleet) == ["raised", "cleared"])


async def test_alarm_acknowledged_on_site_is_told_and_stands_so_after_a_kill(site, plc) -> None:
    gateway, mqtt = site
    plc.data_bank.set_holding_registers(0, [950])

    def told(fleet: ScriptedFleet) -> list[str]:
        return [r.change for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AlarmRecord | StandingRecord)]

    async def ask(*words: str) -> list[dict[str, object]]:
        command = [sys.executable, "-m", "edge.cli", "alarms", *words, "--data", str(gateway.data), "--json"]
        asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await asked.communicate()
        assert asked.returncode == 0
        return json.loads(said)["alarms"]

    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: told(fleet) == ["raised"])
        (shown,) = await ask("list")
        await ask("ack", str(shown["name"]))
        await fleet.until(lambda: told(fleet) == ["raised", "acknowledged"])
        record = fleet.of_lane(Lane.ALARMS)[-1]
        assert isinstance(record, StandingRecord)
        assert (record.where, Standing(record.standing)) == ("command-line", Standing.ACTIVE)
        assert record.by
        gateway.stop(signal.SIGKILL)
        gateway.start()
        await fleet.until(lambda: len(fleet.cursors) == 2 and newest_readings(fleet) >= 5)
        (shown,) = await ask("list")
        assert shown["state"] == "acknowledged"
        plc.data_bank.set_holding_registers(0, [10])
        await fleet.until(lambda: told(fleet) == ["raised", "acknowledged", "cleared"])
        assert await ask("list") == []


async def test_alarm_that_was_up_is_cleared_though_the_spool_could_not_be_read_at_the_start(site, plc) -> None:
    gateway, mqtt = site
    spool = gateway.data / "spool.sqlite3"
    plc.data_bank.set_holding_registers(0, [950])

    def changes(fleet: ScriptedFleet) -> list[str]:
        return [r.change for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AlarmRecord)]

    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: changes(fleet) == ["raised"])
        await gateway.end()
        spool.rename(gateway.data / "kept")
        spool.mkdir()  # where the file should be stands something else
        plc.data_bank.set_holding_registers(0, [10])
        gateway.start()
        await fleet.until(lambda: "tank.level" in fleet.live and fleet.live["tank.level"][0] == 10)
        spool.rmdir()
        (gateway.data / "kept").rename(spool)
        await fleet.until(lambda: changes(fleet) == ["raised", "cleared"])


async def test_lost_batches_and_lost_acks_are_made_good(site) -> None:
    _, mqtt = site
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.records) > 3)
        fleet.lose_batches = 1
        await asyncio.sleep(0.5)
        before = len(fleet.records)
        await fleet.until(lambda: len(fleet.records) > before + 5)
        fleet.forget_acks = 2
        await asyncio.sleep(0.5)
        before = len(fleet.records)
        await fleet.until(lambda: len(fleet.records) > before + 5)
        assert fleet.missing() == []


async def test_unreachable_broker_costs_nothing(tmp_path, plc) -> None:
    mqtt = free_port()
    gateway = Gateway(tmp_path, plc.port, mqtt)
    gateway.start()
    try:
        plc.data_bank.set_holding_registers(0, [950])
        await asyncio.to_thread(wait_for_coil, plc)
        with mosquitto(tmp_path, mqtt):
            async with ScriptedFleet(mqtt) as fleet:
                await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) > 5, 30)
                assert fleet.missing() == []
                assert isinstance(fleet.of_lane(Lane.ALARMS)[0], AuditRecord)
        assert f"broker mqtt://127.0.0.1:{mqtt}" in gateway.log.read_text()
        assert "Traceback" not in gateway.log.read_text()
    finally:
        gateway.stop()


async def test_desired_configuration_is_applied_whole_or_refused_with_the_reason(site) -> None:
    gateway, mqtt = site
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.reports) > 0)
        config = dict(fleet.reports[-1].config)
        broken = {**config, "bus": [{"name": "plc", "kind": "modbuss"}]}
        await fleet.want(GATEWAY, 1, broken)
        await fleet.until(lambda: fleet.reports[-1].refused == 1)
        assert "modbuss" in fleet.reports[-1].reason
        assert fleet.reports[-1].version == 0
        device = config["device"][0]
        group = device["group"][0]
        slower = {**config, "device": [{**device, "group": [{**group, "name": "slow", "poll_s": 0.3}]}]}
        await fleet.want(GATEWAY, 2, slower)
        await fleet.until(lambda: fleet.reports[-1].version == 2)
        await fleet.until(
            lambda: '"tank.slow"' in gateway.get("healthz")
        )  # a new link is spared: the fleet hears later
        await gateway.end()
        fleet.reports.clear()
        gateway.start()
        await fleet.until(lambda: bool(fleet.reports) and fleet.reports[-1].version == 2)


async def test_configuration_that_loses_an_instrument_is_given_up_and_one_with_a_stranger_is_kept(site, plc) -> None:
    _, mqtt = site
    plc.data_bank.set_holding_registers(0, [500])
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: bool(fleet.reports) and "tank.level" in fleet.live)
        config = dict(fleet.reports[-1].config)
        (bus,), (device,) = config["bus"], config["device"]
        await fleet.want(GATEWAY, 1, {**config, "bus": [{**bus, "url": f"tcp://127.0.0.1:{free_port()}"}]})
        await fleet.until(lambda: fleet.reports[-1].trial == "on")
        await fleet.until(lambda: fleet.reports[-1].trial == "returned")
        report = fleet.reports[-1]
        assert (report.version, report.refused, report.tried) == (0, 1, 1)
        assert "bus plc, device tank on plc" in report.reason
        stranger = {**device, "name": "new", "group": [{**device["group"][0], "tag": [device["group"][0]["tag"][1]]}]}
        stranger_bus = {**bus, "name": "far", "url": f"tcp://127.0.0.1:{free_port()}"}
        wider = {**config, "bus": [bus, stranger_bus], "device": [device, {**stranger, "bus": "far"}]}
        await fleet.want(GATEWAY, 2, wider)
        await fleet.until(lambda: fleet.reports[-1].trial == "kept")
        assert (fleet.reports[-1].version, fleet.reports[-1].refused) == (2, None)
        assert fleet.reports[-1].unanswered == ("bus far", "device new on far")
        told = [r.event for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AuditRecord)]
        assert "configuration-returned" in told


async def test_siren_is_left_off_by_an_end_in_order_and_by_a_configuration_without_it(site, plc, tmp_path) -> None:
    gateway, mqtt = site
    plc.data_bank.set_holding_registers(0, [950])
    await asyncio.to_thread(wait_for_coil, plc)
    assert gateway.stop() == 0
    assert plc.data_bank.get_coils(5, 1) == [False]
    gateway.start()
    await asyncio.to_thread(wait_for_coil, plc)
    said = tmp_path / "said"
    call = tmp_path / "programs" / "call"
    call.parent.mkdir()
    call.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    call.chmod(0o755)

    def actions() -> list[tuple[str, str, str]]:
        found = [r for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, ActionRecord)]
        return [(r.output, r.state, r.cause) for r in found]

    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.reports) > 0)
        config = msgspec.json.decode(msgspec.json.encode(fleet.reports[-1].config).replace(b'siren"]', b'caller"]'))
        config["output"] = [{"name": "caller", "program": "call", "arguments": ["{alarm}", "{state}"]}]
        await fleet.want(GATEWAY, 1, config)
        await fleet.until(lambda: ("caller", "on", "start") in actions())
        assert plc.data_bank.get_coils(5, 1) == [False]
        assert said.read_text() == "start on\n"
        told = [change for change in actions() if change[0] == "siren"]
        assert told[-3:] == [("siren", "off", "stop"), ("siren", "on", "start"), ("siren", "off", "removed")]


async def test_silent_instrument_gives_bad_samples_and_comes_back(site, plc) -> None:
    _, mqtt = site
    async with ScriptedFleet(mqtt) as fleet:
        await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) >= 3)
        plc.stop()

        def last() -> ScanRecord:
            record = fleet.of_lane(Lane.MEASUREMENTS)[-1]
            assert isinstance(record, ScanRecord)
            return record

        await fleet.until(lambda: last().values == (None, None) and min(last().quality) >= 0x80)
        plc.start()
        await fleet.until(lambda: last().quality == b"", 20)
        count = fleet.healths[-1].groups["tank.fast"]
        assert count.due == count.good + count.bad + count.missed


def test_second_agent_on_the_same_data_is_refused(site) -> None:
    gateway, _ = site
    deadline = time.monotonic() + 15
    while not (gateway.data / "spool.sqlite3").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    command = [sys.executable, "-m", "edge.cli", "run", "--config", gateway.config, "--data", gateway.data]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert answer.returncode == 1
    assert "another agent runs on" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_topics_and_messages_are_what_another_client_sees(site) -> None:
    """mosquitto_sub prints what goes over the wire; its octets are read by the public layout of a message."""
    _gateway, mqtt = site
    command = ["mosquitto_sub", "-p", str(mqtt), "-t", "fs/1/+/up/#", "-C", "2", "-W", "20", "-F", "%t %q %x"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    seen = {}
    for line in answer.stdout.splitlines():
        topic, qos, octets = line.split(" ")
        seen[topic] = (int(qos), bytes.fromhex(octets))
    assert set(seen) <= {f"fs/1/{GATEWAY}/up/{kind}" for kind in ("hello", "live", "health", "reported")}
    for _, payload in seen.values():
        assert payload[0] in (0, 1)
        plain = payload[1:] if payload[0] == 0 else zstandard.ZstdDecompressor().decompress(payload[1:])
        assert isinstance(msgspec.msgpack.decode(plain), dict)
