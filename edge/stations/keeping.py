"""What stations put on disk: the quakes that run, and the ring of all waveforms.

A quake that the agent does not see the end of is closed at its next start. The ring is opened with the first packet
that is to be kept: a gateway without stations has none.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from edge.document import AtomicStorage
from edge.errors import DocumentError
from edge.settings import SpoolSettings
from edge.stations.settings import RingSettings
from edge.waves.ring import Ring
from seismic.packet import Packet
from wire.record import QuakeRecord

log = logging.getLogger(__name__)

FILE, FOLDER = "quakes.json", "waves"
OPEN = "open"
WRITE_S = 1.0
WAITING_MOST = 1000
"""Packets in memory while the ring cannot be opened."""
RING_EVENT, RING_WELL_EVENT = "ring-losing", "ring-well"
Journal = Callable[[str, str], None]


class Disk(msgspec.Struct, frozen=True):
    """A folder, and how many octets its ring may take."""

    folder: Path
    room: Callable[[], int]


def find_room(folder: Path, ring: RingSettings, spool: SpoolSettings) -> int:
    """Say how many octets the ring may take: what is free or its own by now, less what the spool may still grow by.

    Raises OSError if the disk does not say.
    """
    own = sum(file.stat().st_size for file in (folder / FOLDER).glob("*/*"))
    taken = sum(file.stat().st_size for file in folder.glob("spool.sqlite3*"))
    left = shutil.disk_usage(folder).free - max(0, spool.max_bytes - taken) - spool.min_free_bytes
    return max(0, min(ring.max_bytes, own + left))


class Keeping:
    """Run `run` as a task, and `close` at the end. ``days`` is how long waveforms are kept, by their streams."""

    def __init__(self, disk: Disk | None, journal: Journal) -> None:
        self.days: Mapping[str, int] = {}
        self._disk = disk
        self._journal = journal
        self._storage = AtomicStorage(disk.folder / FILE) if disk is not None else None
        self._records: dict[str, QuakeRecord] = {}
        self._is_changed = self._has_failed = False
        self._wake = asyncio.Event()
        self._number = self._written = 0
        self._lock = threading.Lock()
        self._ring: Ring | None = None
        self._waiting: deque[Packet] = deque(maxlen=WAITING_MOST)
        self._fault = ""

    def read_open(self) -> list[QuakeRecord]:
        """Return the quakes that an earlier start has left open. None of them is, from now on."""
        if self._storage is None:
            return []
        try:
            found = msgspec.convert((self._storage.read() or {}).get(OPEN, {}), dict[str, QuakeRecord])
        except (DocumentError, msgspec.ValidationError) as error:
            log.error("quakes that ran when the agent ended are not known: %s", error)
            found = {}
        self._is_changed = bool(found)
        return list(found.values())

    def note(self, record: QuakeRecord) -> None:
        """Take the newest record of a quake."""
        if record.state in ("closed", "rejected"):
            if self._records.pop(record.station, None) is None:
                return
        else:
            self._records[record.station] = record
        self._is_changed = True
        self._wake.set()

    def put(self, packet: Packet) -> None:
        """Take a packet for the ring."""
        if self._disk is None or not self.days.get(packet.stream):
            return
        if self._ring is None:
            self._waiting.append(packet)
        elif not self._ring.put(packet):
            self._tell("the disk takes them no more, or not fast enough")

    async def run(self) -> None:
        """Write about every second, and a quake at once, until cancelled."""
        while True:
            self._wake.clear()
            await self.write()
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S):
                    await self._wake.wait()

    async def write(self) -> None:
        """Write what has come so far. What cannot be written is told once, and tried again."""
        await self._save()
        if self._ring is None and self._waiting:
            await self._open_ring()
        if self._ring is not None:
            await self._ring.write()
            self._tell(self._ring.figures.error)

    async def _save(self) -> None:
        if not self._is_changed or self._storage is None:
            return
        self._is_changed = False
        self._number += 1
        records = {OPEN: {station: msgspec.to_builtins(record) for station, record in self._records.items()}}
        try:
            await asyncio.to_thread(self._write, self._storage, self._number, records)
        except DocumentError as error:
            self._is_changed = True
            if not self._has_failed:
                log.error("the quakes that run could not be kept: %s", error)
        self._has_failed = self._is_changed

    def _write(self, storage: AtomicStorage, number: int, records: dict[str, dict[str, Any]]) -> None:
        """Write in a thread. A caller that was cancelled leaves it running, so a later one may come before."""
        with self._lock:
            if number > self._written:
                storage.write(records)
                self._written = number

    async def _open_ring(self) -> None:
        assert self._disk is not None
        disk = self._disk
        try:
            room = await asyncio.to_thread(disk.room)
            ring = await Ring.open(disk.folder / FOLDER, room, lambda stream: self.days.get(stream, 1))
        except OSError as error:
            self._tell(f"the folder cannot be had: {error}")
            return
        self._ring = ring
        while self._waiting:
            ring.put(self._waiting.popleft())

    def _tell(self, fault: str) -> None:
        """Journal once when waveforms are not kept, and once when they are again."""
        if bool(fault) != bool(self._fault):
            self._journal(RING_EVENT if fault else RING_WELL_EVENT, fault or "waveforms are kept again")
        self._fault = fault

    async def close(self) -> None:
        """Write what is left."""
        await self.write()
        if self._ring is not None:
            await self._ring.close()
            self._ring = None
