"""A line that replays captured bytes: what tests put in place of an instrument, with every driver alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from drivers.errors import LinkError
from drivers.transport import Pieces


class Step(msgspec.Struct, frozen=True):
    """One step of a captured conversation: octets we sent, or octets that came."""

    sent: bool
    data: bytes


Renumber = Callable[[Any, Sequence[Step]], Sequence[Step]]
"""Takes the line's settings and steps; returns as many steps, with other numbers in their octets."""


def parse_capture(text: str) -> tuple[Step, ...]:
    """Read a capture: ``> 01 03`` was sent, ``< 01 83`` came, ``<" text\\r\\n`` came as text, ``#`` is a comment."""
    return tuple(_steps(text))


def _steps(text: str) -> Iterator[Step]:
    for number, line in enumerate(text.splitlines(), 1):
        mark, _, rest = line.strip().partition(" ")
        if not mark or mark.startswith("#"):
            continue
        if mark not in {">", "<", '>"', '<"'}:
            raise ValueError(f"line {number}: '{mark}' is neither > nor < nor #")
        data = rest.encode().decode("unicode_escape").encode("latin-1") if '"' in mark else bytes.fromhex(rest)
        yield Step(mark.startswith(">"), data)


def put_steps(text: str, steps: Sequence[Step]) -> str:
    """Write a capture anew with other octets: ``steps`` are as many as it has. Comments stay where they are."""
    left = iter(steps)
    return "".join(_put(line, left) for line in text.splitlines(keepends=True))


def _put(line: str, left: Iterator[Step]) -> str:
    if not line.strip() or line.lstrip().startswith("#"):
        return line
    step = next(left)
    return f"{'>' if step.sent else '<'} {step.data.hex(' ')}\n"


class Replay:
    """A line that replays a capture: what came comes again once what was sent before it was sent again,
    one step at each read.

    After the last step the line stays silent, or goes down if ``hangs_up``. Each `open` starts from the first step.
    """

    def __init__(self, steps: tuple[Step, ...], *, hangs_up: bool = False) -> None:
        self._steps = steps
        self._hangs_up = hangs_up
        self._next = 0
        self._inbox = Pieces()
        self._sent = bytearray()

    def load(self, steps: tuple[Step, ...], *, hangs_up: bool = False) -> None:
        """Put another capture on the line, from the next `open` on."""
        self._steps = steps
        self._hangs_up = hangs_up

    @property
    def is_done(self) -> bool:
        """Tell whether the whole capture was replayed."""
        return self._next == len(self._steps)

    async def open(self) -> None:
        """Start from the first step."""
        self._next = 0
        self._sent.clear()
        self._inbox.start()
        self._play()

    async def close(self) -> None:
        """Close the line."""
        self._inbox.fail(LinkError("the line was closed"))

    async def read(self) -> bytes:
        """Return what the capture holds next."""
        return await self._inbox.read()

    async def write(self, data: bytes) -> None:
        """Compare with what was sent in the capture. Raises ValueError, which no driver catches, if it differs."""
        self._inbox.check()
        self._sent += data
        expected = self._steps[self._next].data if not self.is_done else b""
        if not expected.startswith(bytes(self._sent)):
            raise ValueError(f"sent {self._sent.hex(' ')} where the capture has {expected.hex(' ') or 'its end'}")
        if len(self._sent) == len(expected):
            self._sent.clear()
            self._next += 1
            self._play()

    def discard(self) -> int:
        """Throw away what has come."""
        return self._inbox.discard()

    def _play(self) -> None:
        while not self.is_done and not self._steps[self._next].sent:
            self._inbox.feed(self._steps[self._next].data)
            self._next += 1
        if self.is_done and self._hangs_up:
            self._inbox.fail(LinkError("the capture ends here"))
