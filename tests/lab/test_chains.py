"""A quake that the fleet knows of shuts a valve on site: fleet, agent and instrument as programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyModbusTCP.server import ModbusServer

from fleet.bootstrap import bootstrap
from fleet.chains import service, showing
from fleet.chains.answers import list_firings
from fleet.commands.keys import load_key
from fleet.settings import load, save
from lab.processes import Child, free_port, program, run_once
from tests.lab.test_diagnosis import CONFIG, GATEWAY, plc, until_it_can_be_asked
from tests.lab.test_diagnosis import Scene as Asked

__all__ = ["plc"]

VALVE = """
[[device.group.tag]]
name = "valve"
function = 1
address = 5
[[device]]
name = "crack"
bus = "plc"
unit = 1
[[device.group]]
name = "slow"
poll_s = 600
[[device.group.tag]]
name = "width"
function = 3
address = 1
type = "u16"

[[output]]
name = "valve"
tag = "tank.valve"
on = true
off = false

[[alarm]]
level = "commanded"
name = "close-gas"
title = "关闭燃气"
lasts_s = 1800
outputs = ["valve"]
priority = 1
"""
RULES = f"""
[[chain]]
name = "quake"
intensity = 6
within_km = 30
lat = 29.6
lon = 106.5
[[chain.raise]]
alarm = "close-gas:commanded"
gateways = ["{GATEWAY}"]
[[chain.hurry]]
gateways = ["{GATEWAY}"]
groups = ["crack"]
every_s = 0.5
lasts_min = 5
"""
COIL = 5
PATIENCE_S = 30.0


class Scene(Asked):
    """A fleet with its rules, and a gateway with a valve."""

    def __init__(self, folder: Path, fleet: Path) -> None:
        super().__init__(folder, fleet)
        self.services: Any = None

    def consider(self, intensity: float) -> None:
        now_ns = self.services.clock()
        with self.services.database.writing() as session:
            service.consider(session, 1, intensity, 29.61, 106.51, now_ns, now_ns)

    def answers(self) -> dict[str, tuple[str, str]]:
        with self.services.database.reading() as session:
            firings = list_firings(session, 1)
            lines = showing.show_firings(session, firings, showing.find_names(session), "zh", self.services.clock())
            return {answer.kind: (answer.state, answer.detail) for line in lines for answer in line.answers}


@pytest.fixture
async def scene(tmp_path: Path, plc: ModbusServer) -> AsyncIterator[Scene]:
    data, site = tmp_path / "fleet", tmp_path / "site"
    site.mkdir()
    scene = Scene(tmp_path, data)
    await run_once([program("fengsui-fleet"), "init", "--data", str(data)])
    mqtt, names = free_port(), ("http", "ingest_metrics", "relay_metrics", "upkeep_metrics", "notify_metrics")
    save(load(data, {**{name: f"127.0.0.1:{free_port()}" for name in names}, "mqtt": f"127.0.0.1:{mqtt}"}))
    await scene.run("gateway", "add", GATEWAY, "--token-file", str(site / "gateway.token"))
    (tmp_path / "chains.toml").write_text(RULES)
    await scene.run("chains", "import", str(tmp_path / "chains.toml"))
    (site / "gateway.toml").write_text(CONFIG.format(mqtt=mqtt, modbus=plc.port) + VALVE)
    serve, agent = Child("fleet", tmp_path / "fleet.log"), Child("agent", tmp_path / "gateway.log")
    await serve.start([program("fengsui-fleet"), "serve", "--data", str(data)])
    run = [program("fengsui-edge"), "run", "--config", str(site / "gateway.toml"), "--data", str(site / "data")]
    await agent.start(run)
    scene.services = bootstrap(load(data))
    try:
        await until_it_can_be_asked(scene)
        yield scene
    finally:
        scene.services.close()
        await agent.stop()
        await serve.stop()


async def until(is_so: Callable[[], bool]) -> float:
    """Wait; return how long it took, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < PATIENCE_S
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_quake_shuts_the_valve_and_has_the_crack_gauge_read_densely(scene: Scene, plc: ModbusServer) -> None:
    scene.consider(5.0)
    await asyncio.sleep(1)
    assert plc.data_bank.get_coils(COIL, 1) == [False]
    scene.consider(6.4)
    took_s = await until(lambda: plc.data_bank.get_coils(COIL, 1) == [True])
    print(f"from the note of the quake to the valve: {took_s:.2f} s")
    await until(lambda: {state for state, _ in scene.answers().values()} == {"done"})
    answers = scene.answers()
    assert "close-gas:commanded raised, until 20" in answers["raise"][1]
    assert "crack.slow every 0.5 s instead of 600 s" in answers["hurry"][1]
    assert "quake" in await scene.run("chains", "list")
    with scene.services.database.writing() as session:
        key = list_firings(session, 1)[0].id
        service.take_back(
            session, partial(load_key, scene.services.settings.data_dir), key, "li", scene.services.clock()
        )
    await until(lambda: plc.data_bank.get_coils(COIL, 1) == [False])
