"""The NMEA driver: a scan of a group for each sentence that carries its sources."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import SettingsError
from drivers.nmea import fields
from drivers.nmea.sentence import Sentence, Splitter
from drivers.stream import listen
from drivers.transport import Baud, LineSettings, Transport, open_line
from wire.sample import Value


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
    """Which field of which sentence: value = number * scale + offset; a text is taken as it is.

    ``field`` is one of the names below, or the field's number, the first after the sentence being 1.

    MWV  angle (deg), speed (m/s)
    MDA  pressure (hPa), air_temperature, water_temperature (degC), humidity (%), absolute_humidity, dew_point (degC),
         wind_direction, wind_direction_magnetic (deg), wind_speed (m/s)
    MTW  temperature (degC)
    RMC  latitude, longitude (deg, north and east positive), sog (m/s), cog, variation (deg), and as texts utc
         (ISO 8601) and status (A or V); without a measured position all but status have no value
    ZDA  utc (a text, ISO 8601)
    XDR  the transducer's name, in the unit that the station sends
    """

    sentence: Annotated[
        str, Meta(pattern="^[A-Z][A-Z0-9]{2,7}$", description="MWV, MDA, XDR, MTW, RMC, ZDA, ..., PXXXX")
    ]
    field: Annotated[str | int, Meta(description="name or number of the field; the transducer's name for XDR")]
    reference: Annotated[Literal["R", "T"] | None, Meta(description="MWV: only relative or only true wind")] = None
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


Carries = Callable[[Sentence], bool]
"""Tell whether a sentence carries a source."""


class Take(msgspec.Struct, frozen=True):
    """How one source is taken out of a sentence."""

    carries: Carries
    read: fields.Read | fields.ReadText
    convert: bits.Convert

    def value(self, sentence: Sentence) -> tuple[Value, int]:
        """Return value and quality."""
        taken = self.read(sentence)
        if taken is None:
            return None, bits.BAD_SENSOR
        return (taken, bits.GOOD) if isinstance(taken, str) else self.convert(taken)


def _take(tag: str, field: Field) -> Take:
    convert = bits.converter(field.scale, field.offset)
    if field.sentence == "XDR" and isinstance(field.field, str) and not field.field.isdecimal():
        carries, read = fields.transducer(field.field)
        return Take(carries, read, convert)
    return Take(_reference(tag, field), _named(tag, field), convert)


def _reference(tag: str, field: Field) -> Carries:
    if field.reference is None:
        return lambda sentence: True  # noqa: ARG005 - a sentence of that name carries all its fields
    if field.sentence != "MWV":
        raise SettingsError(f"{tag}: only MWV has a reference", hint="leave it out")
    return lambda sentence: sentence.field(2) == field.reference


def _named(tag: str, field: Field) -> fields.Read | fields.ReadText:
    name = str(field.field)
    if name.isdecimal() and int(name) > 0:
        return fields.at(int(name))
    text = fields.TEXTS.get(field.sentence, {}).get(name)
    if text is not None:
        if field.scale != 1 or field.offset != 0:
            raise SettingsError(f"{tag}: {name} of {field.sentence} is a text", hint="leave out scale and offset")
        return text
    number = fields.NUMBERS.get(field.sentence, {}).get(name)
    if number is None:
        known = ", ".join(fields.names(field.sentence)) or "a number from 1"
        raise SettingsError(f"{tag}: {field.sentence} has no field '{name}'", hint=f"use one of: {known}")
    return number


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
    sources = [source for source in group.sources if isinstance(source, Field)]
    names = sorted({source.sentence for source in sources})
    if len(names) != 1:
        raise SettingsError(
            f"group {group.name} mixes sentences: {', '.join(names) or 'it has no tags'}",
            hint="one group for each sentence: they come at different times",
        )
    takes = tuple(_take(tag, source) for tag, source in zip(group.tags, sources, strict=True))
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
