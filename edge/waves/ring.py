"""The ring of days on disk: what a gateway keeps of all samples, whether an earthquake came or not.

Packets are handed over without waiting and written together about once a second by one thread, which also reads. When
the disk takes them no more, they are counted and said to be lost: the ring is what may go first on a gateway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.waves.hours import Hours
from seismic.packet import Packet

log = logging.getLogger(__name__)
T = TypeVar("T")

WRITE_S = 1.0
WAITING_MOST = 10_000
"""Packets in memory while the disk is slow: minutes of sixteen stations, some tens of megabytes."""


class RingFigures(msgspec.Struct, frozen=True):
    """Octets on disk and allowed, packets that were lost since the start, and why the last ones were; empty if none."""

    octets: int = 0
    quota_octets: int = 0
    lost: int = 0
    error: str = ""


class Ring:
    """Use as ``ring = await Ring.open(...)``, run `write_forever` as a task, and `close` at the end."""

    def __init__(self, hours: Hours, executor: ThreadPoolExecutor, keep_octets: int) -> None:
        self._hours = hours
        self._executor = executor
        self._keep_octets = keep_octets
        self._waiting: list[Packet] = []
        self._overflowed = 0
        self._is_closed = False
        self._error = ""

    @staticmethod
    async def open(folder: Path, keep_octets: int, keep_days: Callable[[str], int]) -> Ring:
        """Open the ring in a folder: ``keep_octets`` in all, ``keep_days(stream)`` days of each stream.

        Raises OSError if the folder cannot be had.
        """
        executor = ThreadPoolExecutor(1, "ring")

        def begin() -> Hours:
            folder.mkdir(parents=True, exist_ok=True)
            return Hours(folder, keep_octets, keep_days)

        hours = await asyncio.get_running_loop().run_in_executor(executor, begin)
        return Ring(hours, executor, keep_octets)

    @property
    def figures(self) -> RingFigures:
        """How it stands, as of the last write."""
        lost = self._hours.lost + self._overflowed
        return RingFigures(self._hours.octets, self._keep_octets, lost, self._hours.error)

    def put(self, packet: Packet) -> bool:
        """Take a packet, to be written within about a second; False if it is lost. Never waits, never raises."""
        if len(self._waiting) >= WAITING_MOST:
            self._overflowed += 1
            return False
        self._waiting.append(packet)
        return True

    async def write_forever(self) -> None:
        """Write what was put, once a second."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Write what was put so far."""
        packets, self._waiting = self._waiting, []
        if packets:
            await self._run(lambda: self._hours.write(packets))
            self._tell()

    async def read(self, stream: str, start_ns: int, end_ns: int) -> list[Packet]:
        """Read the packets of a stream with samples in [start, end) UTC, what was put up to now included."""
        await self.write()
        return await self._run(lambda: self._hours.read(stream, start_ns, end_ns))

    async def close(self) -> None:
        """Write what is left and close the files. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        await self.write()
        await self._run(self._hours.close)
        self._executor.shutdown()

    def _tell(self) -> None:
        """Log once when packets begin to be lost, and once when they are written again."""
        if self._hours.error and not self._error:
            log.error("ring: waveforms are lost, they cannot be written: %s", self._hours.error)
        elif self._error and not self._hours.error:
            log.info("ring: waveforms are written again; %d packets were lost", self._hours.lost)
        self._error = self._hours.error

    async def _run(self, work: Callable[[], T]) -> T:
        """To its end even when the caller is cancelled: packets that were taken are written."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))
