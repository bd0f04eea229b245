"""A schema that is being brought to this release when the program is killed."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial

from lab.errors import LabError
from lab.fleet_side import FleetSide
from lab.processes import Child, program
from tests.faults.scene import Fault, Scene

KILLS = 4


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {"spool-migration-killed": partial(_spool, scene), "fleet-migration-killed": partial(_fleet, scene)}


async def _spool(scene: Scene) -> None:
    """A spool as an earlier release left it, with what the fleet lacks in it. The new agent is killed at each start."""
    side = scene.any_gateway
    side.link.cut()
    await scene.pause(1, 3)
    await scene.kill_agent(side)
    with closing(sqlite3.connect(side.folder / "data" / "spool.sqlite3")) as connection:
        connection.execute("ALTER TABLE retired DROP COLUMN tombstoned")
    for _ in range(KILLS):
        await side.start_agent()
        await scene.pause(0.2, 1.5)
        await scene.kill_agent(side)
    side.link.heal()
    await side.start_agent()


async def _fleet(scene: Scene) -> None:
    """A new fleet is killed while it makes its tables, again and again; then it is made after all, and whole.

    It has a folder of its own: the district's goes on.
    """
    folder = scene.district.fleet.settings.parent.with_name("new-fleet")
    command = [program("fengsui-fleet"), "init", "--data", str(folder), "--password-file", str(folder) + ".password"]
    folder.with_name(folder.name + ".password").write_text(secrets.token_urlsafe(9) + "\n")
    for _ in range(KILLS):
        founding = Child("a new fleet", folder.with_suffix(".log"))
        await founding.start(command)
        await scene.pause(0.4, 1.6)
        await founding.kill()
    fleet = FleetSide(folder)
    try:
        await fleet.init()
        await fleet.add_destination("district", "http://127.0.0.1:1/records")
    except LabError as error:
        scene.fail(f"a fleet whose making was interrupted cannot be made any more: {error}")
    await asyncio.to_thread(shutil.rmtree, folder)
