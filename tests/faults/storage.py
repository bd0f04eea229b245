"""Disks that lose power, fill up, take nothing, rot, and go back in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from lab.errors import LabError
from lab.gateway_side import GatewaySide
from tests.faults.scene import Fault, Scene

CHUNK = bytes(65_536)
PAGE = 4096
BRIDGE = "gw-shuitu-0001"
TRICKLE_OCTETS_PER_S = 4000.0
QUOTA = 120_000
"""Octets that a new spool may still take, its log included: some seconds of the bridge."""
STORES_S = 30.0
"""An agent that was just started has stored something by then."""
FRAME = 24 + PAGE
"""Of SQLite's log: a header and a page."""


STRUCTURE_SHARE = 0.5
TREES = ("chunk", "chunk_place")
"""What hits a page's head there makes the file unreadable as it stands; elsewhere it mostly hits records alone."""


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name. Those of a disk are there only if the gateway has one of its own."""
    anywhere: dict[str, Fault] = {
        "rotten-spool": partial(_rotten, scene),
        "torn-log": partial(_torn, scene),
        "disk-replaced": partial(_replaced, scene),
        "disk-rolled-back": partial(_rolled_back, scene),
    }
    if not scene.disks:
        return anywhere
    return {
        "power-cut": partial(_power_cut, scene),
        "read-only": partial(_read_only, scene),
        "disk-full": partial(_full, scene),
        "spool-full": partial(_spool_full, scene),
        **anywhere,
    }


def _spool(side: GatewaySide) -> Path:
    return side.folder / "data" / "spool.sqlite3"


async def _power_cut(scene: Scene) -> None:
    """Every other time with the link down, so that the spool holds what nobody else has."""
    side = scene.any_gateway
    if scene.source.random() < 0.5:
        side.link.cut()
    await scene.pause(0, 4)
    await cut_power(scene, side)
    await side.start_agent()
    side.link.heal()


async def cut_power(scene: Scene, side: GatewaySide) -> None:
    """Cut a gateway's power and have its disk back as the cut left it. The agent stays down."""
    disk = scene.disk(side)
    disk.cut_power()
    await scene.kill_agent(side)
    await disk.unmount()
    await disk.mount()


async def _read_only(scene: Scene) -> None:
    """The agent finds a disk that takes nothing, as ext4 becomes after an error; later it does again."""
    side = scene.any_gateway
    disk = scene.disk(side)
    await scene.kill_agent(side)
    await disk.unmount()
    await disk.mount(is_read_only=True)
    await side.start_agent()
    await scene.pause(2, 5)
    await scene.kill_agent(side)
    await disk.unmount()
    await disk.mount()
    await side.start_agent()


async def _full(scene: Scene) -> None:
    """Somebody else fills the disk while the link is down, and clears it again."""
    side = scene.any_gateway
    side.link.cut()
    ballast = scene.disk(side).folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(CHUNK)
    await scene.pause(3, 8)
    ballast.unlink()
    side.link.heal()


async def _spool_full(scene: Scene) -> None:
    """A new spool on a disk that has little room, and no link: measurements must be given up, and each be declared.

    Then a link that is too thin for what comes, so that more is given up while that is being declared. At the bridge,
    which measures most.
    """
    side = scene.gateway(BRIDGE)
    await _delivered(scene, side)
    scene.befallen.has_lost_memory = True
    await side.agent.stop()
    _forget(side)
    side.link.cut()
    await side.start_agent()
    await _stores(side)
    ballast = scene.disk(side).folder / "ballast"
    _leave_free(ballast, QUOTA)
    await scene.pause(14, 18)
    side.link.heal()
    side.link.up.octets_per_s = TRICKLE_OCTETS_PER_S
    await scene.pause(12, 16)
    side.link.heal()
    ballast.unlink()


async def _stores(side: GatewaySide) -> None:
    """Wait until a new spool holds a record: before that there is nothing to give up. Raises LabError."""
    for _ in range(int(STORES_S / 0.1)):
        if await asyncio.to_thread(_has_records, _spool(side)):
            return
        await asyncio.sleep(0.1)
    raise LabError(f"{side.station.gateway} stores nothing", hint=f"look at {side.agent.log}")


