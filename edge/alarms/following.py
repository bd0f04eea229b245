"""Alarms that follow from other alarms: combinations (k of n, within a window), and suppression by design. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from edge.alarm_settings import AlarmRule
from edge.alarms.standing import NEVER, NS, AlarmState
from wire.alarm import Standing

LEFT_OUT = Standing.SHELVED | Standing.OUT_OF_SERVICE
"""What an operator has set aside counts for nothing: no member of a combination, and silences no other alarm."""


class Combination:
    """At least ``need`` of the members are active, or were within the last ``window_s``."""

    def __init__(self, rule: AlarmRule, members: Sequence[AlarmState]) -> None:
        assert rule.need is not None
        self._need = rule.need
        self._window_ns = int((rule.window_s or 0.0) * NS)
        self._members = members
        self._was_active = [member.is_active for member in members]
        self._ended_ns = [-NEVER] * len(members)

    def is_met(self, now_ns: int) -> bool:
        """Look at the members, and tell whether enough of them count."""
        return sum(self._counts(place, now_ns) for place in range(len(self._members))) >= self._need

    def _counts(self, place: int, now_ns: int) -> bool:
        member = self._members[place]
        if self._was_active[place] and not member.is_active:
            self._ended_ns[place] = now_ns
        self._was_active[place] = member.is_active
        if member.standing & LEFT_OUT:
            return False
        return member.is_active or now_ns - self._ended_ns[place] < self._window_ns

    def due_ns(self, now_ns: int) -> int:
        """When a member that is over ceases to count; `NEVER` if none does."""
        ends = [ended + self._window_ns for ended in self._ended_ns if ended + self._window_ns > now_ns]
        return min(ends, default=NEVER)


def suppresses(cause: AlarmState) -> bool:
    """Tell whether an alarm silences those that name it."""
    return cause.is_active and not cause.standing & LEFT_OUT


def find_followers(rules: Iterable[AlarmRule]) -> Mapping[str, Sequence[str]]:
    """List for each alarm the names of those that follow from it."""
    found: dict[str, list[str]] = {}
    for rule in rules:
        for name in (*rule.of, *rule.suppressed_by):
            found.setdefault(name, []).append(rule.name)
    return found


def find_circle(rules: Iterable[AlarmRule]) -> Sequence[str]:
    """Find alarms that follow from each other in a circle: their names in order, none if there is no circle."""
    causes = {rule.name: (*rule.of, *rule.suppressed_by) for rule in rules}
    try:
        TopologicalSorter(causes).prepare()
    except CycleError as error:
        return list(error.args[1])
    return ()
