"""One rule at work: its condition, its delays, and how its alarm stands. Pure; time is that of readings and ticks."""

from __future__ import annotations

from collections.abc import Callable

from edge.alarms.conditions import NOTHING, Band, Condition, Limit
from edge.alarms.standing import NEVER, NS, AlarmState, Words
from wire.sample import Quality, Value

OccurrenceAt = Callable[[int], int]
"""Names what is raised at a monotonic time: never 0, and never the same for two."""

ENDS_BY_ITSELF = ("bad", "silent", "combined", "output-fault", "commanded")
"""Levels whose off-delay needs no further value to end: that there is a value is what they wait for."""


class Watched:
    """``value`` and ``quality`` are those that last spoke for a change, ``mono_ns`` their time."""

    __slots__ = (
        "_ends_ns",
        "_is_silence",
        "_occurrence_at",
        "_off_ns",
        "_on_ns",
        "_silent_ns",
        "_since_ns",
        "alarm",
        "condition",
        "mono_ns",
        "name",
        "quality",
        "rule",
        "value",
    )

    def __init__(self, alarm: AlarmState, condition: Condition | None, occurrence_at: OccurrenceAt) -> None:
        self.rule = rule = alarm.rule
        self.name = rule.name
        self._occurrence_at = occurrence_at
        self.alarm = alarm
        self.condition = condition
        self.value: Value = None
        self.quality = 0
        self.mono_ns = 0
        self._is_silence = rule.level == "silent"
        self._silent_ns = int((rule.silent_s or 0.0) * NS)
        self._on_ns = int(rule.on_delay_s * NS) + self._silent_ns
        self._off_ns = int(rule.off_delay_s * NS)
        self._since_ns = NEVER
        self._ends_ns = NEVER

    def start(self, now_ns: int) -> None:
        """Silence counts from the start on: what never speaks is silent, too."""
        if self._is_silence and not self.alarm.is_active:
            self.mono_ns = self._since_ns = now_ns

    def feed(self, value: Value, quality: int, mono_ns: int) -> Words:
        """Take a reading. A time before the last one is taken as the last one's."""
        assert self.condition is not None
        mono_ns = max(mono_ns, self.mono_ns)
        verdict = self.condition.judge(value, quality, mono_ns, is_up=self.alarm.is_active)
        return () if verdict is None else self.heed(value, quality, mono_ns, verdict=verdict)

    def heed(self, value: Value, quality: int, mono_ns: int, *, verdict: bool) -> Words:
        """Take what a reading says of it: that it is beyond, or back if the alarm is up; or that it is not."""
        self.mono_ns = mono_ns
        if not verdict:
            self._since_ns = mono_ns if self._is_silence and not self.alarm.is_active else NEVER
            return ()
        self.value, self.quality = value, quality
        if self._since_ns == NEVER:
            self._since_ns = mono_ns
        return self._change(mono_ns)

    def command(self, now_ns: int, ends_ns: int) -> Words:
        """Have it hold until a time, whatever is measured; one that is past ends it."""
        holds = ends_ns > now_ns
        self._ends_ns = ends_ns if holds else NEVER
        return self.heed(None, 0, now_ns, verdict=holds != self.alarm.is_active)

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether a delay has ended before this time, and `tick` has not come yet to say so."""
        return self._since_ns != NEVER and now_ns > self._delay_ends_ns

    def tick(self, now_ns: int) -> Words:
        """Let time pass."""
        words = list(self.alarm.pass_time(now_ns))
        if now_ns >= self._ends_ns:
            words += self.command(now_ns, now_ns)
        if now_ns >= self._delay_ends_ns:
            words += self._change(now_ns)
            self.mono_ns = max(now_ns, self.mono_ns)
        return words

    def _change(self, now_ns: int) -> Words:
        delay_ns = self._off_ns if self.alarm.is_active else self._on_ns
        if now_ns - self._since_ns < delay_ns:
            return ()
        self._since_ns = NEVER
        if self._is_silence:
            return self._change_silence(now_ns)
        return self.alarm.deactivate() if self.alarm.is_active else self.alarm.activate(self._occurrence_at(now_ns))

    def _change_silence(self, now_ns: int) -> Words:
        """Silence is raised by no value; what ended it may have been the last good one, from which it counts anew."""
        if not self.alarm.is_active:
            self.value, self.quality = None, int(Quality.BAD)
            return self.alarm.activate(self._occurrence_at(now_ns))
        if now_ns - self.mono_ns >= self._silent_ns:
            return ()
        self._since_ns = self.mono_ns
        return self.alarm.deactivate()

    @property
    def _delay_ends_ns(self) -> int:
        if self._since_ns == NEVER:
            return NEVER
        if self.alarm.is_active:
            return self._since_ns + self._off_ns if self.rule.level in ENDS_BY_ITSELF else NEVER
        return self._since_ns + self._on_ns

    @property
    def due_ns(self) -> int:
        """When `tick` has something to do."""
        return min(self.alarm.due_ns, self._delay_ends_ns, self._ends_ns)

    @property
    def band(self) -> Band:
        """Of a rule that limits the value: between which values `feed` has no effect; none while a delay runs."""
        assert isinstance(self.condition, Limit)
        return self.condition.band(is_up=self.alarm.is_active) if self._since_ns == NEVER else NOTHING
