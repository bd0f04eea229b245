"""Alarm rules watched by hand: readings, time and operators' requests in, what changed out."""

from __future__ import annotations

from drivers.base import Scan
from edge.alarm_settings import AlarmRule
from edge.alarms import Alarms, Change, Standpoint
from edge.operating import Operation
from wire.alarm import AlarmRequest, Standing
from wire.sample import Value

S = 1_000_000_000
TAG = "tank.level"
NAME = "tank.level:high"


def ns(at_s: float) -> int:
    return int(at_s * S)


def rule(level: str = "high", **more: object) -> AlarmRule:
    return AlarmRule(tag=TAG, level=level, **more)  # type: ignore[arg-type]


class Watch:
    """``words`` of each step are (name, change) in the order told. Every tag has a group of its own, of its name."""

    def __init__(self, *rules: AlarmRule, before: dict[str, Standpoint] | None = None, rain: bool = False) -> None:
        tags = {one.tag for one in rules if one.tag} | {one.setpoint for one in rules if isinstance(one.setpoint, str)}
        self.alarms = Alarms(rules, {tag: (tag,) for tag in tags}, before, rain=tags if rain else ())
        self.told: list[Change] = self.alarms.start(0)

    def feed(self, at_s: float, value: Value, quality: int = 0, tag: str = TAG) -> list[tuple[str, str]]:
        return self._tell(self.alarms.evaluate(Scan(tag, ns(at_s), (value,), (int(quality),))))

    def run(self, *values: Value, quality: int = 0) -> list[str]:
        """Feed a value each second from 0 on; tell the words."""
        return [word for at, value in enumerate(values) for _, word in self.feed(at, value, quality)]

    def tick(self, at_s: float) -> list[tuple[str, str]]:
        return self._tell(self.alarms.tick(ns(at_s)))

    def ask(self, action: str, at_s: float = 0.0, alarm: str = NAME, **more: object) -> list[tuple[str, str]]:
        request = AlarmRequest(alarm=alarm, **more)  # type: ignore[arg-type]
        return self._tell(
            self.alarms.operate(Operation(action=action, request=request, by="Li", where="page"), ns(at_s))
        )

    def _tell(self, changes: list[Change]) -> list[tuple[str, str]]:
        self.told += changes
        return [(change.rule.name, change.change) for change in changes]

    def stands(self, name: str = NAME) -> Standing:
        return self.alarms.states[name].alarm.standing

    @property
    def due_s(self) -> float:
        return self.alarms.due_ns / S
