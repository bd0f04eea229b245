"""Sliding extremes against looking at everything that was ever put in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.extremes import Extremes

WINDOW_NS = 320
PARTS = 32
readings = st.lists(st.tuples(st.integers(0, 60), st.integers(-20, 20)), min_size=1, max_size=200)


@given(readings)
def test_extremes_are_those_of_the_window_to_one_part(steps) -> None:
    extremes = Extremes(WINDOW_NS, PARTS)
    now, past = 0, []
    for pause, value in steps:
        now += pause
        past.append((now, value))
        extremes.put(value, now)
        certain = [v for at, v in past if now - at <= WINDOW_NS]
        possible = [v for at, v in past if now - at <= WINDOW_NS + WINDOW_NS // PARTS]
        assert min(possible) <= extremes.low <= min(certain)
        assert max(certain) <= extremes.high <= max(possible)


@given(readings)
def test_memory_is_bounded_by_the_parts(steps) -> None:
    extremes = Extremes(WINDOW_NS, PARTS)
    now = 0
    for pause, value in steps * 3:
        now += pause // 20
        extremes.put(value, now)
        assert len(extremes._lows) <= PARTS + 1
        assert len(extremes._highs) <= PARTS + 1


def test_nothing_is_left_once_the_window_has_passed() -> None:
    extremes = Extremes(WINDOW_NS, PARTS)
    extremes.put(1.0, 0)
    extremes.expire(WINDOW_NS)
    assert extremes
    extremes.expire(WINDOW_NS + 2 * WINDOW_NS // PARTS)
    assert not extremes
