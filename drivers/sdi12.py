"""SDI-12 sensors behind a transparent adapter: water level, soil, weather.

    0MC!       00033             address 0 measures: 3 values in at most 3 s
               0                 ready before its time (service request)
    0D0!       0+3.14-1.2+7I[P   the values, and a CRC since MC asked for one
    0RC0!      0+3.14OqZ         continuous measurement: values at once

The adapter makes the break and keeps the line's timing; this driver sends and reads plain commands. Adapters that echo
the command are understood. Source: SDI-12 Support Group, specification 1.4, chapter 4.
"""

from __future__ import annotations

import re
import string
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from drivers.lines import Asker
from drivers.transport import Baud, LineSettings, Transport, open_line
from wire.sample import Quality, Value

LINE_OCTETS_MAX = 128
"""An address, 75 characters of values, a CRC, and an echo before them."""

VALUE_OCTETS_MAX = 9
"""A sign, a point and seven digits."""

CRC_OCTETS = 3
SEND_DATA_MOST = 10
"""aD0! to aD9!"""

_VALUES = re.compile(r"(?:[+-](?:[0-9]+\.?[0-9]*|\.[0-9]+))*")
_VALUE = re.compile(r"[+-][0-9.]+")

BAD_DEVICE = int(Quality.BAD_DEVICE)


class Sdi12Settings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bus. Baud, parity and bits are those of the adapter's port: 1200 7E1 where it passes the line through."""

    baud: Baud = 1200
    parity: Annotated[Literal["N", "E", "O"], Meta(description="none, even or odd")] = "E"
    data_bits: Annotated[Literal[7, 8], Meta(description="data bits of a serial port")] = 7
    timeout_s: Annotated[
        float, Meta(gt=0, le=10, description="how long a sensor may take to answer; 75 characters alone take 0.7 s")
    ] = 2.0
    wait_max_s: Annotated[
        float, Meta(ge=0, le=25, description="how long a measurement may take; the bus waits for it")
    ] = 20.0


class Sensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sensor."""

    address: Annotated[str, Meta(pattern="^[0-9A-Za-z]$", description="one character: 0-9, A-Z or a-z")] = "0"
    crc: Annotated[
        bool, Meta(description="measure with CRC; without, only the line's parity tells a garbled digit")
    ] = True


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value of which measurement: value = number * scale + offset. The sensor's manual lists them."""

    measurement: Annotated[
        str,
        Meta(
            pattern="^([MC][1-9]?|R[0-9])$",
            description="M, M1 to M9; C the same, concurrently; R0 to R9 continuous, at once",
        ),
    ] = "M"
    value: Annotated[int, Meta(ge=1, le=99, description="which of its values, the first being 1")] = 1
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0
    invalid: Annotated[tuple[float, ...], Meta(description="numbers that mean: no value, such as -9999")] = ()


class Announcement(msgspec.Struct, frozen=True):
    """What a sensor answers to a start: values, and the seconds until they are there."""

    seconds: int
    count: int


def command(address: str, measurement: str, *, crc: bool) -> bytes:
    """Write what starts a measurement, or reads a continuous one."""
    return f"{address}{measurement[0]}{'C' if crc else ''}{measurement[1:]}!".encode("ascii")


def parse_announcement(line: bytes, address: str, *, digits: int) -> Announcement | None:
    """Read ``atttn``, or ``atttnn`` for a concurrent one (two digits). None if it is of another sensor."""
    text = _own(line, address)
    if text is None:
        return None
    if len(text) != 3 + digits or not (text.isascii() and text.isdigit()):
        raise FrameError(f"address {address}: no start of a measurement: {line[:24]!r}", hint="check baud and parity")
    return Announcement(int(text[:3]), int(text[3:]))


def parse_values(line: bytes, address: str, *, crc: bool) -> tuple[float, ...] | None:
    """Read ``a+1.23-4.5``, with CRC or without. None if it is of another sensor; none at all is an empty tuple."""
    if crc:
        line, stated = line[:-CRC_OCTETS], line[-CRC_OCTETS:]
        if bits.crc16_text(line) != stated:
            raise FrameError(
                f"address {address}: the CRC is wrong: {line + stated!r}",
                hint="check the line; a sensor of SDI-12 1.2 has no CRC: set crc = false",
            )
    text = _own(line, address)
    if text is None:
        return None
    if not _VALUES.fullmatch(text):
        raise FrameError(f"address {address}: no values: {line[:24]!r}", hint="check baud and parity")
    values = _VALUE.findall(text)
    if any(len(value) > VALUE_OCTETS_MAX for value in values):
        raise FrameError(f"address {address}: a value has more than seven digits: {line[:24]!r}")
    return tuple(float(value) for value in values)


def _without_echo(line: bytes) -> bytes:
    """Drop an echoed command, which ends in ``!`` as no reply does, and what the break left before a reply."""
    return line.rpartition(b"!")[2].lstrip(b"\0")


def _own(line: bytes, address: str) -> str | None:
    """Return what follows the address, None if it is another's. Raises FrameError for what is no text."""
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError as error:
        raise FrameError(f"no text: {line[:24]!r}", hint="SDI-12 is 7E1: check parity and data_bits") from error
    return text[1:] if text.startswith(address) else None


class Plan(msgspec.Struct, frozen=True):
    """How a group is read: the one measurement that holds its tags, and where they are in it."""

    sensor: Sensor
    measurement: str
    takes: tuple[tuple[int, bits.Convert], ...]

    def scan(self, group: str, mono_ns: int, values: Sequence[float]) -> Scan:
        """Fill a scan. A value that the sensor does not have is bad."""
        columns = [
            convert(values[place]) if place < len(values) else (None, BAD_DEVICE) for place, convert in self.takes
        ]
        numbers: tuple[Value, ...] = tuple(value for value, _ in columns)
        return Scan(group, mono_ns, numbers, tuple(quality for _, quality in columns))


