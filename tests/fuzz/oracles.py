"""Whether a stream of octets holds any frame that a driver may believe, told without the drivers' own code.

A driver that reports a value from octets in which its oracle finds no frame has invented it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Oracle = Callable[[bytes], bool]

Mender = Callable[[bytes], bytes]
"""Puts the right checksum to a chunk, so that what lies behind the checksum is reached too."""


def crc16_bitwise(data: bytes, start: int = 0xFFFF) -> int:
    """CRC-16 with the reflected polynomial 0xA001, bit by bit, as the Modbus serial line guide writes it."""
    crc = start
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def holds_rtu_frame(data: bytes) -> bool:
    """Any stretch of 5 octets or more whose last two are the CRC-16 of those before."""
    for start in range(len(data)):
        crc = crc16_bitwise(data[start : start + 3])
        for end in range(start + 3, len(data) - 1):
            if data[end] == crc & 0xFF and data[end + 1] == crc >> 8:
                return True
            crc ^= data[end]
            for _ in range(8):
                crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return False


_ASCII_FRAME = re.compile(rb":((?:[0-9A-Fa-f]{2})+)\r\n")


def holds_ascii_frame(data: bytes) -> bool:
    """A colon, pairs of hexadecimal digits whose octets add up to 0, CR LF."""
    return any(sum(bytes.fromhex(found[1].decode())) % 256 == 0 for found in _ASCII_FRAME.finditer(data))


def holds_nmea_sentence(data: bytes) -> bool:
    """``$``, characters, ``*`` and the exclusive-or of the characters as two hexadecimal digits."""
    for found in re.finditer(rb"[$!]([^*\r\n]*)\*([0-9A-Fa-f]{2})", data):
        total = 0
        for octet in found[1]:
            total ^= octet
        if total == int(found[2], 16):
            return True
    return False


def holds_witmotion_frame(data: bytes) -> bool:
    """55 51, eight octets and the sum of the ten."""
    return any(
        data[at] == 0x55 and data[at + 1] == 0x51 and sum(data[at : at + 10]) % 256 == data[at + 10]
        for at in range(len(data) - 10)
    )


def anything(data: bytes) -> bool:
    """No checksum on this wire: any octets may be a value."""
    return bool(data)


def mend_rtu(data: bytes) -> bytes:
    """Replace the last two octets by the CRC-16 of those before."""
    body = data[:-2]
    return body + crc16_bitwise(body).to_bytes(2, "little") if body else data


def mend_ascii(data: bytes) -> bytes:
    """Put the right last pair of digits into every frame."""

    def mend(found: re.Match[bytes]) -> bytes:
        body = bytes.fromhex(found[1].decode())[:-1]
        return b":" + (body + bytes((-sum(body) % 256,))).hex().upper().encode() + b"\r\n"

    return _ASCII_FRAME.sub(mend, data)


def mend_nmea(data: bytes) -> bytes:
    """Put the right two digits behind every ``*``."""

    def mend(found: re.Match[bytes]) -> bytes:
        total = 0
        for octet in found[1]:
            total ^= octet
        return b"$" + found[1] + b"*%02X\r\n" % total

    return re.sub(rb"\$([^*\r\n]*)\*[^\r\n]*\r?\n?", mend, data)


def mend_witmotion(data: bytes) -> bytes:
    """Put the right sum behind every ten octets."""
    frames = (data[at : at + 10] for at in range(0, len(data), 11))
    return b"".join(frame + bytes((sum(frame) % 256,)) for frame in frames)


def as_it_is(data: bytes) -> bytes:
    """Leave a chunk alone: there is no checksum."""
    return data
