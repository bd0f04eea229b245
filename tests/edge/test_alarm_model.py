"""The engine against a model that is written otherwise: it walks through every second with the facts in plain words;
and against itself, asked at every second instead of when it says that something is due."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from edge.alarm_settings import AlarmRule
from edge.operating import OperationError
from tests.edge.watching import S, Watch, ns, rule
from wire.alarm import Standing

Told = list[tuple[int, str]]
Step = tuple[int, str, float]
"""Seconds since the step before, what happens (a reading, or what an operator asks), and the reading's value."""

ALARM = "tank.level:high"
POWER = AlarmRule(tag="tank.power", level="low", limit=100)
HAPPENS = ("reading", "reading", "reading", "reading", "power", "acknowledge", "reset", "shelve", "unshelve")
STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(HAPPENS), st.sampled_from([70.0, 77.0, 79.0, 80.0, 90.0, 200.0])),
    max_size=40,
)
RULES = st.builds(
    rule,
    limit=st.just(80.0),
    deadband=st.sampled_from([0.0, 2.0]),
    on_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
    off_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
    latch=st.booleans(),
    realarm_s=st.sampled_from([0.0, 5.0]),
    shelve_most_h=st.sampled_from([0.0, 12.0]),
    suppressed_by=st.sampled_from([(), ("tank.power:low",)]),
)
SHELVED_S = 6


class Model:
    """One limit with everything that all kinds share, walked through second by second."""

    def __init__(self, given_rule: AlarmRule) -> None:
        self.rule = given_rule
        self.told: Told = []
        self.up = self.seen = self.locked = self.powerless = False
        self.seen = True
        self.streak: int | None = None
        """Since when readings speak for a change."""
        self.shelf_ends: int | None = None
        self.remind_at: int | None = None

    def second(self, now: int) -> None:
        """Let what waits for time alone happen."""
        if self.shelf_ends is not None and now >= self.shelf_ends:
            self.tell(now, "unshelved")
            self.shelf_ends = None
        if self.remind_at is not None and now >= self.remind_at:
            self.tell(now, "reminded")
            self.seen, self.remind_at = False, None
        if not self.up and self.streak is not None and now - self.streak >= self.rule.on_delay_s:
            self.turn(now)

    def reading(self, now: int, value: float) -> None:
        limit = 80 if not self.up else 80 - self.rule.deadband
        is_back = value < limit or (self.rule.deadband > 0 and value == limit)
        if not (is_back if self.up else value >= limit):
            self.streak = None
            return
        self.streak = now if self.streak is None else self.streak
        if now - self.streak >= (self.rule.off_delay_s if self.up else self.rule.on_delay_s):
            self.turn(now)

    def turn(self, now: int) -> None:
        self.up, self.streak, self.remind_at = not self.up, None, None
        self.tell(now, "raised" if self.up else "cleared")
        if self.up:
            self.seen, self.locked = False, self.rule.latch

    def power(self, now: int, value: float) -> None:
        powerless = value <= 100
        if powerless != self.powerless and self.rule.suppressed_by:
            self.tell(now, "suppressed" if powerless else "unsuppressed")
        self.powerless = powerless

    def ask(self, now: int, action: str) -> None:
        if action == "acknowledge" and not self.seen:
            self.seen = True
            self.tell(now, "acknowledged")
            if self.up and self.rule.realarm_s:
                self.remind_at = now + int(self.rule.realarm_s)
        elif action == "reset" and self.locked and self.seen and not self.up:
            self.locked = False
            self.tell(now, "reset")
        elif action == "shelve" and self.rule.shelve_most_h:
            self.shelf_ends = now + SHELVED_S
            self.tell(now, "shelved")
        elif action == "unshelve" and self.shelf_ends is not None:
            self.shelf_ends = None
            self.tell(now, "unshelved")

    def tell(self, now: int, word: str) -> None:
        self.told.append((now, word))

    def standing(self) -> Standing:
        flags = {
            Standing.ACTIVE: self.up,
            Standing.UNACKNOWLEDGED: not self.seen,
            Standing.LATCHED: self.locked,
            Standing.SHELVED: self.shelf_ends is not None,
            Standing.SUPPRESSED: self.powerless and bool(self.rule.suppressed_by),
        }
        return Standing(sum(flag for flag, is_set in flags.items() if is_set))


def walk(given_rule: AlarmRule, steps: Sequence[Step]) -> Model:
    model, now = Model(given_rule), 0
    for wait, happens, value in steps:
        for second in range(now, now + wait + 1):
            model.second(second)
        now += wait
        if happens == "reading":
            model.reading(now, value)
        elif happens == "power":
            model.power(now, value)
        else:
            model.ask(now, happens)
    return model


def ask(watch: Watch, action: str, at_s: int, name: str = ALARM) -> None:
    with suppress(OperationError):
        watch.ask(action, at_s, alarm=name, minutes=SHELVED_S / 60 if action == "shelve" else 0)


def act(watch: Watch, happens: str, value: float, at_s: int) -> None:
    if happens == "reading":
        watch.feed(at_s, value)
    elif happens == "power":
        watch.feed(at_s, value, tag="tank.power")
    else:
        ask(watch, happens, at_s)


def tick_when_due(watch: Watch, until_s: int) -> None:
    while watch.alarms.due_ns <= ns(until_s):
        watch.tick(watch.due_s)


@given(RULES, STEPS)
def test_engine_does_what_a_walk_through_every_second_says(given_rule, steps) -> None:
    watch, now = Watch(given_rule, POWER), 0
    for wait, happens, value in steps:
        now += wait
        tick_when_due(watch, now)
        act(watch, happens, value, now)
    model = walk(given_rule, steps)
    told = [(change.mono_ns // S, change.change) for change in watch.told if change.rule.name == ALARM]
    assert told == model.told
    assert watch.stands() == model.standing()


EVERY_KIND = (
    rule(limit=80, on_delay_s=2, off_delay_s=3, realarm_s=5),
    rule("low", limit=75, suppressed_by=(ALARM,)),
    rule("rate", limit=10, window_s=5),
    rule("total", limit=300, window_s=10, kind="amount"),
    rule("bad", on_delay_s=2, off_delay_s=2),
    rule("silent", silent_s=4, off_delay_s=2),
    POWER,
    AlarmRule(label="some", level="combined", of=("tank.level:rate", ALARM, "tank.power:low"), need=2, window_s=3),
    AlarmRule(label="all", level="combined", of=("some:combined", "tank.level:silent"), need=1, on_delay_s=1),
)


@given(STEPS, st.sampled_from([one.name for one in EVERY_KIND]))
def test_what_is_due_is_told_no_later_than_by_asking_every_second(steps, asked) -> None:
    lazy, eager, now = Watch(*EVERY_KIND), Watch(*EVERY_KIND), 0
    for wait, happens, value in steps:
        for second in range(now, now + wait + 1):
            eager.tick(second)
        now += wait
        tick_when_due(lazy, now)
        for watch in (lazy, eager):
            if happens in ("reading", "power"):
                act(watch, happens, None if value == 79.0 else value, now)  # type: ignore[arg-type]
            else:
                ask(watch, happens, now, asked)
    assert by_time(lazy) == by_time(eager)
    assert [lazy.stands(one.name) for one in EVERY_KIND] == [eager.stands(one.name) for one in EVERY_KIND]


def by_time(watch: Watch) -> list[tuple[int, str, str]]:
    return sorted((change.mono_ns // S, change.rule.name, change.change) for change in watch.told)
