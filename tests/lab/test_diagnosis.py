"""Remote diagnosis end to end: a gateway, a fleet and an instrument as programs, asked by the command line."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyModbusTCP.server import ModbusServer

from fleet.settings import FILE, load, save
from lab.errors import LabError
from lab.processes import Child, free_port, program, run_once
from tests.drivers import cases

GATEWAY = "gw-test-0001"
CONFIG = """
[gateway]
id = "gw-test-0001"

[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
token_file = "gateway.token"
command_key_file = "fleet-command.pub"

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://127.0.0.1:{modbus}"

[[device]]
name = "tank"
bus = "plc"
unit = 1
[[device.group]]
name = "fast"
poll_s = 0.5
[[device.group.tag]]
name = "level"
function = 3
address = 0
type = "u16"
"""


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    server = ModbusServer("127.0.0.1", free_port(), no_block=True)
    server.start()
    server.data_bank.set_holding_registers(0, [4711])
    yield server
    server.stop()


class Scene:
    """Where a fleet and a gateway run."""

    def __init__(self, folder: Path, fleet: Path) -> None:
        self.folder = folder
        self._fleet = fleet

    async def run(self, *words: str) -> str:
        return await run_once([program("fengsui-fleet"), *words, "--data", str(self._fleet)])

    async def diagnose(self, *words: str) -> Path:
        out = self.folder / f"answer-{words[0]}"
        await self.run("diagnose", GATEWAY, *words, "--out", str(out), "--wait-s", "60")
        return out

    async def replay(self, kind: str, bus: str) -> list[Any]:
        """Record a bus of the running gateway, and give what passed to a driver."""
        with zipfile.ZipFile(await self.diagnose("capture", bus, "--seconds", "2")) as archive:
            archive.extractall(self.folder / "case")
        case = cases.load(self.folder / "case" / kind / bus)
        bench = cases.Bench(case)
        await bench.driver.open()
        return [scan.values for scan in await bench.scans()]


@pytest.fixture
async def scene(tmp_path: Path, plc: ModbusServer) -> AsyncIterator[Scene]:
    data, site = tmp_path / "fleet", tmp_path / "site"
    site.mkdir()
    scene = Scene(tmp_path, data)
    await run_once([program("fengsui-fleet"), "init", "--data", str(data)])
    mqtt, names = free_port(), ("http", "ingest_metrics", "relay_metrics", "upkeep_metrics", "notify_metrics")
    given = {name: f"127.0.0.1:{free_port()}" for name in names}
    save(load(data, {**given, "mqtt": f"127.0.0.1:{mqtt}"}))
    assert (data / FILE).exists()
    await scene.run("gateway", "add", GATEWAY, "--token-file", str(site / "gateway.token"))
    (site / "gateway.toml").write_text(CONFIG.format(mqtt=mqtt, modbus=plc.port))
    serve, agent = Child("fleet", tmp_path / "fleet.log"), Child("agent", tmp_path / "gateway.log")
    await serve.start([program("fengsui-fleet"), "serve", "--data", str(data)])
    run = [program("fengsui-edge"), "run", "--config", str(site / "gateway.toml"), "--data", str(site / "data")]
    await agent.start(run)
    try:
        await until_it_can_be_asked(scene)
        yield scene
    finally:
        await agent.stop()
        await serve.stop()


async def until_it_can_be_asked(scene: Scene) -> None:
    for _ in range(60):
        if "read-device" in await scene.run("command", "list", GATEWAY):
            return
    raise AssertionError("the gateway never reported its commands")


async def test_log_bundle_reading_and_recorded_line_come_from_a_running_gateway(scene: Scene) -> None:
    told = json.loads((await scene.diagnose("read", "tank")).read_text())
    assert [(tag["tag"], tag["value"], tag["quality"]) for tag in told["tags"]] == [("tank.level", 4711, "good")]
    lines = gzip.decompress((await scene.diagnose("logs")).read_bytes()).decode()
    assert "command read-device of" in lines
    token = (scene.folder / "site" / "gateway.token").read_text().strip()
    with zipfile.ZipFile(await scene.diagnose("bundle")) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert json.loads(found["configuration.json"])["device"][0]["name"] == "tank"
    assert not [name for name, content in found.items() if token.encode() in content]
    with pytest.raises(LabError, match="no device 'nobody'"):
        await scene.diagnose("read", "nobody")
    assert set(await scene.replay("modbus", "plc")) == {(4711,)}
    with pytest.raises(LabError, match="no bus 'nowhere'"):
        await scene.diagnose("capture", "nowhere")
    assert os.listdir(scene.folder / "site" / "data").count("agent.log") == 1
