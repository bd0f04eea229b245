"""Report by exception: what is left out can be put back to within the deadband, and nothing is silent for long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Scan
from edge.reporting import Reporter, TagReport
from edge.settings import Report
from tests.edge.readings import NS, at
from wire.sample import Value
from wire.twin import TagInfo

TANK = TagInfo(name="tank.level", low=0.0, high=200.0)


def due(report: Report, readings: list[tuple[float, Value, int]], info: TagInfo = TANK) -> list[float]:
    """The seconds of those readings (seconds, value, quality) that are reported."""
    rule = TagReport(report, info)
    return [seconds for seconds, value, quality in readings if rule.is_due(value, quality, at(seconds))]


def steady(values: list[Value]) -> list[tuple[float, Value, int]]:
    return [(float(second), value, 0) for second, value in enumerate(values)]


def test_first_reading_is_reported() -> None:
    assert due(Report(deadband=10), [(0, 0.0, 0)]) == [0]
    assert due(Report(deadband=10), [(0, None, 0x81)]) == [0]


def test_change_beyond_the_deadband_is_reported_and_one_within_is_not() -> None:
    assert due(Report(deadband=1), steady([10.0, 11.0, 9.0, 11.1, 10.1, 10.0])) == [0, 3, 5]


def test_slow_drift_is_not_lost() -> None:
    assert due(Report(deadband=1), steady([10 + 0.25 * n for n in range(12)])) == [0, 5, 10]


def test_percent_is_of_the_range() -> None:
    assert due(Report(deadband_pct=1), steady([10.0, 12.0, 12.1])) == [0, 2]


def test_narrower_deadband_counts() -> None:
    assert due(Report(deadband=1, deadband_pct=1), steady([10.0, 11.5])) == [0, 1]
    assert due(Report(deadband=5, deadband_pct=1), steady([10.0, 12.5])) == [0, 1]


def test_without_a_deadband_any_change_is_reported() -> None:
    assert due(Report(), steady([10.0, 10.0, 10.001, 10.001, 10])) == [0, 2, 4]


def test_heartbeat_reports_the_reading_of_that_moment() -> None:
    assert due(Report(deadband=1, heartbeat_s=5), steady([10.0] * 12)) == [0, 5, 10]


def test_change_of_quality_is_reported_at_once() -> None:
    readings = [(0.0, 10.0, 0), (1.0, 10.0, 0x43), (2.0, 10.0, 0x43), (3.0, None, 0x81), (4.0, 10.0, 0)]
    assert due(Report(deadband=1, min_s=60), readings) == [0, 1, 3, 4]


@pytest.mark.parametrize(
    "values", [["open", "shut"], [True, False], [None, 1.0], [1.0, None], [1.0, "x"], [0, True], [True, 0.0]]
)
def test_change_of_what_is_no_number_is_reported_at_once(values) -> None:
    assert due(Report(deadband=10, min_s=60), steady([values[0], values[0], values[1], values[1]])) == [0, 2]


def test_numbers_change_no_faster_than_min_s_and_the_newest_is_then_reported() -> None:
    assert due(Report(deadband=1, min_s=5), steady([10.0 * n for n in range(12)])) == [0, 5, 10]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_a_change_once(value) -> None:
    assert due(Report(deadband=1), steady([10.0, value, value, value, 10.0])) == [0, 1, 4]


STREAM = st.lists(
    st.tuples(
        st.floats(0.1, 30),
        st.floats(-1e6, 1e6) | st.floats(9, 12) | st.sampled_from([None, "open", True]),
        st.sampled_from([0, 0, 0, 0x43, 0x81]),
    ),
    min_size=1,
    max_size=100,
)


@given(
    STREAM,
    st.none() | st.floats(0, 100),
    st.none() | st.floats(0.1, 100),
    st.floats(1, 200),
    st.sampled_from([0.0, 0.0, 0.5, 1.0]),
)
def test_series_put_back_from_what_was_reported_is_within_the_deadband(
    stream, band, percent, heartbeat_s, min_s
) -> None:
    rule = TagReport(Report(deadband=band, deadband_pct=percent, heartbeat_s=heartbeat_s, min_s=min_s), TANK)
    width = min([band] if band is not None else [], default=math.inf)
    width = min(width, 2.0 * percent if percent is not None else math.inf)
    width = 0.0 if math.isinf(width) else width
    now, last, last_s = 0.0, None, -math.inf
    for pause, value, quality in stream:
        now += pause
        if rule.is_due(value, quality, at(now)):
            last, last_s = (value, quality), now
            continue
        assert last is not None
        assert quality == last[1], "a change of quality is never left out"
        assert now - last_s < heartbeat_s + 1e-6, "nothing is silent for longer than a heartbeat and a poll"
        if now - last_s >= min_s + 1e-6:
            if isinstance(value, float) and isinstance(last[0], float):
                assert abs(value - last[0]) <= width
            else:
                assert value == last[0]


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=60))
def test_columns_of_a_scan_are_chosen_each_by_its_own_rule(rows) -> None:
    rules = [TagReport(Report(deadband=1), TANK), None, TagReport(Report(deadband=3, heartbeat_s=4), TANK)]
    alone = [TagReport(Report(deadband=1), TANK), None, TagReport(Report(deadband=3, heartbeat_s=4), TANK)]
    reporter = Reporter(rules)
    for second, (first, third) in enumerate(rows):
        scan = Scan("tank.fast", at(second), (first, 5.0, third), (0, 0, 0))
        expected = [
            index
            for index, rule in enumerate(alone)
            if rule is None or rule.is_due(scan.values[index], 0, second * NS + at(0))
        ]
        assert list(reporter.select(scan)) == expected
