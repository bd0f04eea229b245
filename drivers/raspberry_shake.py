"""Raspberry Shake seismographs that send us their samples by UDP (DATACAST), one channel a datagram, four a second.

    {'EHZ', 1582315130.292, 14168, 14927, 16112, ...}

Channel, seconds since 1970 of the first sample by the Shake's clock, counts of its digitiser: 25 a datagram at 100 a
second, 50 of the first models at 50. Source: manual.raspberryshake.org/udp.html. A datagram has no number: what is lost
shows as a gap between the times of a channel. Nothing tells a forged datagram: let only the Shake reach the port.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import SettingsError
from drivers.framing.splitter import NO, WAIT, Splitter
from drivers.stream import listen
from drivers.timeline import Timeline
from drivers.transport import LineSettings, Transport, open_line
from wire.sample import Quality, Value

HEAD = b"{'"
OCTETS_MOST = 4096
CLIPPED = (1 << 23) - 1
"""Counts at which the 24 bits of the digitiser end: the motion was at least that."""

STEP_NS = 10_000_000_000
"""A channel that goes back further has had its clock set; less is a datagram that came twice or out of order."""

_PACKET = re.compile(rb"\{'([A-Z0-9]{3})', ?([0-9]{9,10})(?:\.([0-9]{1,9}))?((?:, ?-?[0-9]{1,9})+)\}")
_FOREIGN = re.compile(rb"[^-A-Z0-9'., {}]|.\{", re.DOTALL)
"""What no datagram holds behind its first octet: seen in one, what stands behind need not wait for its end."""


class ShakeSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our port that the Shake sends to: udp://0.0.0.0:8888."""

    timeout_s: Annotated[float, Meta(gt=0, le=60, description="silence that counts as a failure")] = 3.0


