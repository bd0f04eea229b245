"""An instrument that connects to its platform by itself, and says each thing again until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RETRY_S = 0.2
"""Between two tries to connect."""

HELD_OCTETS = 4096

IsAnswer = Callable[[bytes], bool]
"""Tell whether what came holds the answer."""

Sent = Callable[[], None]
"""Told that octets have left."""


def nobody() -> None:
    """Nobody wants to know."""


class Upload:
    """A connection to one host and port, made again whenever it is lost."""

    def __init__(self, host: str, port: int, answer_s: float = 10.0) -> None:
        self._host = host
        self._port = port
        self._answer_s = answer_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.connections = 0

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def deliver(self, octets: bytes, is_answer: IsAnswer, on_sent: Sent, on_again: Sent = nobody) -> None:
        """Send octets, and again after a time-out or over a new connection, until they are answered.

        ``on_sent`` is called once, when they have left for the first time, ``on_again`` each time that they leave anew.
        """
        is_first = True
        while True:
            try:
                async with asyncio.timeout(self._answer_s):
                    reader = await self._send(octets)
                    (on_sent if is_first else on_again)()
                    is_first = False
                    await self._await_answer(reader, is_answer)
                return
            except TimeoutError:
                continue
            except OSError:
                self.close()
                await asyncio.sleep(RETRY_S)

    async def _send(self, octets: bytes) -> asyncio.StreamReader:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
            self.connections += 1
        reader, writer = self._streams
        writer.write(octets)
        await writer.drain()
        return reader

    async def _await_answer(self, reader: asyncio.StreamReader, is_answer: IsAnswer) -> None:
        came = b""
        while not is_answer(came):
            data = await reader.read(HELD_OCTETS)
            if not data:
                raise ConnectionError("the platform closed the connection")
            came = (came + data)[-HELD_OCTETS:]
