"""The packets of a Davis console: where each field lies, what its number means, and how to find one in octets. Pure.

A packet has 99 octets: LOO, its type at octet 4, LF CR at 95, numbers low octet first, and a CRC, high octet first,
that leaves no rest. A sensor that is not there, or that the console does not hear, has a dash value of its own.
Source: Davis Instruments, Vantage Serial Communication Reference Manual 2.6.1, sections IX and XII.

The gust of a LOOP2 packet is left out: the manual gives it in tenths of mph, and programs that read consoles in mph.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

PACKET_OCTETS = 99
PACKET_START, PACKET_END, PACKET_END_AT = b"LOO", b"\n\r", 95
TYPE_AT = 4

HPA_PER_INHG = 33.8638866667
MPS_PER_MPH = 1609.344 / 3600
MM_PER_INCH = 25.4
DECIMALS = 6

Packet = Literal["LOOP", "LOOP2"]
TYPES: dict[Packet, int] = {"LOOP": 0, "LOOP2": 1}


class Cell(msgspec.Struct, frozen=True):
    """Where a field lies and what its number means: value = number * factor + added.

    ``dashes`` are numbers that mean "no value". ``with_field`` names a field without which this one is none either.
    ``clicks`` makes millimetres of the rain collector's clicks.
    """

    at: int
    form: str
    factor: float = 1.0
    added: float = 0.0
    dashes: tuple[int, ...] = ()
    with_field: str = ""
    clicks: bool = False


def _fahrenheit(at: int) -> Cell:
    """Tenths of a degree."""
    return Cell(at, "h", 0.1 / 1.8, -32 / 1.8, (0x7FFF,))


def _whole_fahrenheit(at: int) -> Cell:
    """Degrees in two octets, dash 255. -1 is no value either: it cannot be told from a dash in both octets."""
    return Cell(at, "h", 1 / 1.8, -32 / 1.8, (0xFF, -1, 0x7FFF))


def _offset_fahrenheit(at: int) -> Cell:
    """One octet, degrees Fahrenheit + 90."""
    return Cell(at, "B", 1 / 1.8, (-90 - 32) / 1.8, (0xFF,))


def _percent(at: int) -> Cell:
    return Cell(at, "B", dashes=(0xFF,))


def _pressure(at: int) -> Cell:
    """Thousandths of an inch of mercury. 0 is what a console sends that has no barometer reading yet."""
    return Cell(at, "H", HPA_PER_INHG / 1000, dashes=(0, 0xFFFF))


def _rain(at: int) -> Cell:
    return Cell(at, "H", dashes=(0xFFFF,), clicks=True)


def _row(name: str, cells: Sequence[Cell]) -> dict[str, Cell]:
    """Name a row of like cells: ``name_1``, ``name_2`` ..."""
    return {f"{name}_{number}": cell for number, cell in enumerate(cells, 1)}


_COMMON: dict[str, Cell] = {
    "barometer": _pressure(7),
    "inside_temperature": _fahrenheit(9),
    "inside_humidity": _percent(11),
    "outside_temperature": _fahrenheit(12),
    # A console that hears no anemometer sends a speed of 0; only the direction, 0, tells.
    "wind_speed": Cell(14, "B", MPS_PER_MPH, dashes=(0xFF,), with_field="wind_direction"),
    "wind_direction": Cell(16, "H", dashes=(0, 0x7FFF, 0xFFFF)),
    "outside_humidity": _percent(33),
    "rain_rate": _rain(41),
    "uv_index": Cell(43, "B", 0.1, dashes=(0xFF,)),
    "solar_radiation": Cell(44, "H", dashes=(0x7FFF, 0xFFFF)),
    "storm_rain": _rain(46),
    "day_rain": _rain(50),
    "day_evaporation": Cell(56, "H", MM_PER_INCH / 1000),
}

FIELDS: dict[Packet, dict[str, Cell]] = {
    "LOOP": {
        **_COMMON,
        "wind_speed_10min": Cell(15, "B", MPS_PER_MPH, dashes=(0xFF,), with_field="wind_direction"),
        **_row("extra_temperature", [_offset_fahrenheit(at) for at in range(18, 25)]),
        **_row("soil_temperature", [_offset_fahrenheit(at) for at in range(25, 29)]),
        **_row("leaf_temperature", [_offset_fahrenheit(at) for at in range(29, 33)]),
        **_row("extra_humidity", [_percent(at) for at in range(34, 41)]),
        "month_rain": _rain(52),
        "year_rain": _rain(54),
        "month_evaporation": Cell(58, "H", MM_PER_INCH / 100),
        "year_evaporation": Cell(60, "H", MM_PER_INCH / 100),
        **_row("soil_moisture", [Cell(at, "B", dashes=(0xFF,)) for at in range(62, 66)]),
        **_row("leaf_wetness", [Cell(at, "B", dashes=(0xFF,)) for at in range(66, 68)]),
        "transmitter_battery": Cell(86, "B"),
        "console_battery": Cell(87, "H", 300 / 512 / 100),
    },
    "LOOP2": {
        **_COMMON,
        "wind_speed_10min": Cell(18, "H", MPS_PER_MPH / 10, dashes=(0x7FFF, 0xFFFF), with_field="wind_direction"),
        "wind_speed_2min": Cell(20, "H", MPS_PER_MPH / 10, dashes=(0x7FFF, 0xFFFF), with_field="wind_direction"),
        "gust_direction_10min": Cell(24, "H", dashes=(0, 0x7FFF, 0xFFFF)),
        "dew_point": _whole_fahrenheit(30),
        "heat_index": _whole_fahrenheit(35),
        "wind_chill": _whole_fahrenheit(37),
        "thsw_index": _whole_fahrenheit(39),
        "rain_15min": _rain(52),
        "rain_1h": _rain(54),
        "rain_24h": _rain(58),
        "raw_pressure": _pressure(65),
        "station_pressure": _pressure(67),
        "altimeter": _pressure(69),
    },
}
"""The fields by packet, in hPa, degC, %, m/s, deg, mm (mm/h), W/m2, cb and V.

