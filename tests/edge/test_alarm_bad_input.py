"""What comes of bad input: the table of docs/understand/alarms.md, a test to each cell; and nothing is silenced."""

from __future__ import annotations

import math

import pytest

from drivers.base import Scan
from edge.alarm_settings import AlarmRule
from edge.alarms import Alarms
from tests.edge.watching import TAG, Watch, ns, rule
from wire.alarm import Standing
from wire.sample import Quality, Value

ACTIVE = Standing.ACTIVE
WINDOW_S = 5

VALUE_KINDS: dict[str, tuple[AlarmRule, Value, Value]] = {
    "high": (rule("high", limit=80), 90, 10),
    "low": (rule("low", limit=20), 10, 90),
    "deviation": (rule("deviation", limit=5, setpoint=50), 90, 50),
    "rate": (rule("rate", limit=20, window_s=WINDOW_S), 90, 90),
    "total": (rule("total", limit=80, window_s=WINDOW_S, kind="amount"), 90, 0),
    "discrete": (rule("discrete", equals=3), 3, 0),
    "bit": (rule("bit", bit=0), 1, 2),
}
"""Of each kind a rule, a value that raises it, and one that in the end clears it."""
WINDOW_S = 5
BEYOND_S, BACK_S = 10, 30
NO_VALUE: dict[str, tuple[Value, Quality]] = {
    "bad": (77, Quality.BAD_SENSOR),
    "nothing": (None, Quality.GOOD),
    "nan": (math.nan, Quality.GOOD),
    "text": ("90", Quality.GOOD),
}


def raised(kind: str) -> tuple[Watch, Value]:
    given_rule, beyond, back = VALUE_KINDS[kind]
    watch = Watch(given_rule)
    watch.feed(BEYOND_S - 1, back if kind != "rate" else 10)
    assert watch.feed(BEYOND_S, beyond) == [(given_rule.name, "raised")]
    return watch, back


def comes_back(watch: Watch, back: Value, quality: int = 0, since_s: int = BACK_S) -> list[tuple[str, str]]:
    """Feed until a window that nothing was known of is known again."""
    return [word for at in range(since_s, since_s + WINDOW_S + 1) for word in watch.feed(at, back, quality)]


@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_kind_of_the_table_is_raised_and_clears_on_good_input(kind) -> None:
    watch, back = raised(kind)
    assert comes_back(watch, back) == [(VALUE_KINDS[kind][0].name, "cleared")]


@pytest.mark.parametrize("what", NO_VALUE)
@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_what_is_no_value_neither_raises_nor_clears(kind, what) -> None:
    value, quality = NO_VALUE[what]
    assert Watch(VALUE_KINDS[kind][0]).feed(0, value, quality) == []
    watch, back = raised(kind)
    for at in range(BEYOND_S + 1, BACK_S):
        assert watch.feed(at, value, quality) == []
    assert comes_back(watch, back) == [(VALUE_KINDS[kind][0].name, "cleared")]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_infinite_value_does_not_clear(kind, value) -> None:
    watch, back = raised(kind)
    for at in range(BEYOND_S + 1, BACK_S):
        assert watch.feed(at, value) == []
    assert comes_back(watch, back) == [(VALUE_KINDS[kind][0].name, "cleared")]


@pytest.mark.parametrize("kind", ["high", "deviation"])
def test_infinite_value_raises_what_is_about_far_values(kind) -> None:
    assert Watch(VALUE_KINDS[kind][0]).feed(0, math.inf) == [(VALUE_KINDS[kind][0].name, "raised")]


@pytest.mark.parametrize(
    "quality",
    [Quality.UNCERTAIN_RANGE, Quality.UNCERTAIN_STUCK, Quality.UNCERTAIN_STEP, Quality.UNCERTAIN_INCONSISTENT],
)
@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_uncertain_value_raises_and_clears_and_the_alarm_says_that_it_is(kind, quality) -> None:
    given_rule, beyond, back = VALUE_KINDS[kind]
    watch = Watch(given_rule)
    watch.feed(BEYOND_S - 1, back if kind != "rate" else 10)
    watch.feed(BEYOND_S, beyond, quality)
    comes_back(watch, back, quality)
    assert [(change.change, change.quality) for change in watch.told] == [("raised", quality), ("cleared", quality)]


