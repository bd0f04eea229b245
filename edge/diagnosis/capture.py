"""Records a line while it is acquired.

The rule: acquisition goes first. The recorder sits in the line always and hands through; a capture only has it write
down what passes, in memory and up to a bound. It asks nothing, opens nothing and waits for nothing on the line.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec

from drivers.base import Scan
from drivers.errors import DriverError
from edge.line import Line
from edge.operating import OperationError

TEXT_MOST = 640 * 1024
"""Characters of what is written down. Hexadecimal digits and times pack to two thirds of that at worst, which fits into
`wire.record.FILE_PARTS_MOST` parts; about 200,000 octets of a line."""
FULL = f"{TEXT_MOST // 1024} KiB were full"


class Stretch(msgspec.Struct):
    """The pieces of text from ``since`` to ``until`` belong to one reading of a group, or to what instruments said by
    themselves (no ``group``). What came of it: scans, each with the pieces that were there then, or an error."""

    group: str
    since: int
    until: int = -1
    scans: list[tuple[int, Scan]] = []
    error: str = ""
    detail: str = ""


class Capture:
    """What a line tells while it is recorded. ``ended`` is set when there will be no more, ``why`` says what ended it
    before its time."""

    def __init__(self, text_most: int = TEXT_MOST) -> None:
        self.text: list[str] = []
        self.stretches: list[Stretch] = []
        self.ended = asyncio.Event()
        self.why = ""
        self._left = text_most

    def write(self, text: str) -> None:
        """Take what passes, whole or not at all."""
        if self.ended.is_set():
            return
        if len(text) > self._left:
            self.over(FULL)
            return
        self._left -= len(text)
        self.text.append(text)

    def begin(self, group: str) -> None:
        """Begin a stretch; one that had no end stays without a result."""
        if not self.ended.is_set():
            self.stretches.append(Stretch(group, len(self.text)))

    def give(self, scan: Scan) -> None:
        """Note what came."""
        if not self.ended.is_set() and self.stretches:
            stretch = self.stretches[-1]
            stretch.until = len(self.text)
            stretch.scans.append((stretch.until, scan))

    def fail(self, error: DriverError) -> None:
        """Note that nothing came, and why."""
        if not self.ended.is_set() and self.stretches:
            stretch = self.stretches[-1]
            stretch.until = len(self.text)
            stretch.error, stretch.detail = type(error).__name__, str(error)

    def over(self, why: str = "") -> None:
        """End it. The first reason counts."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()


async def capture_line(line: Line, seconds: float, text_most: int = TEXT_MOST) -> tuple[Capture, float]:
    """Record a line for so long, or until the bound is reached or the line is given up.

    Returns what passed, and the seconds that it took. Raises OperationError for a line that is down, or recorded now.
    """
    if line.is_watched:
        raise OperationError(f"bus '{line.name}' is being recorded already", hint="wait until that has ended")
    if not line.is_up:
        fault = line.fault or "it is not open yet"
        raise OperationError(f"bus '{line.name}' is down: {fault}", hint="see to the line first")
    capture, began = Capture(text_most), time.monotonic()
    line.watch(capture)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await capture.ended.wait()
    finally:
        line.unwatch()
        capture.over()
    return capture, time.monotonic() - began
