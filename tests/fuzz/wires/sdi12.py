"""SDI-12: a line of the address, signed numbers and, where it was asked for, a CRC of three characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, crc_characters, lines, mend_characters, scaled
from wire.sample import Value

_VALUES = re.compile(r"([+-](\d+\.?\d*|\.\d+))+", re.ASCII)


def _readings(talk: Talk, group: GroupTable) -> Iterator[list[float]]:
    """What a measurement brought: the values of D0, and of D1, D2 ... as far as those were asked for."""
    readings: list[list[float]] = []
    for sent, heard in talk.answers():
        parts = [part for line in lines(heard) for part in _values_in(line, group)]
        is_first = not re.fullmatch(rb".D[1-9]!", sent)
        readings = [[*before, *part] for before in ([[]] if is_first else readings) for part in parts]
        yield from readings


def _values_in(line: bytes, group: GroupTable) -> Iterator[list[float]]:
    text = line.rpartition(b"!")[2].lstrip(b"\0")
    if group.device.get("crc", True):
        text, crc = text[:-3], text[-3:]
        if crc_characters(text) != crc:
            return
    shown = text.decode("latin-1")
    if shown.startswith(group.device.get("address", "0")) and _VALUES.fullmatch(shown[1:]):
        yield [float(number) for number in re.findall(r"[+-][0-9.]+", shown)]


def _values(reading: list[float], _: GroupTable, tag: Tag) -> Iterator[Value]:
    at = tag.get("value", 1) - 1
    if at < len(reading) and reading[at] not in tag.get("invalid", ()):
        yield scaled(reading[at], tag)


def _mend(data: bytes) -> bytes:
    """Put the right CRC to lines of values; a start and a service request have none."""
    return mend_characters(data) if re.search(rb"[+-]", data) else data


WIRE = Wire(_readings, _values, chunkwise(_mend))
