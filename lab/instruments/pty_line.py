"""One end of a serial line made of a pty: the instrument's end. The other end is a path that a driver opens."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import tempfile
import tty
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

WATCH_S = 0.05
"""How often an unopened line is looked at."""
READ_OCTETS = 4096


class PtyLine:
    """The instrument's end of a line. Never blocks; knows whether somebody has the other end open.

    ``path`` is a link that stays the same when the line is unplugged and plugged in again, as one below
    ``/dev/serial/by-id`` does.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fengsui-line-"))
        self.path = str(self._folder / "tty")
        self._readable_again = asyncio.Event()
        self.plug()

    def plug(self) -> None:
        """Let the other end appear."""
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        os.symlink(os.ttyname(slave), self.path)
        # A pty reports "hung up" only after its other end was open once: from here on POLLHUP means nobody listens.
        os.close(slave)
        self._poll = select.poll()
        self._poll.register(self._master, 0)

    def unplug(self) -> None:
        """Let the other end vanish, also from under whoever has it open. May be called twice."""
        if self._master >= 0:
            with suppress(RuntimeError):  # a line that is closed after its loop has ended
                asyncio.get_running_loop().remove_reader(self._master)
            os.unlink(self.path)
            os.close(self._master)
            self._master = -1
            self._readable_again.set()

    def close(self) -> None:
        """Close the line. May be called twice."""
        self.unplug()
        if self._folder.exists():
            self._folder.rmdir()

    @property
    def is_open(self) -> bool:
        """Whether somebody has the other end open."""
        return self._master >= 0 and not any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def write(self, octets: bytes) -> bool:
        """Write without waiting. False if the line did not take all of it, or nobody listens."""
        if not self.is_open:
            return False
        try:
            return os.write(self._master, octets) == len(octets)
        except OSError:
            return False

    async def opened(self) -> None:
        """Wait until somebody opens the other end."""
        while not self.is_open:  # noqa: ASYNC110 - a pty tells of its opening by POLLHUP only
            await asyncio.sleep(WATCH_S)

    async def received(self) -> AsyncIterator[bytes]:
        """Yield what arrives, over any number of openings of the other end."""
        while True:
            await self.opened()
            while octets := await self._read():
                yield octets

    async def _read(self) -> bytes:
        """Read what there is, waiting for it; empty when the other end was closed."""
        while True:
            await self._readable()
            try:
                return os.read(self._master, READ_OCTETS)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    async def _readable(self) -> None:
        if self._master < 0:
            return
        loop, master = asyncio.get_running_loop(), self._master
        self._readable_again.clear()
        loop.add_reader(master, self._readable_again.set)
        try:
            await self._readable_again.wait()
        finally:
            if self._master == master:
                loop.remove_reader(master)
