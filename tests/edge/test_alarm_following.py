"""Alarms that follow from others: k of n, with a window, and suppression by design."""

from __future__ import annotations

import pytest

from edge.alarm_settings import AlarmRule
from edge.alarms import Standpoint
from edge.alarms.following import find_circle
from tests.edge.watching import TAG, Watch, rule
from wire.alarm import Standing, State, state_of

PLACES = ("hall.a", "hall.b", "hall.c")
MEMBERS = tuple(f"{tag}:high" for tag in PLACES)
VOTE = "two-of-three:combined"


def detectors(**more: object) -> list[AlarmRule]:
    return [AlarmRule(tag=tag, level="high", limit=25, **more) for tag in PLACES]  # type: ignore[arg-type]


def vote(**more: object) -> AlarmRule:
    return AlarmRule(label="two-of-three", level="combined", of=MEMBERS, need=2, priority=1, **more)  # type: ignore[arg-type]


def about(told: list[tuple[str, str]], name: str = VOTE) -> list[str]:
    return [word for of, word in told if of == name]


@pytest.mark.parametrize(("need", "raised_by"), [(1, "hall.a"), (2, "hall.b"), (3, "hall.c")])
def test_need_of_one_is_or_and_of_all_is_and(need, raised_by) -> None:
    watch = Watch(*detectors(), AlarmRule(label="any", level="combined", of=MEMBERS, need=need))
    told = {tag: about(watch.feed(at, 30, tag=tag), "any:combined") for at, tag in enumerate(PLACES)}
    assert [tag for tag, words in told.items() if words] == [raised_by]


def test_window_of_a_combination_ends_though_an_operator_asked_something_of_it() -> None:
    watch = Watch(*detectors(), vote(window_s=60))
    for tag in ("hall.a", "hall.b"):
        watch.feed(0, 30, tag=tag)
        watch.feed(10, 0, tag=tag)
    watch.ask("acknowledge", 20, alarm=VOTE)
    assert about(watch.tick(70)) == ["cleared"]
    assert watch.stands(VOTE) == Standing(0)


def test_delays_of_a_combination_end_by_themselves() -> None:
    watch = Watch(*detectors(), vote(on_delay_s=5, off_delay_s=5))
    watch.feed(0, 30, tag="hall.a")
    assert about(watch.feed(0, 30, tag="hall.b")) == []
    assert about(watch.tick(5)) == ["raised"]
    watch.feed(6, 0, tag="hall.a")
    assert about(watch.tick(11)) == ["cleared"]


@pytest.mark.parametrize(("aside", "back"), [("shelve", "unshelve"), ("remove", "restore")])
def test_member_that_is_set_aside_counts_no_more_and_need_stays(aside, back) -> None:
    watch = Watch(*detectors(), vote())
    watch.feed(0, 30, tag="hall.a")
    watch.feed(0, 30, tag="hall.b")
    assert about(watch.ask(aside, 1, alarm="hall.a:high")) == ["cleared"]
    assert about(watch.feed(2, 30, tag="hall.c")) == ["raised"], "two others are enough, as before"
    watch.feed(3, 0, tag="hall.c")
    assert about(watch.ask(back, 4, alarm="hall.a:high")) == ["raised"]


def test_combination_of_combinations_follows_through() -> None:
    top = AlarmRule(label="site", level="combined", of=(VOTE, "tank.level:high"), need=1)
    watch = Watch(*detectors(), vote(), rule(limit=80), top)
    watch.feed(0, 30, tag="hall.a")
    assert about(watch.feed(0, 30, tag="hall.b"), "site:combined") == ["raised"]
    assert about(watch.feed(1, 0, tag="hall.b"), "site:combined") == ["cleared"]


def test_combination_of_what_was_up_before_a_restart_is_not_raised_again() -> None:
    up = Standpoint(standing=Standing.ACTIVE, occurrence=7)
    before = dict.fromkeys([*MEMBERS[:2], VOTE], up)
    assert Watch(*detectors(), vote(), before=before).told == []


