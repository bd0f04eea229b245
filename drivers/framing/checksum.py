"""Checksums of instruments: sums, exclusive-or, and CRCs as parameters of one algorithm.

Parameters and check values of the CRCs are those of the catalogue of parametrised CRC algorithms (G. Cook,
reveng.sourceforge.io/crc-catalogue); ``check`` is the CRC of the nine octets ``123456789``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import msgspec

from drivers import bits
from drivers.framing.model import Check, Kind

_HEX_DIGITS = re.compile(rb"[0-9A-Fa-f]+")

Compute = Callable[[bytes], int]
"""Compute a checksum of octets."""


class Crc(msgspec.Struct, frozen=True):
    """Parameters of a CRC. ``is_reflected``: octets go in and the result comes out low bit first."""

    bits: int
    poly: int
    init: int
    is_reflected: bool
    xorout: int
    check: int


CRCS: Mapping[str, Crc] = {
    "crc8-smbus": Crc(8, 0x07, 0x00, False, 0x00, 0xF4),
    "crc8-maxim": Crc(8, 0x31, 0x00, True, 0x00, 0xA1),
    "crc8-nrsc5": Crc(8, 0x31, 0xFF, False, 0x00, 0xF7),
    "crc8-i432": Crc(8, 0x07, 0x00, False, 0x55, 0xA1),
    "crc16-modbus": Crc(16, 0x8005, 0xFFFF, True, 0x0000, 0x4B37),
    "crc16-arc": Crc(16, 0x8005, 0x0000, True, 0x0000, 0xBB3D),
    "crc16-ccitt-false": Crc(16, 0x1021, 0xFFFF, False, 0x0000, 0x29B1),
    "crc16-xmodem": Crc(16, 0x1021, 0x0000, False, 0x0000, 0x31C3),
    "crc16-kermit": Crc(16, 0x1021, 0x0000, True, 0x0000, 0x2189),
    "crc16-x25": Crc(16, 0x1021, 0xFFFF, True, 0xFFFF, 0x906E),
    "crc32": Crc(32, 0x04C11DB7, 0xFFFFFFFF, True, 0xFFFFFFFF, 0xCBF43926),
    "crc32c": Crc(32, 0x1EDC6F41, 0xFFFFFFFF, True, 0xFFFFFFFF, 0xE3069283),
    "crc32-mpeg2": Crc(32, 0x04C11DB7, 0xFFFFFFFF, False, 0x00000000, 0x0376E6E7),
}
"""``crc8-nrsc5`` is that of Sensirion's sensors, ``crc16-ccitt-false`` is CRC-16/IBM-3740, ``crc16-x25`` IBM-SDLC."""


_SUMS: Mapping[str, tuple[int, Compute]] = {
    "sum8": (1, bits.sum8),
    "sum8-twos": (1, lambda data: -sum(data) & 0xFF),
    "sum16": (2, lambda data: sum(data) & 0xFFFF),
    "xor8": (1, bits.xor8),
}


def width(kind: Kind) -> int:
    """Count the octets of a checksum."""
    return CRCS[kind].bits // 8 if kind in CRCS else _SUMS[kind][0]


def compute(kind: Kind) -> Compute:
    """Give the function that computes a checksum."""
    return _crc(kind) if kind in CRCS else _SUMS[kind][1]


def _reversed(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


@cache
def _crc(kind: str) -> Compute:
    crc = CRCS[kind]
    table = _low_first(crc) if crc.is_reflected else _high_first(crc)
    start = _reversed(crc.init, crc.bits) if crc.is_reflected else crc.init
    top, mask = crc.bits - 8, (1 << crc.bits) - 1

    def low_first(data: bytes) -> int:
        value = start
        for octet in data:
            value = (value >> 8) ^ table[(value ^ octet) & 0xFF]
        return value ^ crc.xorout

    def high_first(data: bytes) -> int:
        value = start
        for octet in data:
            value = (value << 8 & mask) ^ table[value >> top ^ octet]
        return value ^ crc.xorout

    return low_first if crc.is_reflected else high_first


def _low_first(crc: Crc) -> tuple[int, ...]:
    poly, table = _reversed(crc.poly, crc.bits), []
    for octet in range(256):
        value = octet
        for _ in range(8):
            value = value >> 1 ^ (poly if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _high_first(crc: Crc) -> tuple[int, ...]:
    high, mask, table = 1 << crc.bits - 1, (1 << crc.bits) - 1, []
    for octet in range(256):
        value = octet << crc.bits - 8
        for _ in range(8):
            value = (value << 1 & mask) ^ (crc.poly if value & high else 0)
        table.append(value)
    return tuple(table)


def checker(check: Check | None) -> Callable[[bytes], bool]:
    """Prepare the function that tells whether the checksum of a frame is right."""
    if check is None:
        return lambda _: True
    calculate = compute(check.kind)
    size = width(check.kind) * (2 if check.form == "hex" else 1)

    def is_right(frame: bytes) -> bool:
        at = len(frame) - check.after - size
        end = at - check.gap
        if end < check.first:
            return False
        stated = frame[at : at + size]
        if check.form == "hex":
            if not _HEX_DIGITS.fullmatch(stated):
                return False
            stated = bytes.fromhex(stated.decode("ascii"))
        return calculate(frame[check.first : end]) == int.from_bytes(stated, check.order)

    return is_right
