"""Rules that follow from earthquakes fire once for the same shaking, whatever event its reports are found to be of."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services
from fleet.chains import rulebook
from fleet.chains import service as chains
from fleet.chains.models import ChainFiring, ChainQuake
from fleet.chains.rules import read
from fleet.commands.keys import load_key
from fleet.quakes.models import StationQuake
from tests.fleet.conftest import START_NS, Clock, both_databases
from tests.fleet.quakes.scene import BRIDGE, NS, TOWER, Quakes, report

BRDGE, FAR = "XX.BRDGE", "gw-far-0001"
RULES = """
[[chain]]
name = "look"
intensity = 6
[[chain.inspect]]
title = "桥梁巡检清单"
places = ["石门大桥"]
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def scene(services: Services) -> Quakes:
    with services.database.writing() as session:
        rulebook.put_rules(session, read(RULES), "li", START_NS)
    return Quakes(services)


def fired(scene: Quakes) -> list[tuple[str, str]]:
    """Hold what was noted against the rules, and return (quake, state) of all that has fired."""
    services = scene.services
    with services.database.writing() as session:
        chains.settle(session, partial(load_key, services.settings.data_dir), services.clock())
    with services.database.reading() as session:
        rows = session.execute(sa.select(ChainFiring.quake, ChainFiring.state).order_by(ChainFiring.id))
        return [(quake, state) for quake, state in rows]


def test_a_report_that_is_taken_back_and_counts_again_fires_no_rule_twice(scene: Quakes) -> None:
    strong = {"intensity_gb": 6.4, "grade": 6}
    scene.say(TOWER, report(**strong))
    assert fired(scene) == [("1", "fired")]
    scene.say(TOWER, report(after_s=1, state="rejected", **strong))
    assert fired(scene) == [("1", "fired")]
    scene.say(TOWER, report(after_s=1, state="onset", **strong), report(after_s=3, state="grown", **strong))
    assert fired(scene) == [("1", "fired")]


def test_what_was_taken_back_before_it_could_fire_fires_once_it_counts_again(scene: Quakes) -> None:
    strong = {"intensity_gb": 6.4, "grade": 6}
    scene.say(TOWER, report(**strong), report(after_s=1, state="rejected", **strong))
    assert fired(scene) == []
    scene.say(TOWER, report(after_s=1, state="grown", **strong))
    assert fired(scene) == [("1", "fired")]


def join_two(scene: Quakes) -> None:
    """Have the station far away be found to belong to the first event, once its position is known."""
    with scene.services.database.writing() as session:
        row = session.get_one(StationQuake, (FAR, "XX.FAR", START_NS + 36 * NS))
        row.lat, row.lon = 30.2, 106.57
    scene.say(BRIDGE, report(BRDGE, 5.0))
    assert [(one.id, one.stations) for one in scene.list()] == [(1, 3)]
    with scene.services.database.reading() as session:
        assert session.scalars(sa.select(ChainQuake.quake)).all() == ["1"], "the page tells what came of this"


def test_an_event_that_has_fired_and_is_part_of_another_fires_nothing_there(scene: Quakes) -> None:
    scene.add(FAR, "XX.FAR", "无位置", None)
    scene.say(TOWER, report(intensity_gb=4.0, grade=4))
    scene.say(FAR, report("XX.FAR", 36.0, intensity_gb=6.4, grade=6))
    assert fired(scene) == [("2", "fired")]
    join_two(scene)
    assert fired(scene) == [("2", "fired")]
    scene.say(BRIDGE, report(BRDGE, 5.0, 9, state="grown", intensity_gb=7.0, grade=7))
    assert fired(scene) == [("2", "fired")]
    scene.say(TOWER, report(onset_s=300, intensity_gb=6.4, grade=6))  # an aftershock
    assert fired(scene) == [("2", "fired"), ("3", "fired")]


def test_an_event_that_is_part_of_another_before_it_could_fire_fires_there(scene: Quakes) -> None:
    scene.add(FAR, "XX.FAR", "无位置", None)
    scene.say(TOWER, report(intensity_gb=4.0, grade=4))
    scene.say(FAR, report("XX.FAR", 36.0, intensity_gb=6.4, grade=6))
    join_two(scene)
    assert fired(scene) == [("1", "fired")]


def test_what_an_event_is_split_from_has_fired_for_it(scene: Quakes) -> None:
    scene.add(FAR, "XX.FAR", "同处", 0.0)
    scene.say(TOWER, report(intensity_gb=4.0, grade=4))
    scene.say(BRIDGE, report(BRDGE, 33.0, intensity_gb=6.4, grade=6))
    assert [(one.id, one.stations) for one in scene.list()] == [(1, 2)]
    assert fired(scene) == [("1", "fired")]
    scene.say(FAR, report("XX.FAR", -20.0, intensity_gb=4.0, grade=4))  # explains the tower better than the bridge does
    assert [(one.id, one.stations) for one in scene.list()] == [(2, 1), (1, 2)]
    assert fired(scene) == [("1", "fired")]


def test_what_was_only_told_as_too_late_keeps_nothing_from_firing(scene: Quakes, clock: Clock) -> None:
    scene.add(FAR, "XX.FAR", "无位置", None)
    scene.say(TOWER, report(intensity_gb=4.0, grade=4))
    clock.advance(29 * 60)
    scene.say(FAR, report("XX.FAR", 36.0, intensity_gb=6.4, grade=6))
    clock.advance(150)
    assert fired(scene) == [("2", "late")]
    with scene.services.database.writing() as session:
        chains.hand_on(session, 2, 9, clock(), clock())
        chains.consider(session, 9, 6.4, None, None, clock(), clock())
    assert fired(scene) == [("2", "late"), ("9", "fired")]


def test_of_two_gateways_with_one_station_the_stronger_counts(scene: Quakes) -> None:
    """The one before and the one in its place."""
    scene.add("gw-tower-0002", "XX.TOWER", "江北嘴大厦", 0.0)
    scene.say(TOWER, report(intensity_gb=6.4, grade=6))
    scene.say("gw-tower-0002", report(onset_s=1.0, intensity_gb=3.0, grade=3))
    assert fired(scene) == [("1", "fired")]
