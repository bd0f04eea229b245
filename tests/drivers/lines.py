"""Lines whose other side is a function of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.errors import LinkError
from drivers.transport import Inbox


class Answering:
    """A line on which ``answer(request)`` says what comes back, and after how many seconds, in the order asked."""

    def __init__(self, answer: Callable[[bytes], tuple[bytes, float]]) -> None:
        self.sent: list[bytes] = []
        self._answer = answer
        self._inbox = Inbox()
        self._free_at = 0.0

    async def open(self) -> None:
        self._inbox.start()

    async def close(self) -> None:
        self._inbox.fail(LinkError("the line was closed"))

    async def read(self) -> bytes:
        return await self._inbox.read()

    async def write(self, data: bytes) -> None:
        self._inbox.check()
        self.sent.append(data)
        reply, delay_s = self._answer(data)
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + delay_s
        if self._free_at > loop.time():
            loop.call_at(self._free_at, self._inbox.feed, reply)
        else:
            self._inbox.feed(reply)

    def discard(self) -> int:
        return self._inbox.discard()

    def arrive(self, data: bytes) -> None:
        self._inbox.feed(data)

    def hang_up(self) -> None:
        self._inbox.fail(LinkError("hung up"))
