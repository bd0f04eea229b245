from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from flask import Flask

from fleet.bootstrap import Services
from fleet.console import notation, register
from fleet.overview.figures import Label

PLAIN = Label("gw-yufu-0001", "t.x")


@pytest.fixture(params=["en", "zh"])
def language(services: Services, request: pytest.FixtureRequest) -> Iterator[str]:
    app = Flask("fleet.test")
    app.secret_key = "key"
    register(app, services)
    with app.test_request_context(headers={"Cookie": f"language={request.param}"}):
        yield request.param


@pytest.mark.parametrize(
    ("low", "high", "value", "text"),
    [(0, 100, 91.234, "91.2"), (0, 0.5, 0.18234, "0.182"), (-2, 2, 0.00123, "0.001"), (0, 5000, 1234.5, "1,234")],
)
def test_range_decides_the_decimals(low: float, high: float, value: float, text: str) -> None:
    assert notation.write_value(value, Label("g", "t", low=low, high=high)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (math.nan, "—"), (3, "3"), (0.00123456, "0.001235"), ("open", "open"), (12.5, "12.50")],
)
def test_value_without_a_range(value: object, text: str) -> None:
    assert notation.write_value(value, PLAIN) == text


def test_percentage_is_never_100_while_something_is_missing() -> None:
    assert notation.write_percent(9999 / 10000) == "99.9 %"
    assert notation.write_percent(1.0) == "100 %"
    assert notation.write_percent(None) == "—"


def test_durations_are_written_in_both_languages(language: str) -> None:
    second = 10**9
    words = {
        "en": ("1 h 02 min", "3 d 4 h", "2 min 50 s", "18 min"),
        "zh": ("1 时 02 分", "3 天 4 时", "2 分 50 秒", "18 分"),
    }
    assert notation.write_duration(134 * second) == "02:14"
    hours, days, lag, age = words[language]
    assert notation.write_duration(3725 * second) == hours
    assert notation.write_duration((3 * 86400 + 4 * 3600) * second) == days
    assert notation.write_seconds(170.2) == lag
    assert notation.write_age(18 * 60 * second) == age


def test_negative_age_of_a_clock_that_runs_ahead_is_none() -> None:
    assert notation.write_age(-5 * 10**9) == "0.0 s"


@pytest.mark.usefixtures("language")
def test_times_are_written_in_the_district_zone() -> None:
    assert notation.write_time(0) == "1970-01-01 08:00:00"
    assert notation.write_size(1_200_000_000) == "1.2 GB"


def test_zero_has_no_sign() -> None:
    assert notation.write_value(-0.0004, Label("g", "t", low=-16, high=16)) == "0.00"
    assert notation.write_value(-0.2, Label("g", "t", low=-16, high=16)) == "-0.20"
