"""Oracles and menders for instruments that upload: HJ 212-2017, GB/T 26875.3 and Raspberry Shake."""

from __future__ import annotations

import re

_HJ212 = re.compile(rb"##([0-9]{4})([ -~]*?CP=&&[ -~]*?&&)([0-9A-Fa-f]{4})\r\n")
_SHAKE = re.compile(rb"\{'[A-Z0-9]{3}',[^{}']*\}")


def hj212_crc(data: bytes) -> int:
    """The CRC of annex A: the octet joins the high half of the register shifted down."""
    register = 0xFFFF
    for octet in data:
        register = (register // 256) ^ octet
        for _ in range(8):
            register = register // 2 ^ (0xA001 if register % 2 else 0)
    return register


def holds_hj212_packet(data: bytes) -> bool:
    """``##``, a length, that many characters, their CRC, CR LF."""
    for at in range(len(data) - 11):
        digits = data[at + 2 : at + 6]
        if data[at : at + 2] != b"##" or not digits.isdigit():
            continue
        end = at + 6 + int(digits)
        tail = data[end : end + 6]
        if re.fullmatch(rb"[0-9A-Fa-f]{4}\r\n", tail) and int(tail[:4], 16) == hj212_crc(data[at + 6 : end]):
            return True
    return False


def mend_hj212(data: bytes) -> bytes:
    """Put the right length and CRC around every data segment."""
    return _HJ212.sub(lambda found: b"##%04d%b%04X\r\n" % (len(found[2]) % 10_000, found[2], hj212_crc(found[2])), data)


def holds_fire_packet(data: bytes) -> bool:
    """``@@``, a length at octet 24, that many octets behind octet 27, the sum of all, ``##``."""
    for at in range(len(data) - 29):
        if data[at : at + 2] != b"@@":
            continue
        end = at + 27 + data[at + 24] + 256 * data[at + 25]
        if data[end + 1 : end + 3] == b"##" and sum(data[at + 2 : end]) % 256 == data[end]:
            return True
    return False


def mend_fire(data: bytes) -> bytes:
    """Put the right length and sum into a chunk that begins and ends like a packet."""
    if len(data) < 30 or data[:2] != b"@@" or data[-2:] != b"##":
        return data
    body = data[2:24] + (len(data) - 30).to_bytes(2, "little") + data[26:-3]
    return b"@@" + body + bytes((sum(body) % 256,)) + b"##"


def holds_shake_datagram(data: bytes) -> bool:
    """A channel and numbers between braces."""
    return _SHAKE.search(data) is not None
