"""From a gateway that knows nothing but the fleet's address to its first committed reading, by a typed claim."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide
from lab.site_file import read_identity
from lab.stations import ChemicalPark
from lab.truth import Truth
from lab.way_in import ByClaim, read_code

LOOK_S = 0.05
WITHIN_S = 120.0


def measure_provision() -> dict[str, float]:
    """Return the seconds from the start of the agent; whoever types needs no time here."""
    with tempfile.TemporaryDirectory() as folder:
        return {"provision_s": asyncio.run(provision(Path(folder)))}


async def provision(folder: Path) -> float:
    """Provision the chemical park's gateway in a fleet of its own."""
    station, fleet, way_in = ChemicalPark(Truth()), FleetSide(folder / "fleet", console_port=0), ByClaim()
    identity = read_identity(station.text)
    (folder / identity.id).mkdir()
    await station.open()
    try:
        await fleet.init()
        await way_in.found(fleet)
        await fleet.add_site(identity)
        await way_in.announce(fleet, station, identity, folder / identity.id)
        await fleet.serve()
        door = fleet.console_url.rstrip("/")
        side = GatewaySide(station, folder / identity.id, fleet.gateways_port, way_in.text(station), door)
        async with fleet.technician() as technician:
            began = time.monotonic()
            await side.start()
            typed, _, _ = (await read_code(side)).partition(".")
            await _until(lambda: "unscanned" in side.agent.tail(), side)  # the fleet knows by now whose code it is
            await technician.submit(typed, identity, identity.id, station.places)
        await _until(lambda: _has_reading(fleet.database), side)
        return time.monotonic() - began
    finally:
        await side.stop()
        await fleet.stop()
        await station.close()


async def _until(is_so: Callable[[], bool], side: GatewaySide) -> None:
    for _ in range(int(WITHIN_S / LOOK_S)):
        if is_so():
            return
        await asyncio.sleep(LOOK_S)
    raise TimeoutError(f"no reading came. The agent's last words:\n{side.agent.tail()}")


def _has_reading(database: Path) -> bool:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT 1 FROM reading LIMIT 1").fetchone() is not None
