"""The driver: packets that are a present reading become scans, and are answered once those are durable."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import ClassVar

import msgspec

from drivers import bits
from drivers.base import Clock, Group, Kept, Scan, taken
from drivers.errors import SettingsError
from drivers.hj212.intake import Intake, WallClock
from drivers.hj212.model import Factor, Hj212Settings, Instrument
from drivers.hj212.packet import Packet, answer
from drivers.stream import listen
from drivers.transport import Transport, open_line
from wire.sample import Quality, Value

FLAGS: Mapping[str, Quality] = {
    "N": Quality.GOOD,
    "F": Quality.BAD_DEVICE,
    "D": Quality.BAD_SENSOR,
    "B": Quality.BAD_LINK,
    "C": Quality.UNCERTAIN_STATUS,
    "M": Quality.UNCERTAIN_STATUS,
    "S": Quality.UNCERTAIN_STATUS,
    "T": Quality.UNCERTAIN_RANGE,
}
"""What a data flag makes of a value: N in order; F out of operation, D faulty, B not connected: no value; C calibrated,
M maintained, S set by hand, T above the range: a value that is kept, as a lower bound in the last case."""

UNFLAGGED = "N"
"""The standard lets real-time data go without a flag."""

UNKNOWN_FLAG = Quality.UNCERTAIN_STATUS
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")


class Reading(msgspec.Struct, frozen=True):
    """A group ready to be filled: whose packets, which command, and how to take each tag."""

    group: str
    mn: str
    cn: str
    takes: tuple[Callable[[Packet], tuple[Value, int] | None], ...]

    def scan(self, packet: Packet) -> Scan | None:
        """Fill a scan; None if the packet carries none of the group's tags. One that it lacks has no value."""
        if packet.mn != self.mn or packet.cn != self.cn:
            return None
        found = [take(packet) for take in self.takes]
        if all(each is None for each in found):
            return None
        values, quality = zip(*(each or (None, int(Quality.BAD_DEVICE)) for each in found), strict=True)
        return Scan(self.group, packet.mono_ns, values, quality)


class Driver:
    """Yields a scan of a group for each packet that carries any of its tags; its time is that of its arrival.

    A packet that asks for an answer (CN 9014) gets it when its scans are durable, and so is sent again if they are not.
    History is dropped, counted, and by default not answered, so that its sender keeps it: see `Intake`. Each part of a
    split packet is answered by itself, as its sender expects; what a sender then does not complete is lost and counted.
    """

    Settings: ClassVar[type[msgspec.Struct]] = Hj212Settings
    Device: ClassVar[type[msgspec.Struct]] = Instrument
    Source: ClassVar[type[msgspec.Struct]] = Factor

    def __init__(
        self,
        settings: Hj212Settings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
        wall: WallClock = time.time,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self.kept: Kept = taken
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._wall = wall
        self._instruments = _instruments(groups)
        self._readings = [_prepare(group) for group in groups]
        self._intake = Intake(self._instruments, clock, wall)

    @staticmethod
    def make_line(settings: Hj212Settings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Packets and stretches of octets that were dropped since `open`."""
        return self._intake.faults

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()
        self._intake = Intake(self._instruments, self._clock, self._wall)

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no acceptable packet comes for ``timeout_s``."""
        self._intake.forget()
        hint = "is the logger set to this address and port, are MN and PW right, does its clock tell Beijing time?"
        async for _, packets in listen(self._line, self._intake, self._timeout_s, self._clock, hint):
            for packet in packets:
                for reading in self._readings:
                    scan = reading.scan(packet)
                    if scan is not None:
                        yield scan
                if packet.needs_answer and await self.kept():
                    await self._line.write(answer(packet))


def _instruments(groups: Sequence[Group]) -> dict[str, Instrument]:
    devices = {group.device_name: group.device for group in groups}
    instruments = {device.mn: device for device in devices.values() if isinstance(device, Instrument)}
    if len(instruments) != len(devices):
        raise SettingsError("two devices on one line have the same MN", hint="give each device the MN set in it")
    return instruments


def _prepare(group: Group) -> Reading:
    factors = [source for source in group.sources if isinstance(source, Factor)]
    if not isinstance(group.device, Instrument) or len(factors) != len(group.sources):
        raise SettingsError(f"group {group.name}: not of an HJ 212 instrument")
    commands = sorted({factor.cn for factor in factors})
    if len(commands) != 1:
        raise SettingsError(
            f"group {group.name} mixes commands: {', '.join(commands) or 'it has no tags'}",
            hint="one group for each CN: present, minute and hourly data come at different times",
        )
    return Reading(group.name, group.device.mn, commands[0], tuple(_take(factor) for factor in factors))


def _take(factor: Factor) -> Callable[[Packet], tuple[Value, int] | None]:
    convert = bits.converter(factor.scale, factor.offset, factor.invalid)
    name, flag_name = f"{factor.code}-{factor.field}", f"{factor.code}-Flag"

    def take(packet: Packet) -> tuple[Value, int] | None:
        text = packet.items.get(name)
        if text is None:
            return None
        flag = FLAGS.get(packet.items.get(flag_name, UNFLAGGED), UNKNOWN_FLAG)
        if flag >= Quality.BAD:
            return None, int(flag)
        if not _NUMBER.fullmatch(text):
            return None, bits.BAD_SENSOR
        value, quality = convert(float(text))
        return value, max(quality, int(flag))

    return take
