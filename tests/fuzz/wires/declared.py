"""Frames that a configuration declares, for the checksums, types and rules that the cases use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import xor
from typing import Any

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, crc16_high_first, crc_low_first, found, scaled
from wire.sample import Value

_CHECKSUMS: Mapping[str, tuple[int, Callable[[bytes], int]]] = {
    "sum8": (1, lambda data: sum(data) % 256),
    "xor8": (1, lambda data: reduce(xor, data, 0)),
    "crc8-maxim": (1, lambda data: crc_low_first(data, 0x8C, 0)),
    "crc16-ccitt-false": (2, lambda data: crc16_high_first(data, 0xFFFF)),
}
_OCTETS = {"u8": 1, "u16": 2, "i20": 3, "i24": 3, "i32": 4}

Part = dict[str, str | None] | bytes
"""A text's named parts, or a frame of octets."""


def _place(check: Mapping[str, Any], size: int) -> tuple[slice, slice, str]:
    """Where in a frame of so many octets lie what is covered and the checksum; and how that is written."""
    width = _CHECKSUMS[check["kind"]][0] * (2 if check.get("form") == "hex" else 1)
    end = size - check.get("after", 0)
    written = f"%0{width}X" if check.get("form") == "hex" else ""
    return slice(check.get("first", 0), end - width - check.get("gap", 0)), slice(end - width, end), written


def _sealed(frame: bytes, check: Mapping[str, Any] | None) -> bytes:
    """The frame with the checksum that it should have."""
    if check is None:
        return frame
    covered, at, written = _place(check, len(frame))
    width, compute = _CHECKSUMS[check["kind"]]
    total = compute(frame[covered])
    octets = (written % total).encode() if written else total.to_bytes(width, "big")
    return frame[: at.start] + octets + frame[at.stop :]


def _frames(talk: Talk, group: GroupTable) -> Iterator[Part]:
    for _, heard in talk.answers():
        yield from (
            _texts(heard, group.device["text"]) if "text" in group.device else _binaries(heard, group.device["binary"])
        )


def _texts(heard: bytes, text: Mapping[str, Any]) -> Iterator[Part]:
    for line in heard.split(text.get("terminator", "\r\n").encode()):
        starts = found(line, text["start"].encode()) if "start" in text else [0]
        for at in starts:
            match = re.fullmatch(text["pattern"], line[at:].decode("latin-1"), re.ASCII)
            if match and _sealed(line[at:], text.get("checksum")).upper() == line[at:].upper():
                yield match.groupdict()


def _binaries(heard: bytes, binary: Mapping[str, Any]) -> Iterator[Part]:
    for at in found(heard, bytes.fromhex(binary["header"])):
        length = binary["length"]
        if not isinstance(length, int):
            end = at + length["at"] + _OCTETS[length["type"]]
            length = int.from_bytes(heard[at + length["at"] : end], "big") + length["add"]
        frame = heard[at : at + length]
        is_whole = len(frame) == length and frame.endswith(bytes.fromhex(binary.get("tail", "")))
        if is_whole and _sealed(frame, binary.get("checksum")) == frame:
            yield frame


def _values(part: Part, _: GroupTable, tag: Tag) -> Iterator[Value]:
    if isinstance(part, bytes):
        yield from _from_octets(part, tag)
    elif (word := part.get(tag["field"])) is not None and _is_well(part, tag):
        if tag.get("read") == "text":
            yield word.strip()
        elif re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", word.strip()):
            yield scaled(float(word), tag)


def _is_well(parts: Mapping[str, str | None], tag: Tag) -> bool:
    return "status" not in tag or parts[tag["status"]["field"]] in tag["status"]["words"]


def _from_octets(frame: bytes, tag: Tag) -> Iterator[Value]:
    kind = tag.get("type", "u8")
    octets = frame[tag["at"] : tag["at"] + _OCTETS[kind]]
    when = tag.get("when")
    if len(octets) < _OCTETS[kind] or (when and frame[when["at"]] != when["equals"]):
        return
    raw = int.from_bytes(octets, tag.get("order", "big"), signed=kind.startswith("i")) >> (4 if kind == "i20" else 0)
    if raw in tag.get("invalid", ()):
        return
    if "bit" in tag:
        yield bool(raw >> tag["bit"] & 1)
    elif "words" in tag:
        yield from filter(None, [tag["words"].get(str(raw & tag["mask"]))])
    else:
        yield scaled(raw, tag)


def _mend(chunks: list[bytes], group: GroupTable) -> list[bytes]:
    """Put the right checksum to chunks that are a frame."""
    declared = group.device.get("text") or group.device["binary"]
    end = declared.get("terminator", "\r\n").encode() if "pattern" in declared else b""
    start = declared.get("start", "").encode() if "pattern" in declared else bytes.fromhex(declared["header"])
    least = len(start) + len(end) + 4
    return [
        _sealed(chunk.removesuffix(end), declared.get("checksum")) + end
        if chunk.startswith(start) and chunk.endswith(end) and len(chunk) > least
        else chunk
        for chunk in chunks
    ]


WIRE = Wire(_frames, _values, _mend)
