"""Octets in, valid frames out. What lies between frames is skipped and counted, and never hides a frame within it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from drivers.base import Clock

WAIT, NO = 0, -1
"""What `Measure` says of a frame that is not whole yet, and of octets that begin none."""

Measure = Callable[[bytes, int], int]
"""Look at octets from an offset: how many of them are a valid frame, or WAIT, or NO.

It may say WAIT only while a bounded number of octets is there: that is what bounds the memory of a splitter.
"""


class Frame(msgspec.Struct, frozen=True):
    """A valid frame: when its last octet arrived, in monotonic ns, its octets, and the named parts of a text.

    A part that is None: the frame is of a kind without it.
    """

    mono_ns: int
    octets: bytes
    parts: Mapping[str, str | None] = {}


class Splitter:
    """Finds frames that begin with ``head`` in a stream of octets, whatever pieces it comes in.

    A head within garbage may promise a long frame and hold back valid ones behind it until it is refuted: they then
    come with the time at which they had arrived. ``faults`` counts stretches of octets that belong to no valid frame.
    """

    def __init__(self, head: bytes, measure: Measure, clock: Clock) -> None:
        self.faults = 0
        self._head = head
        self._measure = measure
        self._clock = clock
        self._rest = b""
        self._arrivals: list[tuple[int, int]] = []
        self._is_lost = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take octets, return the frames that they complete."""
        data = self._rest + data
        self._arrivals.append((len(data), self._clock()))
        frames: list[Frame] = []
        at, size = 0, WAIT
        while (start := self._find(data, at)) < len(data):
            self._skip(start - at)
            at = start
            size = self._measure(data, at) if data.startswith(self._head, at) else WAIT
            if size == WAIT:
                break
            if size == NO:
                self._skip(1)
                at += 1
            else:
                frames.append(Frame(self._arrival(at + size), data[at : at + size]))
                at += size
                self._is_lost = False
        else:
            self._skip(len(data) - at)
            at = len(data)
        self._rest = data[at:]
        self._arrivals = [(end - at, mono_ns) for end, mono_ns in self._arrivals if end > at]
        return frames

    def _find(self, data: bytes, at: int) -> int:
        """Where the next head begins, or could begin if more came; the end if nowhere."""
        start = data.find(self._head, at)
        if start >= 0:
            return start
        ends = range(max(at, len(data) - len(self._head) + 1), len(data))
        return next((end for end in ends if self._head.startswith(data[end:])), len(data))

    def _skip(self, count: int) -> None:
        if count and not self._is_lost:
            self.faults += 1
            self._is_lost = True

    def _arrival(self, end: int) -> int:
        return next(mono_ns for reach, mono_ns in self._arrivals if reach >= end)


class Lines:
    """Finds what ends with a terminator. ``faults`` counts what is longer than ``most`` octets."""

    def __init__(self, terminator: bytes, most: int) -> None:
        self.faults = 0
        self._terminator = terminator
        self._most = most
        self._rest = b""
        self._skips = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets, return the lines that they complete, without their ends; empty ones are left out."""
        *lines, rest = (self._rest + data).split(self._terminator)
        kept = [line for line in lines if self._keeps(line)]
        # The beginning of a terminator stays even behind a line that is too long already.
        is_long = len(rest) >= self._most + len(self._terminator)
        self._skips = self._skips or is_long
        self._rest = rest[1 - len(self._terminator) or len(rest) :] if self._skips else rest
        return kept

    def _keeps(self, line: bytes) -> bool:
        is_long, self._skips = self._skips or len(line) > self._most, False
        self.faults += is_long
        return bool(line) and not is_long
