"""Davis Vantage: 99 octets from LOO, a type, LF CR, and a CRC of polynomial 0x1021 that leaves no rest."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, crc16_high_first, found, scaled
from wire.sample import Value

_MPS = 0.44704
_HPA = 0.0338638866667

_FIELDS: dict[str, dict[str, tuple[int, str, float, float, set[int]]]] = {
    "LOOP": {
        "barometer": (7, "<H", _HPA, 0, {0, 0xFFFF}),
        "inside_temperature": (9, "<h", 1 / 18, -160 / 9, {0x7FFF}),
        "inside_humidity": (11, "B", 1, 0, {0xFF}),
        "outside_temperature": (12, "<h", 1 / 18, -160 / 9, {0x7FFF}),
        "outside_humidity": (33, "B", 1, 0, {0xFF}),
        "wind_speed": (14, "B", _MPS, 0, {0xFF}),
        "wind_speed_10min": (15, "B", _MPS, 0, {0xFF}),
        "wind_direction": (16, "<H", 1, 0, {0, 0x7FFF, 0xFFFF}),
        "rain_rate": (41, "<H", 0.2, 0, {0xFFFF}),
        "uv_index": (43, "B", 0.1, 0, {0xFF}),
        "solar_radiation": (44, "<H", 1, 0, {0x7FFF, 0xFFFF}),
        "extra_temperature_1": (18, "B", 1 / 1.8, -122 / 1.8, {0xFF}),
        "soil_moisture_4": (65, "B", 1, 0, {0xFF}),
        "console_battery": (87, "<H", 3 / 512, 0, set()),
    },
    "LOOP2": {
        "wind_speed_10min": (18, "<H", _MPS / 10, 0, {0x7FFF, 0xFFFF}),
        "wind_speed_2min": (20, "<H", _MPS / 10, 0, {0x7FFF, 0xFFFF}),
        "gust_direction_10min": (24, "<H", 1, 0, {0, 0x7FFF, 0xFFFF}),
        "dew_point": (30, "<h", 1 / 1.8, -32 / 1.8, {0xFF, -1, 0x7FFF}),
        "wind_chill": (37, "<h", 1 / 1.8, -32 / 1.8, {0xFF, -1, 0x7FFF}),
        "thsw_index": (39, "<h", 1 / 1.8, -32 / 1.8, {0xFF, -1, 0x7FFF}),
        "rain_15min": (52, "<H", 0.254, 0, {0xFFFF}),
        "rain_24h": (58, "<H", 0.254, 0, {0xFFFF}),
        "station_pressure": (67, "<H", _HPA, 0, {0, 0xFFFF}),
        "inside_temperature": (9, "<h", 1 / 18, -160 / 9, {0x7FFF}),
        "outside_temperature": (12, "<h", 1 / 18, -160 / 9, {0x7FFF}),
    },
}
"""By packet and field: octet, form, factor, what is added, numbers that are no value. Rain is as the cases click."""


def _packets(talk: Talk, _: GroupTable) -> Iterator[bytes]:
    for at in found(talk.heard, b"LOO"):
        packet = bytes(talk.heard[at : at + 99])
        if len(packet) == 99 and packet[95:97] == b"\n\r" and crc16_high_first(packet, 0) == 0:
            yield packet


def _values(packet: bytes, _: GroupTable, tag: Tag) -> Iterator[Value]:
    kind = tag.get("packet", "LOOP")
    at, form, factor, added, dashes = _FIELDS[kind][tag["field"]]
    (raw,) = struct.unpack_from(form, packet, at)
    (direction,) = struct.unpack_from("<H", packet, 16)
    is_heard = not tag["field"].startswith("wind_speed") or direction not in {0, 0x7FFF, 0xFFFF}
    if packet[4] == ("LOOP", "LOOP2").index(kind) and raw not in dashes and is_heard:
        yield scaled(raw * factor + added, tag)


def _mend(chunks: list[bytes], _: GroupTable) -> list[bytes]:
    """Put the right CRC behind a packet, whose octets come in several chunks."""
    data = b"".join(chunks[1:])
    at = data.find(b"LOO")
    if at < 0 or len(data) < at + 99:
        return chunks
    body = data[at : at + 95] + b"\n\r"
    return [*chunks[:1], data[:at] + body + crc16_high_first(body, 0).to_bytes(2, "big") + data[at + 99 :]]


WIRE = Wire(_packets, _values, _mend)
