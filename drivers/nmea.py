"""NMEA 0183 talkers on a serial line or a TCP port: weather stations, compasses, water temperature.

    $WIMWV,214.8,R,5.1,M,A*2B       talker WI, sentence MWV, fields from 1, checksum

A group yields a scan whenever a sentence comes that carries every one of its sources; so a group names tags of one
sentence. A field that is there but empty, or that the station marks as not valid, is a bad value of that scan.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import FrameError, SettingsError
from drivers.stream import listen
from drivers.transport import Baud, LineSettings, Transport, open_line
from wire.sample import Value

LINE_OCTETS_MAX = 256
"""The standard allows 82; stations exceed it. What is longer is no sentence."""

KNOT = 1852 / 3600
SPEEDS = {"M": 1.0, "N": KNOT, "K": 1 / 3.6, "S": 1609.344 / 3600}
"""Metres a second in one of each speed unit: m/s, knots, km/h, miles an hour."""

HPA_PER_INHG = 33.8638866667

DECIMALS = 6
"""What a converted unit keeps: no talker knows more, and 0.9824 bar is 982.4 hPa and not 982.4000000000001."""


class NmeaSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line."""

    baud: Baud = 4800
    timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="silence, or garbled sentences only, that counts as a failure")
    ] = 10.0


class Talker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The instrument: its talker where several share a line."""

    talker: Annotated[str, Meta(pattern="^([A-Z]{2})?$", description="two letters such as WI; any if left out")] = ""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which field of which sentence: value = number * scale + offset.

    ``field`` is one of the names below, or the field's number, the first after the sentence being 1.

    MWV  angle (deg), speed (m/s)
    MDA  pressure (hPa), air_temperature, water_temperature (degC), humidity (%), absolute_humidity, dew_point (degC),
         wind_direction, wind_direction_magnetic (deg), wind_speed (m/s)
    MTW  temperature (degC)
    XDR  the transducer's name, in the unit that the station sends
    """

    sentence: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9]{2,7}$", description="MWV, MDA, XDR, MTW, ..., PXXXX")]
    field: Annotated[str | int, Meta(description="name or number of the field; the transducer's name for XDR")]
    reference: Annotated[Literal["R", "T"] | None, Meta(description="MWV: only relative or only true wind")] = None
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Sentence(msgspec.Struct, frozen=True):
    """A sentence whose checksum was right."""

    talker: str
    name: str
    fields: tuple[str, ...]

    def field(self, number: int) -> str:
        """Return a field, the first being 1; one past the end is empty."""
        return self.fields[number - 1] if number <= len(self.fields) else ""


def parse(line: bytes) -> Sentence:
    """Read one line without its end. Raises FrameError for anything but a sentence with the right checksum."""
    if len(line) < 9 or line[:1] not in {b"$", b"!"} or line[-3:-2] != b"*":
        raise FrameError(f"no sentence: {line[:20]!r}")
    body = line[1:-3]
    try:
        stated = int(line[-2:].decode("ascii"), 16)
        text = body.decode("ascii")
    except ValueError as error:
        raise FrameError(f"no sentence: {line[:20]!r}") from error
    if bits.xor8(body) != stated:
        raise FrameError(f"checksum {stated:02X} is wrong: {line[:20]!r}")
    address, *fields = text.split(",")
    if address.startswith("P"):
        return Sentence("P", address, tuple(fields))
    return Sentence(address[:2], address[2:], tuple(fields))


