"""A TCP connection as a line."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from drivers.errors import LinkError
from drivers.transport.inbox import Inbox

OPEN_S = 5.0
"""How long a TCP connection may take to be made."""

UNACKNOWLEDGED_MS = 10_000
"""How long the peer's kernel may leave octets unacknowledged: what tells a peer that is gone from one that is slow."""


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
