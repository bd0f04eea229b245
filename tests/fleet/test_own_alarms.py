"""Alarms of the fleet's own: clones and what cannot be read. On both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from fleet.alarms.models import Alarm, AlarmEvent
from fleet.bootstrap import Services
from fleet.upkeep import Upkeep
from tests.fleet import edge
from tests.fleet.conftest import Clock, both_databases
from tests.fleet.scene import Scene
from wire.record import AlarmRecord, Lane
from wire.topics import Up

HOUR_S = 3600


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def scene(services: Services) -> Scene:
    return Scene(services)


def say(scene: Scene, boot: str, machine: str = "m-1") -> None:
    hello = msgspec.structs.replace(edge.hello(), boot=boot, machine=machine)
    assert scene.committer.commit([edge.up(Up.HELLO, hello, received_ns=scene.services.clock())])


def journal(scene: Scene) -> list[tuple[str, str]]:
    return [tuple(row) for row in scene.rows(sa.select(AlarmEvent.alarm, AlarmEvent.kind).order_by(AlarmEvent.id))]


def active(scene: Scene) -> list[str]:
    return [name for (name,) in scene.rows(sa.select(Alarm.name).where(Alarm.active))]


def tend(scene: Scene) -> None:
    asyncio.run(Upkeep(scene.services).tend())


def test_plain_reboots_and_a_replaced_machine_are_no_clone(scene: Scene) -> None:
    for number in range(20):
        say(scene, f"boot-{number + 2}")
        say(scene, f"boot-{number + 2}")  # a hello is repeated until it is answered
    say(scene, "boot-x", machine="m-2")
    assert journal(scene) == []


def test_boots_that_alternate_raise_one_alarm_that_clears_after_an_hour_of_calm(scene: Scene, clock: Clock) -> None:
    say(scene, "boot-2")
    assert active(scene) == []
    for _ in range(5):
        say(scene, "boot-1")
        say(scene, "boot-2")
        clock.advance(60)
    assert active(scene) == ["fleet:clone"]
    clock.advance(HOUR_S / 2)
    tend(scene)
    assert active(scene) == ["fleet:clone"]
    say(scene, "boot-1")
    clock.advance(HOUR_S - 1)
    tend(scene)
    assert active(scene) == ["fleet:clone"]
    clock.advance(1)
    tend(scene)
    assert active(scene) == []
    assert journal(scene) == [("fleet:clone", "raised"), ("fleet:clone", "cleared")]
    say(scene, "boot-2")
    assert journal(scene)[2:] == [("fleet:clone", "raised")]
    (detail,) = scene.rows(sa.select(AlarmEvent.detail).order_by(AlarmEvent.id.desc()).limit(1))[0]
    assert "m-1" in detail


def test_machines_that_alternate_within_boots_of_one_name_are_a_clone(scene: Scene) -> None:
    say(scene, "boot-1", machine="m-2")
    say(scene, "boot-1", machine="m-1")
    assert active(scene) == ["fleet:clone"]


def test_only_so_many_boots_are_remembered(scene: Scene) -> None:
    for number in range(30):
        say(scene, f"boot-{number + 2}")
    say(scene, "boot-1")
    assert journal(scene) == []


@pytest.mark.parametrize("what", ["item", "message"])
def test_what_cannot_be_read_raises_one_alarm_that_clears_after_an_hour(scene: Scene, clock: Clock, what: str) -> None:
    def spoil(first: int) -> None:
        if what == "item":
            scene.send(first, b"garbled", b"garbled")
        else:
            garbled = msgspec.structs.replace(edge.up(Up.BATCH, edge.hello()), received_ns=clock())
            scene.committer.commit([msgspec.structs.replace(garbled, payload=b"\x07")])

    spoil(1)
    clock.advance(HOUR_S - 1)
    spoil(3)
    clock.advance(HOUR_S - 1)
    tend(scene)
    assert active(scene) == ["fleet:unreadable"]
    clock.advance(1)
    tend(scene)
    assert active(scene) == []
    assert journal(scene) == [("fleet:unreadable", "raised"), ("fleet:unreadable", "cleared")]


@pytest.mark.parametrize("change", ["raised", "cleared"])
def test_no_gateway_raises_or_clears_an_alarm_of_the_fleets_own(scene: Scene, change: str) -> None:
    if change == "cleared":
        say(scene, "boot-2")
        say(scene, "boot-1")
    before = active(scene)
    forged: Any = AlarmRecord(1, None, "fleet:clone", "fleet", "clone", change, 1, None)
    scene.session = scene.hello()
    scene.send(1, forged, lane=Lane.ALARMS)
    assert active(scene) == before
    assert journal(scene)[-1] == ("fleet:clone", change)  # what it sent stands in the journal all the same
