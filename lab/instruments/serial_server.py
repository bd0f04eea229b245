"""A serial server: an instrument's line behind a TCP port of the network, for one client at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

CHUNKS_HELD_MOST = 64


class SerialServer:
    """The instrument's end of the line; the other end is the client's. A second client takes the line over."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._client: asyncio.Transport | None = None
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(CHUNKS_HELD_MOST)

    async def open(self) -> int:
        """Listen on a free port of the loopback and return it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and drop the client. May be called twice."""
        if self._server is not None:
            self._server.close()
            self.take(None)
            await self._server.wait_closed()
            self._server = None

    def write(self, octets: bytes) -> bool:
        """Write without waiting. False if the network did not take all of it, or nobody is connected."""
        if self._client is None or self._client.is_closing():
            return False
        self._client.write(octets)
        return not self._client.get_write_buffer_size()

    async def received(self) -> AsyncIterator[bytes]:
        """Yield what arrives, over any number of clients."""
        while True:
            yield await self._chunks.get()

    def take(self, client: asyncio.Transport | None) -> None:
        """Give the line to a client, or to nobody; who had it is dropped."""
        if self._client is not None:
            self._client.close()
        self._client = client

    def hear(self, octets: bytes) -> None:
        """Hold octets for the instrument; a line overruns when nobody reads it."""
        if not self._chunks.full():
            self._chunks.put_nowait(octets)


class _Client(asyncio.Protocol):
    """A connection to the server."""

    def __init__(self, server: SerialServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.take(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._server.hear(data)
