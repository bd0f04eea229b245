"""The fleet's database, and the platform beyond it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from lab.platform import Trouble
from tests.faults.scene import Fault, Scene


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {
        **{f"platform-{trouble.value}": partial(_platform, scene, trouble) for trouble in Trouble},
        "database-locked": partial(_locked, scene),
        "database-restored": partial(_restored, scene),
    }


async def _platform(scene: Scene, trouble: Trouble) -> None:
    scene.district.platform.trouble = trouble
    await scene.pause(3, 12)
    scene.district.platform.trouble = None


async def _locked(scene: Scene) -> None:
    """Somebody holds the database for himself. In a thread, for SQLite waits."""
    seconds = scene.source.uniform(3, 15)
    await asyncio.to_thread(_hold, scene.district.fleet.database, seconds)


def _hold(database: Path, seconds: float) -> None:
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30.0)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


async def _restored(scene: Scene) -> None:
    """The fleet is put back to a backup that was taken a while ago, with everything that has come since gone."""
    scene.befallen.was_restored = True
    fleet = scene.district.fleet
    backup = fleet.database.with_name("backup.db")
    await asyncio.to_thread(_copy, fleet.database, backup)
    await scene.pause(3, 8)
    await fleet.stop()
    backup.replace(fleet.database)
    for suffix in ("-journal", "-wal", "-shm"):
        fleet.database.with_name(fleet.database.name + suffix).unlink(missing_ok=True)
    await fleet.serve_again()


def _copy(database: Path, backup: Path) -> None:
    with closing(sqlite3.connect(database, timeout=30.0)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
