"""Due times: a fixed grid, every point of it once, whatever the readings take."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edge.schedule import FIRST_MOST_S, NS, Schedule
from tests.edge.lines import scan_group

PERIODS_S = st.sampled_from([0.01, 0.1, 0.3, 1.0, 7.0, 60.0, 3600.0])
TAKES_NS = st.lists(st.integers(0, 20 * NS), min_size=1, max_size=60)


def spread(share: float) -> random.Random:
    jitter = random.Random()
    jitter.random = lambda: share  # type: ignore[method-assign]
    return jitter


def begins(period_s: float, share: float, now_ns: int) -> int:
    """Where a grid begins: on the next tick (a tenth of the period, 0.1 s at most) from its share of the period on."""
    tick_ns = min(round(period_s * NS) // 10, NS // 10)
    return -(-(now_ns + round(share * period_s * NS)) // tick_ns) * tick_ns


@given(st.lists(PERIODS_S, min_size=1, max_size=5), TAKES_NS, st.floats(0, 0.999), st.integers(0, 10**15))
def test_every_grid_point_is_read_once_or_missed_once(periods_s, takes_ns, share, now_ns) -> None:
    begin_ns = now_ns
    names = [f"d{n}.x" for n in range(len(periods_s))]
    schedule = Schedule(map(scan_group, names, periods_s), now_ns, spread(share))
    handled = dict.fromkeys(names, 0)
    for takes in takes_ns:
        now_ns = max(now_ns, schedule.due_ns)
        group, missed = schedule.take(now_ns)
        handled[group.group.name] += 1 + missed
        schedule.done()
        now_ns += takes
    for name, period_s in zip(names, periods_s, strict=True):
        grid_ns = begins(period_s, share, begin_ns)
        passed = max((now_ns - grid_ns) // round(period_s * NS) + 1, 0)
        is_early = begins_early(period_s, share, begin_ns)
        assert handled[name] <= passed + is_early, "nothing is read before it is due"
        if schedule.due_ns > now_ns:
            assert handled[name] >= passed, "nothing is forgotten"


def begins_early(period_s: float, share: float, now_ns: int) -> bool:
    return begins(period_s, share, now_ns) > now_ns + round(share * min(period_s, FIRST_MOST_S) * NS)


@given(PERIODS_S, TAKES_NS, st.floats(0, 0.999))
def test_reading_is_late_by_less_than_a_period_and_the_grid_stays(period_s, takes_ns, share) -> None:
    schedule = Schedule([scan_group("d.x", period_s)], 0, spread(share))
    period_ns, now_ns = round(period_s * NS), schedule.due_ns
    schedule.take(now_ns)
    schedule.done()
    grid_ns = schedule.due_ns
    for takes in takes_ns:
        now_ns = max(now_ns + takes, schedule.due_ns)
        schedule.take(now_ns)
        schedule.done()
        assert (schedule.due_ns - grid_ns) % period_ns == 0
        assert 0 < schedule.due_ns - (now_ns - period_ns) <= 2 * period_ns


@given(PERIODS_S, st.floats(0, 0.999), st.integers(0, 10**15))
def test_slow_group_is_read_within_a_second_and_then_at_its_share_of_the_period(period_s, share, now_ns) -> None:
    schedule = Schedule([scan_group("d.x", period_s)], now_ns, spread(share))
    assert schedule.due_ns - now_ns <= (FIRST_MOST_S + 0.1) * NS
    assert schedule.take(schedule.due_ns)[1] == 0
    schedule.done()
    period_ns, grid_ns = round(period_s * NS), begins(period_s, share, now_ns)
    assert schedule.due_ns in {grid_ns, grid_ns + period_ns}


def test_lines_that_are_due_at_about_the_same_time_are_due_together() -> None:
    source = random.Random(1)
    starts = [source.randrange(NS) for _ in range(1000)]
    due = {Schedule([scan_group("d.x", 1.0)], start, source).due_ns % NS for start in starts}
    assert len(due) == 10


def test_groups_of_one_period_are_spread_over_all_of_it() -> None:
    schedule = Schedule([scan_group(f"d{n}.x", 60.0) for n in range(600)], 0, random.Random(1))
    for _ in range(600):
        schedule.take(schedule.due_ns)
        schedule.done()
    per_second = [0] * 60
    for _ in range(600):
        per_second[schedule.due_ns // NS % 60] += 1
        schedule.take(schedule.due_ns)
        schedule.done()
    assert max(per_second) < 30
    assert sum(count == 0 for count in per_second) < 5


def test_group_that_was_taken_and_never_finished_counts_as_missed_when_it_is_taken_late() -> None:
    schedule = Schedule([scan_group("d.x", 1.0)], 0, spread(0.0))
    assert schedule.take(0)[1] == 0
    assert schedule.take(5 * NS)[1] == 5