def _has_records(spool: Path) -> bool:
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(f"{spool.as_uri()}?mode=ro", uri=True)) as file:
        return bool(file.execute("SELECT 1 FROM chunk LIMIT 1").fetchall())
    return False


def _leave_free(ballast: Path, octets: int) -> None:
    """Fill a disk until so much is left beyond the tenth that a spool leaves to others."""
    disk = os.statvfs(ballast.parent)
    size = disk.f_bavail * disk.f_frsize - disk.f_blocks * disk.f_frsize // 10 - octets
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _forget(side: GatewaySide) -> None:
    """Take a spool away."""
    spool = _spool(side)
    for path in spool.parent.glob(f"{spool.name}*"):
        path.unlink()


async def _rotten(scene: Scene) -> None:
    """Bits flip in the spool's file while the gateway is off. The link was down, so that nobody else has its end."""
    scene.befallen.was_damaged = True
    side = scene.quiet_gateway
    side.link.cut()
    await scene.pause(1, 3)
    await scene.kill_agent(side)
    spool = _spool(side)
    await asyncio.to_thread(_move_log, spool)
    octets = bytearray(spool.read_bytes())
    places = [scene.source.randrange(PAGE, len(octets)) for _ in range(scene.source.choice((1, 4, 16)))]
    if scene.source.random() < STRUCTURE_SHARE:
        places.append(await asyncio.to_thread(find_head, spool, scene.source.choice(TREES)))
    for place in places:
        octets[place] ^= 1 << scene.source.randrange(8)
    spool.write_bytes(bytes(octets))
    side.link.heal()
    await side.start_agent()


def find_head(spool: Path, tree: str) -> int:
    """Return where the first page of a table or index begins in the file: what kind of page it is stands there."""
    with closing(sqlite3.connect(spool)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (tree,)).fetchall()
    return (int(page) - 1) * PAGE


def _move_log(spool: Path) -> None:
    """Move the log into the file: what rots in a log's own end cannot be told from a log that ended there."""
    with closing(sqlite3.connect(spool)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _torn(scene: Scene) -> None:
    """The power goes in the middle of a write that was not yet synced: the log ends in a part of a frame, or in noise.

    The link was down, so that the log holds what nobody else has.
    """
    scene.befallen.was_damaged = True
    side = scene.any_gateway
    side.link.cut()
    await scene.pause(1, 3)
    await scene.kill_agent(side)
    spool = _spool(side)
    log = spool.with_name(spool.name + "-wal")
    octets = log.read_bytes() if log.exists() else b""
    if len(octets) > FRAME:
        part = octets[-FRAME : -scene.source.randrange(1, FRAME)]
        log.write_bytes(octets + scene.source.choice((part, scene.source.randbytes(len(part)))))
    side.link.heal()
    await side.start_agent()


async def _delivered(scene: Scene, side: GatewaySide) -> None:
    """Let the instruments' newest scans arrive: what a disk that is taken away had was delivered before."""
    heads = [(ledger, ledger.head) for ledger in scene.district.ledgers if ledger.gateway == side.station.gateway]
    for _ in range(200):
        if all(scene.district.newest_arrived(ledger) >= head for ledger, head in heads):
            return
        await asyncio.sleep(0.1)


async def _replaced(scene: Scene) -> None:
    """The gateway gets an empty disk, after all that it had was delivered. Its token is entered again."""
    side = scene.quiet_gateway
    await _delivered(scene, side)
    scene.befallen.has_lost_memory = True
    await side.agent.stop()
    _forget(side)
    await side.start_agent()


async def _rolled_back(scene: Scene) -> None:
    """The disk is put back to an image that was taken a while ago, as a snapshot of a virtual gateway is."""
    side = scene.quiet_gateway
    data = side.folder / "data"
    scene.befallen.has_lost_memory = True
    await side.agent.stop()
    image = side.folder / "image"
    shutil.copytree(data, image)
    await side.start_agent()
    await scene.pause(3, 6)
    await _delivered(scene, side)
    await side.agent.stop()
    for path in data.iterdir():
        if path.is_file():
            path.unlink()
    shutil.copytree(image, data, dirs_exist_ok=True)
    shutil.rmtree(image)
    await side.start_agent()
