"""One sentence: its frame and its checksum, and how to cut sentences out of a stream of octets. Pure."""

from __future__ import annotations

import re

import msgspec

from drivers import bits
from drivers.errors import FrameError
from drivers.lines import LineSplitter

LINE_OCTETS_MAX = 256
"""The standard allows 82; stations exceed it. What is longer is no sentence."""

_SENTENCE = re.compile(rb"[$!]([ -~]{5,})\*([0-9A-Fa-f]{2})")
_RESERVED = re.compile(rb"[$!*\\]")
"""What stands only around a sentence: seen within one, two have run together, and their sum may be right by chance."""


class Sentence(msgspec.Struct, frozen=True):
    """A sentence whose checksum was right."""

    talker: str
    name: str
    fields: tuple[str, ...]

    def field(self, number: int) -> str:
        """Return a field, the first being 1; one past the end is empty."""
        return self.fields[number - 1] if number <= len(self.fields) else ""


def parse(line: bytes) -> Sentence:
    """Read one line without its end. Raises FrameError for anything but a sentence with the right checksum."""
    match = _SENTENCE.fullmatch(line)
    if match is None or _RESERVED.search(match[1]):
        raise FrameError(f"no sentence: {line[:20]!r}")
    body, stated = match[1], int(match[2], 16)
    if bits.xor8(body) != stated:
        raise FrameError(f"checksum {stated:02X} is wrong: {line[:20]!r}")
    address, *fields = body.decode("ascii").split(",")
    if address.startswith("P"):
        return Sentence("P", address, tuple(fields))
    return Sentence(address[:2], address[2:], tuple(fields))


class Splitter:
    """Finds sentences in a stream of octets, whatever pieces it comes in. Pure. ``faults`` counts garbled lines."""

    def __init__(self) -> None:
        self.faults = 0
        self._lines = LineSplitter(LINE_OCTETS_MAX)

    def feed(self, data: bytes) -> list[Sentence]:
        """Take octets, return the sentences that they complete."""
        sentences = []
        for line in self._lines.feed(data):
            try:
                sentences.append(parse(line or b""))
            except FrameError:
                self.faults += 1
        return sentences
