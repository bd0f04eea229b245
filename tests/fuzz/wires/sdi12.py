"""SDI-12: a line that begins with the address, signed numbers and, where it was asked for, a CRC of three characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, crc_characters, mend_characters, scaled
from wire.sample import Value

_VALUES = re.compile(r"([+-](\d+\.?\d*|\.\d+))+", re.ASCII)

Parts = list[list[float]]


def _readings(talk: Talk, group: GroupTable) -> Iterator[list[float]]:
    """What D0 brought, alone or with what one more part brought."""
    parts = list(_parts(talk, group))
    yield from parts
    yield from ([*first, *second] for first in parts for second in parts)


def _parts(talk: Talk, group: GroupTable) -> Iterator[list[float]]:
    address = group.device.get("address", "0")
    for line in bytes(talk.heard).split(b"\n"):
        text = line.strip(b"\r").rpartition(b"!")[2].lstrip(b"\0")
        if group.device.get("crc", True):
            text, crc = text[:-3], text[-3:]
            if crc_characters(text) != crc:
                continue
        shown = text.decode("latin-1")
        if shown.startswith(address) and _VALUES.fullmatch(shown[1:]):
            yield [float(number) for number in re.findall(r"[+-][0-9.]+", shown)]


def _values(reading: list[float], _: GroupTable, tag: Tag) -> Iterator[Value]:
    at = tag.get("value", 1) - 1
    if at < len(reading) and reading[at] not in tag.get("invalid", ()):
        yield scaled(reading[at], tag)


def _mend(data: bytes) -> bytes:
    """Put the right CRC to lines of values; a start and a service request have none."""
    return mend_characters(data) if re.search(rb"[+-]", data) else data


WIRE = Wire(_readings, _values, chunkwise(_mend))
