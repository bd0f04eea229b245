"""Frames of text: a line that ends with a terminator, has the right checksum and fits a pattern."""

from __future__ import annotations

import re

from drivers.base import Clock
from drivers.errors import SettingsError
from drivers.framing.checksum import checker
from drivers.framing.model import Field, Status, Text
from drivers.framing.pattern import compile_pattern
from drivers.framing.reading import Layout, Take
from drivers.framing.splitter import Frame, Lines
from drivers.framing.values import Judged, spoiled, text_converter


class TextFinder:
    """Finds frames of text, whatever pieces they come in.

    ``faults`` counts lines that are too long, or garbled, or fit no pattern.
    """

    def __init__(self, text: Text, pattern: re.Pattern[str], clock: Clock) -> None:
        self._lines = Lines(text.terminator.encode("ascii"), text.most)
        self._start = text.start.encode("ascii")
        self._pattern = pattern
        self._is_right = checker(text.checksum)
        self._clock = clock
        self._misfits = 0
        self.faults = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take octets, return the frames that they complete."""
        mono_ns = self._clock()
        found = [self._find(line, mono_ns) for line in self._lines.feed(data)]
        self._misfits += found.count(None)
        self.faults = self._misfits + self._lines.faults
        return [frame for frame in found if frame is not None]

    def _find(self, line: bytes, mono_ns: int) -> Frame | None:
        """Take the first frame that begins in a line and ends with it."""
        at = line.find(self._start)
        while at >= 0:
            octets = line[at:]
            # As Latin-1 any octet is a character: one that is no ASCII fits where the pattern lets anything stand.
            match = self._pattern.fullmatch(octets.decode("latin-1")) if self._is_right(octets) else None
            if match is not None:
                return Frame(mono_ns, octets, match.groupdict())
            at = line.find(self._start, at + 1) if self._start else -1
        return None


def text_layout(text: Text) -> Layout:
    """Check the declaration of text. Raises SettingsError."""
    if not text.terminator.isascii() or not text.start.isascii():
        raise SettingsError("terminator and start are ASCII", hint=r'control characters are written "\r\n", "\u0002"')
    pattern = compile_pattern(text.pattern)

    def take(tag: str, field: Field) -> Take:
        return _take(tag, field, tuple(pattern.groupindex))

    return Layout(lambda clock: TextFinder(text, pattern, clock), take)


def _take(tag: str, field: Field, known: tuple[str, ...]) -> Take:
    if field.at is not None or field.when is not None:
        raise SettingsError(f"{tag}: 'at' and 'when' are for binary frames", hint="in a text there is 'field' alone")
    name, status = _known(tag, field.field, known), field.status
    if status is not None:
        _known(tag, status.field, known)
    convert = text_converter(tag, field)

    def take(frame: Frame) -> Judged | None:
        part = frame.parts[name]
        if part is None:
            return None
        judged = convert(part.strip())
        return judged if status is None or _is_well(frame, status) else spoiled(judged, status)

    return take


def _known(tag: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        hint = f"it has: {', '.join(known) or 'none; write (?P<name>...)'}"
        raise SettingsError(f"{tag}: the pattern has no group '{name}'", hint=hint)
    return name


def _is_well(frame: Frame, status: Status) -> bool:
    return (frame.parts[status.field] or "").strip() in status.words
