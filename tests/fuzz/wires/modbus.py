"""Modbus: a reply is of the unit, the function and the length that was asked for before it came."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, crc16, found
from wire.sample import Value

Images = list[dict[tuple[int, int], int]]
"""What each reply says: {(function, address): word or bit}."""

_FORMS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f", "u64": ">Q", "i64": ">q", "f64": ">d"}
_ASCII_FRAME = re.compile(rb":((?:[0-9A-Fa-f]{2})+)\r\n")
_NOTATIONS = ((400_001, 3), (300_001, 4), (100_001, 2), (40_001, 3), (30_001, 4), (10_001, 2), (1, 1))


def _rtu_replies(talk: Talk) -> Iterator[tuple[bytes, bytes]]:
    for at, sent in talk.sent:
        unit, pdu = sent[:1], sent[1:-2]
        head = unit + pdu[:1] + bytes((_octets(pdu),))
        for start in found(talk.heard, head, at):
            frame = talk.heard[start : start + 3 + head[2] + 2]
            if len(frame) == 5 + head[2] and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little"):
                yield pdu, frame[3:-2]


def _ascii_replies(talk: Talk) -> Iterator[tuple[bytes, bytes]]:
    for at, sent in talk.sent:
        request = bytes.fromhex(sent[1:-2].decode())
        unit, pdu = request[:1], request[1:-1]
        head = unit + pdu[:1] + bytes((_octets(pdu),))
        for reply in _ASCII_FRAME.finditer(talk.heard, at):
            frame = bytes.fromhex(reply[1].decode())
            if sum(frame) % 256 == 0 and frame.startswith(head) and len(frame) == 4 + head[2]:
                yield pdu, frame[3:-1]


def _tcp_replies(talk: Talk) -> Iterator[tuple[bytes, bytes]]:
    for _, sent in talk.sent:
        number, unit, pdu = sent[:2], sent[6:7], sent[7:]
        octets = _octets(pdu)
        head = number + bytes((0, 0, 0, 3 + octets)) + unit + pdu[:1] + bytes((octets,))
        for start in found(talk.heard, head):
            data = talk.heard[start + len(head) : start + len(head) + octets]
            if len(data) == octets:
                yield pdu, data


def _octets(pdu: bytes) -> int:
    count = int.from_bytes(pdu[3:5], "big")
    return 2 * count if pdu[0] > 2 else (count + 7) // 8


def _images(replies: Callable[[Talk], Iterable[tuple[bytes, bytes]]]) -> Callable[[Talk, GroupTable], list[Images]]:
    return lambda talk, _: [[_image(pdu, bytes(data)) for pdu, data in replies(talk)]]


def _image(pdu: bytes, data: bytes) -> dict[tuple[int, int], int]:
    function, first, count = struct.unpack(">BHH", pdu[:5])
    if function > 2:
        return {(function, first + at): word for at, word in enumerate(struct.unpack(f">{count}H", data))}
    return {(function, first + at): data[at // 8] >> at % 8 & 1 for at in range(count)}


def _values(images: Images, group: GroupTable, tag: Tag) -> Iterator[Value]:
    base = group.device.get("base", 0)
    if not all(any(_is_well(raw, rule) for raw in _raws(images, rule, base)) for rule in tag.get("status", ())):
        return
    orders: Iterable[Any] = [tag.get("order", "ABCD")]
    if (lookup := tag.get("order_from")) is not None:
        orders = [lookup["table"].get(str(raw)) for raw in _raws(images, lookup, base)]
    decimals: Iterable[Any] = [0]
    if (lookup := tag.get("decimals_from")) is not None:
        decimals = list(_raws(images, lookup, base))
    for order, shift in product(orders, decimals):
        for raw in _raws(images, tag, base, order) if order else ():
            yield from _read(raw, shift, tag)


def _is_well(raw: Value, rule: Tag) -> bool:
    return rule.get("quality", "bad") == "uncertain" or (isinstance(raw, int) and not raw & rule["mask"])


def _read(raw: Value, shift: int, tag: Tag) -> Iterator[Value]:
    if raw in tag.get("invalid", ()) or raw is None:
        return
    if isinstance(raw, str | bool):
        yield raw
    elif "bit" in tag:
        yield bool(int(raw) >> tag["bit"] & 1)
    else:
        number = (int(raw) & tag["mask"]) // (tag["mask"] & -tag["mask"]) if "mask" in tag else raw
        if "text" in tag:
            yield tag["text"].get(str(number), str(number))
        else:
            yield number * tag.get("scale", 1) / 10**shift + tag.get("offset", 0)


def _place(tag: Tag, base: int) -> tuple[int, int]:
    if "register" not in tag:
        return tag.get("function", 3), tag["address"] - base
    first, function = next(each for each in _NOTATIONS if tag["register"] >= each[0])
    return function, tag["register"] - first


def _raws(images: Images, tag: Tag, base: int, order: str = "ABCD") -> Iterator[Value]:
    function, address = _place(tag, base)
    kind = tag.get("type", "u16")
    form = _FORMS.get(kind, {"bcd16": ">H", "bcd32": ">I", "bcd64": ">Q"}.get(kind, ""))
    count = tag["length"] if kind == "string" else struct.calcsize(form) // 2
    for image in images:
        words = [image.get((function, address + at)) for at in range(count)]
        if None in words:
            continue
        if function < 3:
            yield bool(words[0])
            continue
        octets = b"".join(word.to_bytes(2, "big" if order in {"ABCD", "CDAB"} else "little") for word in words)
        if order in {"CDAB", "DCBA"}:
            octets = b"".join(octets[at : at + 2] for at in range(2 * count - 2, -1, -2))
        yield from _number(octets, kind, form)


def _number(octets: bytes, kind: str, form: str) -> Iterator[Value]:
    if kind == "string":
        shown = octets.strip(b"\0 ").decode("utf-8", "replace")
        yield from [shown] if shown and shown.isprintable() else []
    elif kind.startswith("bcd"):
        yield from [int(octets.hex())] if octets.hex().isdecimal() else []
    else:
        yield struct.unpack(form, octets)[0]


def _mend_rtu(data: bytes) -> bytes:
    body = data[:-2]
    return body + crc16(body).to_bytes(2, "little") if body else data


def _mend_ascii(data: bytes) -> bytes:
    def mend(frame: re.Match[bytes]) -> bytes:
        body = bytes.fromhex(frame[1].decode())[:-1]
        return b":" + (body + bytes((-sum(body) % 256,))).hex().upper().encode() + b"\r\n"

    return _ASCII_FRAME.sub(mend, data)


_RTU = Wire(_images(_rtu_replies), _values, chunkwise(_mend_rtu))
_ASCII = Wire(_images(_ascii_replies), _values, chunkwise(_mend_ascii))
_TCP = Wire(_images(_tcp_replies), _values)

BY_SCHEME = {"rtu": _RTU, "rtu+tcp": _RTU, "ascii": _ASCII, "ascii+tcp": _ASCII, "tcp": _TCP, "tls": _TCP}
ALSO_OVER = {
    "rtu": ("rtu+tcp://127.0.0.1:4001",),
    "ascii": ("ascii+tcp://127.0.0.1:4001",),
    "tcp": ("tls://127.0.0.1:802",),
}
