"""Vaisala WXT530: address, message, name=number and a letter; in lower case the line ends with a CRC."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, crc_characters, lines, mend_characters, scaled
from wire.sample import Value

_MESSAGES = {"D": "1", "S": "1", "T": "2", "U": "2", "P": "2", "R": "3", "H": "3", "V": "5", "I": "5"}
_FACTORS = {
    "D": {"D": 1}, "S": {"M": 1, "K": 1 / 3.6, "S": 0.44704, "N": 1852 / 3600}, "U": {"P": 1},
    "P": {"H": 1, "P": 0.01, "B": 1000, "M": 1.333223874, "I": 33.8638866667}, "V": dict.fromkeys("VNWF", 1),
    "R": {"M": 1, "I": 25.4},
}  # fmt: skip


def _messages(talk: Talk, group: GroupTable) -> list[list[str]]:
    """All messages at once: a scan may stand on several."""
    return [list(_valid(talk, is_secured=group.device.get("crc", True)))]


def _valid(talk: Talk, *, is_secured: bool) -> Iterator[str]:
    for text in (line for _, heard in talk.answers() for line in lines(heard)):
        if is_secured:
            if crc_characters(text[:-3]) == text[-3:]:
                yield text[:-3].decode("latin-1")
        else:
            yield text.decode("latin-1")


def _values(messages: list[str], group: GroupTable, tag: Tag) -> Iterator[Value]:
    name = tag["parameter"]
    device = group.device
    number = "0" if device.get("composite") else _MESSAGES[name[0]]
    head = f"{device.get('address', '0')}{'r' if device.get('crc', True) else 'R'}{number},"
    for message in messages:
        for field in message.removeprefix(head).split(",") if message.startswith(head) else ():
            if field.startswith(f"{name}="):
                yield from _value(name, field[3:], tag)


def _value(name: str, text: str, tag: Tag) -> Iterator[Value]:
    if name == "Id":
        yield text
        return
    parts = re.fullmatch(r"([+-]?[0-9]+(?:\.[0-9]+)?)([A-Za-z])", text)
    if parts is None:
        return
    number, unit = float(parts[1]), parts[2]
    if name in {"Ta", "Tp", "Th"} and unit in "CF":
        yield scaled(number if unit == "C" else (number - 32) / 1.8, tag)
    elif name in {"Rd", "Hd"} and unit in "sS":
        yield scaled(number, tag)
    elif unit in _FACTORS.get(name[0], {}):
        yield scaled(number * _FACTORS[name[0]][unit], tag)


def _mend(chunks: list[bytes], group: GroupTable) -> list[bytes]:
    return [mend_characters(chunk) for chunk in chunks] if group.device.get("crc", True) else chunks


WIRE = Wire(_messages, _values, _mend)