def _plan(group: Group) -> Plan:
    items = [source for source in group.sources if isinstance(source, Item)]
    if not isinstance(group.device, Sensor) or len(items) != len(group.sources):
        raise SettingsError(f"group {group.name}: not of an SDI-12 sensor")
    measurements = sorted({item.measurement for item in items})
    if len(measurements) != 1:
        raise SettingsError(
            f"group {group.name} mixes measurements: {', '.join(measurements) or 'it has no tags'}",
            hint="one group for each measurement: each has its own time",
        )
    takes = tuple((item.value - 1, bits.converter(item.scale, item.offset, item.invalid)) for item in items)
    return Plan(group.device, measurements[0], takes)


class Driver:
    """Measures: starts, waits until the values are there, and fetches them."""

    Settings: ClassVar[type[msgspec.Struct]] = Sdi12Settings
    Device: ClassVar[type[msgspec.Struct]] = Sensor
    Source: ClassVar[type[msgspec.Struct]] = Item

    def __init__(
        self,
        settings: Sdi12Settings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._clock = clock
        self._wait_max_s = settings.wait_max_s
        self._asker = Asker(self._line, LINE_OCTETS_MAX, settings.timeout_s, clock, _greeting, _without_echo)
        self._plans = {group.name: _plan(group) for group in groups}

    @staticmethod
    def make_line(settings: Sdi12Settings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line; a read that waits ends with LinkError."""
        await self._line.close()

    async def read(self, group: Group) -> Scan:
        """Measure and fetch. The scan bears the time at which the first values arrived, after the wait."""
        plan = self._plans[group.name]
        sensor, measurement = plan.sensor, plan.measurement
        if measurement.startswith("R"):
            values = await self._fetch(sensor, command(sensor.address, measurement, crc=sensor.crc))
            return plan.scan(group.name, self._clock(), values)
        count = await self._measure(sensor, measurement)
        values, mono_ns = await self._fetch_all(sensor, count)
        if len(values) != count:
            raise FrameError(
                f"address {sensor.address}: {count} values were announced, {len(values)} came",
                hint="was the measurement interrupted? Is another recorder on the bus?",
            )
        return plan.scan(group.name, mono_ns, values)

    def candidates(self) -> Sequence[Sensor]:
        """List the addresses, 0 first: every sensor leaves the factory with it."""
        return [Sensor(address=one) for one in string.digits + string.ascii_lowercase + string.ascii_uppercase]

    async def identify(self, device: msgspec.Struct) -> dict[str, str] | None:
        """Ask a sensor for its identification (aI!); None if nobody answers."""
        if not isinstance(device, Sensor):
            raise SettingsError("not an SDI-12 sensor")
        address = device.address
        try:
            return await self._asker.ask(address, f"{address}I!".encode(), lambda line: _identity(line, address))
        except (LinkTimeoutError, FrameError):
            return None

    async def _measure(self, sensor: Sensor, measurement: str) -> int:
        """Start a measurement and wait until it is done; return how many values it has."""
        address, is_concurrent = sensor.address, measurement.startswith("C")
        started = await self._asker.ask(
            address,
            command(address, measurement, crc=sensor.crc),
            lambda line: parse_announcement(line, address, digits=2 if is_concurrent else 1),
        )
        if started.count == 0:
            raise DeviceError(f"address {address} has no values for {measurement}", hint="see the sensor's manual")
        if started.seconds > self._wait_max_s:
            raise DeviceError(
                f"address {address} wants {started.seconds} s for {measurement}, more than wait_max_s",
                hint="raise wait_max_s, or use a shorter or continuous measurement",
            )
        # A concurrent measurement ends without a service request: its time is waited for in full.
        ready = None if is_concurrent else address.encode()
        if started.seconds:
            await self._asker.wait(lambda line: line == ready or None, started.seconds)
        return started.count

    async def _fetch_all(self, sensor: Sensor, count: int) -> tuple[tuple[float, ...], int]:
        """Fetch a measurement part by part; return its values and when the first came. A part without any ends it."""
        values: tuple[float, ...] = ()
        mono_ns = 0
        for part in range(SEND_DATA_MOST):
            more = await self._fetch(sensor, f"{sensor.address}D{part}!".encode())
            mono_ns = mono_ns or self._clock()
            values += more
            if not more or len(values) >= count:
                break
        return values, mono_ns

    async def _fetch(self, sensor: Sensor, request: bytes) -> tuple[float, ...]:
        return await self._asker.ask(
            sensor.address, request, lambda line: parse_values(line, sensor.address, crc=sensor.crc)
        )


def _greeting(address: str) -> bytes:
    return f"{address}!".encode("ascii")


def _identity(line: bytes, address: str) -> dict[str, str] | None:
    """Read ``a13VAISALA_WXT530103Y2630000``: version, 8 of vendor, 6 of model, 3 of version, up to 13 of serial."""
    text = _own(line, address)
    if text is None or len(text) < 2 or not text[:2].isdigit():
        return None
    told = {
        "sdi12": f"{text[0]}.{text[1]}",
        "vendor": text[2:10],
        "model": text[10:16],
        "version": text[16:19],
        "serial": text[19:],
    }
    return {name: part.strip(" _") for name, part in told.items() if part.strip(" _")}
