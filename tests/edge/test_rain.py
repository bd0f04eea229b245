"""A gauge's total: it grows, wraps, begins anew, and now and then is read wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.rain import Amounts, Counter
from tests.edge.readings import at


def fallen(totals: list[float], wrap: float | None = None, poll_s: float = 60) -> list[float | None]:
    counter = Counter(wrap)
    return [counter.take(total, at(poll_s * n)) for n, total in enumerate(totals)]


def total(amounts: list[float | None]) -> float:
    return sum(amount for amount in amounts if amount is not None)


def test_total_that_grows_gives_what_fell_in_between() -> None:
    assert fallen([10.0, 10.0, 10.2, 11.2]) == [0.0, 0.0, pytest.approx(0.2), pytest.approx(1.0)]


def test_total_that_wraps_loses_nothing() -> None:
    assert total(fallen([6553.2, 6553.5, 0.1, 0.4], wrap=6553.6)) == pytest.approx(0.8)


def test_total_that_begins_anew_loses_only_what_nobody_saw() -> None:
    assert fallen([100.0, 0.4, 0.6]) == [0.0, None, pytest.approx(0.6)]


def test_midnight_reset_in_dry_weather_is_no_rain() -> None:
    assert total(fallen([33.2, 33.2, 0.0, 0.0, 0.0, 0.2])) == pytest.approx(0.2)


@pytest.mark.parametrize("glitch", [0.0, 6000.0, -5.0, 99.9])
def test_total_read_wrong_once_costs_nothing(glitch) -> None:
    assert total(fallen([100.0, 100.2, glitch, 100.4, 100.6])) == pytest.approx(0.6)


def test_gauge_that_shows_zero_for_a_while_and_then_its_total_again_made_no_rain() -> None:
    assert total(fallen([1234.5, 1234.5, 0.0, 0.0, 0.0, 1234.5, 1234.5, 1234.7])) == pytest.approx(0.2)


def test_counter_set_by_hand_made_no_rain() -> None:
    assert total(fallen([10.0, 10.0, 5000.0, 5000.0, 5000.2])) == pytest.approx(0.2)


def test_rain_during_a_silence_is_found_after_it() -> None:
    counter = Counter(None)
    counter.take(10.0, at(0))
    assert counter.take(70.0, at(3600)) == pytest.approx(60)


def test_no_silence_is_long_enough_for_any_difference_to_be_rain() -> None:
    counter = Counter(None)
    counter.take(10.0, at(0))
    assert counter.take(5010.0, at(30 * 86400)) is None


@given(st.lists(st.floats(0, 5), max_size=50), st.data())
def test_sum_is_what_fell_whatever_single_readings_were_wrong(amounts, data) -> None:
    counter, true, counted = Counter(None), 1000.0, 0.0
    counted += counter.take(true, at(0)) or 0.0
    was_wrong = False
    for minute, amount in enumerate(amounts, start=1):
        true += amount
        was_wrong = not was_wrong and data.draw(st.booleans())
        shown = data.draw(st.sampled_from([0.0, 1e6, -1.0])) if was_wrong else true
        counted += counter.take(shown, at(60 * minute)) or 0.0
    counted += counter.take(true, at(60 * (len(amounts) + 1))) or 0.0
    assert counted == pytest.approx(true - 1000.0, abs=1e-6)


def test_amount_that_cannot_have_fallen_is_none() -> None:
    amounts = Amounts()
    assert [amounts.take(mm, at(s)) for mm, s in ((0.2, 0), (39, 60), (41, 120), (-0.2, 180), (100, 300))] == [
        0.2,
        39,
        None,
        None,
        100,
    ]
