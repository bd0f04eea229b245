"""Local outputs: what an alarm switches on site. Nothing between a sample and a siren but the line to the siren.

An output is on while any alarm that names it is raised. Each has a task of its own, so that one that does not answer
holds up no other; it is tried again until it takes the command, and the fault is journalled once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from drivers.errors import DriverError
from edge.alarms import Transition
from edge.settings import AlarmRule, OutputEntry
from wire.health import OutputHealth
from wire.record import ActionRecord
from wire.sample import Value

log = logging.getLogger(__name__)
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 5.0
"""An output that does not answer costs its line a time-out each time: instruments may share that line."""

Write = Callable[[str, Value], Awaitable[None]]
"""Sets a tag, by its full name. Raises DriverError."""


class Output:
    """One output: what it should be, what it is, and the task that makes them one."""

    def __init__(
        self,
        entry: OutputEntry,
        write: Write,
        journal: Callable[[ActionRecord], None],
        mono_ns: Callable[[], int],
        wall_at: Callable[[int], int | None],
    ) -> None:
        self.entry = entry
        self._write = write
        self._journal = journal
        self._mono_ns = mono_ns
        self._wall_at = wall_at
        self._causes: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._cause = "start"
        self._cause_ns = mono_ns()
        self._is_on: bool | None = None
        self._since_ns: int | None = None
        self.fault = ""

    @property
    def wants_on(self) -> bool:
        """Whether any alarm holds it on."""
        return bool(self._causes)

    def resume(self, alarms: Iterable[str]) -> None:
        """Take over the alarms that were up before a restart."""
        self._causes.update(dict.fromkeys(alarms))
        self._changed.set()

    def apply(self, change: Transition) -> None:
        """Take a change of an alarm that names this output."""
        was_on = self.wants_on
        if change.change == "raised":
            self._causes[change.rule.name] = None
        else:
            self._causes.pop(change.rule.name, None)
        if self.wants_on != was_on:
            self._cause = change.rule.name
            self._cause_ns = change.mono_ns
            self._changed.set()

    async def run(self) -> None:
        """Keep the output as it should be, until cancelled. At the start it is brought to a known state."""
        self._changed.set()
        while True:
            await self._changed.wait()
            retry_s = RETRY_FIRST_S
            while self._is_on is not self.wants_on:
                self._changed.clear()
                if not await self._switch(on=self.wants_on):
                    retry_s = RETRY_FIRST_S if await self._changes(retry_s) else min(2 * retry_s, RETRY_MOST_S)
            self._changed.clear()

    async def _changes(self, within_s: float) -> bool:
        """Wait; tell whether an alarm asked for something new meanwhile."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _switch(self, *, on: bool) -> bool:
        cause, cause_ns = self._cause, self._cause_ns
        try:
            await self._write(self.entry.tag, self.entry.on if on else self.entry.off)
        except DriverError as error:
            if not self.fault:
                log.error("output %s does not switch: %s. %s", self.entry.name, error, error.hint)
                self._note(cause, cause_ns, on=on, fault=str(error))
            self.fault = str(error)
            return False
        if self.fault:
            log.info("output %s switches again", self.entry.name)
        self.fault = ""
        self._is_on = on
        self._since_ns = self._note(cause, cause_ns, on=on, fault="")
        return True

    def _note(self, cause: str, cause_ns: int, *, on: bool, fault: str) -> int | None:
        now = self._mono_ns()
        wall = self._wall_at(now)
        state = "on" if on else "off"
        self._journal(ActionRecord(now, wall, self.entry.name, state, cause, now - cause_ns, fault))
        return wall

    def health(self) -> OutputHealth:
        """The output as a message."""
        state = "unknown" if self._is_on is None else "on" if self._is_on else "off"
        return OutputHealth(state=state, since_ns=self._since_ns, error=self.fault)


def resume_outputs(outputs: Iterable[Output], raised: Iterable[AlarmRule]) -> None:
    """Hand every output the alarms that are up and name it."""
    rules = tuple(raised)
    for output in outputs:
        output.resume(rule.name for rule in rules if output.entry.name in rule.outputs)