class Splitter:
    """Finds sentences in a stream of octets, whatever pieces it comes in. Pure. ``faults`` counts garbled lines."""

    def __init__(self) -> None:
        self.faults = 0
        self._rest = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> list[Sentence]:
        """Take octets, return the sentences that they complete."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        sentences = []
        for line in lines:
            self._skips = self._skips or len(line) > LINE_OCTETS_MAX
            sentence = self._take(bytes(line).strip(b"\r"))
            if sentence is not None:
                sentences.append(sentence)
        if len(self._rest) > LINE_OCTETS_MAX:
            self._rest.clear()
            self._skips = True
        return sentences

    def _take(self, line: bytes) -> Sentence | None:
        skips, self._skips = self._skips, False
        if not line and not skips:
            return None
        if not skips:
            try:
                return parse(line)
            except FrameError:
                pass
        self.faults += 1
        return None


Read = Callable[[Sentence], "float | None"]
"""Take a number out of a sentence. None: there, but empty or marked as not valid."""

Carries = Callable[[Sentence], bool]
"""Tell whether a sentence carries a source."""


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _at(number: int) -> Read:
    return lambda sentence: _number(sentence.field(number))


def _first(*reads: Read) -> Read:
    """Take the first that has a number: MDA gives some in two units, and stations fill one."""

    def read(sentence: Sentence) -> float | None:
        return next((value for each in reads if (value := each(sentence)) is not None), None)

    return read


def _times(read_plain: Read, factor: float) -> Read:
    def read(sentence: Sentence) -> float | None:
        value = read_plain(sentence)
        return None if value is None else round(value * factor, DECIMALS)

    return read


def _mwv(read_plain: Read) -> Read:
    return lambda sentence: read_plain(sentence) if sentence.field(5) == "A" else None


def _mwv_speed(sentence: Sentence) -> float | None:
    value, factor = _number(sentence.field(3)), SPEEDS.get(sentence.field(4))
    return None if value is None or factor is None else round(value * factor, DECIMALS)


NAMES: dict[str, dict[str, Read]] = {
    "MWV": {"angle": _mwv(_at(1)), "speed": _mwv(_mwv_speed)},
    "MDA": {
        "pressure": _first(_times(_at(3), 1000), _times(_at(1), HPA_PER_INHG)),
        "air_temperature": _at(5),
        "water_temperature": _at(7),
        "humidity": _at(9),
        "absolute_humidity": _at(10),
        "dew_point": _at(11),
        "wind_direction": _at(13),
        "wind_direction_magnetic": _at(15),
        "wind_speed": _first(_at(19), _times(_at(17), KNOT)),
    },
    "MTW": {"temperature": _at(1)},
}
"""The fields that have names, by sentence."""


def _transducer(name: str) -> tuple[Carries, Read]:
    def place(sentence: Sentence) -> int:
        names = sentence.fields[3::4]
        return names.index(name) * 4 + 2 if name in names else 0

    return lambda sentence: place(sentence) > 0, lambda sentence: _number(sentence.field(place(sentence)))


class Take(msgspec.Struct, frozen=True):
    """How one source is taken out of a sentence."""

    carries: Carries
    read: Read
    convert: bits.Convert

    def value(self, sentence: Sentence) -> tuple[Value, int]:
        """Return value and quality."""
        number = self.read(sentence)
        return (None, bits.BAD_SENSOR) if number is None else self.convert(number)


def _take(tag: str, field: Field) -> Take:
    convert = bits.converter(field.scale, field.offset)
    if field.sentence == "XDR" and isinstance(field.field, str) and not field.field.isdigit():
        carries, read = _transducer(field.field)
        return Take(carries, read, convert)
    return Take(_reference(tag, field), _named(tag, field), convert)


def _reference(tag: str, field: Field) -> Carries:
    if field.reference is None:
        return lambda sentence: True  # noqa: ARG005 - a sentence of that name carries all its fields
    if field.sentence != "MWV":
        raise SettingsError(f"{tag}: only MWV has a reference", hint="leave it out")
    return lambda sentence: sentence.field(2) == field.reference


def _named(tag: str, field: Field) -> Read:
    names = NAMES.get(field.sentence, {})
    if str(field.field).isdigit() and int(field.field) > 0:
        return _at(int(field.field))
    if field.field not in names:
        known = ", ".join(names) or "a number from 1"
        raise SettingsError(f"{tag}: {field.sentence} has no field '{field.field}'", hint=f"use one of: {known}")
    return names[str(field.field)]


class Reading(msgspec.Struct, frozen=True):
    """A group ready to be filled from a sentence."""

    group: str
    talker: str
    sentence: str
    takes: tuple[Take, ...]

    def scan(self, sentence: Sentence, mono_ns: int) -> Scan | None:
        """Fill a scan, None if the sentence does not carry every source."""
        if sentence.name != self.sentence or (self.talker and sentence.talker != self.talker):
            return None
        if not all(take.carries(sentence) for take in self.takes):
            return None
        values, quality = zip(*(take.value(sentence) for take in self.takes), strict=True)
        return Scan(self.group, mono_ns, values, quality)


def _prepare(group: Group) -> Reading:
    if not isinstance(group.device, Talker) or not all(isinstance(source, Field) for source in group.sources):
        raise SettingsError(f"group {group.name}: not of an NMEA instrument")
    fields = [source for source in group.sources if isinstance(source, Field)]
    names = sorted({field.sentence for field in fields})
    if len(names) != 1:
        raise SettingsError(
            f"group {group.name} mixes sentences: {', '.join(names) or 'it has no tags'}",
            hint="one group for each sentence: they come at different times",
        )
    takes = tuple(_take(tag, field) for tag, field in zip(group.tags, fields, strict=True))
    return Reading(group.name, group.device.talker, names[0], takes)


class Driver:
    """Yields a scan of a group for each sentence that carries its sources."""

    Settings: ClassVar[type[msgspec.Struct]] = NmeaSettings
    Device: ClassVar[type[msgspec.Struct]] = Talker
    Source: ClassVar[type[msgspec.Struct]] = Field

    def __init__(
        self,
        settings: NmeaSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._readings = [_prepare(group) for group in groups]
        self._splitter = Splitter()

    @staticmethod
    def make_line(settings: NmeaSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Garbled lines since `open`."""
        return self._splitter.faults

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()
        self._splitter = Splitter()

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no sentence comes for ``timeout_s``, else LinkError."""
        async for mono_ns, sentences in listen(
            self._line, self._splitter, self._timeout_s, self._clock, "check baud and the talker's power"
        ):
            for sentence in sentences:
                for reading in self._readings:
                    scan = reading.scan(sentence, mono_ns)
                    if scan is not None:
                        yield scan
