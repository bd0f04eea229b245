"""Octets that have arrived on a line and wait for their one reader."""

from __future__ import annotations

import asyncio
from collections import deque

from drivers.errors import LinkError

HELD_OCTETS = 64 * 1024
"""Octets held for a reader that is late; beyond it the line stops reading, and the kernel's buffer is the next."""


class Inbox:
    """Octets that have arrived and wait for their one reader. What every line is made of."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._error: LinkError | None = LinkError("the line is not open")
        self._waiter: asyncio.Future[None] | None = None

    @property
    def error(self) -> LinkError | None:
        """Why the line is down, None while it is up."""
        return self._error

    @property
    def is_full(self) -> bool:
        """Tell whether the reader is late by more than is held."""
        return self._held >= HELD_OCTETS

    def start(self) -> None:
        """Begin anew with a line that is up."""
        self.discard()
        self._error = None

    def feed(self, data: bytes) -> None:
        """Take octets that arrived."""
        self._pieces.append(data)
        self._held += len(data)
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
        count, self._held = self._held, 0
        self._pieces.clear()
        return count

    async def read(self) -> bytes:
        """Return what has arrived, waiting for it if need be."""
        while not self._pieces:
            self.check()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self.discard()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Pieces(Inbox):
    """An inbox that keeps what arrived in the pieces in which it came: one is one read."""

    def _take(self) -> bytes:
        data = self._pieces.popleft()
        self._held -= len(data)
        return data