``barometer`` is reduced to sea level as the console is set; ``station_pressure`` is what stands on the spot.
``leaf_wetness`` goes from 0 to 15; ``transmitter_battery`` has a bit for each transmitter whose battery is low.
"""


def find_packet(data: bytes, packet: Packet) -> tuple[bytes | None, int]:
    """Find the first whole packet of this type with the right CRC.

    Returns it, or None, and how many octets are of no more use: what is left is less than one packet.
    """
    at = data.find(PACKET_START)
    while 0 <= at <= len(data) - PACKET_OCTETS:
        found = data[at : at + PACKET_OCTETS]
        if found[PACKET_END_AT:].startswith(PACKET_END) and binascii.crc_hqx(found, 0) == 0:
            if found[TYPE_AT] == TYPES[packet]:
                return found, at + PACKET_OCTETS
            at += PACKET_OCTETS - 1
        at = data.find(PACKET_START, at + 1)
    return None, at if at >= 0 else max(0, len(data) - len(PACKET_START) + 1)


def read_cell(packet: bytes, fields: Mapping[str, Cell], name: str, click_mm: float) -> float | None:
    """Take a field out of a packet; None for a dash value."""
    cell = fields[name]
    raw: int = struct.unpack_from("<" + cell.form, packet, cell.at)[0]
    if raw in cell.dashes or (cell.with_field and read_cell(packet, fields, cell.with_field, click_mm) is None):
        return None
    if cell.clicks:
        return round(raw * click_mm, DECIMALS)
    if cell.factor == 1 and cell.added == 0:
        return raw
    return round(raw * cell.factor + cell.added, DECIMALS)
