"""A line around a line that writes down what passes, as `drivers.replay.parse_capture` reads it.

    # +0.000 s opened
    # +0.002 s
    > 01 03 00 00 00 02 c4 0b
    # +0.041 s
    < 01 03 04 02 de ff 83 8a d9

A line of the capture is one write, or what one read returned; a comment before it tells the time since the recorder was
made.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.errors import LinkError
from drivers.transport import Transport

Sink = Callable[[str], object]
"""Takes text, whole lines with their ends: the ``write`` of a text file."""


class Recorder:
    """A line that behaves as the one it was given and tells ``sink`` what passes."""

    def __init__(self, line: Transport, sink: Sink, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._line = line
        self._sink = sink
        self._clock = clock
        self._began_ns = clock()

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
        self._note()
        self._sink(f"< {data.hex(' ')}\n")
        return data

    async def write(self, data: bytes) -> None:
        """Send, written down before an answer can be."""
        self._note()
        self._sink(f"> {data.hex(' ')}\n")
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

    def _note(self, words: str = "") -> None:
        elapsed_s = (self._clock() - self._began_ns) / 1e9
        self._sink(f"# +{elapsed_s:.3f} s {' '.join(words.split())}".rstrip() + "\n")
