"""How one alarm stands, by ISA-18.2 / IEC 62682: a pure state machine. docs/understand/alarms.md has the table.

It knows nothing of values and limits: `activate` and `deactivate` are called when the condition begins to hold and
ceases to. Every method returns the words of what changed (`wire.alarm`), none if nothing did. Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.alarm_settings import AlarmRule
from edge.operating import Operation, OperationError
from wire.alarm import CLEARED, RAISED, Standing

NS = 1_000_000_000
MINUTE_NS = 60 * NS
HOUR_NS = 3600 * NS
NEVER = 1 << 63
"""Later than any time."""

ACTIVE, UNACKNOWLEDGED, LATCHED = Standing.ACTIVE, Standing.UNACKNOWLEDGED, Standing.LATCHED
SHELVED, ONE_SHOT = Standing.SHELVED, Standing.ONE_SHOT
NORMAL = Standing(0)
Words = Sequence[str]


class AlarmState:
    """One alarm. ``occurrence`` names its newest raise; ``until_ns`` is when its shelving ends, `NEVER` without one."""

    __slots__ = ("_remind_ns", "occurrence", "rule", "standing", "until_ns")

    def __init__(
        self, rule: AlarmRule, standing: Standing = NORMAL, occurrence: int = 0, until_ns: int = NEVER
    ) -> None:
        self.rule = rule
        self.standing = standing
        self.occurrence = occurrence
        self.until_ns = until_ns
        self._remind_ns = NEVER

    @property
    def is_active(self) -> bool:
        """Whether its condition holds."""
        return ACTIVE in self.standing

    @property
    def due_ns(self) -> int:
        """When `pass_time` has something to do."""
        return min(self.until_ns, self._remind_ns)

    def activate(self, occurrence: int) -> Words:
        """The condition holds from now on."""
        if self.is_active:
            return ()
        self.standing |= ACTIVE | UNACKNOWLEDGED | (LATCHED if self.rule.latch else NORMAL)
        self.occurrence = max(occurrence, self.occurrence + 1)  # a clock that was set back names none a second time
        return (RAISED,)

    def deactivate(self) -> Words:
        """The condition no longer holds. A one-shot shelving ends with it."""
        if not self.is_active:
            return ()
        self.standing &= ~ACTIVE
        self._remind_ns = NEVER
        return (CLEARED, *self._unshelve()) if ONE_SHOT in self.standing else (CLEARED,)

    def suppress(self, *, by_design: bool) -> Words:
        """Another alarm suppresses this one from now on, or none does."""
        if (Standing.SUPPRESSED in self.standing) == by_design:
            return ()
        self.standing ^= Standing.SUPPRESSED
        return ("suppressed" if by_design else "unsuppressed",)

    def pass_time(self, now_ns: int) -> Words:
        """End a shelving whose time is over, and remind of an alarm that was acknowledged long ago and still holds."""
        words: list[str] = []
        if now_ns >= self.until_ns:
            words += self._unshelve()
        if now_ns >= self._remind_ns:
            self._remind_ns = NEVER
            self.standing |= UNACKNOWLEDGED
            words.append("reminded")
        return words

    def resume(self, now_ns: int) -> Words:
        """Go on after a restart: the time until a reminder begins anew, and no shelving lasts longer than it may now,
        whatever became of clock and rule."""
        if SHELVED in self.standing:
            self.until_ns = min(self.until_ns, now_ns + int(self.rule.shelve_most_h * HOUR_NS))
        self._plan_reminder(now_ns)
        return self.pass_time(now_ns)

    def operate(self, operation: Operation, now_ns: int) -> Words:
        """Do what an operator asks. Raises OperationError, with nothing changed, if the alarm does not take it."""
        return _ACTS[operation.action](self, operation, now_ns)

    def _acknowledge(self, operation: Operation, now_ns: int) -> Words:
        seen = operation.request.occurrence
        if seen not in (0, self.occurrence):
            raise OperationError(
                f"alarm '{self.rule.name}' was raised anew since: what was seen is over",
                hint="look at it again, then acknowledge what is there now",
            )
        if UNACKNOWLEDGED not in self.standing:
            return ()
        self.standing &= ~UNACKNOWLEDGED
        self._plan_reminder(now_ns)
        return ("acknowledged",)

    def _reset(self, _: Operation, _now_ns: int) -> Words:
        if LATCHED not in self.standing:
            return ()
        if self.is_active:
            raise OperationError(f"alarm '{self.rule.name}' is still active", hint="reset it once its cause is gone")
        if UNACKNOWLEDGED in self.standing:
            raise OperationError(f"alarm '{self.rule.name}' is not acknowledged", hint="acknowledge it first")
        self.standing &= ~LATCHED
        return ("reset",)

    def _shelve(self, operation: Operation, now_ns: int) -> Words:
        most_h, minutes = self.rule.shelve_most_h, operation.request.minutes
        if not most_h:
            raise OperationError(
                f"alarm '{self.rule.name}' may not be shelved", hint="acknowledge it, or mend its cause"
            )
        if not 0 <= minutes * MINUTE_NS <= most_h * HOUR_NS:
            raise OperationError(
                f"alarm '{self.rule.name}' may be shelved for {most_h:g} h at most, not for {minutes / 60:g} h",
                hint=f"shelve it for {most_h * 60:g} minutes or less, and again if need be",
            )
        self.standing = (self.standing & ~ONE_SHOT) | SHELVED | (NORMAL if minutes else ONE_SHOT)
        self.until_ns = now_ns + int(minutes * MINUTE_NS if minutes else most_h * HOUR_NS)
        return ("shelved",)

    def _unshelve(self, _: Operation | None = None, _now_ns: int = 0) -> Words:
        self.until_ns = NEVER
        if SHELVED not in self.standing:
            return ()
        self.standing &= ~(SHELVED | ONE_SHOT)
        return ("unshelved",)

    def _remove(self, _: Operation, _now_ns: int) -> Words:
        if Standing.OUT_OF_SERVICE in self.standing:
            return ()
        self.standing |= Standing.OUT_OF_SERVICE
        return ("removed",)

    def _restore(self, _: Operation, _now_ns: int) -> Words:
        if Standing.OUT_OF_SERVICE not in self.standing:
            return ()
        self.standing &= ~Standing.OUT_OF_SERVICE
        return ("restored",)

    def _plan_reminder(self, now_ns: int) -> None:
        if self.rule.realarm_s and self.is_active and UNACKNOWLEDGED not in self.standing:
            self._remind_ns = now_ns + int(self.rule.realarm_s * NS)


_ACTS = {
    "acknowledge": AlarmState._acknowledge,
    "reset": AlarmState._reset,
    "shelve": AlarmState._shelve,
    "unshelve": AlarmState._unshelve,
    "remove": AlarmState._remove,
    "restore": AlarmState._restore,
}
"""What each of `wire.alarm.ACTIONS` does."""
