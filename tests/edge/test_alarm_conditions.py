"""Kinds of alarms at their edges: deadbands, windows that are not known whole, silences that return."""

from __future__ import annotations

import pytest

from edge.alarm_settings import AlarmRule
from edge.alarms import Standpoint
from tests.edge.watching import TAG, Watch, ns, rule
from wire.alarm import Standing
from wire.sample import Quality

UP = Standpoint(standing=Standing.ACTIVE, occurrence=5)
MINUTE = 60


@pytest.mark.parametrize(
    ("given_rule", "values", "words"),
    [
        (rule("deviation", limit=5, setpoint=50), (50, 54.9, 55, 54), ["raised", "cleared"]),
        (rule("deviation", limit=5, setpoint=50), (45, 44, 45.1), ["raised", "cleared"]),
        (rule("deviation", limit=5, setpoint=50, deadband=2), (45, 46, 46.9, 47), ["raised", "cleared"]),
        (rule("discrete", equals=3), (2, 3, 3, 4), ["raised", "cleared"]),
        (rule("discrete", equals="FAULT"), ("OK", "FAULT", "fault"), ["raised", "cleared"]),
        (rule("discrete", equals=True), (0, 1, False), ["raised", "cleared"]),
        (rule("bit", bit=2), (0b1011, 0b0100, 0b0011), ["raised", "cleared"]),
        (rule("bit", bit=2, is_set=False), (0b1111, 0b1011, 0b0100), ["raised", "cleared"]),
        (rule("bit", bit=63), (2**63, 0), ["raised", "cleared"]),
        (rule("bit", bit=0), (2.0, 3.0), ["raised"]),
        (rule("bad"), (1, None, 1), ["raised", "cleared"]),
    ],
)
def test_kind_is_raised_and_clears(given_rule: AlarmRule, values, words) -> None:
    assert Watch(given_rule).run(*values) == words


@pytest.mark.parametrize(("direction", "raised"), [("rising", [5]), ("falling", [12]), ("either", [5])])
def test_rate_is_the_change_within_its_window_in_its_direction(direction, raised) -> None:
    watch = Watch(rule("rate", limit=10, window_s=5, direction=direction, deadband=1))
    ramp = [50, 50, 50, 50, 50, 60, 60, 60, 60, 60, 60, 60, 50, 50]
    assert [at for at, value in enumerate(ramp) if ("tank.level:rate", "raised") in watch.feed(at, value)][:1] == raised


def test_slow_change_is_no_rate_however_far_it_goes() -> None:
    watch = Watch(rule("rate", limit=10, window_s=5))
    assert watch.run(*range(100)) == []


def test_rate_clears_once_its_window_is_quiet_again() -> None:
    watch = Watch(rule("rate", limit=10, window_s=5))
    assert watch.run(0, 0, 0, 0, 0, 0, 20, *[20] * 4) == ["raised"]
    assert watch.run(*[20] * 20) == ["cleared"]


def test_rate_that_was_up_before_a_restart_does_not_clear_before_its_window_is_known() -> None:
    watch = Watch(rule("rate", limit=10, window_s=5), before={"tank.level:rate": UP})
    assert watch.run(20, 20, 20, 20, 20) == []
    assert watch.feed(5, 20) == [("tank.level:rate", "cleared")]


RAIN = {"limit": 50, "window_s": 6 * 3600, "kind": "amount"}


def test_total_of_amounts_is_raised_within_its_window_and_clears_when_rain_leaves_it() -> None:
    watch = Watch(rule("total", **RAIN), rain=True)
    words = [(at, word) for at in range(15 * 60) for _, word in watch.feed(at * MINUTE, 1.0 if at < 60 else 0.0)]
    assert [word for _, word in words] == ["raised", "cleared"]
    assert words[0][0] == 49, "the fiftieth millimetre"
    assert 6 * 60 <= words[1][0] <= 6 * 60 + 12, "50 mm are in it until the eleventh minute has left it"


def test_total_that_was_up_before_a_restart_does_not_clear_before_its_window_is_known() -> None:
    watch = Watch(rule("total", **RAIN), before={"tank.level:total": UP}, rain=True)
    words = [at for at in range(7 * 60) if watch.feed(at * MINUTE, 0.0)]
    assert words == [342], "a poll that comes late now and then is no gap"


@pytest.mark.parametrize("kind", ["amount", "counter"])
def test_total_of_which_hours_are_not_known_does_not_clear_unless_a_counter_tells_of_them(kind) -> None:
    watch = Watch(rule("total", **RAIN | {"kind": kind}), rain=True)
    dry, rained, rests = 300, 360, {"amount": 0.0, "counter": 60.0}[kind]
    for at in range(rained):
        so_far = float(max(0, at - dry + 1))
        watch.feed(at * MINUTE, so_far if kind == "counter" else min(so_far, 1.0))
    assert watch.told[-1].change == "raised"
    for at in range(rained, 780):
        watch.feed(at * MINUTE, None, Quality.BAD_LINK)
    words = [at for at in range(780, 1200) if watch.feed(at * MINUTE, rests)]
    assert words == [{"amount": 780 + 341, "counter": 780}[kind]]


