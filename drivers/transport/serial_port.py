"""A serial port as a line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import termios

import serial

from drivers.errors import LinkError, SettingsError
from drivers.transport.inbox import Inbox
from drivers.transport.settings import LineSettings


class Serial:
    """A serial port or pty, locked against other programs, read on the event loop without a thread."""

    def __init__(self, path: str, settings: LineSettings) -> None:
        self._path = path
        self._settings = settings
        self._inbox = Inbox()
        self._port: serial.Serial | None = None
        self._reads = False
        self._has_room = asyncio.Event()

    async def open(self) -> None:
        """Open and lock the port, in a thread since drivers may take their time. Raises LinkError, SettingsError."""
        await self.close()
        opening = asyncio.ensure_future(asyncio.to_thread(_open_port, self._path, self._settings))
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
            with contextlib.suppress(OSError, termios.error):
                # Otherwise the kernel waits up to 30 s for unsent octets.
                termios.tcflush(port.fd, termios.TCIOFLUSH)
            port.close()

    async def read(self) -> bytes:
        """Return what has arrived."""
        data = await self._inbox.read()
        self._resume()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting for the port where it cannot take all at once."""
        rest = memoryview(data)
        while rest:
            self._inbox.check()
            if self._port is None:
                raise LinkError(f"{self._path} is not open")
            fd = self._port.fd
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                await self._writable(fd)
            except OSError as error:
                self._fail(f"cannot write to {self._path}: {error}")

    def discard(self) -> int:
        """Throw away what has arrived, here and in the kernel."""
        if self._port is not None:
            self._take()
        return self._inbox.discard()

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


def _open_port(path: str, settings: LineSettings) -> serial.Serial:
    with contextlib.suppress(OSError):
        if not stat.S_ISCHR(os.stat(path).st_mode):
            raise SettingsError(f"{path} is not a serial port", hint="list them with: ls /dev/serial/by-id")
    try:
        return serial.Serial(
            path,
            baudrate=settings.baud,
            bytesize=settings.data_bits,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except (OSError, termios.error) as error:
        hint = "which program uses it?" if "exclusively lock" in str(error) else "is it plugged in and may we use it?"
        raise LinkError(f"cannot open {path}: {error}", hint=hint) from error
    except ValueError as error:
        raise SettingsError(f"{path} cannot be set up: {error}") from error


def _close_orphan(opening: asyncio.Future[serial.Serial]) -> None:
    """Close a port that came open after nobody waited for it any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _is_gone(fd: int) -> bool:
    """Tell the end of a port from a wake-up without octets: with VMIN 0 both read as nothing."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
