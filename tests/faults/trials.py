"""One fault after another on a running district."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lab.district import District
from lab.errors import LabError
from tests.faults import beyond, network, processes, storage
from tests.faults.disk import Disk
from tests.faults.scene import Fault, Scene
from tests.faults.verdict import is_complete, judge

RECOVER_S = 60.0
DRAIN_S = 120.0
LOOK_S = 0.25
QUIET_S = 6.0
"""No scan that was served at the platform for so long means that nothing is under way: longer than a resend takes."""
DISK_GATEWAY = "gw-yufu-0001"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. All is well if the five after ``kinds`` are 0; ``declared`` were lost with their disk and told."""

    trials: int
    kinds: int
    lost: int
    duplicated: int
    undeclared: int
    missed_alarms: int
    not_recovered: int
    declared: int
    seed: int

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return not (self.lost or self.duplicated or self.undeclared or self.missed_alarms or self.not_recovered)


def find_kinds(scene: Scene) -> Mapping[str, Fault]:
    """All faults that this machine can inject, by name."""
    return {
        **processes.kinds(scene),
        **network.kinds(scene),
        **storage.kinds(scene),
        **beyond.kinds(scene),
    }


def say(text: str) -> None:
    """Tell people how it goes."""
    print(text, file=sys.stderr, flush=True)


async def run(folder: Path, trials: int, seed: int, kind: str | None) -> Counts:
    """Run the trials and count. Raises KeyError for a kind that is not there."""
    disk = Disk(folder / "disk.img", folder / "district" / DISK_GATEWAY / "data")
    district = District(folder / "district", say)
    source = random.Random(seed)
    try:
        scene = Scene(district, source, disk if await _can_mount(folder) else None)
        faults = find_kinds(scene)
        chosen = [kind] * trials if kind else spread(list(faults), trials, source)
        if kind is not None:
            _ = faults[kind]
        await _open(district, scene.disk)
        return await _run_on(scene, faults, chosen, seed)
    finally:
        await district.close()
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


async def _open(district: District, disk: Disk | None) -> None:
    """Open the district, one gateway's data on a disk of its own."""
    await district.open()
    if disk is None:
        return
    side = next(side for side in district.gateways if side.station.gateway == DISK_GATEWAY)
    await side.agent.stop()
    kept = side.folder / "kept"
    disk.folder.rename(kept)
    await disk.make()
    shutil.copytree(kept, disk.folder, dirs_exist_ok=True)
    await side.start_agent()


async def _run_on(scene: Scene, faults: Mapping[str, Fault], chosen: list[str], seed: int) -> Counts:
    district = scene.district
    scenarios = [district.overfill, district.leak, district.quake]
    not_recovered = 0
    for number, name in enumerate(chosen, 1):
        began = time.monotonic()
        if number <= len(scenarios):  # an alarm is under way while the first faults act
            await scenarios[number - 1]()
        await faults[name]()
        acted_s = time.monotonic() - began
        is_well = await recovers(district)
        not_recovered += not is_well
        took_s = time.monotonic() - began - acted_s
        words = f"recovered in {took_s:.1f} s" if is_well else f"NOT RECOVERED in {RECOVER_S:g} s"
        say(f"trial {number} of {len(chosen)}: {name} for {acted_s:.1f} s, {words}")
    await drain(scene)
    verdict, words_found = judge(
        district.ledgers,
        district.book,
        district.fleet.database,
        district.truth,
        has_lost_memory=scene.has_lost_memory,
    )
    for line in words_found:
        say(line)
    return Counts(
        trials=len(chosen),
        kinds=len(set(chosen)),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        undeclared=verdict.undeclared,
        missed_alarms=verdict.missed_alarms,
        not_recovered=not_recovered,
        declared=verdict.declared,
        seed=seed,
    )


async def recovers(district: District) -> bool:
    """Wait until scans that were served from now on have arrived from every instrument."""
    heads = [(ledger, ledger.head) for ledger in district.ledgers]
    deadline = time.monotonic() + RECOVER_S
    while any(district.newest_arrived(ledger) <= head for ledger, head in heads):
        if time.monotonic() > deadline:
            for ledger, head in heads:
                if district.newest_arrived(ledger) <= head:
                    say(f"nothing new of {ledger.name}")
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def drain(scene: Scene) -> None:
    """Silence the instruments and wait until all that is to come has come; for no longer than `DRAIN_S`."""
    district = scene.district
    district.silence()
    deadline = time.monotonic() + DRAIN_S
    quiet_since, scans = time.monotonic(), -1
    while time.monotonic() < deadline:
        arrived = sum(arrivals.scans for arrivals in district.book.arrivals.values())  # bad ones go on for ever
        if arrived != scans:
            quiet_since, scans = time.monotonic(), arrived
        is_quiet = time.monotonic() - quiet_since > QUIET_S
        if is_quiet and not district.truth.unreported and is_complete(district.book, district.fleet.database):
            return
        await asyncio.sleep(LOOK_S)


def spread(kinds: list[str], trials: int, source: random.Random) -> list[str]:
    """Choose kinds so that each comes before any comes twice."""
    chosen: list[str] = []
    while len(chosen) < trials:
        source.shuffle(kinds)
        chosen += kinds
    return chosen[:trials]
