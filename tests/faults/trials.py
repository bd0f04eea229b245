"""One fault after another on a running district."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from lab.district import District
from lab.errors import LabError
from lab.fleet_side import FleetSide
from lab.station import Station
from lab.truth import Truth
from lab.way_in import ByToken
from tests.faults import (
    beyond,
    calls,
    clocks,
    instruments,
    larger,
    migrations,
    names,
    network,
    packets,
    processes,
    storage,
    strangers,
)
from tests.faults.acl import ACL, try_brokers
from tests.faults.alarm_storm import A_TRIAL, AlarmStorm, make_yards
from tests.faults.disk import Disk
from tests.faults.recovery import RECOVER_S, drain, recovers
from tests.faults.scene import Fault, Scene, say
from tests.faults.storms import STORMS
from tests.faults.updates import UPDATE, UpdateStorm
from tests.faults.verdict import judge
from tests.faults.watch import Watch

HELD = ("agent_mb", "agent_descriptors", "ingest_mb", "ingest_descriptors")
ALARMS_EVERY_S = (3.0, 7.0)
ALARM = "alarm"
Sites = Callable[[Truth], Sequence[Station]]
CALM_S = 12.0
"""At the end, when all is well, alarms begin once more: they have to be at the platform in time."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. All is well if those from ``lost`` to ``unbounded`` are 0.

    ``declared`` were lost with their disk, or for want of room, and told. ``repeated`` is as in `Verdict`. ``alarms``
    were due. What was allowed that must not be, and refused, is of the kind ``acl``: see `tests.faults.acl`; what was
    bricked, or installed that must not be, of ``update``: see `tests.faults.updates`. The rest are the most that a
    process held.
    """

    trials: int = 0
    kinds: int = 0
    lost: int
    duplicated: int
    undeclared: int
    misdeclared: int
    missed_alarms: int
    late_alarms: int
    raised_twice: int
    acks_lost: int
    allowed_that_must_not: int = 0
    refused_that_must_not: int = 0
    bricked: int = 0
    installed_that_must_not: int = 0
    not_recovered: int
    unbounded: int
    repeated: int
    declared: int
    alarms: int
    seed: int = 0
    agent_mb: float
    agent_descriptors: int
    ingest_mb: float
    ingest_descriptors: int

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        delivery = (self.lost, self.duplicated, self.undeclared, self.misdeclared)
        alarms = (self.missed_alarms, self.raised_twice, self.acks_lost)
        rights = (self.allowed_that_must_not, self.refused_that_must_not)
        updates = (self.bricked, self.installed_that_must_not)
        return not any((*delivery, *alarms, *rights, *updates, self.not_recovered, self.unbounded))


def find_kinds(scene: Scene) -> Mapping[str, Fault]:
    """All faults of a district that runs a fleet of its own making, and that this machine can inject, by name."""
    return {
        **processes.kinds(scene),
        **network.kinds(scene),
        **strangers.kinds(scene),
        **storage.kinds(scene),
        **calls.kinds(scene),
        **clocks.kinds(scene),
        **packets.kinds(scene),
        **names.kinds(scene),
        **instruments.kinds(scene),
        **migrations.kinds(scene),
        **beyond.kinds(scene),
    }


def find_names(folder: Path, *, has_disks: bool) -> list[str]:
    """The names of all faults, those of a larger fleet's servers included."""
    disks = {"any": Disk(folder / "any.img", folder / "any")} if has_disks else {}
    scene = Scene(District(folder, say, way_in=ByToken()), random.Random(0), disks)
    return [*find_kinds(scene), ALARM, *(larger.NAMES if larger.is_possible() else ())]