def test_rate_that_nobody_saw_for_longer_than_its_window_does_not_clear_before_it_is_known_again() -> None:
    watch = Watch(rule("rate", limit=10, window_s=5))
    watch.run(0, 0, 0, 0, 0, 0, 20)
    assert watch.told[-1].change == "raised"
    for at in range(7, 30):
        watch.feed(at, None, Quality.BAD_TIMEOUT)
    words = [at for at in range(30, 40) if watch.feed(at, 500)]
    assert words == [35]


def test_total_of_a_counter_counts_over_its_wrap_and_not_its_first_reading() -> None:
    watch = Watch(rule("total", limit=5, window_s=3600, kind="counter", wrap=100.0), rain=True)
    assert [watch.feed(at * MINUTE, value) for at, value in enumerate([98.0, 99.0, 1.0])] == [[], [], []]
    assert watch.feed(3 * MINUTE, 3.0) == [("tank.level:total", "raised")]


def test_amount_that_cannot_fall_is_no_rain_but_counts_of_anything_else() -> None:
    given_rule = rule("total", limit=1000, window_s=3600, kind="amount")
    assert [word for watch in (Watch(given_rule, rain=True),) for _, word in watch.feed(0, 5000.0)] == []
    assert Watch(given_rule).feed(0, 5000.0) == [("tank.level:total", "raised")]


SILENT = "tank.level:silent"


def test_silence_is_raised_where_nothing_comes_at_all_and_again_after_one_value() -> None:
    watch = Watch(rule("silent", silent_s=30))
    assert watch.due_s == 30
    assert watch.tick(29) == []
    assert watch.tick(30) == [(SILENT, "raised")]
    assert watch.feed(40, 1.0) == [(SILENT, "cleared")]
    assert watch.due_s == 70
    assert watch.tick(70) == [(SILENT, "raised")], "one value, and silence again"


def test_silence_counts_from_the_newest_good_value_and_bad_ones_are_part_of_it() -> None:
    watch = Watch(rule("silent", silent_s=30))
    watch.feed(20, 1.0)
    watch.feed(25, 1.0, Quality.UNCERTAIN_STUCK)
    watch.feed(40, 1.0, Quality.BAD_LINK)
    watch.feed(50, None)
    assert watch.tick(54) == []
    assert watch.tick(55) == [(SILENT, "raised")]
    assert (watch.told[-1].value, watch.told[-1].quality) == (None, Quality.BAD), "no value has raised it"


def test_silence_that_returns_within_the_off_delay_does_not_end() -> None:
    watch = Watch(rule("silent", silent_s=10, off_delay_s=60))
    assert watch.tick(10) == [(SILENT, "raised")]
    watch.feed(20, 1.0)
    assert watch.tick(80) == []
    words = [word for at in range(100, 170, 5) for word in watch.feed(at, 1.0)]
    assert words == [(SILENT, "cleared")]
    assert watch.told[-1].mono_ns == ns(160)


def test_off_delay_of_silence_ends_by_itself() -> None:
    watch = Watch(rule("silent", silent_s=30, off_delay_s=10))
    watch.tick(30)
    watch.feed(40, 1.0)
    assert watch.tick(50) == [(SILENT, "cleared")]
    assert watch.tick(69) == []
    assert watch.tick(70) == [(SILENT, "raised")], "30 s after the newest value"


def test_delays_of_bad_end_by_themselves() -> None:
    watch = Watch(rule("bad", on_delay_s=5, off_delay_s=5))
    watch.feed(0, None)
    assert watch.tick(5) == [("tank.level:bad", "raised")]
    watch.feed(6, 1.0)
    assert watch.tick(11) == [("tank.level:bad", "cleared")]


def test_limit_beside_a_kind_that_looks_at_every_value_is_judged_the_same() -> None:
    watch = Watch(rule(limit=80), rule("low", limit=20), rule("silent", silent_s=30), rule("bad"))
    assert watch.run(50, 90, 50, 10, None, 50) == ["raised", "cleared", "raised", "raised", "cleared", "cleared"]


def test_reminder_comes_while_an_acknowledged_alarm_holds_and_counts_from_the_acknowledgement() -> None:
    watch = Watch(rule(limit=80, realarm_s=600))
    watch.feed(0, 90)
    watch.ask("acknowledge", 100)
    assert watch.due_s == 700
    assert watch.tick(699) == []
    assert watch.tick(700) == [("tank.level:high", "reminded")]
    watch.ask("acknowledge", 800)
    watch.feed(900, 10)
    assert watch.tick(5000) == []


def test_values_at_one_time_raise_two_occurrences() -> None:
    watch = Watch(rule(limit=80))
    for value in (90, 10, 90, 10, 90):
        watch.feed(7, value, tag=TAG)
    raised = [change.occurrence for change in watch.told if change.change == "raised"]
    assert len(set(raised)) == 3
    assert 0 not in raised
