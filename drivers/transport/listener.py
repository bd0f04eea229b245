"""A TCP port of ours as a line: one instrument, or its radio modem, connects to it."""

from __future__ import annotations

import asyncio

from drivers.errors import LinkError
from drivers.transport.inbox import Inbox
from drivers.transport.tcp import Connection


class Listener:
    """A listening port and the one connection that came in. Reading and writing wait for that one.

    A connection that ends, or that a newer one takes the place of, takes the line down: what a driver holds of a frame
    that was cut off must not be joined with what the next connection says. Opened again, the line waits anew.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._inbox = Inbox()
        self._server: asyncio.Server | None = None
        self._link: Connection | None = None
        self._is_changed = asyncio.Event()

    async def open(self) -> None:
        """Listen. Raises LinkError if another program has the port or the address is not ours."""
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self._inbox, self._take), self._host, self._port)
        except (OSError, UnicodeError) as error:
            raise LinkError(
                f"cannot listen at {self._host}:{self._port}: {error}",
                hint="is the address one of this machine (0.0.0.0: all of them), is the port free?",
            ) from error
        self._inbox.start()
        self._is_changed.clear()

    async def close(self) -> None:
        """Stop listening and drop the connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop(LinkError("the line was closed"))

    async def read(self) -> bytes:
        """Return what has arrived, waiting for a connection if there is none."""
        data = await self._inbox.read()
        if self._link is not None:
            self._link.resume()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting for a connection if there is none."""
        self._inbox.check()
        while self._link is None:
            await self._is_changed.wait()
            self._inbox.check()
        self._link.write(data)

    def discard(self) -> int:
        """Throw away what has arrived."""
        return self._inbox.discard()

    def _take(self, link: Connection) -> None:
        """Take a connection that came in, if it is the first since `open`."""
        if self._inbox.error is None and self._link is None:
            self._link = link
            self._is_changed.set()
            return
        if self._link is not None:
            self._drop(LinkError(f"{link.peer} connected in place of {self._link.peer}"))
        link.close()

    def _drop(self, error: LinkError) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._inbox.fail(error)
        self._is_changed.set()
