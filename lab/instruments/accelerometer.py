"""A WitMotion accelerometer that streams 100 frames a second: quiet noise, and a recorded earthquake on request."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable

from lab.instruments.ground import Acceleration, Ground
from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.weather import SETTLE_S
from lab.ledger import Ledger, wire_counter

RATE_HZ = 100
RANGE_G = 16.0


def to_counts(acceleration_g: float) -> int:
    """Give the 16-bit count of an acceleration at +-16 g."""
    return max(-32768, min(32767, round(acceleration_g / RANGE_G * 32768)))


def frame(counts: tuple[int, int, int], counter: int) -> bytes:
    """Build a frame: 55 51, three int16 little endian, the counter in the temperature's place, sum of all octets."""
    body = struct.pack("<BB3hH", 0x55, 0x51, *counts, counter)
    return body + bytes((sum(body) & 0xFF,))


class Accelerometer:
    """Streams while somebody listens. Gravity stands on the vertical."""

    def __init__(
        self,
        line: PtyLine,
        ledger: Ledger,
        observe: Observe,
        ground: Ground,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._observe = observe
        self.ground = ground
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

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
        east, north, up = self.ground.move()
        return east, north, up + 1.0
