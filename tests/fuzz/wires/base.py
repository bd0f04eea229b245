"""What all wires share: what was said, which values it bears out, checksums by their definition, and mending."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from drivers.base import Scan
from tests.drivers.cases import GroupTable
from wire.sample import Value, is_bad

ROUNDED = 1e-5
"""What drivers that keep six decimals of a unit may lose, times ten for a tag's own factor."""

Tag = dict[str, Any]
"""A tag as ``case.toml`` has it."""


class Talk:
    """What was heard on a line, and what was sent, each with how much had been heard by then."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.sent: list[tuple[int, bytes]] = []

    def hear(self, data: bytes) -> None:
        self.heard += data

    def send(self, data: bytes) -> None:
        self.sent.append((len(self.heard), data))

    def answers(self) -> Iterator[tuple[bytes, bytes]]:
        """What was sent, and what was heard before anything else was; first what was heard before anything was sent."""
        sent = [(0, b""), *self.sent]
        ends = [*(at for at, _ in self.sent), len(self.heard)]
        for (start, octets), end in zip(sent, ends, strict=True):
            yield octets, bytes(self.heard[start:end])


class Wire(msgspec.Struct, frozen=True):
    """One wire. ``frames`` finds what one scan of a group may stand on; ``values`` what a tag may be by one of them.

    ``mend`` puts right checksums to the chunks of an input, so that what lies behind the checksum is reached too.
    """

    frames: Callable[[Talk, GroupTable], Iterable[Any]]
    values: Callable[[Any, GroupTable, Tag], Iterable[Value]]
    mend: Callable[[list[bytes], GroupTable], list[bytes]] = lambda chunks, _: chunks


def bears_out(wire: Wire, frames: Iterable[Any], group: GroupTable, scan: Scan) -> bool:
    """Tell whether one of the frames that were heard holds every value of a scan that is not bad."""
    columns = zip(group.tag, scan.values, scan.quality, strict=True)
    claimed = [(tag, value) for tag, value, quality in columns if not is_bad(quality)]
    return not claimed or any(
        all(any(_is_same(value, held) for held in wire.values(frame, group, tag)) for tag, value in claimed)
        for frame in frames
    )


def _is_same(value: Value, held: Value) -> bool:
    if isinstance(value, bool) or isinstance(held, bool) or isinstance(value, str) or isinstance(held, str):
        return type(value) is type(held) and value == held
    return value is not None and held is not None and math.isclose(value, held, rel_tol=1e-9, abs_tol=ROUNDED)


def lines(octets: bytes) -> list[bytes]:
    """What ends with LF, without CR."""
    return [line.strip(b"\r") for line in octets.split(b"\n")[:-1]]


def scaled(raw: float, tag: Tag) -> float:
    """The value that a raw number stands for."""
    return raw * tag.get("scale", 1) + tag.get("offset", 0)


_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


def numbers(text: str) -> list[float]:
    """A number as a list of one, none if the text is something else."""
    return [float(text)] if _NUMBER.fullmatch(text) else []


def found(data: bytes, what: bytes, start: int = 0) -> Iterator[int]:
    """Every place at which some octets stand."""
    at = data.find(what, start)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


def chunkwise(mend: Callable[[bytes], bytes]) -> Callable[[list[bytes], GroupTable], list[bytes]]:
    """Mend each chunk by itself."""
    return lambda chunks, _: [mend(chunk) for chunk in chunks]


def crc_low_first(data: Sequence[int], poly: int, start: int) -> int:
    """A CRC whose octets go in low bit first; ``poly`` is written in that order too."""
    table = _low_first(poly)
    crc = start
    for octet in data:
        crc = crc >> 8 ^ table[(crc ^ octet) & 0xFF]
    return crc


@lru_cache
def _low_first(poly: int) -> list[int]:
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (poly if octet & 1 else 0)
        table.append(octet)
    return table


def crc16_high_first(data: Sequence[int], start: int) -> int:
    """CRC-16 of polynomial 0x1021 whose octets go in high bit first."""
    crc = start
    for octet in data:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def crc16(data: Sequence[int], start: int = 0xFFFF) -> int:
    """CRC-16 of the Modbus serial line guide; with start 0 that of SDI-12."""
    return crc_low_first(data, 0xA001, start)


def crc_characters(data: bytes) -> bytes:
    """The three characters of an SDI-12 or WXT530 CRC."""
    crc = crc16(data, 0)
    return bytes((0x40 | crc >> 12, 0x40 | crc >> 6 & 0x3F, 0x40 | crc & 0x3F))


def mend_characters(data: bytes) -> bytes:
    """Put those three characters at the end of every line."""
    return re.sub(rb"([^\r\n]+)[^\r\n]{3}\r\n", lambda line: line[1] + crc_characters(line[1]) + b"\r\n", data)
