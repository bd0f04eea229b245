"""What a person sees when something is wrong: one clear message, no traceback, nothing lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest
from pyModbusTCP.server import ModbusServer

from tests.edge.fleet import ScriptedFleet
from tests.edge.test_agent import CONFIG, Gateway
from tests.servers import find_mosquitto, free_port, modbus_server, mosquitto
from wire.record import AlarmRecord, AuditRecord, Lane


def run(
    folder: Path, text: str | None = None, data: Path | None = None, **places: int
) -> subprocess.CompletedProcess[str]:
    config = folder / "gateway.toml"
    config.write_text(text or CONFIG.format(modbus=1502, mqtt=1883, health=places.get("health", free_port())))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", config, "--data", data or folder / "data"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_wrong_configuration_starts_nothing(tmp_path: Path) -> None:
    answer = run(tmp_path, CONFIG.format(modbus=1502, mqtt=1883, health=9101).replace("poll_s", "poll"))
    assert answer.returncode == 2
    assert "did you mean 'poll_s'?" in answer.stderr
    assert "Nothing was started." in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "data").exists()


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    text = CONFIG.format(modbus=1502, mqtt=1883, health=free_port())
    answer = run(tmp_path, text.replace("health_s = 0.5", 'health_s = 0.5\ntoken_file = "absent.token"'))
    assert answer.returncode == 1
    assert "absent.token" in answer.stderr
    assert "fengsui-fleet gateway add" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    answer = run(tmp_path, data=tmp_path / "taken")
    assert answer.returncode == 1
    assert "taken cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_taken_health_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        answer = run(tmp_path, health=other.getsockname()[1])
    assert answer.returncode == 1
    assert "[health] listen" in answer.stderr
    assert "choose another port" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_damaged_spool_is_kept_aside_and_declared(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "spool.sqlite3").write_bytes(b"this is no database" * 1000)
    gateway = Gateway(tmp_path, free_port(), free_port())
    gateway.start()
    deadline = time.monotonic() + 15
    while "was kept as" not in gateway.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert gateway.stop() == 0
    (aside,) = data.glob("spool.sqlite3.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert "Traceback" not in gateway.log.read_text()


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    with modbus_server() as server:
        yield server


@pytest.mark.peer
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_corrupt_messages_of_a_stranger_are_rejected_and_change_nothing(
    tmp_path: Path, plc: ModbusServer
) -> None:
    with mosquitto(tmp_path) as mqtt:
        gateway = Gateway(tmp_path, plc.port, mqtt)
        gateway.start()
        try:
            async with ScriptedFleet(mqtt) as fleet, aiomqtt.Client("127.0.0.1", mqtt) as stranger:
                await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) >= 3)
                for kind in ("welcome", "ack", "refused", "greet", "desired", "nonsense"):
                    for payload in (b"", b"\x00", b"\x01garbage", b"\x07", b"\x00\xc1", b"\x00\x80", os.urandom(200)):
                        await stranger.publish(f"fs/1/gw-test-0001/down/{kind}", payload, qos=1)
                before = len(fleet.records)
                await fleet.until(lambda: len(fleet.records) > before + 10)
                assert fleet.missing() == []
            assert gateway.stop() == 0, "a fleet that has fallen silent does not hold up the end"
        finally:
            if gateway._process is not None and gateway._process.poll() is None:
                gateway.stop(signal.SIGKILL)
        log = gateway.log.read_text()
        assert "rejected" in log
        assert "Traceback" not in log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk needs root and mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.peer
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_full_disk_stops_no_alarm_and_is_over_when_there_is_room(
    tmp_path: Path, small_disk: Path, plc: ModbusServer
) -> None:
    with mosquitto(tmp_path) as mqtt:
        gateway = Gateway(tmp_path, plc.port, mqtt)
        gateway.data = small_disk / "data"
        gateway.start()
        try:
            async with ScriptedFleet(mqtt) as fleet:
                await fleet.until(lambda: len(fleet.of_lane(Lane.MEASUREMENTS)) >= 3)
                ballast = small_disk / "ballast"
                with ballast.open("wb", buffering=0) as file, suppress(OSError):
                    while True:
                        file.write(b"\0" * 4096)
                await fleet.until(lambda: "disk full" in gateway.log.read_text(), 30)
                plc.data_bank.set_holding_registers(0, [950])
                await fleet.until(lambda: plc.data_bank.get_coils(5, 1) == [True], 5)
                ballast.unlink()
                await fleet.until(lambda: any(isinstance(r, AlarmRecord) for r in fleet.of_lane(Lane.ALARMS)), 30)
                before = len(fleet.records)
                await fleet.until(lambda: len(fleet.records) > before + 5, 30)
                assert fleet.missing() == []
                assert not [
                    r for r in fleet.of_lane(Lane.ALARMS) if isinstance(r, AuditRecord) and r.event == "task-restarted"
                ]
                assert await gateway.end() == 0
        finally:
            if gateway._process is not None and gateway._process.poll() is None:
                gateway.stop(signal.SIGKILL)
        assert "Traceback" not in gateway.log.read_text()
        assert "spool stores again" in gateway.log.read_text()


@pytest.mark.peer
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_agent_that_starts_on_a_full_disk_still_drives_its_siren(
    tmp_path: Path, small_disk: Path, plc: ModbusServer
) -> None:
    data = small_disk / "data"
    data.mkdir()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    plc.data_bank.set_holding_registers(0, [950])
    with mosquitto(tmp_path) as mqtt:
        gateway = Gateway(tmp_path, plc.port, mqtt)
        gateway.data = data
        gateway.start()
        try:
            async with ScriptedFleet(mqtt) as fleet:
                await fleet.until(lambda: plc.data_bank.get_coils(5, 1) == [True], 20)
                ballast.unlink()
                await fleet.until(lambda: any(isinstance(r, AlarmRecord) for r in fleet.of_lane(Lane.ALARMS)), 30)
                assert fleet.missing() == []
                assert await gateway.end() == 0
        finally:
            if gateway._process is not None and gateway._process.poll() is None:
                gateway.stop(signal.SIGKILL)
        assert "Traceback" not in gateway.log.read_text()
