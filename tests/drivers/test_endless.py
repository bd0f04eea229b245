"""Every driver on a line that never ends a frame: what it keeps of it is bounded."""

import asyncio
import random
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from drivers.base import Streaming, find
from drivers.errors import DriverError, LinkError
from tests.drivers.cases import Case, groups_of
from tests.edge import virtual
from tests.fuzz.targets import all_cases, target_of

CHUNK_OCTETS = 1024
CHUNKS = 128
KEPT_OCTETS_MOST = CHUNKS * CHUNK_OCTETS // 4
"""What is fed is four times that; the longest frame and what the interpreter keeps besides have room in it."""

CASES = {target_of(case): case for case in all_cases()}


def _heard(case: Case) -> list[bytes]:
    return [step.data for step in case.steps if not step.sent]


def _repeat(octets: bytes) -> bytes:
    return octets * (CHUNK_OCTETS // len(octets))


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda _: bytes(CHUNK_OCTETS),
    "digits": lambda _: b"1" * CHUNK_OCTETS,
    "noise": lambda frame: random.Random(frame).randbytes(CHUNK_OCTETS),
    "heads": lambda frame: _repeat(frame[:2]),
    "frames cut short": lambda frame: _repeat(frame[: len(frame) // 2]),
    "frames without an end": lambda frame: _repeat(frame.replace(b"\r", b"").replace(b"\n", b"")[:-1] or frame[:1]),
}
"""What never ends, made from the last frame of a capture."""


class Endless:
    """Brings all but the last frame of a capture, then the same octets again and again. Time stands still meanwhile."""

    def __init__(self, case: Case, stream: Callable[[bytes], bytes]) -> None:
        *self._before, last = _heard(case)
        self._stream = stream(last)
        self._left = CHUNKS
        self.kept_octets = 0

    @property
    def is_done(self) -> bool:
        return self._left == 0

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self._before:
            return self._before.pop(0)
        if self.is_done:
            raise LinkError("enough")
        self._left -= 1
        self.kept_octets = tracemalloc.get_traced_memory()[0]
        return bytes(bytearray(self._stream))

    async def write(self, data: bytes) -> None:
        pass

    def discard(self) -> int:
        return 0


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("target", CASES)
def test_stream_that_ends_no_frame_is_not_kept(target: str, stream: str):
    case = CASES[target]
    line, kind, groups = Endless(case, STREAMS[stream]), find(case.kind), groups_of(case)
    driver = kind.build(msgspec.convert(case.settings, kind.settings), groups, clock=virtual.mono_ns, line=line)

    async def hear() -> None:
        while not line.is_done:
            await driver.open()
            try:
                if isinstance(driver, Streaming):
                    async for _ in driver.scans():
                        pass
                for group in groups:
                    await driver.read(group)
            except DriverError:
                await asyncio.sleep(3600)  # it may leave an instrument alone for a while

    tracemalloc.start()
    try:
        virtual.run(hear)
    finally:
        tracemalloc.stop()
    assert line.kept_octets < KEPT_OCTETS_MOST
