"""Live values: how many go out, and when."""

from __future__ import annotations

import pytest

from edge.live import BURST_S, TAGS_PER_S, Pace


def sent_in(seconds: float, tags: int, every_s: float) -> int:
    """Send ``tags`` values every ``every_s`` if the pace allows; what comes meanwhile replaces what waits."""
    pace, now_s, count = Pace(), 0.0, 0
    while now_s < seconds:
        count += tags
        now_s += max(every_s, pace.pause_s(tags, now_s))
    return count


def test_few_values_never_wait() -> None:
    pace = Pace()
    assert [pace.pause_s(20, n * 0.01) for n in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize(("tags", "every_s"), [(10_000, 1.0), (1000, 0.01), (50_000, 0.1)])
def test_many_values_go_out_at_the_bounded_rate(tags, every_s) -> None:
    assert sent_in(100.0, tags, every_s) <= 100 * TAGS_PER_S + tags
    assert sent_in(100.0, tags, every_s) >= 0.9 * 100 * TAGS_PER_S


def test_silence_earns_one_burst_and_no_more() -> None:
    pace = Pace()
    burst = round(BURST_S * TAGS_PER_S)
    assert pace.pause_s(burst, 3600.0) == 0.0
    assert pace.pause_s(burst, 3600.0) == pytest.approx(BURST_S)
