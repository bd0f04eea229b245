"""HJ 212-2017: ``##``, a length, that many characters, their CRC by annex A, CR LF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, found, numbers, scaled
from wire.sample import Value

_SEGMENT = re.compile(rb"##([0-9]{4})([ -~]*?CP=&&[ -~]*?&&)([0-9A-Fa-f]{4})\r\n")
_NO_VALUE = {"F", "D", "B"}


def _steps(octet: int) -> int:
    for _ in range(8):
        octet = octet // 2 ^ (0xA001 if octet % 2 else 0)
    return octet


_STEPS = [_steps(octet) for octet in range(256)]


@lru_cache
def _crc(data: bytes) -> int:
    """The octet joins the high half of the register shifted down; then eight steps."""
    register = 0xFFFF
    for octet in data:
        register = _STEPS[register // 256 ^ octet]
    return register


def _segments(talk: Talk, _: GroupTable) -> list[list[str]]:
    """All data segments at once: a scan may stand on the parts of one that was split."""
    return [list(_valid(bytes(talk.heard)))]


def _valid(data: bytes) -> Iterator[str]:
    for at in found(data, b"##"):
        digits = data[at + 2 : at + 6]
        if not re.fullmatch(rb"[0-9]{4}", digits):
            continue
        end = at + 6 + int(digits)
        tail = data[end : end + 6]
        if re.fullmatch(rb"[0-9A-Fa-f]{4}\r\n", tail) and int(tail[:4], 16) == _crc(data[at + 6 : end]):
            yield data[at + 6 : end].decode("latin-1")


def _values(segments: list[str], group: GroupTable, tag: Tag) -> Iterator[Value]:
    name = f"{tag['code']}-{tag.get('field', 'Rtd')}"
    for segment in segments:
        head, _, contents = segment.partition("CP=&&")
        fields, items = _pairs(head), _pairs(contents.removesuffix("&&"))
        is_ours = fields.get("MN") == group.device["mn"] and fields.get("CN") == tag.get("cn", "2011")
        has_password = fields.get("PW") == group.device.get("password", fields.get("PW"))
        if not is_ours or not has_password or items.get(f"{tag['code']}-Flag") in _NO_VALUE:
            continue
        yield from (scaled(raw, tag) for raw in numbers(items.get(name, "")) if raw not in tag.get("invalid", ()))


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in re.split("[;,]", text) if "=" in word)


def _mend(data: bytes) -> bytes:
    """Put the right length and CRC around every data segment."""
    return _SEGMENT.sub(lambda frame: b"##%04d%b%04X\r\n" % (len(frame[2]) % 10_000, frame[2], _crc(frame[2])), data)


WIRE = Wire(_segments, _values, chunkwise(_mend))
