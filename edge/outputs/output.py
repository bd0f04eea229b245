"""One output: what it should be, what it is, and the task that makes them one.

Nothing lies between a sample and a siren but the line to the siren. Each output has a task of its own, so that one that
does not answer holds up no other; it is tried again until it takes the command, and the fault is journalled once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from drivers.errors import DriverError, LinkTimeoutError
from edge.output_settings import OutputEntry
from edge.outputs.deciding import calls_anew, find_turn, holds, is_held
from edge.outputs.switches import Switch
from wire.alarm import Standing
from wire.health import OutputHealth
from wire.record import ActionRecord
from wire.sample import Value, is_good

log = logging.getLogger(__name__)
NS = 1_000_000_000
TEST = "test"
"""State and cause in the journal of an output that is tested."""
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 5.0
"""An output that does not answer costs its line a time-out each time: instruments may share that line."""
LOCK_LOOK_S = 5.0
"""Between two looks whether a locked one is unlocked."""
FAIL_SAFE_MOST_S = 3.0
"""How long the end of the agent, or another configuration, waits for an output that does not answer."""


class Wish(msgspec.Struct, frozen=True):
    """What an output should be, why and since when, and for how many seconds: None until something changes.

    ``state`` is for the journal: a beacon in the pause between two flashes is on, one that is tested is in ``test``.
    """

    is_on: bool
    state: str
    cause: str
    cause_ns: int
    lasts_s: float | None = None


class Output:
    """``on_fault`` gets the output's name and what is wrong, and an empty text when it answers.

    ``find_refusal`` tells why an interlock of that name may not write to the plant, empty if it may.
    """

    def __init__(
        self,
        entry: OutputEntry,
        switch: Switch,
        *,
        find_refusal: Callable[[str], Awaitable[str]],
        journal: Callable[[ActionRecord], None],
        on_fault: Callable[[str, str], None],
        mono_ns: Callable[[], int],
        wall_at: Callable[[int], int | None],
    ) -> None:
        self.entry = entry
        self._switch = switch
        self._find_refusal = find_refusal
        self._journal = journal
        self._on_fault = on_fault
        self._mono_ns = mono_ns
        self._wall_at = wall_at
        self._standings: dict[str, Standing] = {}
        self._changed = asyncio.Event()
        self._cause = "start"
        self._cause_ns = mono_ns()
        self._given_ns: int | None = None
        """When the pulse that is due began; None until the output has taken it."""
        self._is_inhibited = False
        self._key_ns = 0
        self._refused = Wish(is_on=False, state="", cause="", cause_ns=0)
        """What was wished for when it was last found locked."""
        self._refusal = ""
        self._test_ns = (0, 0)
        """From when to when it is switched on as a test."""
        self._is_on = False
        self._is_sure = False
        """Whether it took the last command: one that was broken off may have reached it, or not."""
        self._state = "unknown"
        self._since_ns: int | None = None
        self.fault = ""

    @property
    def wants_on(self) -> bool:
        """Whether any alarm holds it on."""
        return is_held(self.entry.hold, self._standings)

    def resume(self, standings: Mapping[str, Standing]) -> None:
        """Take over how the alarms that name this output stood before a restart."""
        self._standings.update({alarm: standing for alarm, standing in standings.items() if standing})
        self._changed.set()

    def apply(self, alarm: str, standing: Standing, mono_ns: int) -> None:
        """Take how an alarm that names this output stands since ``mono_ns``."""
        was_on, before = self.wants_on, self._standings.get(alarm, Standing(0))
        if standing:
            self._standings[alarm] = standing
        else:
            self._standings.pop(alarm, None)
        is_new_pulse = self.entry.pulse_s is not None and calls_anew(self.entry.hold, before, standing)
        if self.wants_on != was_on or is_new_pulse:
            self._call(alarm, mono_ns)

    def turn_key(self, value: Value, quality: int, mono_ns: int) -> None:
        """Take a reading of the maintenance key. One that is not good inhibits nothing: its wire may be broken."""
        is_turned = is_good(quality) and value == self.entry.inhibit_value
        if is_turned == self._is_inhibited:
            return
        self._is_inhibited = is_turned
        self._key_ns = mono_ns
        self._note("inhibited" if is_turned else "uninhibited", str(self.entry.inhibit), mono_ns)
        holding = (alarm for alarm, standing in self._standings.items() if holds(self.entry.hold, standing))
        self._call(next(holding, str(self.entry.inhibit)), mono_ns)

    def find_test_refusal(self) -> str:
        """Say why it cannot be tested now, empty if it can."""
        if self.entry.interlock:
            return "it is an interlock: a test would act on the plant"
        if self._is_inhibited:
            return f"its maintenance key {self.entry.inhibit} is turned"
        return "an alarm holds it on" if self.wants_on else ""

    def test(self, lasts_s: float) -> None:
        """Switch it on for so long, though no alarm asks for it. What an alarm asks for meanwhile goes first."""
        now = self._mono_ns()
        self._test_ns = now, now + int(lasts_s * NS)
        self._cause, self._cause_ns = TEST, self._test_ns[1]
        self._changed.set()

    def _call(self, cause: str, mono_ns: int) -> None:
        self._cause, self._cause_ns = cause, mono_ns
        self._given_ns = None
        self._test_ns = (0, 0)  # what is real ends a test
        self._changed.set()

    async def run(self) -> None:
        """Keep the output as it should be, until cancelled. At the start it is brought to a known state."""
        retry_s = RETRY_FIRST_S
        while True:
            self._changed.clear()
            if await self._bring(self._wish()):
                await self._changes(self._wish().lasts_s)
                retry_s = RETRY_FIRST_S
            elif self._refusal:
                await self._changes(LOCK_LOOK_S)
            else:
                retry_s = RETRY_FIRST_S if await self._changes(retry_s) else min(2 * retry_s, RETRY_MOST_S)

    async def fail_safe(self, cause: str) -> None:
        """Bring it to its fail-safe state, once `run` has ended. One that does not answer is journalled."""
        is_on = self.entry.fail_safe == "on" and not self._is_inhibited
        wish = Wish(is_on, "on" if is_on else "off", cause, self._mono_ns())
        try:
            async with asyncio.timeout(FAIL_SAFE_MOST_S):
                await self._bring(wish)
        except TimeoutError:
            self._fail(wish, LinkTimeoutError(f"no answer within {FAIL_SAFE_MOST_S:g} s"))

    def release(self) -> None:
        """Let go of what switches it."""
        self._switch.release()

    def _wish(self) -> Wish:
        if self._is_inhibited:
            return Wish(False, "off", str(self.entry.inhibit), self._key_ns)
        if not self.wants_on:
            began_ns, end_ns = self._test_ns
            left_s = (end_ns - self._mono_ns()) / NS
            if left_s > 0:
                return Wish(True, TEST, TEST, began_ns, left_s)
            return Wish(False, "off", self._cause, self._cause_ns)
        given_ns = self._given_ns
        elapsed_s = 0.0 if given_ns is None else (self._mono_ns() - given_ns) / NS
        is_on, lasts_s = find_turn(self.entry.pulse_s, self.entry.pause_s, elapsed_s)
        if not is_on and lasts_s is None and given_ns is not None and self.entry.pulse_s is not None:
            return Wish(False, "off", self._cause, given_ns + int(self.entry.pulse_s * NS))
        return Wish(is_on, "on", self._cause, self._cause_ns, lasts_s)

    async def _changes(self, within_s: float | None) -> bool:
        """Wait; tell whether something new is asked for meanwhile."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _bring(self, wish: Wish) -> bool:
        """Make it so. False if it is locked, or does not answer."""
        if self.entry.interlock and await self._is_locked(wish):
            return False
        if not (self._is_sure and self._is_on is wish.is_on):
            self._is_sure = False
            try:
                await self._switch.set(on=wish.is_on, cause=wish.cause)
            except DriverError as error:
                self._fail(wish, error)
                return False
        self._settle(wish)
        return True

    async def _is_locked(self, wish: Wish) -> bool:
        refusal = await self._find_refusal(self.entry.name)
        if refusal and (not self._refusal or wish.state != self._refused.state):
            log.warning("output %s is not switched %s: %s", self.entry.name, wish.state, refusal)
            self._note("locked", wish.cause, wish.cause_ns, refusal)
        elif self._refusal and not refusal:
            self._note("unlocked", wish.cause, wish.cause_ns)
        self._refusal, self._refused = refusal, wish
        return bool(refusal)

    def _settle(self, wish: Wish) -> None:
        """It is as it should be. The turns of a flashing beacon are no news."""
        if wish.state != self._state or self.fault:
            self._since_ns = self._note(wish.state, wish.cause, wish.cause_ns)
        if self.fault:
            log.info("output %s switches again", self.entry.name)
        if self.fault or self._state == "unknown":
            self._on_fault(self.entry.name, "")
        self.fault = ""
        self._is_on, self._state, self._is_sure = wish.is_on, wish.state, True
        if wish.is_on and self._given_ns is None:
            self._given_ns = self._mono_ns()

    def _fail(self, wish: Wish, error: DriverError) -> None:
        if not self.fault:
            log.error("output %s does not switch: %s. %s", self.entry.name, error, error.hint)
            self._note(wish.state, wish.cause, wish.cause_ns, str(error))
            self._on_fault(self.entry.name, str(error))
        self.fault = str(error)

    def _note(self, state: str, cause: str, cause_ns: int, fault: str = "") -> int | None:
        now = self._mono_ns()
        wall = self._wall_at(now)
        self._journal(ActionRecord(now, wall, self.entry.name, state, cause, now - cause_ns, fault))
        return wall

    def health(self) -> OutputHealth:
        """The output as a message."""
        kept_off = "locked" if self._refusal else "inhibited" if self._is_inhibited else ""
        return OutputHealth(state=kept_off or self._state, since_ns=self._since_ns, error=self._refusal or self.fault)
