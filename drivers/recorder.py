"""A line around a line that writes down what passes, as `drivers.replay.parse_capture` reads it.

    # +0.000 s opened
    # +0.002 s
    > 01 03 00 00 00 02 c4 0b
    # +0.041 s
    < 01 03 04 02 de ff 83 8a d9

A line of the capture is one write, or what one read returned; a comment before it tells the time since the recorder was
started. A recorder without a sink only hands through, so that it can be put around a line that may be recorded later.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.errors import LinkError
from drivers.transport import Transport

Sink = Callable[[str], object]
"""Takes text, whole lines with their ends: the ``write`` of a text file. What it raises would break the line."""


class Recorder:
    """A line that behaves as the one it was given and tells ``sink`` what passes."""

    def __init__(self, line: Transport, sink: Sink | None = None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._line = line
        self._clock = clock
        self._began_ns = clock()
        self._sink = sink

    def start(self, sink: Sink) -> None:
        """Write down from now on, also what a read returns that waits already."""
        self._began_ns = self._clock()
        self._sink = sink

    def stop(self) -> None:
        """Only hand through from now on."""
        self._sink = None

    async def open(self) -> None:
        """Open the line."""
        try:
            await self._line.open()
        except LinkError as error:
            self._note(f"not opened: {error}")
            raise
        self._note("opened")

    async def close(self) -> None:
        """Close the line."""
        await self._line.close()
        self._note("closed")

    async def read(self) -> bytes:
        """Return what has arrived, written down."""
        try:
            data = await self._line.read()
        except LinkError as error:
            self._note(f"down: {error}")
            raise
        if self._sink is not None:
            self._note(octets=f"< {data.hex(' ')}\n")
        return data

    async def write(self, data: bytes) -> None:
        """Send, written down before an answer can be."""
        if self._sink is not None:
            self._note(octets=f"> {data.hex(' ')}\n")
        try:
            await self._line.write(data)
        except LinkError as error:
            self._note(f"not sent: {error}")
            raise

    def discard(self) -> int:
        """Throw away what has arrived; only how much is written down, since no driver saw it."""
        count = self._line.discard()
        if count:
            self._note(f"{count} octets thrown away unread")
        return count

    def _note(self, words: str = "", octets: str = "") -> None:
        if self._sink is None:
            return
        elapsed_s = (self._clock() - self._began_ns) / 1e9
        self._sink(f"# +{elapsed_s:.3f} s {' '.join(words.split())}".rstrip() + "\n" + octets)
