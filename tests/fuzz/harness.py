"""Whole drivers under hostile octets: whatever a line brings, a driver gives scans or its own errors, and no more.

What a scan claims must stand on a valid frame that was heard, as `tests.fuzz.wires` reads it.

An input is a list of chunks, each a length octet and that many octets; each `read` of the line returns the next one.
A chunk without octets is a silence longer than any time-out: what follows it comes late. After the last chunk the line
goes down. Time is virtual, so that no time-out is waited for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from drivers.base import Scan, Streaming, find
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError
from tests.drivers.cases import Case, groups_of
from tests.edge.virtual import VirtualLoop
from tests.fuzz.targets import wire_of
from tests.fuzz.wires.base import Talk, bears_out
from wire.sample import is_bad, is_good

READS = 2
"""How often each group of a polled instrument is read."""

SCANS_MOST = 2000
"""More scans than an input has octets would be made from nothing."""

SILENCE_S = 30.0
"""Longer than a driver waits for an answer."""

APART_S = 60.0
"""Between two inputs: a driver may leave an instrument alone that may still answer what it was asked before."""


class Line:
    """Brings what it was loaded with, whatever is asked of it."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.talk = Talk()

    def load(self, chunks: Sequence[bytes]) -> None:
        self._chunks = list(reversed(chunks))
        self.talk = Talk()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self) -> bytes:
        if not self._chunks:
            raise LinkError("the input ends here")
        chunk = self._chunks.pop()
        if not chunk:
            await asyncio.sleep(SILENCE_S)
            return await self.read()
        self.talk.hear(chunk)
        return chunk

    async def write(self, data: bytes) -> None:
        self.talk.send(data)

    def discard(self) -> int:
        return 0


class Subject:
    """The driver of a case, fed with one input after another. Raises AssertionError for what must not be."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.line = Line()
        kind = find(case.kind)
        self._groups = groups_of(case)
        settings = msgspec.convert(case.settings, kind.settings)
        self._driver: Any = kind.build(settings, self._groups, clock=self._clock, line=self.line)
        self._tables = {table.name: table for table in case.group}
        self._wire = wire_of(case)
        self._is_streaming = isinstance(self._driver, Streaming)
        self.loop = VirtualLoop()

    def _clock(self) -> int:
        return round(self.loop.time() * 1e9) + 1

    def feed(self, chunks: Sequence[bytes]) -> list[Scan]:
        """Run the driver on one input. Returns the scans that have a value that is not bad."""
        self.line.load(chunks)
        scans = self.loop.run_until_complete(self._acquire())
        frames = {
            name: list(self._wire.frames(self.line.talk, self._tables[name])) for name in {scan.group for scan in scans}
        }
        for scan in scans:
            self._check(scan, frames[scan.group])
        return [scan for scan in scans if not all(is_bad(quality) for quality in scan.quality)]

    def identify(self, chunks: Sequence[bytes]) -> dict[str, str] | None:
        """Ask the first instrument who it is, and answer this."""
        self.line.load(chunks)
        told = self.loop.run_until_complete(self._identify())
        assert told is None or all(type(text) is str for text in (*told, *told.values()))
        return told

    async def _identify(self) -> dict[str, str] | None:
        await asyncio.sleep(APART_S)
        await self._driver.open()
        try:
            told: dict[str, str] | None = await self._driver.identify(self._groups[0].device)
        except DriverError:
            return None
        finally:
            await self._driver.close()
        return told

    async def _acquire(self) -> list[Scan]:
        await asyncio.sleep(APART_S)
        await self._driver.open()
        scans: list[Scan] = []
        try:
            async for scan in self._scans():
                scans.append(scan)
                assert len(scans) <= SCANS_MOST, "scans without end"
        except DriverError:
            pass
        finally:
            await self._driver.close()
        return scans

    async def _scans(self) -> AsyncIterator[Scan]:
        if self._is_streaming:
            async for scan in self._driver.scans():
                yield scan
            return
        for group in self._groups * READS:
            try:
                yield await self._driver.read(group)
            except (LinkTimeoutError, FrameError, DeviceError):
                continue

    def mend(self, chunks: list[bytes]) -> list[bytes]:
        """Put right checksums to an input."""
        return self._wire.mend(chunks, self.case.group[0])

    def _check(self, scan: Scan, frames: list[Any]) -> None:
        table = self._tables[scan.group]
        assert len(scan.values) == len(scan.quality) == len(table.tag)
        for value, quality in zip(scan.values, scan.quality, strict=True):
            assert 0 <= quality <= 0xFF
            assert value is None or type(value) in {int, float, bool, str}
            if is_good(quality):
                assert value is not None, "good, and yet no value"
                assert not isinstance(value, float) or math.isfinite(value), "good, and yet not finite"
        assert bears_out(self._wire, frames, table, scan), f"no frame in {bytes(self.line.talk.heard)!r} holds {scan}"

    def close(self) -> None:
        self.loop.close()


def split(data: bytes) -> list[bytes]:
    """Read an input as chunks."""
    chunks, at = [], 0
    while at < len(data):
        chunks.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return chunks


def join(chunks: Sequence[bytes]) -> bytes:
    """Write chunks as an input."""
    pieces = [chunk[at : at + 255] for chunk in chunks for at in range(0, len(chunk) or 1, 255)]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces)


def seed_of(case: Case) -> bytes:
    """What the case's instrument said, as an input."""
    return join([step.data for step in case.steps if not step.sent])
