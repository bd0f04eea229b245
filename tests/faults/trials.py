"""One fault after another on a running district."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from lab.district import District
from lab.errors import LabError
from lab.fleet_side import FleetSide
from tests.faults import beyond, calls, clocks, names, network, packets, processes, storage
from tests.faults.disk import Disk
from tests.faults.recovery import RECOVER_S, drain, recovers
from tests.faults.scene import Fault, Scene, say
from tests.faults.storms import STORMS
from tests.faults.verdict import judge
from tests.faults.watch import Watch

ALARMS_EVERY_S = (4.0, 10.0)
CALM_S = 12.0
"""At the end, when all is well, alarms begin once more: they have to be at the platform in time."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. All is well if those from ``lost`` to ``unbounded`` are 0.

    ``declared`` were lost with their disk, or for want of room, and told. ``repeated`` is as in `Verdict`. ``alarms``
    were due. The rest are the most that a process held.
    """

    trials: int
    kinds: int
    lost: int
    duplicated: int
    undeclared: int
    misdeclared: int
    missed_alarms: int
    not_recovered: int
    unbounded: int
    repeated: int
    declared: int
    alarms: int
    seed: int
    agent_mb: float
    agent_descriptors: int
    ingest_mb: float
    ingest_descriptors: int

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        failures = (self.lost, self.duplicated, self.undeclared, self.misdeclared, self.missed_alarms)
        return not any((*failures, self.not_recovered, self.unbounded))


def find_kinds(scene: Scene) -> Mapping[str, Fault]:
    """All faults that this machine can inject, by name."""
    return {
        **processes.kinds(scene),
        **network.kinds(scene),
        **storage.kinds(scene),
        **calls.kinds(scene),
        **clocks.kinds(scene),
        **packets.kinds(scene),
        **names.kinds(scene),
        **beyond.kinds(scene),
    }


async def run(folder: Path, trials: int, seed: int, kind: str | None) -> Counts:
    """Run the trials and count. Raises KeyError for a kind that is not there."""
    source = random.Random(seed)
    async with _district(folder, source) as scene:
        watch = Watch(scene)
        watching = asyncio.create_task(watch.go_on())
        try:
            not_recovered, kinds = await _act(scene, trials, kind)
            await scene.expect_alarms(None, CALM_S)
        finally:
            watching.cancel()
        await drain(scene.district)
        return _count(scene, watch, not_recovered + scene.failures, trials=trials, kinds=kinds, seed=seed)


@asynccontextmanager
async def _district(folder: Path, source: random.Random) -> AsyncIterator[Scene]:
    fleet = FleetSide(folder / "district" / "fleet", console_port=0)
    district = District(folder / "district", say, fleet=fleet)
    disks: dict[str, Disk] = {}
    try:
        await district.open()
        if await _can_mount(folder):
            disks = await _give_disks(folder, district)
        yield Scene(district, source, disks)
    finally:
        await district.close()
        for disk in disks.values():
            await disk.unmount()


async def _can_mount(folder: Path) -> bool:
    trial = Disk(folder / "trial.img", folder / "trial")
    try:
        await trial.make()
        await trial.unmount()
    except (LabError, OSError) as error:
        say(f"no file system can be mounted here, so no power is cut and no disk fills up: {error}")
        return False
    return True


async def _give_disks(folder: Path, district: District) -> dict[str, Disk]:
    """Put the data of each gateway on a disk of its own."""
    disks: dict[str, Disk] = {}
    for side in district.gateways:
        await side.agent.stop()
        disk = Disk(folder / f"{side.station.gateway}.img", side.folder / "data")
        kept = side.folder / "kept"
        disk.folder.rename(kept)
        await disk.make()
        shutil.copytree(kept, disk.folder, dirs_exist_ok=True)
        await side.start_agent()
        disks[side.station.gateway] = disk
    return disks


async def _act(scene: Scene, trials: int, kind: str | None) -> tuple[int, int]:
    """Let the faults act. Returns how many were not recovered from, and of how many kinds they were."""
    faults = find_kinds(scene)
    if kind in STORMS:
        if kind == "power-cut":
            _ = faults[kind]
        return await STORMS[kind](scene, trials), 1
    names = kind.split(",") if kind else list(faults)
    chosen = spread(names, trials, scene.source)
    alarms = asyncio.create_task(scene.alarms.go_on(*ALARMS_EVERY_S))
    try:
        return await _one_by_one(scene, [(name, faults[name]) for name in chosen]), len(set(chosen))
    finally:
        alarms.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await alarms


async def _one_by_one(scene: Scene, chosen: list[tuple[str, Fault]]) -> int:
    not_recovered = 0
    for number, (name, fault) in enumerate(chosen, 1):
        began = time.monotonic()
        await fault()
        acted_s = time.monotonic() - began
        is_well = await recovers(scene.district)
        not_recovered += not is_well
        took_s = time.monotonic() - began - acted_s
        words = f"recovered in {took_s:.1f} s" if is_well else f"NOT RECOVERED in {RECOVER_S:g} s"
        say(f"trial {number} of {len(chosen)}: {name} for {acted_s:.1f} s, {words}")
    return not_recovered


def _count(scene: Scene, watch: Watch, not_recovered: int, *, trials: int, kinds: int, seed: int) -> Counts:
    district = scene.district
    verdict, words = judge(
        district.ledgers,
        district.book,
        district.fleet.database_url,
        district.truth,
        scene.healthy,
        has_lost_memory=scene.has_lost_memory,
        was_restored=scene.was_restored,
    )
    for line in words:
        say(line)
    return Counts(
        trials=trials,
        kinds=kinds,
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        undeclared=verdict.undeclared,
        misdeclared=verdict.misdeclared,
        missed_alarms=verdict.missed_alarms,
        not_recovered=not_recovered,
        unbounded=sum(not peak.is_bounded for peak in (watch.agent, watch.ingest)),
        repeated=verdict.repeated,
        declared=verdict.declared,
        alarms=len(district.truth.crossings),
        seed=seed,
        agent_mb=round(watch.agent.mb, 1),
        agent_descriptors=watch.agent.descriptors,
        ingest_mb=round(watch.ingest.mb, 1),
        ingest_descriptors=watch.ingest.descriptors,
    )


def spread(kinds: list[str], trials: int, source: random.Random) -> list[str]:
    """Choose kinds so that each comes before any comes twice."""
    chosen: list[str] = []
    while len(chosen) < trials:
        source.shuffle(kinds)
        chosen += kinds
    return chosen[:trials]
