"""The Davis driver: wakes the console, asks for one packet, takes the tags out of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.davis.packet import FIELDS, PACKET_OCTETS, Packet, find_packet, read_cell
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from drivers.transport import Baud, LineSettings, Transport, make_line
from wire.sample import Quality, Value

TCP_PORT = 22222
WAKE, AWAKE = b"\n", b"\n\r"
WHICH = b"WRD\x12\x4d\n"
MODELS = {16: "Vantage Pro", 17: "Vantage Vue"}

ACK, NAK = b"\x06", b"\x21"
HEARD_OCTETS_MAX = 2 * PACKET_OCTETS
"""What is kept of octets in which no packet was found: more than can become one."""

BAD_SENSOR = int(Quality.BAD_SENSOR)

REQUESTS: dict[Packet, bytes] = {"LOOP": b"LOOP 1\n", "LOOP2": b"LPS 2 1\n"}


class DavisSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The line to one console."""

    url: Annotated[str, Meta(description="serial:///dev/ttyUSB0, or tcp://host for a WeatherLinkIP (port 22222)")]
    baud: Baud = 19_200
    timeout_s: Annotated[
        float, Meta(gt=0, le=10, description="how long a packet may take; the console has a new one every 2.5 s")
    ] = 4.0
    wake_s: Annotated[float, Meta(gt=0, le=5, description="how long the console may take to wake up")] = 1.2
    wake_times: Annotated[int, Meta(ge=1, le=5, description="how often it is woken before it counts as silent")] = 3


