"""A serial port as a line."""

from __future__ import annotations

import asyncio
import os
import select
import termios
from collections.abc import Callable

import serial

from drivers.errors import LinkError
from drivers.transport.inbox import Inbox
from drivers.transport.serial_setup import close_port, open_port
from drivers.transport.settings import LineSettings

Opener = Callable[[str, LineSettings], serial.Serial]


class Serial:
    """A serial port or pty, locked against other programs, read on the event loop without a thread."""

    def __init__(self, path: str, settings: LineSettings, opener: Opener = open_port) -> None:
        self._path = path
        self._settings = settings
        self._opener = opener
        self._inbox = Inbox()
        self._port: serial.Serial | None = None
        self._reads = False
        self._has_room = asyncio.Event()

    async def open(self) -> None:
        """Open and lock the port, in a thread since drivers may take their time. Raises LinkError, SettingsError."""
        await self.close()
        opening = asyncio.ensure_future(asyncio.to_thread(self._opener, self._path, self._settings))
        try:
            port = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_orphan)
            raise
        self._port = port
        self._inbox.start()
        self._resume()

    async def close(self) -> None:
        """Close the port."""
        port, self._port = self._port, None
        self._inbox.fail(LinkError("the line was closed"))
        if port is not None:
            self._pause(port.fd)
            asyncio.get_running_loop().remove_writer(port.fd)
            self._has_room.set()
            close_port(port)

    async def read(self) -> bytes:
        """Return what has arrived."""
        data = await self._inbox.read()
        self._resume()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting for the port where it cannot take all at once. With RTS, wait until all has left."""
        if self._settings.rs485 == "rts":
            await self._send_by_rts(data)
        else:
            await self._send(data)

    def discard(self) -> int:
        """Throw away what has arrived, here and in the kernel."""
        if self._port is not None:
            self._take()
        return self._inbox.discard()

    async def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            fd = self._up().fd
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                await self._writable(fd)
            except OSError as error:
                self._fail(f"cannot write to {self._path}: {error}")

    async def _send_by_rts(self, data: bytes) -> None:
        """Send with RTS up, from before the first octet until after the last has left the wire."""
        port = self._up()
        try:
            port.rts = True
            try:
                await asyncio.sleep(self._settings.rs485_before_ms / 1e3)
                await self._send(data)
                await asyncio.to_thread(termios.tcdrain, port.fd)
                await asyncio.sleep(self._settings.rs485_after_ms / 1e3)
            finally:
                if port.is_open:
                    port.rts = False
        except (OSError, termios.error) as error:
            self._fail(f"cannot turn {self._path} around: {error}")
            self._inbox.check()

    def _up(self) -> serial.Serial:
        self._inbox.check()
        if self._port is None:
            raise LinkError(f"{self._path} is not open")
        return self._port

    def _resume(self) -> None:
        if not self._reads and self._port is not None and self._inbox.error is None:
            self._reads = True
            asyncio.get_running_loop().add_reader(self._port.fd, self._take)

    def _pause(self, fd: int) -> None:
        if self._reads:
            self._reads = False
            asyncio.get_running_loop().remove_reader(fd)

    def _take(self) -> None:
        if self._port is None:
            return
        fd = self._port.fd
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"{self._path} is gone: {error}")
            return
        if data:
            self._inbox.feed(data)
            if self._inbox.is_full:
                self._pause(fd)
        elif _is_gone(fd):
            self._fail(f"{self._path} is gone")

    async def _writable(self, fd: int) -> None:
        """Wait until the port has room, or is closed."""
        self._has_room.clear()
        loop = asyncio.get_running_loop()
        loop.add_writer(fd, self._has_room.set)
        try:
            await self._has_room.wait()
        finally:
            if self._port is not None and self._port.fd == fd:
                loop.remove_writer(fd)

    def _fail(self, reason: str) -> None:
        if self._port is not None:
            self._pause(self._port.fd)
        self._inbox.fail(LinkError(reason, hint="is the adapter plugged in?"))


def _close_orphan(opening: asyncio.Future[serial.Serial]) -> None:
    """Close a port that came open after nobody waited for it any more."""
    if not opening.cancelled() and opening.exception() is None:
        close_port(opening.result())


def _is_gone(fd: int) -> bool:
    """Tell the end of a port from a wake-up without octets: with VMIN 0 both read as nothing."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
