"""Local alarms: pure state machines fed with samples. No clock of their own, no I/O, nothing to wait for.

    normal --beyond the limit for on_delay_s--> raised --back by the deadband for off_delay_s--> normal

A sample without a usable value (bad quality, NaN, not a number) neither raises nor clears: a dead sensor must not end
an alarm. An uncertain value does both, for a doubtful alarm is better than none. But an infinite value may raise and
not clear: it is an instrument beyond its range; nor may one of a window that is not yet known whole, for the true one
may be higher. Limits count as crossed when reached (>= high, <= low).

Nearly all values change nothing. So each column of a group has a band of values between which no rule of its tag has
anything to do, and only what lies outside is fed to the rules.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import msgspec

from drivers.base import Scan
from edge.settings import AlarmRule
from wire.sample import Quality, Value, is_bad

NS = 1_000_000_000
PARTIAL = int(Quality.UNCERTAIN_PARTIAL)


class Transition(msgspec.Struct, frozen=True):
    """An alarm was ``raised`` or ``cleared`` by a sample read at ``mono_ns``."""

    rule: AlarmRule
    change: str
    value: float
    quality: int
    mono_ns: int


class RuleState:
    """One rule and where it stands."""

    __slots__ = ("_since_ns", "raised", "rule")

    def __init__(self, rule: AlarmRule, *, raised: bool = False) -> None:
        self.rule = rule
        self.raised = raised
        self._since_ns: int | None = None

    def feed(self, value: float, quality: int, mono_ns: int) -> Transition | None:
        """Take one usable value; return the change it brings, if any."""
        if not (self._is_back(value, quality) if self.raised else self._is_beyond(value)):
            self._since_ns = None
            return None
        if self._since_ns is None:
            self._since_ns = mono_ns
        delay_s = self.rule.off_delay_s if self.raised else self.rule.on_delay_s
        if mono_ns - self._since_ns < delay_s * NS:
            return None
        self.raised = not self.raised
        self._since_ns = None
        return Transition(self.rule, "raised" if self.raised else "cleared", value, quality, mono_ns)

    @property
    def band(self) -> tuple[float, float]:
        """The open interval of values that `feed` would take without any effect; empty while a delay runs."""
        if self._since_ns is not None:
            return math.inf, -math.inf
        edge = self._clear_at if self.raised else self.rule.limit
        return (-math.inf, edge) if self.rule.is_upper != self.raised else (edge, math.inf)

    @property
    def _clear_at(self) -> float:
        rule = self.rule
        return rule.limit - rule.deadband if rule.is_upper else rule.limit + rule.deadband

    def _is_beyond(self, value: float) -> bool:
        return value >= self.rule.limit if self.rule.is_upper else value <= self.rule.limit

    def _is_back(self, value: float, quality: int) -> bool:
        if math.isinf(value) or quality == PARTIAL:
            return False
        clear_at = self._clear_at
        is_past = value < clear_at if self.rule.is_upper else value > clear_at
        return is_past or (value == clear_at and self.rule.deadband > 0)


class _Watch:
    """The rules of one group by column, and the band of each column."""

    def __init__(self, columns: dict[int, list[RuleState]], width: int) -> None:
        self._indexes = tuple(columns)
        self._is_whole = len(columns) == width
        self._states = tuple(columns.values())
        self._lows = [-math.inf] * len(columns)
        self._highs = [math.inf] * len(columns)
        for column in range(len(columns)):
            self._narrow(column)

    def feed(self, scan: Scan) -> list[Transition]:
        """Feed the rules what lies outside their bands; return the changes."""
        values = scan.values if self._is_whole else [scan.values[index] for index in self._indexes]
        return [] if self._is_quiet(values) else self._judge(scan, values)

    def _is_quiet(self, values: Sequence[Value]) -> bool:
        """Tell whether every value is a number strictly within its band."""
        try:
            for value, low, high in zip(values, self._lows, self._highs, strict=True):
                if not low < value < high:  # type: ignore[operator]  # what cannot be compared is caught below
                    return False
        except TypeError:
            return False
        return True

    def _judge(self, scan: Scan, values: Sequence[Value]) -> list[Transition]:
        changes: list[Transition] = []
        for column, value in enumerate(values):
            quality = scan.quality[self._indexes[column]]
            number = usable(value, quality)
            if number is None or self._lows[column] < number < self._highs[column]:
                continue
            for state in self._states[column]:
                change = state.feed(number, quality, scan.mono_ns)
                if change is not None:
                    changes.append(change)
            self._narrow(column)
        return changes

    def _narrow(self, column: int) -> None:
        bands = [state.band for state in self._states[column]]
        self._lows[column] = max(low for low, _ in bands)
        self._highs[column] = min(high for _, high in bands)


class Alarms:
    """All rules of a gateway, found by group and column. ``raised`` names those that were up before a restart."""

    def __init__(
        self, rules: Iterable[AlarmRule], columns: dict[str, tuple[str, ...]], raised: Collection[str] = ()
    ) -> None:
        by_tag: dict[str, list[RuleState]] = {}
        for rule in rules:
            by_tag.setdefault(rule.tag, []).append(RuleState(rule, raised=rule.name in raised))
        self._watches = {
            group: _Watch({index: by_tag[tag] for index, tag in enumerate(tags) if tag in by_tag}, len(tags))
            for group, tags in columns.items()
            if any(tag in by_tag for tag in tags)
        }
        self._states = [state for states in by_tag.values() for state in states]

    @property
    def raised(self) -> tuple[AlarmRule, ...]:
        """The rules whose alarm is up."""
        return tuple(state.rule for state in self._states if state.raised)

    def evaluate(self, scan: Scan) -> list[Transition]:
        """Take a scan; return the changes it brings, the most urgent first."""
        watch = self._watches.get(scan.group)
        if watch is None:
            return []
        changes = watch.feed(scan)
        changes.sort(key=lambda change: change.rule.priority)
        return changes


def usable(value: Value, quality: int) -> float | None:
    """Return the number that a rule may judge, or None."""
    if value is None or isinstance(value, str) or is_bad(quality):
        return None
    return None if math.isnan(value) else float(value)