def suppressed() -> AlarmRule:
    return rule(limit=80, suppressed_by=("tank.power:low",))


POWER = AlarmRule(tag="tank.power", level="low", limit=100)


def test_alarm_is_suppressed_by_design_while_another_is_active_and_is_judged_all_the_same() -> None:
    watch = Watch(suppressed(), POWER)
    watch.feed(0, 0, tag="tank.power")
    assert watch.stands() == Standing.SUPPRESSED
    assert watch.feed(1, 90) == [("tank.level:high", "raised")]
    assert state_of(watch.stands()) is State.SUPPRESSED
    assert watch.feed(2, 230, tag="tank.power") == [("tank.power:low", "cleared"), ("tank.level:high", "unsuppressed")]
    assert state_of(watch.stands()) is State.UNACKNOWLEDGED


@pytest.mark.parametrize(("aside", "back"), [("shelve", "unshelve"), ("remove", "restore")])
def test_alarm_that_is_set_aside_silences_no_other(aside, back) -> None:
    watch = Watch(suppressed(), POWER)
    watch.feed(0, 0, tag="tank.power")
    assert about(watch.ask(aside, 1, alarm="tank.power:low"), "tank.level:high") == ["unsuppressed"]
    assert watch.feed(2, 90) == [("tank.level:high", "raised")]
    assert about(watch.ask(back, 3, alarm="tank.power:low"), "tank.level:high") == ["suppressed"]


def test_suppression_of_before_a_restart_ends_where_nothing_suppresses_any_more() -> None:
    stood = Standpoint(standing=Standing.ACTIVE | Standing.SUPPRESSED, occurrence=7)
    for given_rules in ([rule(limit=80)], [suppressed(), POWER]):
        watch = Watch(*given_rules, before={"tank.level:high": stood})
        assert [change.change for change in watch.told] == ["unsuppressed"]
        assert watch.stands() == Standing.ACTIVE


def test_shelving_of_before_a_restart_lasts_no_longer_than_its_rule_allows_now() -> None:
    stood = Standpoint(standing=Standing.ACTIVE | Standing.SHELVED, occurrence=7, until_ns=10**18)
    watch = Watch(rule(limit=80, shelve_most_h=1), before={"tank.level:high": stood})
    assert watch.told == []
    assert watch.tick(3600) == [("tank.level:high", "unshelved")]
    never = Watch(rule(limit=80, shelve_most_h=0), before={"tank.level:high": stood})
    assert [change.change for change in never.told] == ["unshelved"]


def test_one_shot_shelving_ends_with_the_alarm_and_a_timed_one_does_not() -> None:
    watch = Watch(rule(limit=80))
    watch.feed(0, 90)
    watch.ask("shelve", 1, minutes=0)
    assert watch.feed(2, 10) == [("tank.level:high", "cleared"), ("tank.level:high", "unshelved")]
    watch.feed(3, 90)
    watch.ask("shelve", 4, minutes=10)
    assert watch.feed(5, 10) == [("tank.level:high", "cleared")]
    assert watch.due_s == 604
    assert watch.tick(604) == [("tank.level:high", "unshelved")]


def test_circle_is_found_and_a_ladder_of_many_ways_is_none() -> None:
    ladder = [
        AlarmRule(label=f"n{n}", level="combined", of=(f"n{n + 1}:combined", f"n{n + 2}:combined"), need=1)
        for n in range(200)
    ]
    assert find_circle(ladder) == ()
    itself = rule(limit=80, suppressed_by=(f"{TAG}:high",))
    assert find_circle([itself]) == [itself.name, itself.name]
    back = AlarmRule(label="n200", level="combined", of=("n7:combined",), need=1)
    assert set(find_circle([*ladder, back])) >= {"n7:combined", "n200:combined"}
