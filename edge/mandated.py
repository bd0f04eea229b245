"""What the fleet orders for a bounded time, done on what is acquired: alarms that it raises, groups that it hurries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from edge.alarm_settings import COMMANDED, AlarmRule
from edge.alarms import Alarms, Change
from edge.clock import SystemClock
from edge.collect import Collector, Journal
from edge.hurrying import Ask
from edge.mandates import Kind, Mandate, Mandates, left_s
from edge.operating import OperationError
from wire.mandate import HURRY, RAISE, HurryRequest, RaiseRequest

NS = 1_000_000_000
HURRIED = "hurried"
"""The event that groups are read more densely from now on."""


class Commanded:
    """The alarms of level commanded. ``announce`` tells outputs and spool of a change."""

    def __init__(
        self, alarms: Alarms, announce: Callable[[Change], None], mandates: Mandates, clock: SystemClock
    ) -> None:
        self._alarms = alarms
        self._announce = announce
        self._mandates = mandates
        self._clock = clock

    def resume(self, now_ns: int) -> None:
        """What was commanded holds for what is left of its time. Of an alarm that is up and of which nothing was kept,
        all of it is left: better a valve that stays shut too long."""
        wall = self._clock.wall_at(now_ns)
        for name, one in self._alarms.states.items():
            mandate = self._mandates.find(RAISE, name)
            if one.rule.level == COMMANDED and (mandate is not None or one.alarm.is_active):
                lasts_s = _lasts_s(one.rule) if mandate is None else left_s(mandate, wall)
                self._command(name, now_ns, lasts_s)

    def command(self, request: RaiseRequest) -> str:
        """Raise or clear an alarm; say what was done. Raises OperationError if there is none that may be commanded."""
        rule = self._find(request.alarm)
        if request.drill:
            would = "would be raised" if request.holds else "would be cleared"
            return f"drill: {rule.name} {would}, outputs: {', '.join(rule.outputs) or 'none'}"
        now_ns, lasts_s = self._clock.mono_ns(), _lasts_s(rule) if request.holds else 0.0
        words = self._command(rule.name, now_ns, lasts_s) or [self._say_unchanged(rule.name, holds=request.holds)]
        until = ""
        if request.holds:  # the alarm is up and its outputs are told: only then the disk is asked for anything
            mandate = _mandate(RAISE, rule.name, Ask(0.0, now_ns + int(lasts_s * NS)), now_ns, self._clock)
            self._mandates.put([mandate])
            until = f", until {_write_until(mandate)}"
        else:
            self._mandates.drop(RAISE, (rule.name,))
        return f"{rule.name} {', '.join(words)}{until}"

    def _command(self, name: str, now_ns: int, lasts_s: float) -> list[str]:
        changes = self._alarms.command(name, now_ns, now_ns + int(lasts_s * NS))
        for change in changes:
            self._announce(change)
        return [change.change for change in changes if change.rule.name == name]

    def _find(self, name: str) -> AlarmRule:
        one = self._alarms.states.get(name)
        if one is not None and one.rule.level == COMMANDED:
            return one.rule
        known = [name for name, one in self._alarms.states.items() if one.rule.level == COMMANDED]
        raise OperationError(
            f"the configuration has no alarm '{name}' that may be commanded",
            hint=f"there are: {', '.join(known)}" if known else f'add an [[alarm]] of level = "{COMMANDED}"',
        )

    def _say_unchanged(self, name: str, *, holds: bool) -> str:
        """Why a command changed nothing yet: it stands so, or a delay of its rule runs."""
        is_up = self._alarms.states[name].alarm.is_active
        return "stands so already" if is_up == holds else "waits for its delay"


class Hurried:
    """The groups of all lines that are read more densely for a while."""

    def __init__(
        self, collectors: Sequence[Collector], mandates: Mandates, clock: SystemClock, journal: Journal
    ) -> None:
        self._collectors = collectors
        self._mandates = mandates
        self._clock = clock
        self._journal = journal

    def resume(self, now_ns: int) -> None:
        """Go on for what is left."""
        wall = self._clock.wall_at(now_ns)
        for collector in self._collectors:
            kept = {name: self._mandates.find(HURRY, name) for name in collector.counts}
            asks = {
                name: Ask(mandate.every_s, now_ns + int(seconds * NS))
                for name, mandate in kept.items()
                if mandate is not None and (seconds := left_s(mandate, wall))
            }
            if asks and not collector.line.is_streaming:
                collector.hurry(asks)

    def granted(self) -> dict[str, float]:
        """{group: its period now, s} of those that are read more densely than configured."""
        return {name: every_s for one in self._collectors for name, every_s in one.hurries.granted.items()}

    def hurry(self, request: HurryRequest) -> str:
        """Read groups more densely for a while, or no longer; say what was granted. Raises OperationError if none of
        them is here."""
        found, missing = self._find_groups(request.groups)
        if not found:
            known = ", ".join(name for collector in self._collectors for name in collector.counts)
            raise OperationError(f"there is no group {', '.join(missing)}", hint=f"there are: {known or 'none'}")
        now_ns = self._clock.mono_ns()
        said = [f"no group {name}" for name in missing]
        for collector, names in found.items():
            said += self._hurry(collector, names, request, now_ns)
        return ("drill: " if request.drill else "") + "; ".join(said)

    def _find_groups(self, names: Collection[str]) -> tuple[dict[Collector, list[str]], list[str]]:
        """The groups that are meant, by their collector; and the names that mean none."""
        found: dict[Collector, list[str]] = {}
        missing = set(names)
        for collector in self._collectors:
            for group in collector.counts:
                meant = {group, collector.device_of(group)} & set(names)
                if meant:
                    missing -= meant
                    found.setdefault(collector, []).append(group)
        return found, sorted(missing)

    def _hurry(self, collector: Collector, names: list[str], request: HurryRequest, now_ns: int) -> list[str]:
        """What is granted, or would be, on one line."""
        hurries = collector.hurries
        if collector.line.is_streaming:
            return [f"{name} speaks by itself" for name in names]
        if not request.lasts_s:
            if not request.drill:
                collector.calm(names)
            return [f"{name} every {hurries.period_s(name):g} s again" for name in names]
        asks = {name: Ask(request.every_s, now_ns + int(request.lasts_s * NS)) for name in names}
        granted = hurries.would(asks)
        said = [_say_granted(name, granted.get(name), hurries.period_s(name), request.every_s) for name in names]
        if not request.drill:
            collector.hurry(asks)
            joined = {name: ask for name in names if (ask := hurries.find(name)) is not None}
            self._mandates.put(_mandate(HURRY, name, ask, now_ns, self._clock) for name, ask in joined.items())
            self._journal(HURRIED, "; ".join(said))
        return said


def _lasts_s(rule: AlarmRule) -> float:
    assert rule.lasts_s is not None
    return rule.lasts_s


def _mandate(kind: Kind, name: str, ask: Ask, now_ns: int, clock: SystemClock) -> Mandate:
    lasts_s, until_ns = (ask.until_ns - now_ns) / NS, clock.wall_at(ask.until_ns)
    return Mandate(kind=kind, name=name, lasts_s=lasts_s, until_ns=until_ns, every_s=ask.every_s)


def _write_until(mandate: Mandate) -> str:
    if mandate.until_ns is None:
        return f"{mandate.lasts_s:g} s from now"
    return datetime.fromtimestamp(mandate.until_ns // NS, UTC).isoformat().replace("+00:00", "Z")


def _say_granted(name: str, granted_s: float | None, period_s: float, asked_s: float) -> str:
    if granted_s is None:
        reason = "is as dense" if period_s <= asked_s else "the line has no time to spare"
        return f"{name} stays at every {period_s:g} s: {reason}"
    short = "" if granted_s <= asked_s else f" (asked {asked_s:g} s: the line has no more time)"
    return f"{name} every {granted_s:g} s instead of {period_s:g} s{short}"
