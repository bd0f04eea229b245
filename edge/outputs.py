"""Local outputs: what an alarm switches on site. Nothing between a sample and a siren but the line to the siren.

An output is on while an alarm that names it holds it on, by its condition, its acknowledgement or both (`hold`). Each
output has a task of its own, so that one that does not answer holds up no other; it is tried again until it takes the
command, and the fault is journalled once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from drivers.errors import DriverError
from edge.settings import Hold, OutputEntry
from wire.alarm import SILENCED, Standing
from wire.health import OutputHealth
from wire.record import ActionRecord
from wire.sample import Value

log = logging.getLogger(__name__)
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 5.0
"""An output that does not answer costs its line a time-out each time: instruments may share that line."""

Write = Callable[[str, Value], Awaitable[None]]
"""Sets a tag, by its full name. Raises DriverError."""

HOLDING: Mapping[Hold, Standing] = {
    "active": Standing.ACTIVE | Standing.LATCHED,
    "acknowledged": Standing.UNACKNOWLEDGED,
    "normal": Standing.ACTIVE | Standing.LATCHED | Standing.UNACKNOWLEDGED,
}
"""Any of which in an alarm's standing keeps an output on."""


def is_held(hold: Hold, standings: Mapping[str, Standing]) -> bool:
    """Tell whether any of the alarms holds an output on. One that is set aside or suppressed holds none."""
    return any(standing & HOLDING[hold] and not standing & SILENCED for standing in standings.values())


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
        self._standings: dict[str, Standing] = {}
        self._changed = asyncio.Event()
        self._cause = "start"
        self._cause_ns = mono_ns()
        self._is_on: bool | None = None
        self._since_ns: int | None = None
        self.fault = ""

    @property
    def wants_on(self) -> bool:
        """Whether any alarm holds it on."""
        return is_held(self.entry.hold, self._standings)

    def resume(self, standings: Mapping[str, Standing]) -> None:
        """Take over how the alarms that name this output stood before a restart."""
        self._standings.update(standings)
        self._changed.set()

    def apply(self, alarm: str, standing: Standing, mono_ns: int) -> None:
        """Take how an alarm that names this output stands since ``mono_ns``."""
        was_on = self.wants_on
        self._standings[alarm] = standing
        if self.wants_on != was_on:
            self._cause = alarm
            self._cause_ns = mono_ns
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
