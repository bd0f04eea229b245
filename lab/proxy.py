"""A gateway's link to the broker as a TCP proxy, so that a scenario can cut it, hold it up or make it thin."""

from __future__ import annotations

import asyncio
import contextlib

CHUNK = 64 * 1024
THIN_CHUNK = 256


class Way:
    """One direction of a link: held, so that nothing passes and no end is told, or thin."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.octets_per_s: float | None = None

    def hold(self) -> None:
        """Let nothing pass."""
        self._open.clear()

    def heal(self) -> None:
        """Let everything pass at once."""
        self._open.set()
        self.octets_per_s = None

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until an end closes."""
        while chunk := await reader.read(CHUNK if self.octets_per_s is None else THIN_CHUNK):
            await self._open.wait()
            if self.octets_per_s is not None:
                await asyncio.sleep(len(chunk) / self.octets_per_s)
            writer.write(chunk)
            await writer.drain()


class Link:
    """Forwards connections to one port of the loopback while it is healed. ``up`` leads to the broker."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._port = 0
        self._servers: dict[str, asyncio.Server] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.up, self.down = Way(), Way()

    async def open(self) -> int:
        """Listen on a free port and return it."""
        self._port = await self._serve("127.0.0.1", 0)
        return self._port

    async def listen(self, host: str) -> None:
        """Listen on the same port of one more address, unless it does so already."""
        if host not in self._servers:
            await self._serve(host, self._port)

    async def _serve(self, host: str, port: int) -> int:
        server = await asyncio.start_server(self._forward, host, port)
        self._servers[host] = server
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Stop forwarding. May be called twice."""
        while self._servers:
            _, server = self._servers.popitem()
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Break every connection at once and refuse new ones."""
        self.is_cut = True
        for writer in tuple(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Forward again."""
        self.is_cut = False
        self.up.heal()
        self.down.heal()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(self.up, reader, far_writer), _pump(self.down, far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()


async def _pump(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await way.carry(reader, writer)
    writer.close()
