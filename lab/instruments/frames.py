"""Instruments that speak frames of their own: an anemometer in text, an accelerometer board in octets."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.signals import Signal, Swing
from lab.instruments.weather import SETTLE_S
from lab.ledger import Ledger, wire_counter

COUNTS_PER_G = 256_000
NOISE_COUNTS = 100.0


class Speaker(ABC):
    """Says a frame at a steady rate while somebody listens; a frame counts when the line took it whole."""

    def __init__(
        self,
        line: PtyLine,
        ledger: Ledger,
        observe: Observe,
        rate_hz: float,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._line = line
        self.ledger = ledger
        self._observe = observe
        self._period_s = 1 / rate_hz
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            await self._line.opened()
            await asyncio.sleep(SETTLE_S)
            loop = asyncio.get_running_loop()
            due = loop.time()
            while self._line.is_open:
                self.speak()
                due += self._period_s
                await asyncio.sleep(max(0.0, due - loop.time()))

    def speak(self) -> None:
        """Say one frame."""
        if not self.is_powered:
            return
        at_ns = self._clock()
        number = self.ledger.number_next()
        octets, values = self.frame(wire_counter(number), at_ns)
        if not self._line.write(octets):
            self.ledger.withdraw(number)
            return
        for name, value in values.items():
            self._observe(f"{self._device}.{name}", value, at_ns)

    @abstractmethod
    def frame(self, counter: int, at_ns: int) -> tuple[bytes, dict[str, float]]:
        """Make a frame and tell the values in it by name."""


class Anemometer(Speaker):
    """A Gill WindSonic, polar and continuous, with the counter in a field that the original has not: before ETX."""

    _direction = Signal(Swing(base=205.0, swing=20.0, period_s=200.0, noise=3.0), "direction")
    _speed = Signal(Swing(base=4.2, swing=1.6, period_s=90.0, noise=0.3), "speed")

    def frame(self, counter: int, at_ns: int) -> tuple[bytes, dict[str, float]]:
        """STX, node, direction, speed, unit, status, counter, ETX, exclusive-or of all between the two in hex."""
        direction, speed = round(self._direction.value(at_ns)) % 360, max(0.05, self._speed.value(at_ns))
        body = f"Q,{direction:03d},{speed:06.2f},M,00,{counter},".encode("ascii")
        check = 0
        for octet in body:
            check ^= octet
        return b"\x02%b\x03%02X\r\n" % (body, check), {"speed": round(speed, 2)}


class AccelerometerBoard(Speaker):
    """An ADXL355 at +-2 g behind a board: AA 55, counter (16 bits), three times 20 bits, CRC-16 of all after AA 55."""

    _random = random.Random("quiet board")

    def frame(self, counter: int, at_ns: int) -> tuple[bytes, dict[str, float]]:  # noqa: ARG002 - the ground is at rest
        """Make a frame of a board that stands upright."""
        x, y, z = (round(self._random.gauss(rest, NOISE_COUNTS)) for rest in (0, 0, COUNTS_PER_G))
        body = counter.to_bytes(2, "big") + b"".join(
            (counts << 4 & 0xFFFFFF).to_bytes(3, "big") for counts in (x, y, z)
        )
        octets = b"\xaa\x55" + body + crc_ccitt_false(body).to_bytes(2, "big")
        return octets, {name: counts / COUNTS_PER_G for name, counts in (("ax", x), ("ay", y), ("az", z))}


def crc_ccitt_false(octets: bytes) -> int:
    """CRC-16 of polynomial 1021 (hex), start FFFF, high bit first, bit by bit."""
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc
