"""A disk that fails at a write or a flush, and one that writes in another order than it was told to.

The agent runs with a small library before libc (`calls.c`). It lets calls on the spool's files fail with EIO, or notes
down what was written and not yet synced. After a power cut any part of that, sector by sector, may be on the disk.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from lab.errors import LabError
from tests.faults.scene import Fault, Scene

HERE = Path(__file__).parent
WRITES, SYNCS = 1, 2
ORDER = struct.Struct("=3i")
HEAD = struct.Struct("=5q")
SECTOR = 512
NAMES = ("spool.sqlite3", "spool.sqlite3-wal")
SYNC = 1


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name, where there is a compiler."""
    if shutil.which("gcc") is None:
        return {}
    return {
        "write-fails": partial(_fails, scene, WRITES, is_for_ever=False),
        "writes-fail": partial(_fails, scene, WRITES, is_for_ever=True),
        "sync-fails": partial(_fails, scene, SYNCS, is_for_ever=False),
        "syncs-fail": partial(_fails, scene, SYNCS, is_for_ever=True),
        "writes-reordered": partial(_reordered, scene),
    }


def build() -> Path:
    """Compile the library if its source is newer. Raises LabError."""
    source, library = HERE / "calls.c", Path("build/faults/calls.so").resolve()
    if library.exists() and library.stat().st_mtime > source.stat().st_mtime:
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"calls.c cannot be compiled: {done.stderr}", hint="apt-get install gcc libc6-dev")
    return library


async def _fails(scene: Scene, what: int, *, is_for_ever: bool) -> None:
    """The k-th write or flush fails, and with ``is_for_ever`` all after it, until the disk is changed for a good one.

    The link is down first, so that the spool holds what nobody else has.
    """
    side = scene.any_gateway
    order = side.folder / "order"
    order.write_bytes(ORDER.pack(0, 0, 0))
    async with scene.surroundings(side, f"LD_PRELOAD={build()}", f"FAULTS_ORDER={order}"):
        side.link.cut()
        await scene.pause(2, 3)
        _tell(order, ORDER.pack(what, scene.source.randrange(30), is_for_ever))
        await scene.pause(3, 6)
        side.link.heal()
        await scene.pause(1, 3)
        if not side.agent.is_running:  # it gave up: the service manager starts it again
            await side.start_agent()


def _tell(order: Path, words: bytes) -> None:
    """Change the order in place: it is mapped."""
    with order.open("r+b", buffering=0) as file:
        file.write(words)


async def _reordered(scene: Scene) -> None:
    """The power goes while the link is down. Of what was not synced, any sectors are on the disk and others are not."""
    side = scene.any_gateway
    journal = side.folder / "journal"
    async with scene.surroundings(side, f"LD_PRELOAD={build()}", f"FAULTS_JOURNAL={journal}"):
        await scene.arrives(side)  # it has started: what it stores from now on nobody else has
        side.link.cut()
        await scene.pause(2, 6)
        await scene.kill_agent(side)
        for number, name in enumerate(NAMES):
            _lose(side.folder / "data" / name, read_unsynced(journal.read_bytes(), number), scene.source)
        side.link.heal()
    journal.unlink()


class Write(msgspec.Struct, frozen=True):
    """A write that was not synced: where, what stood there, and what was to stand there."""

    offset: int
    before: bytes
    after: bytes


def read_unsynced(journal: bytes, file: int) -> list[Write]:
    """Read the writes to one file after its last sync. A last entry that is torn was never written."""
    found: list[Write] = []
    for kind, number, write in _entries(journal):
        if number == file:
            found = [] if kind == SYNC else [*found, write]
    return found


def _entries(journal: bytes) -> Iterator[tuple[int, int, Write]]:
    at = 0
    while at + HEAD.size <= len(journal):
        kind, number, offset, held, count = HEAD.unpack_from(journal, at)
        at += HEAD.size
        if at + held + count > len(journal):
            return
        yield kind, number, Write(offset, journal[at : at + held], journal[at + held : at + held + count])
        at += held + count


def scatter(octets: bytes, writes: list[Write], source: random.Random) -> bytes:
    """Undo the writes, then do each again sector by sector, or not, by chance. Pure but for the chance."""
    disk = bytearray(octets)
    for write in reversed(writes):
        disk[write.offset : write.offset + len(write.before)] = write.before
        if len(write.before) < len(write.after):  # it made the file longer
            end = write.offset + len(write.before)
            disk[end : write.offset + len(write.after)] = bytes(len(write.after) - len(write.before))
    for write in writes:
        at = write.offset
        while at < write.offset + len(write.after):
            end = min(at - at % SECTOR + SECTOR, write.offset + len(write.after))
            if source.random() < 0.5:
                disk[at:end] = write.after[at - write.offset : end - write.offset]
            at = end
    return bytes(disk)


def _lose(path: Path, writes: list[Write], source: random.Random) -> None:
    if writes and path.exists():
        path.write_bytes(scatter(path.read_bytes(), writes, source))