@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_time_before_the_last_one_is_taken_at_the_last_ones_time(kind) -> None:
    given_rule, beyond, back = VALUE_KINDS[kind]
    watch = Watch(given_rule)
    watch.feed(BEYOND_S, back if kind != "rate" else 10)
    watch.feed(3, beyond)
    assert [(change.change, change.mono_ns) for change in watch.told] == [("raised", ns(BEYOND_S))]


def test_time_that_goes_back_makes_no_delay_shorter() -> None:
    watch = Watch(rule(limit=80, on_delay_s=5))
    watch.feed(10, 50)
    watch.feed(2, 90)
    assert watch.feed(12, 90) == []
    assert watch.feed(15, 90) == [("tank.level:high", "raised")]


@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_on_delay_ends_by_itself(kind) -> None:
    given_rule, beyond, back = VALUE_KINDS[kind]
    delayed = AlarmRule(**{key: getattr(given_rule, key) for key in given_rule.__struct_fields__} | {"on_delay_s": 5})
    watch = Watch(delayed)
    watch.feed(BEYOND_S - 1, back if kind != "rate" else 10)
    assert watch.feed(BEYOND_S, beyond) == []
    assert watch.tick(BEYOND_S + 5) == [(given_rule.name, "raised")]


@pytest.mark.parametrize("kind", VALUE_KINDS)
def test_off_delay_waits_for_a_value(kind) -> None:
    given_rule, beyond, back = VALUE_KINDS[kind]
    delayed = AlarmRule(**{key: getattr(given_rule, key) for key in given_rule.__struct_fields__} | {"off_delay_s": 5})
    watch = Watch(delayed)
    watch.feed(BEYOND_S - 1, back if kind != "rate" else 10)
    watch.feed(BEYOND_S, beyond)
    begins_s = BACK_S - WINDOW_S if given_rule.window_s else BACK_S
    assert [watch.feed(at, back) for at in range(begins_s, BACK_S + 1)][-1] == []
    assert watch.tick(BACK_S + 100) == []
    assert comes_back(watch, back, since_s=BACK_S + 1) == [(given_rule.name, "cleared")]


@pytest.mark.parametrize("what", [name for name in NO_VALUE if name != "text"])
def test_what_is_no_value_is_bad_and_part_of_a_silence(what) -> None:
    value, quality = NO_VALUE[what]
    watch = Watch(rule("bad"), rule("silent", silent_s=5))
    watch.feed(0, 1)
    assert watch.feed(3, value, quality) == [("tank.level:bad", "raised")]
    assert watch.tick(5) == [("tank.level:silent", "raised")]
    assert watch.feed(6, value, quality) == []
    assert len(watch.feed(7, 1)) == 2


@pytest.mark.parametrize(("value", "quality"), [(math.inf, 0), (1, Quality.UNCERTAIN_RANGE), ("RUN", 0)])
def test_infinite_uncertain_and_text_are_values_to_bad_and_silent(value, quality) -> None:
    watch = Watch(rule("bad"), rule("silent", silent_s=5))
    watch.feed(3, value, quality)
    assert watch.tick(7) == []
    assert watch.due_s == 8


@pytest.mark.parametrize("what", NO_VALUE)
def test_no_value_of_one_tag_silences_no_alarm_of_another(what) -> None:
    value, quality = NO_VALUE[what]
    other = AlarmRule(tag="tank.pressure", level="high", limit=1)
    watch = Watch(*(one for one, _, _ in VALUE_KINDS.values()), other)
    watch.feed(0, value, quality)
    assert watch.feed(0, 2, tag="tank.pressure") == [("tank.pressure:high", "raised")]


def test_absurd_values_of_one_column_leave_the_others_of_its_scan_their_alarms() -> None:
    tags = tuple(f"{TAG}{n}" for n in range(4))
    alarms = Alarms([AlarmRule(tag=tag, level="high", limit=1) for tag in tags], {"g": tags})
    changes = alarms.evaluate(Scan("g", 0, ("?", math.nan, None, 2), (0, 0, 0, 0)))
    assert [change.rule.tag for change in changes] == [tags[3]]
