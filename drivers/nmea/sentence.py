"""One sentence: its frame and its checksum, and how to cut sentences out of a stream of octets. Pure."""

from __future__ import annotations

import msgspec

from drivers import bits
from drivers.errors import FrameError
from drivers.lines import LineSplitter

LINE_OCTETS_MAX = 256
"""The standard allows 82; stations exceed it. What is longer is no sentence."""


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
    if len(line) < 9 or line[:1] not in {b"$", b"!"} or line[-3:-2] != b"*":
        raise FrameError(f"no sentence: {line[:20]!r}")
    body = line[1:-3]
    try:
        stated = int(line[-2:].decode("ascii"), 16)
        text = body.decode("ascii")
    except ValueError as error:
        raise FrameError(f"no sentence: {line[:20]!r}") from error
    if bits.xor8(body) != stated:
        raise FrameError(f"checksum {stated:02X} is wrong: {line[:20]!r}")
    address, *fields = text.split(",")
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
