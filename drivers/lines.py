"""Lines of text: cutting them out of a stream of octets, and asking instruments that answer in them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from drivers.base import Clock
from drivers.errors import DeviceError, FrameError, LinkTimeoutError
from drivers.transport import Transport

LATE_MAX_S = 10.0
"""A reply later than this is not waited for any more: adapters and serial servers hold octets for a second or two."""

Answer = TypeVar("Answer")

Take = Callable[[bytes], "Answer | None"]
"""Read a line: the answer, or None if it answers something else.

Raises FrameError if it is garbled, DeviceError if it says that the instrument refuses.
"""


class LineSplitter:
    """Cuts octets into lines, whatever pieces they come in. Pure, and bounded in memory."""

    def __init__(self, octets_max: int) -> None:
        self._octets_max = octets_max
        self._rest = bytearray()
        self._skips = False

    @property
    def is_empty(self) -> bool:
        """Tell whether no line has begun."""
        return not self._rest and not self._skips

    def clear(self) -> None:
        """Forget the line that has begun."""
        self._rest.clear()
        self._skips = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Take octets, return the lines that they end, without CR and LF; None for one that is too long to be any."""
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        cut: list[bytes | None] = []
        for line in lines:
            is_long = self._skips or len(line) > self._octets_max
            self._skips = False
            if is_long:
                cut.append(None)
            elif text := bytes(line).strip(b"\r"):
                cut.append(text)
        if len(self._rest) > self._octets_max:
            self._rest.clear()
            self._skips = True
        return cut


class Asker:
    """Asks the instruments on one line, one at a time, and takes no late reply for the answer to another question.

    A reply names its instrument, but not which of two like questions it answers. An instrument answers in the order
    it is asked. So one that owes a reply is first asked only whether it is there: once it says so, the reply that it
    owed has come or never will. ``greet(address)`` is that question; its answer is the address alone. ``clean`` takes
    away what an adapter puts around a line.
    """

    def __init__(
        self,
        line: Transport,
        octets_max: int,
        timeout_s: float,
        clock: Clock,
        greet: Callable[[str], bytes],
        clean: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._line = line
        self._splitter = LineSplitter(octets_max)
        self._lines: deque[bytes | None] = deque()
        self._timeout_s = timeout_s
        self._clock = clock
        self._greet = greet
        self._clean = clean
        self._owed_until_ns: dict[str, int] = {}

    async def ask(self, address: str, request: bytes, take: Take[Answer]) -> Answer:
        """Send a request and return what ``take`` reads out of a line that comes back.

        Raises LinkTimeoutError if none does in time, FrameError if what came instead was garbled.
        """
        if self._clock() < self._owed_until_ns.get(address, 0):
            await self._exchange(address, self._greet(address), lambda line: line == address.encode() or None)
        self._owed_until_ns.pop(address, None)
        return await self._exchange(address, request, take)

    async def wait(self, take: Take[Answer], seconds: float) -> Answer | None:
        """Wait for a line that comes unasked; None if it does not come in time. Others are passed over."""
        try:
            async with asyncio.timeout(seconds):
                return await self._receive(take, [])
        except TimeoutError:
            return None

    async def _exchange(self, address: str, request: bytes, take: Take[Answer]) -> Answer:
        self._line.discard()
        self._splitter.clear()
        self._lines.clear()
        faults: list[FrameError] = []
        is_owed = True
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._line.write(request)
                answer = await self._receive(take, faults)
            is_owed = False
        except TimeoutError as error:
            raise self._failure(address, faults) from error
        except DeviceError:
            is_owed = False
            raise
        finally:
            if is_owed:
                self._owed_until_ns[address] = self._clock() + int(LATE_MAX_S * 1e9)
        return answer

    async def _receive(self, take: Take[Answer], faults: list[FrameError]) -> Answer:
        while True:
            while self._lines:
                try:
                    answer = take(self._clean(_whole(self._lines.popleft())))
                except FrameError as fault:
                    faults[:] = [fault]
                    continue
                if answer is not None:
                    return answer
            self._lines.extend(self._splitter.feed(await self._line.read()))

    def _failure(self, address: str, faults: list[FrameError]) -> FrameError | LinkTimeoutError:
        if faults:
            return faults[0]
        if not self._splitter.is_empty:
            return FrameError(f"address {address}: a line came without its end", hint="check baud and parity")
        return LinkTimeoutError(
            f"address {address} did not answer within {self._timeout_s:g} s",
            hint="check its address, its power, baud and parity",
        )


def _whole(line: bytes | None) -> bytes:
    if line is None:
        raise FrameError("a line came that is too long to be one", hint="check baud and parity")
    return line
