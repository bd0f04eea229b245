"""Vaisala WXT530 weather transmitters (also WXT510 and 520) that are polled in ASCII, on RS-485, RS-232 or TCP.

    0R1             0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M
    0r1Goe          0r1,Sn=0.1M,Sm=0.1M,Sx=0.1MGOG         in lower case both ends carry a CRC

Address, message, then name=number and one letter: the unit, or # for a value that is invalid. Which values a message
holds is set in the transmitter (aWU, aTU, aRU, aSU). Source: Vaisala M211840EN, chapter 7.

On a bus with several, their error messages must be off (aSU,S=N): they answer what others are asked. The adapter must
not echo: a late reply is told from a new one by the answer to the address alone, which an echo would forge.
"""

from __future__ import annotations

import re
import string
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from drivers.lines import Asker
from drivers.transport import Baud, LineSettings, Transport, open_line
from wire.sample import Quality, Value

LINE_OCTETS_MAX = 256
"""The longest message, all 29 values, has about 230."""

CRC_OCTETS = 3
COMPOSITE = "0"

DECIMALS = 6
"""What a converted unit keeps, so that 0.9824 bar is 982.4 hPa and not 982.4000000000001."""

Units = dict[str, tuple[float, float]]
"""By letter: factor and what is added after it."""

AS_IS = (1.0, 0.0)

DIRECTION: Units = {"D": AS_IS}
SPEED: Units = {"M": AS_IS, "K": (1 / 3.6, 0.0), "S": (1609.344 / 3600, 0.0), "N": (1852 / 3600, 0.0)}
TEMPERATURE: Units = {"C": AS_IS, "F": (1 / 1.8, -32 / 1.8)}
HUMIDITY: Units = {"P": AS_IS}
PRESSURE: Units = {"H": AS_IS, "P": (0.01, 0.0), "B": (1000.0, 0.0), "M": (1.333223874, 0.0), "I": (33.8638866667, 0.0)}
RAIN: Units = {"M": AS_IS, "I": (25.4, 0.0)}
HAIL: Units = {"M": AS_IS, "I": (1 / 6.4516, 0.0)}
DURATION: Units = {"s": AS_IS, "S": AS_IS}
VOLTAGE: Units = {"V": AS_IS}
HEATING: Units = {"N": AS_IS, "V": AS_IS, "W": AS_IS, "F": AS_IS}
TEXT: Units = {}
"""What the letters of each quantity mean, as the way to deg, m/s, degC, %, hPa, mm (mm/h), hits/cm2 (a hour), s, V.
The letter of the heating voltage tells the heating's state instead: N off, V and F half, W full power."""

PARAMETERS: dict[str, tuple[str, Units]] = {
    **dict.fromkeys(("Dn", "Dm", "Dx"), ("1", DIRECTION)),
    **dict.fromkeys(("Sn", "Sm", "Sx"), ("1", SPEED)),
    **dict.fromkeys(("Ta", "Tp"), ("2", TEMPERATURE)),
    "Ua": ("2", HUMIDITY),
    "Pa": ("2", PRESSURE),
    **dict.fromkeys(("Rc", "Ri", "Rp"), ("3", RAIN)),
    **dict.fromkeys(("Rd", "Hd"), ("3", DURATION)),
    **dict.fromkeys(("Hc", "Hi", "Hp"), ("3", HAIL)),
    "Th": ("5", TEMPERATURE),
    "Vh": ("5", HEATING),
    **dict.fromkeys(("Vs", "Vr"), ("5", VOLTAGE)),
    "Id": ("5", TEXT),
}
"""By parameter: the message that holds it besides the composite one, and its units. ``Id`` is text."""

_PRINTABLE = re.compile("[ -~]*")
_FIELD = re.compile(r"([A-Z][a-z])=([+-]?[0-9]{1,8}(?:\.[0-9]{1,6})?)([A-Za-z#])")

GOOD, BAD_SENSOR, BAD_DEVICE = int(Quality.GOOD), int(Quality.BAD_SENSOR), int(Quality.BAD_DEVICE)

Address = Annotated[str, Meta(pattern="^[0-9A-Za-z]$", description="one character: 0-9, A-Z or a-z")]


class WxtSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line, with one or more transmitters."""

    baud: Baud = 19_200
    timeout_s: Annotated[float, Meta(gt=0, le=30, description="how long a transmitter may take to answer")] = 1.0


class Transmitter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One transmitter."""

    address: Address = "0"
    crc: Annotated[bool, Meta(description="ask with CRC; without, a garbled digit cannot be told")] = True
    composite: Annotated[
        bool, Meta(description="take all values out of the composite message R0, rather than from R1, R2, R3 and R5")
    ] = False


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value: value = number in the unit below * scale + offset, whatever unit the transmitter is set to.

    Dn Dm Dx  wind direction, least, mean, largest (deg)      Sn Sm Sx  wind speed (m/s)
    Ta Tp     temperature of air, of the inside (degC)        Ua humidity (%), Pa pressure (hPa)
    Rc Rd Ri Rp  rain: sum (mm), duration (s), now and peak (mm/h)
    Hc Hd Hi Hp  hail: sum (hits/cm2), duration (s), now and peak (hits/cm2 per hour)
    Th Vh Vs Vr  heating (degC, V), supply and reference (V)  Id  text stored in the transmitter
    """

    parameter: Annotated[str, Meta(pattern="^[A-Z][a-z]$", description="Dm, Sm, Ta, Ua, Pa, Rc, ...")]
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Reading(msgspec.Struct, frozen=True):
    """A value as it came: a number and its unit, or a text."""

    number: float | None
    unit: str = ""
    text: str = ""


def request(address: str, message: str, *, crc: bool) -> bytes:
    """Write the question for a message: "0" composite, "1" wind, "2" air, "3" rain, "5" supervisor."""
    command = f"{address}{'r' if crc else 'R'}{message}".encode("ascii")
    return command + (bits.crc16_text(command) if crc else b"") + b"\r\n"


def parse(line: bytes, address: str, message: str, *, crc: bool) -> dict[str, Reading] | None:
    """Read a reply without its end; None if it is of another transmitter or message.

    Raises FrameError for anything garbled, DeviceError for a text such as "Unable to measure error". A name that comes
    twice is garbled: two messages have run together.
    """
    head = f"{address}{'r' if crc else 'R'}{message}"
    if crc:
        body, stated = line[:-CRC_OCTETS], line[-CRC_OCTETS:]
        if bits.crc16_text(body) != stated:
            raise FrameError(f"the CRC is wrong: {line[:24]!r}", hint="check baud, wires and terminator")
        line = body
    text = line.decode("latin-1")
    if not _PRINTABLE.fullmatch(text):
        raise FrameError(f"no message: {line[:24]!r}", hint="check baud and parity")
    name, _, rest = text.partition(",")
    if name == f"{address}{'t' if crc else 'T'}X":
        raise DeviceError(f"the transmitter at {address} says: {rest}", hint="are the values enabled in its message?")
    if name != head:
        return None
    fields = [_field(field) for field in rest.split(",")]
    readings = dict(fields)
    if len(readings) < len(fields):
        raise FrameError(f"a name comes twice: {line[:24]!r}", hint="check baud, parity and the wires")
    return readings


def _field(text: str) -> tuple[str, Reading]:
    name, equals, rest = text.partition("=")
    if name == "Id" and equals:
        return name, Reading(None, text=rest)
    match = _FIELD.fullmatch(text)
    if match is None:
        raise FrameError(f"no value of a transmitter: {text[:24]!r}", hint="check baud and parity")
    return name, Reading(float(match[2]), match[3])


class Take(msgspec.Struct, frozen=True):
    """How one tag is taken out of the messages of its group."""

    message: str
    parameter: str
    units: Units
    convert: bits.Convert

    def value(self, readings: dict[str, dict[str, Reading]]) -> tuple[Value, int]:
        """Return value and quality. A value that its message does not hold, or in a unit unknown, is bad."""
        reading = readings.get(self.message, {}).get(self.parameter)
        if reading is None:
            return None, BAD_DEVICE
        if reading.number is None:
            return reading.text, GOOD
        if reading.unit == "#":
            return None, BAD_SENSOR
        unit = self.units.get(reading.unit)
        if unit is None:
            return None, BAD_DEVICE
        factor, added = unit
        return self.convert(reading.number if unit == AS_IS else round(reading.number * factor + added, DECIMALS))


class Plan(msgspec.Struct, frozen=True):
    """How a group is read: which messages, and what is taken out of them."""

    device: Transmitter
    messages: tuple[str, ...]
    takes: tuple[Take, ...]


def _plan(group: Group) -> Plan:
    device = group.device
    if not isinstance(device, Transmitter):
        raise SettingsError(f"{group.device_name}: not a WXT530")
    if not group.sources:
        raise SettingsError(f"group {group.name} has no tags", hint=f"parameters are: {', '.join(PARAMETERS)}")
    takes = tuple(_take(tag, source, device.composite) for tag, source in zip(group.tags, group.sources, strict=True))
    return Plan(device, tuple(sorted({take.message for take in takes})), takes)


def _take(tag: str, source: msgspec.Struct, composite: bool) -> Take:
    if not isinstance(source, Parameter):
        raise SettingsError(f"{tag}: not of a WXT530")
    if source.parameter not in PARAMETERS:
        known = ", ".join(PARAMETERS)
        raise SettingsError(f"{tag}: there is no parameter '{source.parameter}'", hint=f"use one of: {known}")
    message, units = PARAMETERS[source.parameter]
    if not units and (source.scale != 1 or source.offset != 0):
        raise SettingsError(f"{tag}: {source.parameter} is a text", hint="leave out scale and offset")
    convert = bits.converter(source.scale, source.offset)
    return Take(COMPOSITE if composite else message, source.parameter, units, convert)


class Driver:
    """Asks for the messages that hold the tags of a group, one after the other."""

    Settings: ClassVar[type[msgspec.Struct]] = WxtSettings
    Device: ClassVar[type[msgspec.Struct]] = Transmitter
    Source: ClassVar[type[msgspec.Struct]] = Parameter

    def __init__(
        self,
        settings: WxtSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._clock = clock
        self._asker = Asker(self._line, LINE_OCTETS_MAX, settings.timeout_s, clock, _greeting)
        self._plans = {group.name: _plan(group) for group in groups}

    @staticmethod
    def make_line(settings: WxtSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line; a read that waits ends with LinkError."""
        await self._line.close()

    async def read(self, group: Group) -> Scan:
        """Read a group. A message that is refused makes its own tags bad; if all are, DeviceError.

        The scan bears the time of its first reply.
        """
        plan = self._plans[group.name]
        readings: dict[str, dict[str, Reading]] = {}
        refusals: list[DeviceError] = []
        mono_ns: int | None = None
        for message in plan.messages:
            try:
                readings[message] = await self._ask(plan.device, message)
            except DeviceError as error:
                refusals.append(error)
                continue
            mono_ns = mono_ns or self._clock()
        if mono_ns is None:
            raise refusals[0]
        values, quality = zip(*(take.value(readings) for take in plan.takes), strict=True)
        return Scan(group.name, mono_ns, values, quality)

    def candidates(self) -> Sequence[Transmitter]:
        """List the addresses, 0 first: every transmitter leaves the factory with it."""
        return [Transmitter(address=one) for one in string.digits + string.ascii_uppercase + string.ascii_lowercase]

    async def identify(self, device: msgspec.Struct) -> dict[str, str] | None:
        """Ask for the communication settings (aXU), which tell model and software; None if nobody answers."""
        if not isinstance(device, Transmitter):
            raise SettingsError("not a WXT530")
        command = f"{device.address}xU".encode("ascii")
        try:
            return await self._asker.ask(
                device.address, command + bits.crc16_text(command) + b"\r\n", lambda line: _identity(line, command)
            )
        except DeviceError:
            return {"vendor": "Vaisala"}
        except (LinkTimeoutError, FrameError):
            return None

    async def _ask(self, device: Transmitter, message: str) -> dict[str, Reading]:
        return await self._asker.ask(
            device.address,
            request(device.address, message, crc=device.crc),
            lambda line: parse(line, device.address, message, crc=device.crc),
        )


def _greeting(address: str) -> bytes:
    return f"{address}\r\n".encode("ascii")


def _identity(line: bytes, command: bytes) -> dict[str, str] | None:
    """Read ``0xU,A=0,M=P,...,N=WXT530,V=1.00`` with its CRC."""
    body = line[:-CRC_OCTETS]
    if not body.startswith(command + b",") or bits.crc16_text(body) != line[-CRC_OCTETS:]:
        return None
    fields = dict(part.partition("=")[::2] for part in body.decode("ascii", "replace").split(","))
    told = {"vendor": "Vaisala", "model": fields.get("N", ""), "version": fields.get("V", "")}
    return {name: text for name, text in told.items() if text}
