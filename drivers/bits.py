"""Numbers in bytes: types, word and byte order, scaling, invalid sentinels, checksums. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Literal

from drivers.errors import SettingsError
from wire.sample import Quality, Value

NumberType = Literal["u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64"]
"""Number types that registers hold; `bool` is a bit of one of them or a coil."""

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
"""How a number lies in its registers. A is its most significant byte: ABCD is plain Modbus, CDAB has the words swapped,
BADC the bytes within each word, DCBA both. One-word numbers know AB and BA; eight bytes follow the same pattern."""

ORDERS: tuple[Order, ...] = ("ABCD", "CDAB", "BADC", "DCBA")

FORMATS: dict[str, str] = {
    "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "u64": "Q", "i64": "q", "f64": "d",
    "bcd16": "H", "bcd32": "I", "bcd64": "Q",
}  # fmt: skip
"""How `struct` writes each type; the digits of a BCD number lie in an unsigned one."""

Reader = Callable[[bytes, int], int | float]
"""Take a number out of bytes at an offset."""

Convert = Callable[[int | float], tuple[Value, int]]
"""Turn a raw number into a value and its quality."""

GOOD = int(Quality.GOOD)
BAD_SENSOR = int(Quality.BAD_SENSOR)


def width(kind: str) -> int:
    """Count the octets of a number type, which may be a BCD one too."""
    return struct.calcsize(FORMATS[kind])


def octet_order(size: int, order: Order) -> tuple[int, ...]:
    """Say where the octets of a number lie, most significant first: CDAB of 4 octets is (2, 3, 0, 1)."""
    places = list(range(size))
    if order in {"BADC", "DCBA"}:
        places = [at ^ 1 for at in places]
    if order in {"CDAB", "DCBA"}:
        places = [place for at in range(size - 2, -1, -2) for place in places[at : at + 2]]
    return tuple(places)


def from_bcd(raw: int) -> int | None:
    """Read the decimal digits that lie in the nibbles of a number; None if one is no digit."""
    digits = f"{raw:x}"
    return int(digits) if digits.isdecimal() else None


def to_bcd(number: int) -> int:
    """Write a number that is not negative as decimal digits in nibbles."""
    return int(str(number), 16)


def reader(kind: str, order: Order = "ABCD") -> Reader:
    """Prepare the function that reads a number of this type and order; of a BCD number, the raw nibbles."""
    plain = struct.Struct((">" if order in {"ABCD", "CDAB"} else "<") + FORMATS[kind])
    size = plain.size
    if size == 2 or order in {"ABCD", "DCBA"}:
        unpack_from = plain.unpack_from
        return lambda data, at: unpack_from(data, at)[0]
    unpack = plain.unpack
    return lambda data, at: unpack(_swap_words(data[at : at + size]))[0]


def pack(number: float, kind: str, order: Order = "ABCD") -> bytes:
    """Write a number as `reader` reads it. Raises ValueError if the type cannot hold it."""
    form = (">" if order in {"ABCD", "CDAB"} else "<") + FORMATS[kind]
    try:
        data = struct.pack(form, number if kind.startswith("f") else round(number))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{number} does not fit {kind}") from error
    return data if len(data) == 2 or order in {"ABCD", "DCBA"} else _swap_words(data)


def _swap_words(data: bytes) -> bytes:
    return b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))


def factor(scale: float) -> tuple[float, float]:
    """Split a scale into what to multiply and what to divide by.

    A scale such as 0.1 divides by 10 instead, so that 3 becomes 0.3 and not 0.30000000000000004.
    """
    inverse = round(1 / scale) if 1e-15 <= abs(scale) < 1 else 0
    if inverse and math.isclose(inverse * scale, 1.0, rel_tol=1e-12):
        return 1, inverse
    return scale, 1


def linear(scale: float, offset: float) -> tuple[float, float, float]:
    """Write raw * scale + offset as (raw * times + plus) / by, the form with the least binary noise."""
    times, by = factor(scale)
    return times, offset * by or 0, by


def converter(scale: float = 1.0, offset: float = 0.0, invalid: tuple[float, ...] = ()) -> Convert:
    """Prepare raw * scale + offset, with the raw numbers that mean "no value".

    NaN and infinities never are values, nor is what a scale makes infinite.
    """
    if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
        raise SettingsError(f"scale {scale} and offset {offset} make no value", hint="scale must not be 0")
    refused = frozenset(invalid)
    times, plus, by = linear(scale, offset)
    plain = scale == 1 and offset == 0

    def convert(raw: int | float) -> tuple[Value, int]:
        if raw in refused or (isinstance(raw, float) and not math.isfinite(raw)):
            return None, BAD_SENSOR
        if plain:
            return raw, GOOD
        value = (raw * times + plus) / by
        return (value, GOOD) if math.isfinite(value) else (None, BAD_SENSOR)

    return convert


def unconvert(value: float, scale: float = 1.0, offset: float = 0.0) -> float:
    """Go back from a value to the raw number."""
    return (value - offset) / scale


def masked(mask: int) -> Callable[[int], int]:
    """Prepare the function that takes the bits of a mask out of a number, as a number of its own."""
    shift = (mask & -mask).bit_length() - 1
    return lambda raw: (raw & mask) >> shift


def text(data: bytes) -> str | None:
    """Read text that is padded with NUL or blanks; None if nothing is left, or something that is no text."""
    try:
        shown = data.strip(b"\0 ").decode("utf-8")
    except UnicodeDecodeError:
        return None
    return shown if shown and shown.isprintable() else None


def sum8(data: bytes) -> int:
    """Add up octets, modulo 256."""
    return sum(data) & 0xFF


def xor8(data: bytes) -> int:
    """Exclusive-or of octets, as NMEA 0183 uses it."""
    result = 0
    for octet in data:
        result ^= octet
    return result


def _crc16_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC16 = _crc16_table()


def crc16(data: bytes, start: int = 0) -> int:
    """CRC-16 of polynomial x16 + x15 + x2 + 1, low bit first: CRC-16/ARC, and Modbus with another start."""
    crc = start
    for octet in data:
        crc = (crc >> 8) ^ _CRC16[(crc ^ octet) & 0xFF]
    return crc


def crc16_modbus(data: bytes) -> int:
    """CRC-16 of Modbus RTU; its low octet goes on the wire first."""
    return crc16(data, 0xFFFF)


def crc16_text(data: bytes) -> bytes:
    """CRC-16 as three printable characters of 4, 6 and 6 bits (SDI-12 1.4, 4.4.12; Vaisala WXT530)."""
    crc = crc16(data)
    return bytes((0x40 | crc >> 12, 0x40 | crc >> 6 & 0x3F, 0x40 | crc & 0x3F))
