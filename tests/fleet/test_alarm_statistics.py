"""Figures of an alarm system, each against a case computed by hand."""

from __future__ import annotations

import pytest

from fleet.alarms import statistics
from fleet.alarms.statistics import DAY_NS, HOUR_NS, MINUTE_NS, NS, Happening

A, B = ("gw-1", "t.x:high"), ("gw-1", "t.y:low")


def raised(seconds: float, alarm: tuple[str, str] = A, priority: int = 3) -> Happening:
    return Happening(int(seconds * NS), alarm, "raised", priority)


def cleared(seconds: float, alarm: tuple[str, str] = A) -> Happening:
    return Happening(int(seconds * NS), alarm, "cleared", 3)


def every(step_s: int, number: int, begin_s: int = 0) -> list[int]:
    return [(begin_s + step_s * n) * NS for n in range(number)]


def test_ten_in_ten_minutes_are_no_flood_and_eleven_are() -> None:
    assert statistics.find_floods(every(30, 10), HOUR_NS) == []
    (flood,) = statistics.find_floods(every(30, 11), HOUR_NS)
    # Raised at 0, 30 ... 300 s: fewer than 5 are left once the one at 180 s is 10 minutes old (780 s).
    assert (flood.began_ns, flood.ended_ns, flood.count) == (0, 780 * NS, 11)


def test_a_flood_goes_on_while_five_came_in_the_last_ten_minutes() -> None:
    (flood,) = statistics.find_floods([*every(1, 11), *every(100, 24, begin_s=60)], 40 * MINUTE_NS)
    assert flood.ended_ns is None
    assert flood.count == 35


def test_eleven_spread_over_more_than_ten_minutes_are_no_flood() -> None:
    assert statistics.find_floods(every(60, 11), HOUR_NS) == []


def test_two_floods_count_only_their_own() -> None:
    floods = statistics.find_floods([*every(1, 12), *every(1, 20, begin_s=7200)], 5 * HOUR_NS)
    assert [flood.count for flood in floods] == [12, 20]


def test_three_pairs_within_a_minute_chatter_and_two_do_not() -> None:
    two = [raised(0), cleared(10), raised(20), cleared(30)]
    assert statistics.find_chattering(two) == []
    assert statistics.find_chattering([*two, raised(40), cleared(60)]) == [(A, 3)]
    assert statistics.find_chattering([*two, raised(40), cleared(61)]) == []


def test_pairs_of_two_alarms_are_not_put_together() -> None:
    assert statistics.find_chattering([raised(0), cleared(1), raised(2, B), cleared(3, B), raised(4), cleared(5)]) == []


def test_rates_shares_and_the_most_frequent() -> None:
    happenings = [raised(1), raised(2), raised(3, B, priority=1), raised(HOUR_NS / NS + 1), cleared(4)]
    found = statistics.summarize(happenings, 0, 2 * HOUR_NS)
    assert (found.raised, found.per_day, found.per_hour) == (4, 48.0, 2.0)
    assert found.per_ten_minutes == pytest.approx(1 / 3)
    assert found.peak == 3
    assert found.hours == ((0, 3), (HOUR_NS, 1))
    assert [(row.alarm, row.count, row.share) for row in found.frequent] == [(A, 3, 0.75), (B, 1, 0.25)]
    assert found.priorities == {1: 0.25, 2: 0.0, 3: 0.75, 4: 0.0}


def test_nothing_happened() -> None:
    found = statistics.summarize([], 0, DAY_NS)
    assert (found.raised, found.per_day, found.peak, found.priorities, found.floods) == (0, 0.0, 0, {}, ())
