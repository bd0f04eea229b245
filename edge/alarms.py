"""Local alarms: pure state machines fed with samples. No clock of their own, no I/O, nothing to wait for.

    normal --beyond the limit for on_delay_s--> raised --back by the deadband for off_delay_s--> normal

A sample without a usable value (bad quality, NaN, not a number) neither raises nor clears: a dead sensor must not end
an alarm. An infinite value may raise but not clear: it is an instrument beyond its range. Limits count as crossed when
reached (>= high, <= low).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import msgspec

from drivers.base import Scan
from edge.settings import AlarmRule
from wire.sample import Value, is_bad

NS = 1_000_000_000


class Transition(msgspec.Struct, frozen=True):
    """An alarm was ``raised`` or ``cleared`` by a sample read at ``mono_ns``."""

    rule: AlarmRule
    change: str
    value: float
    quality: int
    mono_ns: int


class RuleState:
    """One rule and where it stands."""

    def __init__(self, rule: AlarmRule, *, raised: bool = False) -> None:
        self.rule = rule
        self.raised = raised
        self._since_ns: int | None = None
        self._sign = 1.0 if rule.is_upper else -1.0
        self._raise_at = rule.limit * self._sign
        self._clear_below = self._raise_at - rule.deadband
        self._on_delay_ns = int(rule.on_delay_s * NS)
        self._off_delay_ns = int(rule.off_delay_s * NS)

    def feed(self, value: float, quality: int, mono_ns: int) -> Transition | None:
        """Take one usable value; return the change it brings, if any."""
        signed = value * self._sign
        if not (self._is_back(signed) if self.raised else signed >= self._raise_at):
            self._since_ns = None
            return None
        if self._since_ns is None:
            self._since_ns = mono_ns
        if mono_ns - self._since_ns < (self._off_delay_ns if self.raised else self._on_delay_ns):
            return None
        self.raised = not self.raised
        self._since_ns = None
        return Transition(self.rule, "raised" if self.raised else "cleared", value, quality, mono_ns)

    def _is_back(self, signed: float) -> bool:
        if math.isinf(signed):
            return False
        return signed < self._clear_below or (signed == self._clear_below and self.rule.deadband > 0)


class Alarms:
    """All rules of a gateway, found by group and column. ``raised`` names those that were up before a restart."""

    def __init__(
        self, rules: Iterable[AlarmRule], columns: dict[str, tuple[str, ...]], raised: Collection[str] = ()
    ) -> None:
        by_tag: dict[str, list[RuleState]] = {}
        for rule in rules:
            by_tag.setdefault(rule.tag, []).append(RuleState(rule, raised=rule.name in raised))
        self._by_group = {
            group: tuple((index, by_tag[tag]) for index, tag in enumerate(tags) if tag in by_tag)
            for group, tags in columns.items()
        }
        self._states = {state.rule.name: state for states in by_tag.values() for state in states}

    @property
    def raised(self) -> tuple[AlarmRule, ...]:
        """The rules whose alarm is up."""
        return tuple(state.rule for state in self._states.values() if state.raised)

    def evaluate(self, scan: Scan) -> list[Transition]:
        """Take a scan; return the changes it brings, the most urgent first."""
        changes: list[Transition] = []
        for index, states in self._by_group.get(scan.group, ()):
            value = usable(scan.values[index], scan.quality[index])
            if value is None:
                continue
            for state in states:
                change = state.feed(value, scan.quality[index], scan.mono_ns)
                if change is not None:
                    changes.append(change)
        changes.sort(key=lambda change: change.rule.priority)
        return changes


def usable(value: Value, quality: int) -> float | None:
    """Return the number that a rule may judge, or None."""
    if value is None or isinstance(value, str) or is_bad(quality):
        return None
    return None if math.isnan(value) else float(value)
