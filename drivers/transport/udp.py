"""A UDP port of ours as a line: instruments send to it, and each datagram is one read."""

from __future__ import annotations

import asyncio
from typing import cast

from drivers.errors import LinkError
from drivers.transport.inbox import HELD_OCTETS, Pieces

Address = tuple[str, int] | tuple[str, int, int, int]

HELD_DATAGRAMS = 1024
"""Datagrams held for a reader that is late, within HELD_OCTETS."""


class Datagrams(Pieces):
    """Whole datagrams that wait for their one reader. A reader that is late loses the oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        """Take a datagram that arrived. One without octets says nothing."""
        if not data:
            return
        super().feed(data)
        while self._held > HELD_OCTETS or len(self._pieces) > HELD_DATAGRAMS:
            self._take()
            self.dropped += 1


class Udp:
    """A local UDP port. What is written goes to whoever sent the newest datagram."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._inbox = Datagrams()
        self._link: _UdpLink | None = None

    @property
    def dropped(self) -> int:
        """Datagrams that were lost because the reader was late, over all openings."""
        return self._inbox.dropped

    async def open(self) -> None:
        """Bind the port. Raises LinkError if another program has it or the address is not ours."""
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            _, self._link = await loop.create_datagram_endpoint(
                lambda: _UdpLink(self._inbox), local_addr=(self._host, self._port)
            )
        except (OSError, UnicodeError) as error:
            raise LinkError(
                f"cannot receive at {self._host}:{self._port}: {error}",
                hint="is the address one of this machine (0.0.0.0: all of them), is the port free?",
            ) from error

    async def close(self) -> None:
        """Give the port back."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._inbox.fail(LinkError("the line was closed"))

    async def read(self) -> bytes:
        """Return one datagram."""
        return await self._inbox.read()

    async def write(self, data: bytes) -> None:
        """Send one datagram. Raises LinkError if nobody has sent us one since `open`."""
        self._inbox.check()
        if self._link is None:
            raise LinkError("the line is not open")
        self._link.write(data)

    def discard(self) -> int:
        """Throw away the datagrams that wait."""
        return self._inbox.discard()


class _UdpLink(asyncio.DatagramProtocol):
    """The asyncio side of one bound port."""

    def __init__(self, inbox: Datagrams) -> None:
        self._inbox = inbox
        self._transport: asyncio.DatagramTransport | None = None
        self._peer: Address | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's own class is none
        self._inbox.start()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._peer = addr
        self._inbox.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._inbox.fail(LinkError(f"the port was lost: {exc}"))

    def write(self, data: bytes) -> None:
        if self._peer is None:
            raise LinkError("nobody has sent a datagram yet that could be answered")
        if self._transport is not None:
            self._transport.sendto(data, self._peer)

    def close(self) -> None:
        # Detached first, so that a connection_lost of this link cannot touch the inbox of the next.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
