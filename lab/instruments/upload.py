"""An instrument that connects to its platform by itself, and says each thing again until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RETRY_S = 0.2
"""Between two tries to connect."""

HELD_OCTETS = 4096

IsAnswer = Callable[[bytes], bool]
"""Tell whether what came holds the answer."""


class Upload:
    """A connection to one host and port, made again whenever it is lost."""

    def __init__(self, host: str, port: int, answer_s: float = 10.0) -> None:
        self._host = host
        self._port = port
        self._answer_s = answer_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent = 0

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def deliver(self, octets: bytes, is_answer: IsAnswer) -> None:
        """Send octets, and again after a time-out or over a new connection, until they are answered."""
        while True:
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._exchange(octets, is_answer)
                return
            except TimeoutError:
                continue
            except OSError:
                self.close()
                await asyncio.sleep(RETRY_S)

    async def _exchange(self, octets: bytes, is_answer: IsAnswer) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(octets)
        await writer.drain()
        self.sent += 1
        came = b""
        while not is_answer(came):
            data = await reader.read(HELD_OCTETS)
            if not data:
                raise ConnectionError("the platform closed the connection")
            came = (came + data)[-HELD_OCTETS:]
