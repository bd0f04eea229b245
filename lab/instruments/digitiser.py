"""A digitiser of a seismic station with a SeedLink 4 server: three accelerometers, 100 samples a second."""

from __future__ import annotations

import asyncio
import socket
import time
from array import array
from collections.abc import Callable

from lab.instruments.ground import Acceleration, Ground
from lab.instruments.registers import Observe
from lab.ledger import Ledger, wire_counter
from seismic import miniseed, seedlink, seedlink_info
from seismic.packet import Packet
from seismic.seedlink_server import Ask, Catalogue, Close, Say, Session, Start, Step
from wire.record import WaveFlag

RATE_HZ = 100
NS = 10**9
COUNTS_PER_G = 1_000_000
STATION = "CQ_SHT"
AXES = {"HNE": "ae", "HNN": "an", "HNZ": "az"}
"""Channels of the accelerometers, and the names that tags have."""
COUNTER = "CNT"
"""The counter travels as a fourth channel, one number a sample."""
TIMING = 100
HELLO = seedlink.Hello("lab digitiser", "district in a box", ("4.0",))


class Digitiser:
    """Serves one client; its samples count when the network took the records of all channels of a second."""

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
        self._sequence = 0
        self._client: asyncio.StreamWriter | None = None
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Serve and record until cancelled."""
        loop = asyncio.get_running_loop()
        due, start_ns = loop.time(), time.time_ns()
        with socket.create_server(("127.0.0.1", self._port)) as listening:
            async with await asyncio.start_server(self._talk, sock=listening):
                while True:
                    due += 1.0
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    await self.emit(start_ns)
                    start_ns += NS

    async def emit(self, start_ns: int) -> None:
        """Send the records of one second that begins at a time in ns since 1970."""
        if not self.is_powered:
            return
        at_ns = self._clock()
        numbers = [self.ledger.number_next() for _ in range(RATE_HZ)]
        samples = [self._next() for _ in range(RATE_HZ)]
        columns = [[round(g * COUNTS_PER_G) for g in axis] for axis in zip(*samples, strict=True)]
        channels = dict(zip(AXES, columns, strict=True)) | {COUNTER: [wire_counter(number) for number in numbers]}
        if not await self._send(channels, start_ns):
            for number in numbers:
                self.ledger.withdraw(number)
            return
        for axis, counts in zip(AXES.values(), columns, strict=True):
            for count in counts:
                self._observe(f"{self._device}.{axis}", count / COUNTS_PER_G, at_ns)

    async def _send(self, channels: dict[str, list[int]], start_ns: int) -> bool:
        client = self._client
        if client is None:
            return False
        try:
            for channel, counts in channels.items():
                stream = f"{STATION.replace('_', '.')}..{channel}"
                packet = Packet(stream, start_ns, 0, RATE_HZ, array("i", counts), TIMING, int(WaveFlag.CLOCK_LOCKED))
                for record in miniseed.records(packet):
                    self._sequence += 1
                    client.write(seedlink.format_packet(seedlink.Carried(STATION, self._sequence, record)))
            await client.drain()
        except OSError:
            self._client = None
        return self._client is client

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(HELLO, lambda pattern: pattern == STATION)
        try:
            while octets := await reader.read(4096):
                for step in session.feed(octets):
                    if isinstance(step, Close):
                        return
                    self._do(step, writer)
        except OSError:
            return
        finally:
            if self._client is writer:
                self._client = None
            writer.close()

    def _do(self, step: Step, writer: asyncio.StreamWriter) -> None:
        known = [seedlink_info.StationInfo(STATION, "digitiser of the lab", 1, self._sequence + 1)]
        match step:
            case Say():
                writer.write(step.octets)
            case Ask():
                writer.write(seedlink_info.answer(step, HELLO, known, time.time_ns()))
            case Catalogue():
                writer.write(seedlink_info.catalogue(known))
            case Start():
                self._client = writer
            case Close():
                writer.close()

    def _next(self) -> Acceleration:
        """Give the next acceleration in g."""
        east, north, up = self.ground.move()
        return east, north, up + 1.0
