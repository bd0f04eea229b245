"""Byte lines to instruments: TCP and serial port. Nothing here knows a protocol; `drivers.replay` is the fake.

    line = open_line(settings)        tcp://host:port, serial:///dev/ttyUSB0
    await line.open()
    await line.write(request)
    data = await line.read()          whatever has arrived, at least one octet

All lines behave alike: `read` may be cancelled without losing octets, and a line that fails or is closed wakes its
reader with LinkError.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import stat
import termios
from typing import Annotated, Literal, Protocol, cast
from urllib.parse import urlsplit

import msgspec
import serial

from drivers.errors import LinkError, SettingsError

Baud = Annotated[int, msgspec.Meta(ge=300, le=4_000_000, description="bits per second of a serial port")]

HELD_OCTETS = 64 * 1024
"""Octets held for a reader that is late; beyond it the line stops reading, and the kernel's buffer is the next."""

OPEN_S = 5.0
"""How long a TCP connection may take to be made."""

UNACKNOWLEDGED_MS = 10_000
"""How long the peer's kernel may leave octets unacknowledged: what tells a peer that is gone from one that is slow."""


class Transport(Protocol):
    """One line."""

    async def open(self) -> None:
        """Open the line. Raises LinkError when it cannot be had now, SettingsError when it never will be."""
        ...

    async def close(self) -> None:
        """Close the line and wake whoever reads from it. May be called at any time, any number of times."""
        ...

    async def read(self) -> bytes:
        """Wait for octets and return what has arrived. Raises LinkError once the line is down and all was read."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand over octets to the line. Raises LinkError if it is down."""
        ...

    def discard(self) -> int:
        """Throw away what has arrived and was not read; return how many octets that were."""
        ...


class LineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line is. ``baud``, ``parity``, ``data_bits`` and ``stop_bits`` are for serial ports only."""

    url: Annotated[str, msgspec.Meta(description="serial:///dev/ttyUSB0 or tcp://host:port")]
    baud: Baud = 9600
    parity: Annotated[Literal["N", "E", "O"], msgspec.Meta(description="none, even or odd")] = "N"
    data_bits: Annotated[Literal[7, 8], msgspec.Meta(description="data bits of a serial port")] = 8
    stop_bits: Annotated[Literal[1, 2], msgspec.Meta(description="stop bits of a serial port")] = 1


def open_line(settings: LineSettings) -> Transport:
    """Make the line that the settings name, not yet open. Raises SettingsError for an address that is none."""
    return make_line(settings, tcp=("tcp",), serial_port=("serial",), port=None)


def make_line(
    settings: LineSettings, *, tcp: tuple[str, ...], serial_port: tuple[str, ...], port: int | None
) -> Transport:
    """Make a line where a driver names its schemes: ``port`` is the TCP port that may be left out."""
    scheme, host, number, path = _split(settings.url)
    if scheme in tcp:
        number = number or port
        if not host or number is None:
            raise SettingsError(f"'{settings.url}' names no host and port", hint=f"write {scheme}://192.168.1.10:502")
        return Tcp(host, number)
    if scheme in serial_port:
        if host or not path.startswith("/"):
            raise SettingsError(
                f"'{settings.url}' names no serial port", hint=f"three slashes: {scheme}:///dev/ttyUSB0"
            )
        return Serial(path, settings)
    known = ", ".join(f"{name}://" for name in (*tcp, *serial_port))
    raise SettingsError(f"'{settings.url}' is no address of a line", hint=f"it starts with one of: {known}")


def _split(url: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port, parts.path
    except ValueError as error:
        raise SettingsError(f"'{url}' is no address of a line: {error}", hint="a port is a number to 65535") from error


class Inbox:
    """Octets that have arrived and wait for their one reader. What every line is made of."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._error: LinkError | None = LinkError("the line is not open")
        self._waiter: asyncio.Future[None] | None = None

    @property
    def error(self) -> LinkError | None:
        """Why the line is down, None while it is up."""
        return self._error

    @property
    def is_full(self) -> bool:
        """Tell whether the reader is late by more than is held."""
        return len(self._data) >= HELD_OCTETS

    def start(self) -> None:
        """Begin anew with a line that is up."""
        self._data.clear()
        self._error = None

    def feed(self, data: bytes) -> None:
        """Take octets that arrived."""
        self._data += data
        self._wake()

    def fail(self, error: LinkError) -> None:
        """Take note that the line went down. The first reason stays."""
        if self._error is None:
            self._error = error
        self._wake()

    def check(self) -> None:
        """Raise LinkError if the line is down."""
        if self._error is not None:
            raise LinkError(str(self._error), hint=self._error.hint)

    def discard(self) -> int:
        """Throw away what waits."""
        count = len(self._data)
        self._data.clear()
        return count

    async def read(self) -> bytes:
        """Return what has arrived, waiting for it if need be."""
        while not self._data:
            self.check()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._data)
        self._data.clear()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Tcp:
    """A TCP connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._inbox = Inbox()
        self._link: _TcpLink | None = None

    async def open(self) -> None:
        """Connect. Raises LinkError if nobody answers within OPEN_S."""
        await self.close()
        loop = asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(OPEN_S):
                _, self._link = await loop.create_connection(lambda: _TcpLink(self._inbox), self._host, self._port)
        except TimeoutError as error:
            raise LinkError(f"{where} did not take the connection within {OPEN_S:g} s", hint="is it on?") from error
        except (OSError, UnicodeError) as error:
            raise LinkError(f"cannot connect to {where}: {error}", hint="is it on, is the address right?") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._inbox.fail(LinkError("the line was closed"))

    async def read(self) -> bytes:
        """Return what has arrived."""
        data = await self._inbox.read()
        if self._link is not None:
            self._link.resume()
        return data

    async def write(self, data: bytes) -> None:
        """Send. The kernel's buffer takes any request of ours at once."""
        self._inbox.check()
        if self._link is None:
            raise LinkError("the line is not open")
        self._link.write(data)

    def discard(self) -> int:
        """Throw away what has arrived."""
        return self._inbox.discard()


class _TcpLink(asyncio.Protocol):
    """The asyncio side of one connection: moves octets and the reason of its end into the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._inbox.start()

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)
        if self._inbox.is_full and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            reason = f"the connection was lost: {exc}" if exc else "the other side closed the connection"
            self._inbox.fail(LinkError(reason))

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        # Detached first, so that a connection_lost of this link cannot touch the inbox of the next.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


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