async def run(folder: Path, trials: int, seed: int, kind: str | None) -> Counts:
    """Run the trials and count. ``kind`` may name several, with commas. Raises KeyError for one that is not there.

    Of the kind ``alarm`` alone, a trial is one alarm.
    """
    source = random.Random(seed)
    has_disks = await _can_mount(folder)
    if kind == ACL:
        return await _run_acl(folder, trials, seed)
    if kind == UPDATE:
        part = await _run_updates(folder, trials, source)
        return _sum([part], trials=trials, kinds=1, seed=seed)
    known = [*find_names(folder, has_disks=has_disks), "kill"]
    chosen = kind.split(",") if kind else known[:-1]
    for name in chosen:
        if name not in known:
            raise KeyError(name)
    if kind == ALARM:
        parts = [await _run_alarms(folder, trials, source, has_disks=has_disks)]
    elif kind in STORMS:
        parts = [await _run_storm(folder, kind, trials, source, has_disks=has_disks)]
    else:
        chosen = spread(chosen, trials, source)
        parts = [part async for part in _run_parts(folder, chosen, source, has_disks=has_disks)]
    return _sum(parts, trials=trials, kinds=len(set(chosen)), seed=seed)


async def _run_acl(folder: Path, count: int, seed: int) -> Counts:
    """Try every gateway against every other's topics. There is no district, and so nothing else to count."""
    found = msgspec.structs.asdict(await try_brokers(folder, count))
    tried = found.pop("tried")
    none = dict.fromkeys((name for name in Counts.__struct_fields__ if name not in {"trials", "kinds", "seed"}), 0)
    return Counts(**none | found, trials=tried, kinds=1, seed=seed)


async def _run_updates(folder: Path, kills: int, source: random.Random) -> Counts:
    """Update the gateways of a district under fire. The small disks of other faults have no room for releases."""
    async with _district(folder / "updated", source, has_disks=False, is_updated=True) as scene:
        storm = UpdateStorm(scene)
        counts = await _observe(scene, storm.run(kills))
        findings = storm.findings
        return msgspec.structs.replace(
            counts, bricked=findings.bricked, installed_that_must_not=findings.installed_that_must_not
        )


async def _run_storm(folder: Path, kind: str, trials: int, source: random.Random, *, has_disks: bool) -> Counts:
    async with _district(folder / "small", source, has_disks=has_disks) as scene:
        return await _observe(scene, STORMS[kind](scene, trials))


async def _run_parts(
    folder: Path, chosen: list[str], source: random.Random, *, has_disks: bool
) -> AsyncIterator[Counts]:
    """Run the faults of a fleet of its own making, then alarms, then a larger fleet's servers, in a district each."""
    if own := [name for name in chosen if name not in (*larger.NAMES, ALARM)]:
        async with _district(folder / "small", source, has_disks=has_disks) as scene:
            faults = find_kinds(scene)
            yield await _observe(scene, _one_by_one(scene, [(name, faults[name]) for name in own]))
    if count := chosen.count(ALARM):
        yield await _run_alarms(folder, count * A_TRIAL, source, has_disks=has_disks)
    if others := [name for name in chosen if name in larger.NAMES]:
        servers = larger.Servers()
        try:
            await servers.open()
            async with _district(folder / "larger", source, servers, has_disks=has_disks) as scene:
                faults = larger.kinds(scene, servers)
                yield await _observe(scene, _one_by_one(scene, [(name, faults[name]) for name in others]))
        finally:
            await servers.close()


async def _run_alarms(folder: Path, count: int, source: random.Random, *, has_disks: bool) -> Counts:
    """Let so many alarms begin on yards, under faults."""
    async with _district(folder / "yards", source, has_disks=has_disks, sites=make_yards) as scene:
        watch = Watch(scene)
        watching = asyncio.create_task(watch.go_on())
        try:
            storm = AlarmStorm(scene, find_kinds(scene))
            not_recovered, findings = await storm.run(count)
        finally:
            watching.cancel()
        for line in (storm.told, *findings.words):
            say(line)
        counts = _count(scene, watch, not_recovered + scene.failures)
        return msgspec.structs.replace(
            counts,
            missed_alarms=max(counts.missed_alarms, findings.missed),
            raised_twice=max(counts.raised_twice, findings.raised_twice),
            acks_lost=findings.acks_lost,
        )


