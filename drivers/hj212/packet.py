"""Packets of HJ 212-2017, chapter 6. Pure.

    ## 0101 QN=...;ST=32;CN=2011;PW=123456;MN=...;Flag=5;CP=&&DataTime=...;w01001-Rtd=7.1,w01001-Flag=N&& 1C80 CR LF

Four digits of length and four of CRC stand around the data segment that they cover. In ``CP`` items part at ``;`` and
``,`` and are ``name=value``; a name is a code and a field: ``w01001-Rtd``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from drivers import bits
from drivers.errors import FrameError
from drivers.framing.splitter import NO, WAIT

HEAD = b"##"
HEAD_OCTETS, TAIL_OCTETS = 6, 6
DATA_OCTETS_MOST = 2048
"""The standard allows 1024; loggers exceed it. What is longer is no packet."""

DATA_TIME = "DataTime"
DATA = frozenset({"2011", "2021", "2031", "2041", "2051", "2061"})
"""Commands that carry data of a time; others are greetings, boot times, answers."""

DATA_ANSWER = "9014"
SYSTEM = "91"
NEEDS_ANSWER, IS_SPLIT = 0x01, 0x02

_NO_DATA = re.compile(rb"[^ -~]|##")
"""What no data segment holds: seen in one, its head was garbage, and what stands behind need not wait for its end."""

_TIME = re.compile("([0-9]{4})" + 5 * "([0-9]{2})" + "(?:[0-9]{3})?")
_TAIL = re.compile(rb"[0-9A-Fa-f]{4}\r\n")


class Packet(msgspec.Struct, frozen=True):
    """One packet. ``parts`` and ``part`` are PNUM and PNO, 1 and 1 if it was not split; ``items`` is CP."""

    mono_ns: int
    qn: str
    st: str
    cn: str
    pw: str
    mn: str
    flag: int
    parts: int
    part: int
    items: Mapping[str, str]

    @property
    def needs_answer(self) -> bool:
        """Whether its sender waits for an answer."""
        return bool(self.flag & NEEDS_ANSWER)

    @property
    def data_time(self) -> datetime:
        """When the data were sampled, or their period began, by the instrument's clock. Raises FrameError."""
        return read_time(self.items.get(DATA_TIME, ""))

    @property
    def sent_time(self) -> datetime:
        """When the packet was made, by the clock of whoever gave it its QN. Raises FrameError."""
        return read_time(self.qn)


_STEPS = tuple(bits.crc16(bytes((octet,))) for octet in range(256))
"""What eight steps of the polynomial make of an octet."""


def crc16(data: bytes) -> int:
    """Compute the CRC of a data segment (annex A). It is not that of Modbus: octets go into the high half."""
    crc = 0xFFFF
    for octet in data:
        crc = _STEPS[crc >> 8 ^ octet]
    return crc


def frame(data: str) -> bytes:
    """Frame a data segment."""
    octets = data.encode("ascii")
    return b"##%04d%b%04X\r\n" % (len(octets), octets, crc16(octets))


def measure(data: bytes, at: int) -> int:
    """Count the octets of a valid frame at an offset; see `drivers.framing.splitter.Measure`."""
    digits = data[at + 2 : at + HEAD_OCTETS]
    if len(digits) < 4:
        return WAIT if not digits or digits.isdigit() else NO
    if not digits.isdigit() or int(digits) > DATA_OCTETS_MOST:
        return NO
    end = at + HEAD_OCTETS + int(digits)
    if _NO_DATA.search(data, at + HEAD_OCTETS, end):
        return NO
    if len(data) < end + TAIL_OCTETS:
        return WAIT
    tail = data[end : end + TAIL_OCTETS]
    is_valid = _TAIL.fullmatch(tail) and crc16(data[at + HEAD_OCTETS : end]) == int(tail[:4], 16)
    return end + TAIL_OCTETS - at if is_valid else NO


def parse(octets: bytes, mono_ns: int) -> Packet:
    """Read a valid frame. Raises FrameError if its data segment is not as the standard has it."""
    try:
        text = octets[HEAD_OCTETS:-TAIL_OCTETS].decode("ascii")
    except UnicodeDecodeError as error:
        raise FrameError("a data segment is not ASCII") from error
    head, mark, rest = text.partition("CP=&&")
    if not mark or not rest.endswith("&&"):
        raise FrameError("a data segment has no CP=&&...&&")
    fields = _pairs(head.rstrip(";").split(";"))
    flag = _number(fields, "Flag", 0, 255)
    is_split = bool(flag & IS_SPLIT)
    parts = _number(fields, "PNUM", 1, 9999) if is_split else 1
    return Packet(
        mono_ns=mono_ns,
        qn=fields.get("QN", ""),
        st=fields.get("ST", ""),
        cn=fields.get("CN", ""),
        pw=fields.get("PW", ""),
        mn=fields.get("MN", ""),
        flag=flag,
        parts=parts,
        part=_number(fields, "PNO", 1, parts) if is_split else 1,
        items=_pairs(re.split("[;,]", rest[:-2])),
    )


def _pairs(words: list[str]) -> dict[str, str]:
    """Read name=value; a name that comes twice would let either value pass for the other."""
    pairs: dict[str, str] = {}
    for word in filter(None, words):
        name, is_pair, value = word.partition("=")
        if not is_pair or not name or pairs.setdefault(name, value) != value:
            raise FrameError(f"'{word[:40]}' is no name=value, or its name comes twice")
    return pairs


def _number(fields: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = fields.get(name, "")
    if not re.fullmatch("[0-9]{1,4}", text) or not least <= int(text) <= most:
        raise FrameError(f"{name} is '{text[:10]}', not {least} to {most}")
    return int(text)


def read_time(text: str) -> datetime:
    """Read yyyyMMddHHmmss, with or without milliseconds. Raises FrameError."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise FrameError(f"'{text[:20]}' is no time")
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the instrument's local time
    except ValueError as error:
        raise FrameError(f"'{text}' is no time") from error


def merge(parts: list[Packet]) -> dict[str, str]:
    """Put the items of a split packet together. Raises FrameError if its parts contradict each other."""
    items: dict[str, str] = {}
    for part in parts:
        for name, value in part.items.items():
            if items.setdefault(name, value) != value:
                raise FrameError(f"'{name}' comes twice in a split packet")
    return items


def answer(packet: Packet) -> bytes:
    """Make the answer that says its data were taken: CN 9014 with the same QN, the version kept, no answer wanted."""
    flag = packet.flag & ~(NEEDS_ANSWER | IS_SPLIT)
    return frame(f"QN={packet.qn};ST={SYSTEM};CN={DATA_ANSWER};PW={packet.pw};MN={packet.mn};Flag={flag};CP=&&&&")
