"""A seismic station's instrument: three accelerometers by UDP, in a Raspberry Shake's datagrams, 100 samples a second.

Its samples go to the gateway's analyser and ring, not to lane M, so no ledger counts them. What it knows instead is how
strong the earthquake is by then, computed by others beforehand (lab/recordings), and when its peak left.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import resources

import msgspec

from lab.instruments.ground import RECORDING, Acceleration
from lab.instruments.registers import Observe
from lab.instruments.shake import AXES, BATCH, COUNTS_PER_MS2, RATE_HZ, STANDARD_GRAVITY, connect, datagram

NOISE_G = 0.00002
NS = 1_000_000_000
OVER_S = 45.0
"""After the last sample of the recording, until the station has closed its event."""


class Growth(msgspec.Struct, frozen=True):
    """The largest motion up to a sample: acceleration in m/s2, velocity in m/s."""

    sample: int
    pga: float
    pgv: float

    def intensity(self, scale: float) -> float:
        """Give the instrumental intensity of this motion times ``scale``. Source: GB/T 17742-2020, annex A."""
        if self.pgv <= 0:
            return 1.0
        by_acceleration = 3.17 * math.log10(self.pga * scale) + 6.59
        by_velocity = 3.00 * math.log10(self.pgv * scale) + 9.77
        both_strong = by_acceleration >= 6 and by_velocity >= 6
        return max(1.0, by_velocity if both_strong else (by_acceleration + by_velocity) / 2)


def load_growth() -> tuple[Growth, ...]:
    """Read how the recording grows."""
    name = RECORDING.replace(".csv", ".growth.csv")
    text = resources.files("lab.recordings").joinpath(name).read_text("utf-8")
    rows = (line.split(",") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Growth(int(sample), float(pga), float(pgv)) for sample, pga, pgv in rows)


def find_strongest(scale: float) -> int:
    """Return the sample that brings the intensity to what it comes to in the end."""
    growth = load_growth()
    return next(each.sample for each in growth if each.intensity(scale) == growth[-1].intensity(scale))


class Seismograph:
    """Sends its batches; ``strike`` starts the recording, ``delay_s`` later and ``scale`` times as strong.

    ``tag`` is the station's intensity, which it observes as the recording says. Once ``peaked``, ``peak`` tells when
    the sample that brings the full intensity was taken, and when it left, in UTC.
    """

    def __init__(
        self,
        port: int,
        tag: str,
        observe: Observe,
        recording: Sequence[Acceleration],
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        scale: float = 1.0,
        delay_s: float = 0.0,
    ) -> None:
        self._port = port
        self._tag = tag
        self._observe = observe
        self._recording = recording
        self._clock = clock
        self._scale = scale
        self._delay = round(delay_s * RATE_HZ)
        self._random = random.Random("quiet rock")
        self._position: int | None = None
        self._growth: Iterator[Growth] = iter(())
        self._next_growth: Growth | None = None
        self._strongest = find_strongest(scale)
        self.peaked = asyncio.Event()
        self.peak = (0, 0)
        self.is_powered = True

    @property
    def peak_intensity(self) -> float:
        """What its station measures in the end."""
        return load_growth()[-1].intensity(self._scale)

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    def strike(self) -> None:
        """Let the earthquake arrive. One that is under way goes on."""
        if self._position is None:
            self._position = -self._delay
            self._growth = iter(load_growth())
            self._next_growth = next(self._growth)
            self.peaked.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        due, start_s = loop.time(), time.time()
        with connect(self._port) as network:
            while True:
                due += BATCH / RATE_HZ
                await asyncio.sleep(max(0.0, due - loop.time()))
                if self.is_powered:
                    self.emit(network, start_s)
                start_s += BATCH / RATE_HZ

    def emit(self, network: socket.socket, start_s: float) -> None:
        """Send one batch that begins at a time in seconds since 1970. What finds nobody is not sent again."""
        samples = [self._next() for _ in range(BATCH)]
        for channel, axis in zip(AXES, zip(*samples, strict=True), strict=True):
            counts = [round(g * STANDARD_GRAVITY * COUNTS_PER_MS2) for g in axis]
            try:
                network.send(datagram(channel, start_s, counts))
            except OSError:
                return
        self._tell(round(start_s * 1e9))

    def _next(self) -> Acceleration:
        """Give the next acceleration in g; gravity stands on the vertical."""
        east, north, up = (self._random.gauss(0.0, NOISE_G) for _ in range(3))
        if self._position is not None:
            if 0 <= self._position < len(self._recording):
                east, north, up = (self._scale * g for g in self._recording[self._position])
            self._position += 1
        return east, north, up + 1.0

    def _tell(self, start_ns: int) -> None:
        """Observe how strong the earthquake is by now, by what was sent."""
        if self._position is None:
            return
        at_ns, grown = self._clock(), None
        while self._next_growth is not None and self._next_growth.sample < self._position:
            grown, self._next_growth = self._next_growth, next(self._growth, None)
        if grown is not None:
            self._observe(self._tag, grown.intensity(self._scale), at_ns)
        if not self.peaked.is_set() and self._position > self._strongest:
            place = BATCH - (self._position - self._strongest)
            self.peak = start_ns + place * NS // RATE_HZ, time.time_ns()
            self.peaked.set()
        if self._position > len(self._recording) + OVER_S * RATE_HZ:
            self._position = None
            self._observe(self._tag, 1.0, at_ns)
