"""All alarms of a gateway: readings, time and operators' requests in, changes out. No clock of its own, no I/O.

    reading -> rules of its column -> changes -> alarms that follow from others (combined, suppressed) -> changes

`edge.acquisition` owns one of these and tells outputs and spool what changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from drivers.base import Scan
from edge.alarm_settings import AlarmRule
from edge.alarms.conditions import Condition, make_condition
from edge.alarms.following import Combination, find_followers, suppresses
from edge.alarms.scans import Columns
from edge.alarms.standing import NEVER, AlarmState, Words
from edge.alarms.watched import OccurrenceAt, Watched
from edge.operating import Operation, OperationError
from wire.alarm import Standing
from wire.sample import Value


class Standpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How an alarm stood when the agent last ran. ``until_ns`` is monotonic, `NEVER` if it is not shelved."""

    standing: Standing
    occurrence: int = 0
    until_ns: int = NEVER


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm stands otherwise from ``mono_ns`` on. ``change`` is a word of `wire.alarm`.

    ``until_ns`` is when its shelving ends, monotonic; `NEVER` without one. ``operation`` is what was asked, if it was.
    """

    rule: AlarmRule
    change: str
    standing: Standing
    occurrence: int
    until_ns: int
    mono_ns: int
    value: Value
    quality: int
    operation: Operation | None = None


class Alarms:
    """All rules, found by group and column. ``before`` is how alarms stood that are not normal, ``rain`` names the tags
    that measure rain in mm."""

    def __init__(
        self,
        rules: Iterable[AlarmRule],
        columns: Mapping[str, tuple[str, ...]],
        before: Mapping[str, Standpoint] | None = None,
        occurrence_at: OccurrenceAt = lambda mono_ns: mono_ns + 1,
        rain: Collection[str] = (),
    ) -> None:
        self._rain = frozenset(rain)
        self._newest: dict[str, tuple[Value, int]] = {}
        self._all = {
            rule.name: Watched(_resume(rule, before or {}), self._make_condition(rule), occurrence_at) for rule in rules
        }
        by_tag: dict[str, list[Watched]] = {}
        for one in self._all.values():
            if one.rule.tag:
                by_tag.setdefault(one.rule.tag, []).append(one)
        self._columns = {
            group: Columns({index: by_tag[tag] for index, tag in enumerate(tags) if tag in by_tag}, len(tags))
            for group, tags in columns.items()
            if any(tag in by_tag for tag in tags)
        }
        self._bands = {name: (columns, place) for columns in self._columns.values() for name, place in columns.places()}
        setpoints = {one.rule.setpoint for one in self._all.values() if isinstance(one.rule.setpoint, str)}
        self._setpoints = {
            group: [(index, tag) for index, tag in enumerate(tags) if tag in setpoints]
            for group, tags in columns.items()
            if not setpoints.isdisjoint(tags)
        }
        self._combinations = {
            name: Combination(one.rule, [self._all[member].alarm for member in one.rule.of])
            for name, one in self._all.items()
            if one.rule.level == "combined"
        }
        self._followers = find_followers(one.rule for one in self._all.values())
        self._times = dict.fromkeys(self._columns, 0)
        self._due: dict[str, int] = {}
        self.due_ns = NEVER
        """When `tick` has something to do next, or earlier; `NEVER` if nothing waits."""

    def _make_condition(self, rule: AlarmRule) -> Condition | None:
        if not rule.tag:
            return None
        tag = rule.setpoint
        newest = (lambda: self._newest.get(tag)) if isinstance(tag, str) else None
        return make_condition(rule, newest, is_rain=rule.tag in self._rain)

    @property
    def states(self) -> Mapping[str, Watched]:
        """Every alarm by name."""
        return self._all

    def start(self, now_ns: int) -> list[Change]:
        """Begin to watch. Alarms stand as they stood, less the shelvings whose end has passed."""
        changes: list[Change] = []
        for one in self._all.values():
            one.start(now_ns)
            changes += self._tell(one, one.alarm.resume(now_ns), now_ns)
        for name in self._all:  # suppression is found anew, whatever it followed from before
            changes += self._follow(name, now_ns)
        return changes

    def evaluate(self, scan: Scan) -> list[Change]:
        """Take a scan; return the changes it brings, the most urgent first. Time does not go back within a group."""
        for index, tag in self._setpoints.get(scan.group, ()):
            self._newest[tag] = (scan.values[index], scan.quality[index])
        columns = self._columns.get(scan.group)
        if columns is None:
            return []
        mono_ns = self._times[scan.group] = max(scan.mono_ns, self._times[scan.group])
        changes: list[Change] = []
        for one, value, quality in columns.find(scan):
            changes += self._catch_up(one, mono_ns)
            words = one.feed(value, quality, mono_ns)
            changes += self._tell(one, words, max(mono_ns, one.mono_ns))
        if len(changes) > 1:
            changes.sort(key=lambda change: change.rule.priority)
        return changes

    def tick(self, now_ns: int) -> list[Change]:
        """Let time pass; return the changes it brings."""
        due = [name for name, at_ns in self._due.items() if at_ns <= now_ns]
        changes: list[Change] = []
        for name in due:
            one = self._all[name]
            changes += self._tell(one, one.tick(now_ns), now_ns)
            if name in self._combinations:
                changes += self._follow(name, now_ns)
            elif name in self._bands:
                columns, place = self._bands[name]
                columns.narrow(place)
        self.due_ns = min(self._due.values(), default=NEVER)
        return changes

    def operate(self, operation: Operation, now_ns: int) -> list[Change]:
        """Do what an operator asks. Raises OperationError if there is no such alarm, or it does not take this now."""
        one = self._all.get(operation.request.alarm)
        if one is None:
            raise OperationError(
                f"there is no alarm '{operation.request.alarm}' on this gateway",
                hint="it may have been configured away: load the list again",
            )
        return self._tell(one, one.alarm.operate(operation, now_ns), now_ns, operation)

    def heed(self, name: str, now_ns: int, *, holds: bool) -> list[Change]:
        """Take from outside whether the condition of an alarm without a tag holds; return the changes it brings."""
        one = self._all[name]
        changes = self._catch_up(one, now_ns)
        return changes + self._tell(one, one.heed(None, 0, now_ns, verdict=holds != one.alarm.is_active), now_ns)

    def command(self, name: str, now_ns: int, ends_ns: int) -> list[Change]:
        """Have an alarm of level commanded hold until a time, or end now; return the changes it brings."""
        one = self._all[name]
        changes = self._catch_up(one, now_ns)
        return changes + self._tell(one, one.command(now_ns, ends_ns), now_ns)

    def _catch_up(self, one: Watched, now_ns: int) -> list[Change]:
        """Tell what a delay that ended before this time brings, so that what comes now does not undo it unsaid."""
        return self._tell(one, one.tick(now_ns), now_ns) if one.is_overdue(now_ns) else []

    def _tell(self, one: Watched, words: Words, now_ns: int, operation: Operation | None = None) -> list[Change]:
        """Note when an alarm is due again; tell its changes and those that follow from them."""
        self._plan(one, now_ns)
        if not words:
            return []
        changes = [_describe(one, word, now_ns, operation) for word in words]
        for name in self._followers.get(one.name, ()):
            changes += self._follow(name, now_ns)
        return changes

    def _follow(self, name: str, now_ns: int) -> list[Change]:
        """Look anew at an alarm that follows from others."""
        one = self._all[name]
        changes = self._catch_up(one, now_ns)
        by_design = any(suppresses(self._all[cause].alarm) for cause in one.rule.suppressed_by)
        words = list(one.alarm.suppress(by_design=by_design))
        combination = self._combinations.get(name)
        if combination is not None:
            verdict = combination.is_met(now_ns) != one.alarm.is_active
            words += one.heed(None, 0, now_ns, verdict=verdict)
        return changes + self._tell(one, words, now_ns)

    def _plan(self, one: Watched, now_ns: int) -> None:
        due_ns = one.due_ns
        combination = self._combinations.get(one.name)
        if combination is not None:
            due_ns = min(due_ns, combination.due_ns(now_ns))
        if due_ns == NEVER:
            self._due.pop(one.name, None)
        else:
            self._due[one.name] = due_ns
            self.due_ns = min(self.due_ns, due_ns)


def _resume(rule: AlarmRule, before: Mapping[str, Standpoint]) -> AlarmState:
    stood = before.get(rule.name)
    if stood is None:
        return AlarmState(rule)
    return AlarmState(rule, stood.standing, stood.occurrence, stood.until_ns)


def _describe(one: Watched, word: str, mono_ns: int, operation: Operation | None) -> Change:
    alarm = one.alarm
    return Change(
        rule=one.rule,
        change=word,
        standing=alarm.standing,
        occurrence=alarm.occurrence,
        until_ns=alarm.until_ns,
        mono_ns=mono_ns,
        value=one.value,
        quality=one.quality,
        operation=operation,
    )