class Shake(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The instrument."""

    rate_hz: Annotated[
        float, Meta(gt=0, le=1000, description="samples a second of each channel; spaces those of a datagram")
    ] = 100.0


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which channel: value = counts * scale + offset. A group of several gets a scan when all of a time have come, or a
    later time begins.

    The scale is one over the sensitivity in the station's metadata (stationview.raspberryshake.org): nominally
    3.845e5 counts in m/s2 for the accelerometers EN?, 3.6e8 to 4e8 in m/s for the geophones EH?.
    """

    channel: Annotated[str, Meta(pattern="^[A-Z0-9]{3}$", description="EHZ, ENZ, ENN, ENE, HDF, ...")]
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Packet(msgspec.Struct, frozen=True):
    """What one datagram holds. ``start_ns`` is the first sample's time since 1970 by the Shake's clock."""

    channel: str
    start_ns: int
    counts: tuple[int, ...]


def measure(data: bytes, at: int) -> int:
    """Count the octets of a packet at an offset; see `drivers.framing.splitter.Measure`."""
    match = _PACKET.match(data, at)
    if match is not None:
        return match.end() - at
    if b"}" in data[at:] or len(data) - at >= OCTETS_MOST or _FOREIGN.search(data, at):
        return NO
    return WAIT


def parse(octets: bytes) -> Packet:
    """Read a packet that `measure` has found."""
    match = _PACKET.fullmatch(octets)
    assert match is not None
    channel, seconds, fraction, counts = match.groups(b"")
    start_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
    return Packet(channel.decode("ascii"), start_ns, tuple(int(count) for count in counts.split(b",")[1:]))


class Order:
    """Watches one channel: what is missing between its packets, and what came before. ``faults`` counts both."""

    def __init__(self, period_ns: int) -> None:
        self.faults = 0
        self._period_ns = period_ns
        self._due_ns = 0

    def follows(self, packet: Packet) -> bool:
        """Tell whether a packet is to be taken: neither a double nor from before."""
        early_ns = self._due_ns - packet.start_ns
        is_first = self._due_ns == 0
        is_in_time = abs(early_ns) <= self._period_ns // 2
        self.faults += not is_first and not is_in_time
        if not is_first and self._period_ns // 2 < early_ns < STEP_NS:
            return False
        self._due_ns = packet.start_ns + len(packet.counts) * self._period_ns
        return True


class Assembly:
    """A group ready to be filled: gathers the packets of its channels that begin at one time.

    What lacks when a later time begins is a bad value beside the others. ``faults`` counts times of which not all
    channels came, and packets of a time that is over.
    """

    def __init__(self, group: Group, period_ns: int, timeline: Timeline) -> None:
        sources = [source for source in group.sources if isinstance(source, Channel)]
        if not sources or len(sources) != len(group.sources):
            raise SettingsError(f"group {group.name} has no channels", hint="channels are EHZ, ENZ, ENN, ENE, ...")
        self.faults = 0
        self._name = group.name
        self.channels = [source.channel for source in sources]
        self._converts = [bits.converter(source.scale, source.offset) for source in sources]
        self._period_ns = period_ns
        self._timeline = timeline
        self._gathered: dict[str, Packet] = {}
        self._given_ns = self._came_ns = self._last_ns = 0

    def scans(self, packet: Packet, mono_ns: int) -> list[Scan]:
        """Take a packet of one channel, return the scans that it completes."""
        if packet.channel not in self.channels:
            return []
        if self._is_over(packet):
            self.faults += 1
            return []
        scans: list[Scan] = []
        if any(not self._are_together(packet, other) for other in self._gathered.values()):
            self.faults += 1
            scans += self._complete()
            if self._is_over(packet):
                return scans
        self._gathered[packet.channel], self._came_ns = packet, mono_ns
        return scans if len(self._gathered) < len(set(self.channels)) else [*scans, *self._complete()]

    def _is_over(self, packet: Packet) -> bool:
        """Tell whether a packet is of a time that was given out: it came too late to stand beside the others."""
        early_ns = self._given_ns - packet.start_ns
        return self._given_ns != 0 and -self._period_ns // 2 <= early_ns < STEP_NS

    def _complete(self) -> Iterator[Scan]:
        """Yield the scans of what was gathered, with what lacks."""
        packets, self._gathered = self._gathered, {}
        first = next(iter(packets.values()))
        self._given_ns = first.start_ns
        for number, stamp in enumerate(self._stamps(first, self._came_ns)):
            found = (packets.get(channel) for channel in self.channels)
            yield self._scan(stamp, [None if each is None else each.counts[number] for each in found])

    def _are_together(self, one: Packet, other: Packet) -> bool:
        is_same_time = abs(one.start_ns - other.start_ns) <= self._period_ns // 2
        return is_same_time and len(one.counts) == len(other.counts) and one.channel != other.channel

    def _scan(self, mono_ns: int, counts: Sequence[int | None]) -> Scan:
        judged = [_judge(count, convert) for convert, count in zip(self._converts, counts, strict=True)]
        return Scan(self._name, mono_ns, tuple(value for value, _ in judged), tuple(quality for _, quality in judged))

    def _stamps(self, packet: Packet, mono_ns: int) -> Iterator[int]:
        """Date the samples of a packet, a period apart and never backwards."""
        first_ns = self._timeline.place(packet.start_ns + (len(packet.counts) - 1) * self._period_ns, mono_ns)
        first_ns -= (len(packet.counts) - 1) * self._period_ns
        for number in range(len(packet.counts)):
            self._last_ns = max(self._last_ns + 1, first_ns + number * self._period_ns)
            yield self._last_ns


class Driver:
    """Yields a scan of each group for each sample of its channels."""

    Settings: ClassVar[type[msgspec.Struct]] = ShakeSettings
    Device: ClassVar[type[msgspec.Struct]] = Shake
    Source: ClassVar[type[msgspec.Struct]] = Channel

    def __init__(
        self,
        settings: ShakeSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._groups = tuple(groups)
        self._period_ns = _period_ns(groups)
        self._start()

    def _start(self) -> None:
        self._splitter = Splitter(HEAD, measure, self._clock)
        timeline = Timeline()
        self._assemblies = [Assembly(group, self._period_ns, timeline) for group in self._groups]
        channels = {channel for assembly in self._assemblies for channel in assembly.channels}
        self._orders = {channel: Order(self._period_ns) for channel in channels}

    @staticmethod
    def make_line(settings: ShakeSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Garbled octets, gaps, doubles, and times of which a channel is missing, since `open`."""
        out_of_order = sum(order.faults for order in self._orders.values())
        return self._splitter.faults + out_of_order + sum(assembly.faults for assembly in self._assemblies)

    async def open(self) -> None:
        """Open the port."""
        await self._line.open()
        self._start()

    async def close(self) -> None:
        """Close the port; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no datagram comes for ``timeout_s``, else LinkError."""
        hint = "is the Shake's DATACAST set to this address and port, and does the firewall let it in?"
        async for _, frames in listen(self._line, self._splitter, self._timeout_s, self._clock, hint):
            for frame in frames:
                packet = parse(frame.octets)
                order = self._orders.get(packet.channel)
                if order is None or not order.follows(packet):
                    continue
                for assembly in self._assemblies:
                    for scan in assembly.scans(packet, frame.mono_ns):
                        yield scan


def _judge(count: int | None, convert: bits.Convert) -> tuple[Value, int]:
    if count is None:
        return None, int(Quality.BAD_FRAME)
    value, quality = convert(count)
    return value, int(Quality.UNCERTAIN_RANGE) if abs(count) >= CLIPPED else quality


def _period_ns(groups: Sequence[Group]) -> int:
    devices = {group.device_name: group.device for group in groups}
    rates = [device.rate_hz for device in devices.values() if isinstance(device, Shake)]
    if len(devices) != 1 or len(rates) != 1:
        raise SettingsError(
            f"one port takes one Shake, not {len(devices)}", hint="give each a bus and a port of its own"
        )
    return int(1e9 / rates[0])
