"""How long acquisition stands still while the agent is updated: two frozen bundles, launcher, fleet and all."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from statistics import median

from fleet.rollouts.states import FINISHED
from images.bundle.build import build, read_commit, read_version
from tests.lab.update_scene import UpdateScene

ROOT = Path(__file__).resolve().parents[2]
NEXT = "9.9.9"
BEFORE_S, AFTER_S = 8.0, 5.0
NS = 1_000_000_000


def measure_update() -> dict[str, float]:
    """Return the longest time without a reading of the tag that is read most often, less its usual pause, in s.

    Local alarms are judged by the same scans, so they stand still no longer.
    """
    commit = read_commit(ROOT)
    with tempfile.TemporaryDirectory(prefix="update-") as folder:
        place = Path(folder)
        made = [
            build(ROOT, place / "build", place / "dist", version, *commit) for version in (read_version(ROOT), NEXT)
        ]
        return {"update_gap_s": asyncio.run(_update(place, *made))}


async def _update(folder: Path, first: Path, second: Path) -> float:
    scene = UpdateScene(folder / "scene")
    await scene.open(first)
    try:
        await asyncio.to_thread(scene.engineer.publish, second, "the next release")
        await asyncio.sleep(BEFORE_S)
        action = await scene.outcome(await scene.assign(NEXT))
        if action.state != FINISHED:
            raise RuntimeError(f"the update is {action.step}: {action.detail}")
        await asyncio.sleep(AFTER_S)
    finally:
        await scene.close()
    return find_gap_s(scene.fleet.database)


def find_gap_s(database: Path) -> float:
    """Return the longest pause of the tag with the most readings, less its usual one."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT tag_id FROM reading GROUP BY tag_id ORDER BY count(*) DESC LIMIT 1"
        tag_id = connection.execute(query).fetchone()[0]
        rows = connection.execute("SELECT at_ns FROM reading WHERE tag_id = ? ORDER BY at_ns", (tag_id,))
        pauses = [later - earlier for earlier, later in pairwise(at_ns for (at_ns,) in rows)]
    return (max(pauses) - median(pauses)) / NS
