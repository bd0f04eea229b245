"""The driver: each object of a packet becomes a scan of the groups that follow it; durable, they are confirmed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec

from drivers.base import Clock, Group, Kept, Scan, taken
from drivers.errors import FrameError
from drivers.framing.splitter import Splitter
from drivers.gb26875.model import Gb26875Settings, State, Transmitter
from drivers.gb26875.objects import Object, read_objects
from drivers.gb26875.packet import CONFIRM, DENY, HEAD, SEND, Packet, answer, measure, parse
from drivers.gb26875.reading import Reading, prepare
from drivers.stream import listen
from drivers.transport import Transport, open_line
from wire.sample import Quality

WallClock = Callable[[], float]
"""Seconds since 1970 UTC."""

UNCERTAIN = int(Quality.UNCERTAIN_STATUS)


class Driver:
    """Yields a scan for each object of which a packet tells: a state holds until the next packet that tells of it.

    A state that was so for longer than ``max_age_s`` when it came, from a transmitter that kept it while it could not
    send, is uncertain, not lost: a fire that is told late still raises its alarm. One that is older than what the same
    component told already is dropped and counted. A packet is answered when its scans are durable; one whose contents
    cannot be read is denied (command 6) and counted.

    A group that names no component follows the newest packet: one component's all-clear says nothing of the others.
    What holds for all is a count (``fire_count``). Counts begin at nothing when the agent starts: nobody tells anew.

    Fires are taken as they stand also where the ``normal`` bit is 0 (under test): transmitters leave it 0 in real ones.
    """

    Settings: ClassVar[type[msgspec.Struct]] = Gb26875Settings
    Device: ClassVar[type[msgspec.Struct]] = Transmitter
    Source: ClassVar[type[msgspec.Struct]] = State

    def __init__(
        self,
        settings: Gb26875Settings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
        wall: WallClock = time.time,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._wall = wall
        self.kept: Kept = taken
        self._readings = [prepare(group) for group in groups]
        self._splitter = Splitter(HEAD, measure, clock)
        self._newest: dict[str, datetime] = {}
        self._dropped = 0

    @staticmethod
    def make_line(settings: Gb26875Settings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """What was dropped since `open`: garbled octets, strangers' packets, unreadable contents, old states."""
        return self._splitter.faults + self._dropped

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()
        self._splitter = Splitter(HEAD, measure, self._clock)
        self._dropped = 0

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no packet comes for ``timeout_s``, else LinkError."""
        self._newest.clear()
        hint = "is the transmitter set to this address and port, and is it on?"
        async for _, frames in listen(self._line, self._splitter, self._timeout_s, self._clock, hint):
            for frame in frames:
                packet = parse(frame.octets, frame.mono_ns)
                if not self._is_ours(packet):
                    self._dropped += 1
                    continue
                try:
                    objects = read_objects(packet.application) if packet.command == SEND else []
                except FrameError:
                    self._dropped += 1
                    await self._line.write(answer(packet, DENY))
                    continue
                for one in objects:
                    for scan in self._scans_of(packet, one):
                        yield scan
                if packet.command == SEND and await self.kept():
                    await self._line.write(answer(packet, CONFIRM))

    def _is_ours(self, packet: Packet) -> bool:
        addresses = {reading.transmitter.address.lower() for reading in self._readings}
        return packet.source in addresses or "" in addresses

    def _scans_of(self, packet: Packet, one: Object) -> list[Scan]:
        return [
            self._scan(reading, packet, one)
            for reading in self._readings
            if reading.follows(packet, one) and not self._is_out_of_order(reading, one)
        ]

    def _scan(self, reading: Reading, packet: Packet, one: Object) -> Scan:
        is_old = self._is_old(reading.transmitter, packet, one)
        judged = reading.judge(one)
        return Scan(
            reading.group,
            packet.mono_ns,
            tuple(value for value, _ in judged),
            tuple(max(quality, UNCERTAIN) if is_old else quality for _, quality in judged),
        )

    def _is_out_of_order(self, reading: Reading, one: Object) -> bool:
        """Tell a state that is older than the last one of the same object. Several objects have no order."""
        if one.since is None or not reading.is_ordered:
            return False
        if one.since < self._newest.get(reading.group, one.since):
            self._dropped += 1
            return True
        self._newest[reading.group] = one.since
        return False

    def _is_old(self, transmitter: Transmitter, packet: Packet, one: Object) -> bool:
        now = packet.sent if transmitter.age_by == "instrument" else self._now(transmitter)
        if one.since is None or now is None:
            return False
        return (now - one.since).total_seconds() > transmitter.max_age_s

    def _now(self, transmitter: Transmitter) -> datetime:
        zone = timedelta(hours=transmitter.utc_offset_h)
        return datetime.fromtimestamp(self._wall(), UTC).replace(tzinfo=None) + zone
