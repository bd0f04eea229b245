"""A line of a GPIO chip, by the kernel's character device (libgpiod)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

import gpiod
from gpiod.line import Direction, Value

from drivers.errors import LinkError, LinkTimeoutError

ANSWER_MOST_S = 5.0
"""A chip behind a bus may hang; one in the processor answers at once."""
RELEASE_MOST_S = 0.1
"""A line is let go of before what comes next takes it, but nobody waits for a chip that hangs."""

Line = int | str


class Held(Protocol):
    """What `gpiod.LineRequest` gives of a line that is ours."""

    def set_value(self, line: Line, value: Value) -> None:
        """Set it. Raises OSError."""

    def release(self) -> None:
        """Let it go: the chip then says what becomes of it."""


Take = Callable[[str, Line, Value], Held]
"""Takes a line of a chip for output, with its first value. Raises OSError, and ValueError for a line that is none."""


def take_line(chip: str, line: Line, value: Value) -> Held:
    """Take a line of the machine's."""
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=value)
    return gpiod.request_lines(chip, config={line: settings}, consumer="fengsui")


class GpioSwitch:
    """Switches one line. ``on`` and ``off`` are 1 and 0, or 0 and 1 where it is active-low.

    It has a thread of its own: a chip that hangs takes none from others, and gets no command before the last has ended.
    """

    def __init__(self, chip: str, line: Line, *, on: bool, off: bool, take: Take = take_line) -> None:
        self._chip = chip
        self._line = line
        self._values = {True: _level(on), False: _level(off)}
        self._take = take
        self._held: Held | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpio")

    async def set(self, *, on: bool, cause: str) -> None:  # noqa: ARG002 - a line does not ask why
        """Set the line. Raises LinkError."""
        try:
            async with asyncio.timeout(ANSWER_MOST_S):
                await asyncio.get_running_loop().run_in_executor(self._worker, self._set, self._values[on])
        except TimeoutError as error:
            raise LinkTimeoutError(f"{self._name} did not answer within {ANSWER_MOST_S:g} s") from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            hint = "gpioinfo lists chips, lines and who holds them; the agent's user must be allowed to open the chip"
            raise LinkError(f"{self._name}: {reason}", hint=hint) from error

    def _set(self, value: Value) -> None:
        try:
            if self._held is None:
                self._held = self._take(self._chip, self._line, value)
            else:
                self._held.set_value(self._line, value)
        except (OSError, ValueError):
            self._let_go()
            raise

    def release(self) -> None:
        """Let the line go; one of a chip that hangs, once it answers."""
        wait([self._worker.submit(self._let_go)], timeout=RELEASE_MOST_S)

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release()

    @property
    def _name(self) -> str:
        return f"line {self._line} of {self._chip}"


def _level(is_high: bool) -> Value:
    return Value.ACTIVE if is_high else Value.INACTIVE
