"""A TCP connection as a line, made by us, plain or with TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from drivers.errors import LinkError
from drivers.transport.inbox import Inbox

OPEN_S = 5.0
"""How long a connection, with its TLS handshake, may take to be made."""

UNACKNOWLEDGED_MS = 10_000
"""How long the peer's kernel may leave octets unacknowledged: what tells a peer that is gone from one that is slow."""

SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS),
)
"""A peer that vanished without a word is noticed within half a minute, even by a line that only listens."""

Context = Callable[[], ssl.SSLContext]
"""Makes what a TLS connection is verified with. Called at each opening, since certificates are renewed."""


class Tcp:
    """A TCP connection. With ``context`` it is one with TLS."""

    def __init__(self, host: str, port: int, context: Context | None = None) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._inbox = Inbox()
        self._link: Connection | None = None

    async def open(self) -> None:
        """Connect. Raises LinkError if nobody answers within OPEN_S or is not who it must be; SettingsError."""
        await self.close()
        loop = asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        context = None if self._context is None else await asyncio.to_thread(self._context)
        try:
            async with asyncio.timeout(OPEN_S):
                _, self._link = await loop.create_connection(
                    lambda: Connection(self._inbox, self._start), self._host, self._port, ssl=context
                )
        except TimeoutError as error:
            raise LinkError(f"{where} did not take the connection within {OPEN_S:g} s", hint="is it on?") from error
        except ssl.SSLError as error:
            raise LinkError(f"no TLS with {where}: {error}", hint=_hint_of(error)) from error
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

    def _start(self, _: Connection) -> None:
        self._inbox.start()


class Connection(asyncio.Protocol):
    """The asyncio side of one connection: moves octets and the reason of its end into the inbox.

    ``on_made`` is called with it once it stands.
    """

    def __init__(self, inbox: Inbox, on_made: Callable[[Connection], None]) -> None:
        self._inbox = inbox
        self._on_made = on_made
        self._transport: asyncio.Transport | None = None
        self._paused = False

    @property
    def peer(self) -> str:
        """Who is on the other side, as host:port."""
        address = self._transport.get_extra_info("peername") if self._transport is not None else None
        return f"{address[0]}:{address[1]}" if address else "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection that stands."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none
        raw = transport.get_extra_info("socket")
        for option in SOCKET_OPTIONS:
            raw.setsockopt(*option)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Take octets, and stop reading when the reader is late."""
        if self._transport is None:
            return
        self._inbox.feed(data)
        if self._inbox.is_full:
            self._transport.pause_reading()
            self._paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end, unless we made it."""
        if self._transport is not None:
            self._transport = None
            reason = f"the connection was lost: {exc}" if exc else "the other side closed the connection"
            self._inbox.fail(LinkError(reason))

    def resume(self) -> None:
        """Read on, after the inbox was emptied."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """End the connection; what still comes of it no longer reaches the inbox."""
        # Detached first, so that a connection_lost of this link cannot touch the inbox of the next.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


def _hint_of(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "does its certificate come from ca_file, and does it bear the host of the url?"
    return "does it speak TLS 1.2 at this port, and does it want a certificate of ours (cert_file)?"