async def _observe(scene: Scene, acting: Coroutine[Any, Any, int]) -> Counts:
    """Let faults act, under watch and with alarms all the while; then let all come that is to come, and count."""
    watch = Watch(scene)
    beside = [asyncio.create_task(watch.go_on()), asyncio.create_task(scene.alarms.go_on(*ALARMS_EVERY_S))]
    try:
        not_recovered = await acting
        beside.pop().cancel()
        await scene.expect_alarms(None, CALM_S)
    finally:
        for task in beside:
            task.cancel()
    await drain(scene.district)
    return _count(scene, watch, not_recovered + scene.failures)


@asynccontextmanager
async def _district(
    folder: Path,
    source: random.Random,
    servers: larger.Servers | None = None,
    *,
    has_disks: bool,
    sites: Sites | None = None,
    is_updated: bool = False,
) -> AsyncIterator[Scene]:
    """Run a district, on others' servers if they are given, the data of each gateway on a disk of its own if it can."""
    place, disks = folder / "district", dict[str, Disk]()
    folder.mkdir()
    own = FleetSide(place / "fleet", console_port=0)
    fleet = FleetSide(place / "fleet", servers.database_url, servers.broker_port, console_port=0) if servers else own

    async def give_disk(gateway: Path) -> None:
        made = disks[gateway.name] = Disk(gateway.with_suffix(".img"), gateway / "data")
        await made.make()

    tell = say if sites is None else _say_briefly
    disk = give_disk if has_disks else None
    district = District(place, tell, disk, fleet, sites, ByToken(), is_updated=is_updated)
    try:
        await district.open()
        yield Scene(district, source, disks)
    finally:
        await district.close()
        for each in disks.values():
            await each.unmount()


def _say_briefly(text: str) -> None:
    """Tell all but each alarm that arrives: they come by the thousand."""
    if not text.startswith("platform: "):
        say(text)


async def _can_mount(folder: Path) -> bool:
    trial = Disk(folder / "trial.img", folder / "trial")
    try:
        await trial.make()
        await trial.unmount()
    except (LabError, OSError) as error:
        say(f"no file system can be mounted here, so no power is cut and no disk fills up: {error}")
        return False
    return True


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


def _count(scene: Scene, watch: Watch, not_recovered: int) -> Counts:
    district = scene.district
    verdict, words = judge(
        district.ledgers,
        district.book,
        district.fleet.database_url,
        district.truth,
        scene.healthy,
        befallen=scene.befallen,
    )
    for line in words:
        say(line)
    return Counts(
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        undeclared=verdict.undeclared,
        misdeclared=verdict.misdeclared,
        missed_alarms=verdict.missed_alarms,
        late_alarms=verdict.late_alarms,
        raised_twice=verdict.raised_twice,
        acks_lost=0,
        not_recovered=not_recovered,
        unbounded=sum(not peak.is_bounded for peak in (watch.agent, watch.ingest)),
        repeated=verdict.repeated,
        declared=verdict.declared,
        alarms=len(district.truth.crossings),
        agent_mb=round(watch.agent.mb, 1),
        agent_descriptors=watch.agent.descriptors,
        ingest_mb=round(watch.ingest.mb, 1),
        ingest_descriptors=watch.ingest.descriptors,
    )


def _sum(parts: list[Counts], *, trials: int, kinds: int, seed: int) -> Counts:
    """Add up what was counted in several districts; of what programs held, the most."""
    columns = {name: [getattr(part, name) for part in parts] for name in Counts.__struct_fields__}
    whole = {name: max(column) if name in HELD else sum(column) for name, column in columns.items()}
    return Counts(**{**whole, "trials": trials, "kinds": kinds, "seed": seed})


def spread(kinds: list[str], trials: int, source: random.Random) -> list[str]:
    """Choose kinds so that each comes before any comes twice."""
    chosen: list[str] = []
    while len(chosen) < trials:
        source.shuffle(kinds)
        chosen += kinds
    return chosen[:trials]
