"""A small ext4 on a loop device: a gateway's disk, whose power can be cut.

The ioctl EXT4_IOC_SHUTDOWN with the flag NOLOGFLUSH makes the file system forget everything that was not synced, as a
power cut does to a disk that keeps its promises. It says nothing of disks that lie about a flush.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
from pathlib import Path

from lab.errors import LabError
from lab.processes import run_once

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
SIZE_BYTES = 48 * 1024 * 1024
TRIES_MOST = 50


class Disk:
    """Made in one file, mounted at one folder. Needs root; raises LabError where something is not allowed."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder
        self._is_mounted = False

    async def make(self) -> None:
        """Make an empty file system and mount it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        await run_once(["mkfs.ext4", "-q", "-F", "-b", "4096", str(self._image)])
        await self.mount()

    async def mount(self, *, is_read_only: bool = False) -> None:
        """Mount it; the journal is replayed."""
        await run_once(["mount", "-o", "loop,ro" if is_read_only else "loop", str(self._image), str(self.folder)])
        self._is_mounted = True

    async def unmount(self) -> None:
        """Take it away, once whoever used it has ended. May be called twice."""
        tries = 0
        while self._is_mounted:
            try:
                await run_once(["umount", str(self.folder)])
                self._is_mounted = False
            except LabError:
                tries += 1
                if tries > TRIES_MOST:
                    raise
                await asyncio.sleep(0.1)

    def cut_power(self) -> None:
        """Forget what was not synced; nothing can be read or written any more."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(descriptor)
