"""Releases mix: the agent of the release before with this fleet, this agent with the fleet before, and a fleet that is
upgraded while its gateway goes on measuring. The release before is kept as the commit that `kept.toml` names."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import tarfile
import time
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from io import BytesIO
from pathlib import Path

import pytest

from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide
from lab.site_file import read_identity
from lab.stations import ChemicalPark
from lab.truth import Truth
from lab.way_in import ByToken

ROOT = Path(__file__).parents[2]
KEPT = tomllib.loads((Path(__file__).parent / "kept.toml").read_text("utf-8"))
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Words by which a program of ours runs the release before: its source goes before ours."""
    folder = tmp_path_factory.mktemp("kept")
    packed = subprocess.run(["git", "archive", KEPT["commit"]], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"commit {KEPT['commit']} is not in this clone: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder)
    return "env", "-C", str(folder), f"PYTHONPATH={folder}"  # -m looks into the working folder first


class Scene:
    """A fleet and the chemical park's gateway, each of this release or of the one before."""

    def __init__(self, folder: Path) -> None:
        self.station, self.way_in = ChemicalPark(Truth()), ByToken()
        self.identity = read_identity(self.station.text)
        self.home = folder / self.identity.id
        self.home.mkdir()
        self.fleet = FleetSide(folder / "fleet", console_port=0)

    @asynccontextmanager
    async def running(self, fleet: tuple[str, ...], agent: tuple[str, ...]) -> AsyncIterator[Scene]:
        await self.station.open()
        self.fleet.before = fleet
        await self.fleet.init()
        await self.fleet.add_site(self.identity)
        await self.way_in.announce(self.fleet, self.station, self.identity, self.home)
        await self.fleet.serve()
        self.side = GatewaySide(self.station, self.home, self.fleet.gateways_port, self.way_in.text(self.station))
        self.side.before = agent
        await self.side.start()
        try:
            yield self
        finally:
            await self.side.stop()
            await self.fleet.stop()
            await self.station.close()

    def ask(self, query: str) -> int:
        with closing(sqlite3.connect(f"file:{self.fleet.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def readings(self) -> int:
        return self.ask("SELECT count(*) FROM reading")

    def alarms(self) -> int:
        return self.ask("SELECT count(*) FROM alarm WHERE level = 'high-high'")

    async def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not is_so():
            assert time.monotonic() < deadline, self.side.agent.tail() + self.fleet.log.read_text("utf-8")[-3000:]
            await asyncio.sleep(0.2)

    async def measures_and_alarms(self) -> None:
        """See that values come, and that an alarm is raised."""
        had = self.readings()
        await self.until(lambda: self.readings() > had + 100)
        self.station.overfill(2)
        await self.until(lambda: self.alarms() > 0)


@pytest.mark.parametrize("which", ["agent", "fleet"])
async def test_one_release_apart_values_and_alarms_go_through(
    tmp_path: Path, before: tuple[str, ...], which: str
) -> None:
    words = {"fleet": (before, ()), "agent": ((), before)}[which]
    async with Scene(tmp_path).running(*words) as scene:
        await scene.measures_and_alarms()


async def test_fleet_is_upgraded_under_load_without_a_hole(tmp_path: Path, before: tuple[str, ...]) -> None:
    async with Scene(tmp_path).running(before, ()) as scene:
        await scene.until(lambda: scene.readings() > 200)
        await scene.fleet.stop()
        scene.fleet.before = ()
        await scene.fleet.upgrade()
        await scene.fleet.serve_again()
        assert await scene.fleet.comes_up()
        await scene.measures_and_alarms()
        scene.station.power_off()
        await scene.until(lambda: scene.ask("SELECT count(*) FROM loss") == 0)
        await asyncio.sleep(3)
        holes = scene.ask(
            "SELECT count(*) FROM cursor c WHERE c.committed <> (SELECT count(*) FROM record r"
            " WHERE r.gateway = c.gateway AND r.epoch = c.epoch AND r.lane = c.lane)"
        )
        assert holes == 0, "every record that is committed is there, once"
