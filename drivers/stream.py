"""The read loop of every driver whose instrument speaks by itself: octets in, frames out, with a time-out.

async for mono_ns, frames in listen(line, splitter, timeout_s, clock): ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeVar

from drivers.base import Clock
from drivers.errors import LinkTimeoutError
from drivers.transport import Transport

Frame_co = TypeVar("Frame_co", covariant=True)


class Splitter(Protocol[Frame_co]):
    """Finds frames in a stream of octets, whatever pieces it comes in. Pure, and bounded in memory.

    ``faults`` counts what was dropped because it was garbled; it only grows.
    """

    faults: int

    def feed(self, data: bytes) -> Sequence[Frame_co]:
        """Take octets, return the valid frames that they complete."""
        ...


async def listen(
    line: Transport, splitter: Splitter[Frame_co], timeout_s: float, clock: Clock, hint: str = ""
) -> AsyncIterator[tuple[int, Sequence[Frame_co]]]:
    """Yield (monotonic ns of arrival, frames that arrived together), until the line fails with LinkError.

    Raises LinkTimeoutError if no valid frame comes for ``timeout_s``: garbled octets are no sign of life.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                data = await line.read()
        except TimeoutError as error:
            raise LinkTimeoutError(f"no valid frame for {timeout_s:g} s", hint=hint) from error
        mono_ns = clock()
        frames = splitter.feed(data)
        if frames:
            yield mono_ns, frames
            deadline = loop.time() + timeout_s
