"""When alarms ought to have happened: limits against served values, matched with sirens and the platform."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

import msgspec

from lab.platform import RaisedAlarm

Coil = tuple[str, int]
"""A relay module's device and the coil's address."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm rule as the site's file has it, with the coils that its outputs stand for."""

    gateway: str
    tag: str
    level: str
    limit: float
    deadband: float = 0.0
    off_delay_s: float = 0.0
    coils: tuple[Coil, ...] = ()
    label: str = ""

    @property
    def alarm(self) -> str:
        """The alarm's name."""
        return f"{self.tag}:{self.label or self.level}"

    def is_beyond(self, value: float) -> bool:
        """Whether a value is at or beyond the limit."""
        return value >= self.limit if self.level.startswith("high") else value <= self.limit

    def is_back(self, value: float) -> bool:
        """Whether a value is back from the limit by the deadband."""
        if self.level.startswith("high"):
            return value < self.limit and value <= self.limit - self.deadband
        return value > self.limit and value >= self.limit + self.deadband


class Crossing:
    """A value beyond a limit was served: from here on an alarm is due, and its outputs."""

    def __init__(self, rule: Rule, at_ns: int) -> None:
        self.rule = rule
        self.at_ns = at_ns
        self.platform_ms: float | None = None


class RuleState:
    """Whether a rule's alarm ought to stand. Pure; `edge.alarms` is not asked."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.is_raised = False
        self._back_since_ns: int | None = None

    def take(self, value: float, at_ns: int) -> bool:
        """Take a served value; True if an alarm is due from now on."""
        if not self.is_raised:
            self.is_raised = self.rule.is_beyond(value)
            self._back_since_ns = None
            return self.is_raised
        if not self.rule.is_back(value):
            self._back_since_ns = None
            return False
        if self._back_since_ns is None:
            self._back_since_ns = at_ns
        if at_ns - self._back_since_ns >= self.rule.off_delay_s * 1e9:
            self.is_raised = False
        return False


class Truth:
    """Gathers what instruments served, what coils did and what the platform heard."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._states: dict[tuple[str, str], list[RuleState]] = {}
        self.expect(rules)
        self._unanswered: defaultdict[tuple[str, str], deque[Crossing]] = defaultdict(deque)
        self._on: set[Coil] = set()
        self._due: dict[Coil, int] = {}
        self.crossings: list[Crossing] = []
        self.output_ms: list[float] = []
        self.unexplained: list[RaisedAlarm] = []

    def expect(self, rules: Iterable[Rule]) -> None:
        """Judge by further rules."""
        for rule in rules:
            self._states.setdefault((rule.gateway, rule.tag), []).append(RuleState(rule))

    def served(self, gateway: str, tag: str, value: float, at_ns: int) -> None:
        """An instrument served a value."""
        for state in self._states.get((gateway, tag), ()):
            if state.take(value, at_ns):
                crossing = Crossing(state.rule, at_ns)
                self.crossings.append(crossing)
                self._unanswered[gateway, state.rule.alarm].append(crossing)
                for coil in state.rule.coils:
                    if coil not in self._on:
                        self._due.setdefault(coil, at_ns)

    def switched(self, device: str, coil: int, on: bool, at_ns: int) -> None:
        """A relay module switched a coil."""
        name = (device, coil)
        if not on:
            self._on.discard(name)
            return
        self._on.add(name)
        due_ns = self._due.pop(name, None)
        if due_ns is not None:
            self.output_ms.append((at_ns - due_ns) / 1e6)

    def raised(self, alarm: RaisedAlarm) -> None:
        """An alarm arrived at the platform: it answers the oldest crossing of its rule that nothing answered yet."""
        waiting = self._unanswered[alarm.gateway, alarm.alarm]
        if not waiting:
            self.unexplained.append(alarm)
            return
        crossing = waiting.popleft()
        crossing.platform_ms = (alarm.at_ns - crossing.at_ns) / 1e6

    @property
    def platform_ms(self) -> list[float]:
        """Delays from the served value to the platform, of the alarms that arrived."""
        return [crossing.platform_ms for crossing in self.crossings if crossing.platform_ms is not None]

    @property
    def unreported(self) -> list[str]:
        """Alarms that ought to have arrived at the platform and have not."""
        return [crossing.rule.alarm for crossing in self.crossings if crossing.platform_ms is None]

    @property
    def unswitched(self) -> list[Coil]:
        """Coils that ought to be on and were not switched."""
        return list(self._due)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Give the nearest-rank percentile, None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
