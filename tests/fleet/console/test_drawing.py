from __future__ import annotations

import math
from itertools import pairwise

import pytest

from fleet.console.drawing import Scale, draw_bands, draw_bar, draw_trend, find_scale
from fleet.overview.figures import Label, Point, Rule

RULES = (Rule("high", 80, 2), Rule("high-high", 90, 1), Rule("low", 10, 3))
LABEL = Label("gw-yufu-0001", "t.level", low=0, high=100, rules=RULES)


def points(*values: float, step: int = 60) -> list[Point]:
    return [Point(i * step, value, value, value) for i, value in enumerate(values)]


def test_bands_reach_from_their_limit_to_the_end_the_inner_one_on_top() -> None:
    bands = draw_bands(Scale(0, 100), RULES)
    assert [(band.x, band.width, band.priority) for band in bands] == [(80, 20, 2), (90, 10, 1), (0, 10, 3)]


def test_limit_outside_the_range_has_no_band() -> None:
    assert draw_bands(Scale(0, 50), (Rule("high", 80, 1), Rule("low", -5, 2))) == ()


@pytest.mark.parametrize(("value", "at"), [(25.0, 25.0), (-40, 0.0), (250, 100.0)])
def test_value_stands_on_its_range_and_never_leaves_it(value: float, at: float) -> None:
    assert draw_bar(Scale(0, 100), RULES, value).at == at


@pytest.mark.parametrize("value", [None, "open", True, math.nan, math.inf])
def test_what_is_not_a_number_has_no_pointer(value: object) -> None:
    assert draw_bar(Scale(0, 100), RULES, value).at is None


def test_range_without_an_instrument_shows_the_limits() -> None:
    scale = find_scale(None, None, (Rule("high", 20, 2),))
    assert scale is not None
    assert scale.low <= 20 < scale.high
    assert find_scale(None, None, ()) is None
    assert find_scale(5, 5, ()) is None


def test_trend_of_nothing_is_nothing() -> None:
    assert draw_trend([], LABEL, 0, 3600) is None


def test_trend_climbs_to_its_last_point() -> None:
    trend = draw_trend(points(10, 40, 70), LABEL, 0, 120, width=100, height=20)
    assert trend is not None
    assert trend.last is not None
    heights = [float(part.split(" ")[1]) for part in trend.path.replace("M", "L").split("L")[1:]]
    assert all(later < earlier for earlier, later in pairwise(heights))
    assert trend.last[0] == 100


def test_hole_breaks_the_line() -> None:
    held = [*points(1, 2, 3), *(Point(2000 + i * 60, 3, 3, 3) for i in range(3))]
    trend = draw_trend(held, LABEL, 0, 3600)
    assert trend is not None
    assert trend.path.count("M") == 2


def test_noise_of_a_large_range_stays_flat() -> None:
    trend = draw_trend(points(50.0, 50.02, 49.98, 50.01), LABEL, 0, 180, height=100)
    assert trend is not None
    heights = [float(part.split(" ")[1]) for part in trend.path.replace("M", "L").split("L")[1:]]
    assert max(heights) - min(heights) < 2


def test_limit_is_drawn_only_where_it_is_near() -> None:
    near, far = draw_trend(points(70, 78), LABEL, 0, 60), draw_trend(points(40, 41), LABEL, 0, 60)
    assert near is not None
    assert far is not None
    assert [priority for _, priority in near.limits] == [2]
    assert far.limits == ()


def test_spread_within_a_point_becomes_an_area() -> None:
    calm = draw_trend(points(1, 40, 2), LABEL, 0, 120)
    shaken = draw_trend([Point(0, 10, 20, 30), Point(60, 5, 20, 60)], LABEL, 0, 60, width=60, height=100)
    assert calm is not None
    assert shaken is not None
    assert calm.area == ""
    corners = shaken.area.removeprefix("M").removesuffix("Z").split("L")
    assert len(corners) == 4
    assert float(corners[1].split(" ")[1]) < float(corners[2].split(" ")[1])
