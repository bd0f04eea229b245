"""What an output may be made of: a writable tag, a GPIO line, a program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from edge.output_settings import OutputEntry
from edge.outputs.gpio import GpioSwitch
from edge.outputs.program import ProgramSwitch
from wire.sample import Value

Write = Callable[[str, Value], Awaitable[None]]
"""Sets a tag, by its full name. Raises DriverError."""


class Switch(Protocol):
    """What switches: it is asked by one task at a time."""

    async def set(self, *, on: bool, cause: str) -> None:
        """Switch, because of an alarm or of `edge.outputs.output` itself. Raises DriverError."""

    def release(self) -> None:
        """Let go of what it holds; the next use takes it again."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway has for its outputs: its name, the folder of programs, and the key file of interlocks."""

    gateway: str
    programs: Path
    key_file: Path | None = None


class TagSwitch:
    """Writes a tag."""

    def __init__(self, entry: OutputEntry, write: Write) -> None:
        self._entry = entry
        self._write = write

    async def set(self, *, on: bool, cause: str) -> None:  # noqa: ARG002 - an instrument does not ask why
        """Write the tag. Raises DriverError."""
        assert self._entry.tag is not None
        await self._write(self._entry.tag, self._entry.on if on else self._entry.off)

    def release(self) -> None:
        """There is nothing to let go of: the line is closed by its owner."""


def make_switch(entry: OutputEntry, write: Write, programs: Path) -> Switch:
    """Make what an output names."""
    if entry.program is not None:
        return ProgramSwitch(programs / entry.program, entry.arguments, entry.program_s)
    if entry.gpio_chip is not None and entry.gpio_line is not None:
        return GpioSwitch(entry.gpio_chip, entry.gpio_line, on=bool(entry.on), off=bool(entry.off))
    return TagSwitch(entry, write)
