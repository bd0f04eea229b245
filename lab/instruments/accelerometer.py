"""A WitMotion accelerometer that streams 100 frames a second: quiet noise, and a recorded earthquake on request."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable, Sequence
from importlib import resources

from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.weather import SETTLE_S
from lab.ledger import Ledger, wire_counter

RATE_HZ = 100
RECORDING = "ridgecrest-2019-CI.CCC.csv"
RANGE_G = 16.0
NOISE_G = 0.0004
Acceleration = tuple[float, float, float]
"""East, north, up, in g."""


def load_recording(name: str = RECORDING) -> tuple[Acceleration, ...]:
    """Read a recording: micro-g per line and channel, lines with '#' are its source."""
    text = resources.files("lab.recordings").joinpath(name).read_text("utf-8")
    rows = (line.split(",") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((int(east) / 1e6, int(north) / 1e6, int(up) / 1e6) for east, north, up in rows)


def to_counts(acceleration_g: float) -> int:
    """Give the 16-bit count of an acceleration at +-16 g."""
    return max(-32768, min(32767, round(acceleration_g / RANGE_G * 32768)))


def frame(counts: tuple[int, int, int], counter: int) -> bytes:
    """Build a frame: 55 51, three int16 little endian, the counter in the temperature's place, sum of all octets."""
    body = struct.pack("<BB3hH", 0x55, 0x51, *counts, counter)
    return body + bytes((sum(body) & 0xFF,))


class Accelerometer:
    """Streams while somebody listens; ``strike`` starts the recording. Gravity stands on the vertical."""

    def __init__(
        self,
        line: PtyLine,
        ledger: Ledger,
        observe: Observe,
        recording: Sequence[Acceleration],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._observe = observe
        self._recording = recording
        self._clock = clock
        self._random = random.Random("quiet ground")
        self._position: int | None = None
        self._device = ledger.group.partition(".")[0]
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    def strike(self) -> None:
        """Let the earthquake arrive, from its first sample."""
        self._position = 0

    async def run(self) -> None:
        """Stream until cancelled."""
        while True:
            await self._line.opened()
            await asyncio.sleep(SETTLE_S)
            start_ns, sent = self._clock(), 0
            while self._line.is_open:
                due = (self._clock() - start_ns) * RATE_HZ // 1_000_000_000
                for _ in range(due - sent):
                    self.emit()
                sent = max(sent, due)
                await asyncio.sleep(max(0.0, start_ns / 1e9 + (sent + 1) / RATE_HZ - self._clock() / 1e9))

    def emit(self) -> None:
        """Send one frame; it counts when the line took it whole."""
        if not self.is_powered:
            return
        east, north, up = (to_counts(value) for value in self._next())
        number = self._ledger.number_next()
        at_ns = self._clock()
        if not self._line.write(frame((east, north, up), wire_counter(number))):
            self._ledger.withdraw(number)
            return
        for axis, counts in (("ax", east), ("ay", north), ("az", up)):
            self._observe(f"{self._device}.{axis}", counts * RANGE_G / 32768, at_ns)

    def _next(self) -> Acceleration:
        if self._position is not None and self._position < len(self._recording):
            east, north, up = self._recording[self._position]
            self._position += 1
        else:
            self._position = None
            east, north, up = (self._random.gauss(0.0, NOISE_G) for _ in range(3))
        return east, north, up + 1.0
