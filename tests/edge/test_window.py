"""Sums over a window against adding up what is in it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.window import PARTS, Window
from tests.edge.readings import at

WINDOW_S = 600.0


@given(st.lists(st.tuples(st.floats(0.1, 60), st.none() | st.integers(-1000, 1000), st.booleans()), max_size=200))
def test_sums_are_those_of_the_readings_in_the_window_to_one_part(steps) -> None:
    window = Window(WINDOW_S, 1)
    seconds, past = 0.0, []
    for pause, value, uncertain in steps:
        seconds += pause
        window.put(at(seconds), None if value is None else (value,), uncertain=uncertain)
        if value is not None:
            past.append((seconds, value, uncertain))
        part_s = WINDOW_S / PARTS
        certain = [(v, u) for when, v, u in past if seconds - when < WINDOW_S - part_s]
        possible = [(v, u) for when, v, u in past if seconds - when <= WINDOW_S]
        assert len(certain) <= window.count <= len(possible)
        if len(certain) == len(possible):
            assert window.sums[0] == pytest.approx(sum(v for v, _ in certain), abs=1e-6)
            assert window.is_uncertain == any(u for _, u in certain)
        assert -1e-9 <= window.known <= 1.1


def test_ten_minutes_at_one_second_are_exact() -> None:
    window = Window(WINDOW_S, 1)
    for second in range(2000):
        window.put(at(second), (second,))
    assert window.count == 600
    assert window.sums[0] == sum(range(1400, 2000))
    assert window.known == pytest.approx(1.0)


def test_silence_and_readings_that_are_not_valid_are_not_known() -> None:
    window = Window(WINDOW_S, 1)
    for second in range(0, 600, 10):
        window.put(at(second), (1.0,) if second < 300 else None)
    assert window.known == pytest.approx(0.5, abs=0.02)
    silent = Window(WINDOW_S, 1)
    for second in (0, 10, 20, 300, 310):
        silent.put(at(second), (1.0,))
    assert silent.known == pytest.approx(30 / 600)


def test_reading_that_tells_of_the_silence_before_it_makes_it_known_but_uncertain() -> None:
    window = Window(WINDOW_S, 1)
    for second in (0, 10, 500):
        window.put(at(second), (1.0,), bridges=True)
    assert window.known == pytest.approx(500 / 600)
    assert window.is_uncertain


def test_memory_is_bounded_however_dense_the_readings() -> None:
    window = Window(1.0, 1)
    for number in range(100_000):
        window.put(at(number / 10_000), (0.1,))
    assert len(window._parts) <= PARTS + 1
    assert window.sums[0] == pytest.approx(1000, rel=0.01)


def test_rounding_does_not_add_up() -> None:
    window = Window(6.0, 1)
    for number in range(50_000):
        window.put(at(number / 10), (1e9 if number % 100 == 0 else 0.1,))
    for number in range(50_000, 50_100):
        window.put(at(number / 10), (0.1,))
    assert window.sums[0] == pytest.approx(0.1 * window.count, rel=1e-6)
    assert math.isfinite(window.sums[0])