class Station(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console."""

    click_mm: Annotated[
        float, Meta(gt=0, le=10, description="rain of one click of the collector: 0.2, or 0.254 for one of 0.01 inch")
    ] = 0.2


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which field of which packet: value = field in the unit below * scale + offset.

    Both packets: barometer (hPa, at sea level), inside_ and outside_temperature (degC), inside_ and outside_humidity
    (%), wind_speed, wind_speed_10min (m/s), wind_direction (deg), rain_rate (mm/h), storm_rain, day_rain (mm),
    uv_index, solar_radiation (W/m2), day_evaporation (mm).
    LOOP: extra_temperature_1 to 7, soil_temperature_1 to 4, leaf_temperature_1 to 4 (degC), extra_humidity_1 to 7 (%),
    month_ and year_rain, month_ and year_evaporation (mm), soil_moisture_1 to 4 (cb), leaf_wetness_1 and 2 (0 to 15),
    transmitter_battery (a bit for each low one), console_battery (V).
    LOOP2: wind_speed_2min (m/s), gust_direction_10min (deg), dew_point, heat_index, wind_chill, thsw_index (degC),
    rain_15min, rain_1h, rain_24h (mm), raw_pressure, station_pressure, altimeter (hPa).
    """

    field: Annotated[str, Meta(description="outside_temperature, wind_speed, ...")]
    packet: Annotated[Packet, Meta(description="LOOP, or LOOP2 of consoles since firmware 1.90")] = "LOOP"
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Plan(msgspec.Struct, frozen=True):
    """How a group is read: the packet that holds its tags, and the fields in it."""

    packet: Packet
    click_mm: float
    takes: tuple[tuple[str, bits.Convert], ...]

    def scan(self, group: str, mono_ns: int, packet: bytes) -> Scan:
        """Fill a scan."""
        columns = [self._value(packet, name, convert) for name, convert in self.takes]
        values, quality = zip(*columns, strict=True)
        return Scan(group, mono_ns, values, quality)

    def _value(self, packet: bytes, name: str, convert: bits.Convert) -> tuple[Value, int]:
        number = read_cell(packet, FIELDS[self.packet], name, self.click_mm)
        return (None, BAD_SENSOR) if number is None else convert(number)


def _plan(group: Group) -> Plan:
    sources = [source for source in group.sources if isinstance(source, Field)]
    if not isinstance(group.device, Station) or len(sources) != len(group.sources):
        raise SettingsError(f"group {group.name}: not of a Davis console")
    packets = sorted({source.packet for source in sources})
    if len(packets) != 1:
        raise SettingsError(
            f"group {group.name} mixes packets: {', '.join(packets) or 'it has no tags'}",
            hint="one group for LOOP, one for LOOP2",
        )
    fields = FIELDS[packets[0]]
    for tag, source in zip(group.tags, sources, strict=True):
        if source.field not in fields:
            raise SettingsError(
                f"{tag}: {source.packet} has no field '{source.field}'", hint=f"use one of: {', '.join(fields)}"
            )
    takes = tuple((source.field, bits.converter(source.scale, source.offset)) for source in sources)
    return Plan(packets[0], group.device.click_mm, takes)


class Driver:
    """Wakes the console and asks for one packet for each reading."""

    Settings: ClassVar[type[msgspec.Struct]] = DavisSettings
    Device: ClassVar[type[msgspec.Struct]] = Station
    Source: ClassVar[type[msgspec.Struct]] = Field

    def __init__(
        self,
        settings: DavisSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._settings = settings
        self._clock = clock
        self._plans = {group.name: _plan(group) for group in groups}

    @staticmethod
    def make_line(settings: DavisSettings) -> Transport:
        """Make the line that the settings name."""
        return make_line(settings, tcp=("tcp",), serial_port=("serial",), port=TCP_PORT)

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line; a read that waits ends with LinkError."""
        await self._line.close()

    async def read(self, group: Group) -> Scan:
        """Read a group out of one packet. A packet still owed comes before the answer to the wake-up: it is dropped."""
        plan = self._plans[group.name]
        await self._wake()
        packet = await self._hear(REQUESTS[plan.packet], _packet_taker(plan.packet), self._settings.timeout_s)
        return plan.scan(group.name, self._clock(), packet)

    def candidates(self) -> Sequence[Station]:
        """A line has one console."""
        return [Station()]

    async def identify(self, device: msgspec.Struct) -> dict[str, str] | None:  # noqa: ARG002 - a line has only one
        """Ask the console for its type (WRD); None if nobody answers."""
        try:
            await self._wake()
            answer = await self._hear(WHICH, _model, self._settings.timeout_s)
        except (LinkTimeoutError, FrameError):
            return None
        return {"vendor": "Davis Instruments", "model": MODELS.get(answer[0], f"type {answer[0]}")}

    async def _wake(self) -> None:
        for left in reversed(range(self._settings.wake_times)):
            try:
                await self._hear(WAKE, _is_awake, self._settings.wake_s)
            except (LinkTimeoutError, FrameError):
                if not left:
                    raise
            else:
                return

    async def _hear(self, request: bytes, take: Callable[[bytes], bytes], seconds: float) -> bytes:
        """Send a request and return what ``take`` finds in all that came since; empty octets are none."""
        self._line.discard()
        heard = bytearray()
        try:
            async with asyncio.timeout(seconds):
                await self._line.write(request)
                while True:
                    heard += await self._line.read()
                    if answer := take(bytes(heard)):
                        return answer
                    del heard[:-HEARD_OCTETS_MAX]
        except TimeoutError as error:
            if heard:
                raise FrameError(
                    f"what arrived is no answer of a console: {heard[:16].hex(' ')}", hint="check the baud"
                ) from error
            raise LinkTimeoutError(
                f"the console did not answer within {seconds:g} s", hint="check its power, the data logger and the baud"
            ) from error


def _is_awake(heard: bytes) -> bytes:
    return AWAKE if heard.endswith(AWAKE) else b""


def _model(heard: bytes) -> bytes:
    _, acknowledged, model = heard.partition(ACK)
    return model[:1] if acknowledged else b""


def _packet_taker(kind: Packet) -> Callable[[bytes], bytes]:
    def take(heard: bytes) -> bytes:
        if heard.strip(AWAKE) == NAK:
            raise DeviceError(f"the console does not know {kind}", hint="LOOP2 needs firmware 1.90 or later")
        return find_packet(heard, kind)[0] or b""

    return take
