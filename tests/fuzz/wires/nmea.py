"""NMEA 0183: one line, ``$``, characters, ``*`` and their exclusive-or in two hexadecimal digits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import reduce
from operator import xor

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, numbers, scaled
from wire.sample import Value

_SENTENCE = re.compile(rb"(?:^|\n)\r*[$!]([ -~]*)\*([0-9A-Fa-f]{2})\r*(?=\n)")
_RESERVED = re.compile(rb"[$!*\\]")
_SPEEDS = {"M": 1.0, "N": 0.5144444444444444, "K": 1 / 3.6, "S": 0.44704}

Fields = list[str]


def _sentences(talk: Talk, _: GroupTable) -> Iterator[Fields]:
    for line in _SENTENCE.finditer(bytes(talk.heard)):
        if not _RESERVED.search(line[1]) and reduce(xor, line[1], 0) == int(line[2], 16):
            yield [*line[1].decode().split(","), *[""] * 24]


def _times(field: int, factor: float = 1.0) -> Callable[[Fields], list[Value]]:
    return lambda fields: [number * factor for number in numbers(fields[field])]


def _either(*reads: Callable[[Fields], list[Value]]) -> Callable[[Fields], list[Value]]:
    return lambda fields: next((each for read in reads if (each := read(fields))), [])


def _mwv(read: Callable[[Fields], list[Value]]) -> Callable[[Fields], list[Value]]:
    return lambda fields: read(fields) if fields[5] == "A" else []


def _fixed(read: Callable[[Fields], list[Value]]) -> Callable[[Fields], list[Value]]:
    return lambda fields: read(fields) if fields[2] == "A" and fields[12] not in {"E", "M", "N", "S"} else []


def _angle(field: int, sides: str) -> Callable[[Fields], list[Value]]:
    def read(fields: Fields) -> list[Value]:
        parts = re.fullmatch(r"([0-9]+)([0-9]{2}(?:\.[0-9]*)?)", fields[field])
        if parts is None or fields[field + 1] not in {sides[0], sides[1]}:
            return []
        degrees = int(parts[1]) + float(parts[2]) / 60
        return [degrees if fields[field + 1] == sides[0] else -degrees]

    return read


def _variation(fields: Fields) -> list[Value]:
    return [number * {"E": 1, "W": -1}.get(fields[11], float("nan")) for number in numbers(fields[10])]


def _utc(clock: str, year: str, month: str, day: str) -> list[Value]:
    second = clock[4:].rstrip("0").rstrip(".") if "." in clock else clock[4:]
    return [f"{year}-{month}-{day}T{clock[:2]}:{clock[2:4]}:{second}Z"]


def _rmc_utc(fields: Fields) -> list[Value]:
    day, month, year = fields[9][:2], fields[9][2:4], fields[9][4:]
    return _utc(fields[1], ("19" if year >= "80" else "20") + year, month, day)


_READS: dict[tuple[str, str], Callable[[Fields], list[Value]]] = {
    ("MWV", "angle"): _mwv(_times(1)),
    ("MWV", "speed"): _mwv(lambda fields: [each * _SPEEDS.get(fields[4], float("nan")) for each in numbers(fields[3])]),
    ("MDA", "pressure"): _either(_times(3, 1000), _times(1, 33.8638866667)),
    ("MDA", "air_temperature"): _times(5),
    ("MDA", "humidity"): _times(9),
    ("MDA", "dew_point"): _times(11),
    ("MDA", "wind_speed"): _either(_times(19), _times(17, _SPEEDS["N"])),
    ("MTW", "temperature"): _times(1),
    ("RMC", "utc"): _fixed(_rmc_utc),
    ("RMC", "status"): lambda fields: [fields[2]],
    ("RMC", "latitude"): _fixed(_angle(3, "NS")),
    ("RMC", "longitude"): _fixed(_angle(5, "EW")),
    ("RMC", "sog"): _fixed(_times(7, _SPEEDS["N"])),
    ("RMC", "cog"): _fixed(_times(8)),
    ("RMC", "variation"): _fixed(_variation),
    ("ZDA", "utc"): lambda fields: _utc(fields[1], fields[4], fields[3].zfill(2), fields[2].zfill(2)),
}


def _values(fields: Fields, group: GroupTable, tag: Tag) -> Iterator[Value]:
    talker = group.device.get("talker", "")
    if fields[0][2:] != tag["sentence"] or not fields[0].startswith(talker):
        return
    if tag.get("reference", fields[2]) != fields[2]:
        return
    for value in _read(fields, tag["sentence"], tag["field"]):
        yield scaled(value, tag) if isinstance(value, float) else value


def _read(fields: Fields, sentence: str, name: str | int) -> list[Value]:
    if isinstance(name, int):
        return list(numbers(fields[name]))
    if sentence == "XDR":
        return [each for at in range(4, len(fields), 4) if fields[at] == name for each in numbers(fields[at - 2])]
    return _READS[sentence, name](fields)


def _mend(data: bytes) -> bytes:
    """Put the right two digits behind every ``*``."""
    return re.sub(
        rb"([$!])([^*\r\n]*)\*[^\r\n]*\r?\n?",
        lambda line: line[1] + line[2] + b"*%02X\r\n" % reduce(xor, line[2], 0),
        data,
    )


WIRE = Wire(_sentences, _values, chunkwise(_mend))
