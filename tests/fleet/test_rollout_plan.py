"""Plans of rollouts: mistakes, targets, waves and windows."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fleet.errors import InvalidError
from fleet.rollouts.plan import (
    Candidate,
    Target,
    Wave,
    explain,
    find_obstacle,
    matches,
    read_plan,
    runs_already,
    split,
)
from fleet.rollouts.windows import Window, find_end

HERE = Candidate("gw-1", "north", "chemical", "0.1.0", ("agent",), "x86_64", False, True)
MACHINES = [["x86_64"], ["aarch64"]]


def fleet(count: int) -> list[Candidate]:
    return [HERE._replace(name=f"gw-{number:03d}", site=f"site-{number % 4}") for number in range(count)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": " "}, "name: is empty"),
        ({"kind": "firmware"}, "kind: 'firmware' is no kind of release"),
        ({"waves": [{}]}, "waves[0]: write either gateways and sites, or percent"),
        ({"waves": [{"percent": 10}, {"percent": 5, "sites": ["north"]}]}, "waves[1]: write either"),
        ({"waves": [{"percent": 0}]}, "waves[0].percent: 0 is no share"),
        ({"waves": [{"percent": 10}] * 51}, "waves: 51 are too many"),
        ({"waves": [{"percent": "ten"}]}, "$.waves[0].percent"),
        ({"rules": {"error_percent": 101}}, "rules.error_percent: 101 is out of bounds; write 0 to 100"),
        ({"rules": {"executed_least": 0}}, "rules.executed_least"),
        ({"rules": {"timeout_s": 5}}, "rules.timeout_s"),
        ({"rules": {"attempts": 0}}, "rules.attempts"),
        ({"rules": {"patience": 1}}, "patience"),
        ({"target": {"sites": [""]}}, "target.sites: has an entry that is empty"),
        ({"rules": {"window": {"begin": "25:00", "end": "05:00"}}}, "rules.window.begin: '25:00' is no time"),
        ({"rules": {"window": {"begin": "05:00", "end": "05:00"}}}, "rules.window.end: is the same"),
        ({"rules": {"window": {"begin": "1:00", "end": "05:00", "zone": "Mars"}}}, "'Mars' is no time zone"),
        ({"rules": {"window": {"begin": "01:00", "end": "05:00", "zone": ""}}}, "rules.window.zone"),
        ({"rules": {"window": {"begin": "01:00", "end": "05:00", "weekdays": [0]}}}, "rules.window.weekdays"),
        ({"rules": {"window": {"begin": "01:00", "end": "05:00", "weekdays": []}}}, "rules.window.weekdays"),
    ],
)
def test_mistake_is_told_with_its_place(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidError) as raised:
        read_plan({"name": "a", "version": "0.2.0", **changes})
    assert told in str(raised.value)
    assert raised.value.hint


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidError, match=r"rules\.attempts.*rules\.rate_per_minute|rules\.attempts"):
        read_plan({"name": "a", "version": "1", "rules": {"attempts": 99, "error_percent": -1}})
    with pytest.raises(InvalidError, match=r"rules\.error_percent"):
        read_plan({"name": "a", "version": "1", "rules": {"attempts": 99, "error_percent": -1}})


@pytest.mark.parametrize(
    ("target", "is_named"),
    [
        ({}, True),
        ({"sites": ("north",)}, True),
        ({"sites": ("south",)}, False),
        ({"sectors": ("chemical", "weather")}, True),
        ({"releases": ("0.0.9",)}, False),
        ({"hardware": ("x86_64",), "gateways": ("gw-1",)}, True),
        ({"hardware": ("x86_64",), "gateways": ("gw-2",)}, False),
    ],
)
def test_target_names_those_that_each_of_its_lists_names(target: dict[str, Any], is_named: bool) -> None:
    assert matches(Target(**target), HERE) is is_named


@pytest.mark.parametrize(
    ("changes", "kind", "obstacle"),
    [
        ({}, "agent", None),
        ({"is_retired": True}, "agent", "retired"),
        ({"is_known": False, "installs": ()}, "agent", "unreported"),
        ({"installs": ("profiles",)}, "agent", "installs-not"),
        ({"hardware": "armv7l"}, "agent", "hardware"),
        ({"hardware": ""}, "agent", None),
        ({"is_known": False, "installs": (), "hardware": ""}, "image", None),
    ],
)
def test_gateway_that_cannot_take_a_release_is_told_apart(changes: dict[str, Any], kind: str, obstacle: Any) -> None:
    candidate = HERE._replace(**changes)
    assert find_obstacle(candidate, kind, MACHINES) == obstacle
    if obstacle:
        assert explain(obstacle, candidate, kind, "0.2.0")


def test_artifact_without_machines_fits_all_and_no_artifact_fits_none() -> None:
    assert find_obstacle(HERE, "agent", [[]]) is None
    assert find_obstacle(HERE, "agent", []) == "hardware"


def test_gateway_that_runs_the_version_is_known_for_agents_alone() -> None:
    assert runs_already(HERE, "agent", "0.1.0")
    assert not runs_already(HERE, "agent", "0.2.0")
    assert not runs_already(HERE, "profiles", "0.1.0")


def test_canary_comes_first_shares_are_of_the_rest_and_what_is_left_comes_last() -> None:
    waves = [Wave(gateways=("gw-007",), sites=("site-1",)), Wave(percent=10), Wave(percent=50)]
    split_up = split(waves, fleet(100), "0.2.0")
    assert [len(names) for names in split_up] == [26, 8, 33, 33]
    assert "gw-007" in split_up[0]
    assert {name for names in split_up for name in names} == {one.name for one in fleet(100)}
    assert sum(map(len, split_up)) == 100


def test_shares_are_the_same_each_time_and_others_for_another_release() -> None:
    waves = [Wave(percent=10), Wave(percent=100)]
    first = split(waves, fleet(100), "0.2.0")
    assert split(waves, fleet(100)[::-1], "0.2.0") == first
    assert split(waves, fleet(100), "0.3.0")[0] != first[0]


def test_wave_without_gateways_is_left_out() -> None:
    assert split([Wave(sites=("nowhere",)), Wave(percent=100)], fleet(3), "1") == [("gw-000", "gw-001", "gw-002")]
    assert split([], [], "1") == []


NIGHT = Window(begin="22:00", end="05:00", weekdays=(5,))
"""Of Fridays."""


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-11-27T21:59:59", None),
        ("2026-11-27T22:00:00", "2026-11-28T05:00:00"),
        ("2026-11-28T04:59:59", "2026-11-28T05:00:00"),
        ("2026-11-28T05:00:00", None),
        ("2026-11-28T22:30:00", None),
        ("2026-11-27T04:00:00", None),
    ],
)
def test_window_that_crosses_midnight_belongs_to_the_day_it_begins_on(at: str, end: str | None) -> None:
    assert find_end(NIGHT, _ns(at)) == (None if end is None else _ns(end))


def test_window_is_in_its_own_time_zone_and_keeps_to_the_clock_there() -> None:
    window = Window(begin="01:00", end="04:00", zone="Europe/Berlin")
    # the night in which clocks go from 2 to 3: it is an hour shorter
    begin, end = _ns("2026-03-29T01:00:00", "Europe/Berlin"), _ns("2026-03-29T04:00:00", "Europe/Berlin")
    assert end - begin == 2 * 3600 * 10**9
    assert find_end(window, begin) == end
    assert find_end(window, end) is None


def _ns(text: str, zone: str = "Asia/Shanghai") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9
