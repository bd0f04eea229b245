"""A Raspberry Shake that sends a geophone and three accelerometers by UDP: 25 samples a datagram, 100 a second."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence

from lab.instruments.ground import Acceleration, Ground
from lab.instruments.registers import Observe
from lab.ledger import Ledger, wire_counter

RATE_HZ = 100
BATCH = 25
COUNTS_PER_MS2 = 384_500
STANDARD_GRAVITY = 9.80665
AXES = {"ENE": "ae", "ENN": "an", "ENZ": "az"}
"""Channels of the accelerometers, and the names that tags have."""
GEOPHONE = "EHZ"
COUNTS_PER_MS = 3.6e8
CLIPPED = (1 << 23) - 1
NOISE_MS = 2e-6
DECAY = 0.98
"""What a sample later is left of a velocity: the geophone shows no slow motion."""
COUNTER = "CNT"
"""The counter travels as a fourth channel, one number a sample."""


def datagram(channel: str, start_s: float, counts: Sequence[int]) -> bytes:
    """Write a datagram as DATACAST does."""
    return f"{{'{channel}', {start_s:.3f}, {', '.join(str(count) for count in counts)}}}".encode("ascii")


def connect(port: int) -> socket.socket:
    """Make the socket to send by."""
    network = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    network.setblocking(False)
    network.connect(("127.0.0.1", port))
    return network


class Shake:
    """Sends a batch of each channel at a time; its samples count when the network took them all."""

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        observe: Observe,
        ground: Ground,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._port = port
        self.ledger = ledger
        self._observe = observe
        self.ground = ground
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self._velocity_ms = 0.0
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        due, start_s = loop.time(), time.time()
        with connect(self._port) as network:
            while True:
                due += BATCH / RATE_HZ
                await asyncio.sleep(max(0.0, due - loop.time()))
                self.emit(network, start_s)
                start_s += BATCH / RATE_HZ

    def emit(self, network: socket.socket, start_s: float) -> None:
        """Send one batch that begins at a time in seconds since 1970."""
        if not self.is_powered:
            return
        at_ns = self._clock()
        numbers = [self.ledger.number_next() for _ in range(BATCH)]
        samples, velocities = zip(*(self._next() for _ in range(BATCH)), strict=True)
        columns = [[round(g * STANDARD_GRAVITY * COUNTS_PER_MS2) for g in axis] for axis in zip(*samples, strict=True)]
        channels = [
            (GEOPHONE, [max(-CLIPPED, min(CLIPPED, round(each * COUNTS_PER_MS))) for each in velocities]),
            *zip(AXES, columns, strict=True),
            (COUNTER, [wire_counter(number) for number in numbers]),
        ]
        try:
            for channel, counts in channels:
                network.send(datagram(channel, start_s, counts))
        except OSError:
            # Nobody listens, or the network is full: what came of this batch is not whole.
            for number in numbers:
                self.ledger.withdraw(number)
            return
        for axis, counts in zip(AXES.values(), columns, strict=True):
            for count in counts:
                self._observe(f"{self._device}.{axis}", count / COUNTS_PER_MS2, at_ns)

    def _next(self) -> tuple[Acceleration, float]:
        """Give the next acceleration, and the vertical velocity in m/s."""
        is_struck = self.ground.is_struck
        east, north, up = self.ground.move()
        grown_ms = self._velocity_ms * DECAY + up * STANDARD_GRAVITY / RATE_HZ
        self._velocity_ms = grown_ms if is_struck else self.ground.noise(NOISE_MS)
        return (east, north, up + 1.0), self._velocity_ms
