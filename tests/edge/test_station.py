"""The running gateway as those on site see it: newest values with their age, and the start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import edge.station
from drivers.base import Scan
from edge.clock import SystemClock
from edge.live import Newest
from edge.local.site import Nameplate
from edge.operating import Operation, OperationError
from edge.station import Station
from tests.edge.local.fake import FakeSite, tag
from wire.alarm import AlarmRequest

NS = 1_000_000_000
WALL_NS = 1_790_000_000 * NS


async def commit() -> bool:
    return True


def make_station(mono_s: float = 100.0, commit: Callable[[], Awaitable[bool]] = commit) -> Station:
    clock = SystemClock(mono_ns=lambda: int(mono_s * NS), wall_ns=lambda: WALL_NS, is_synced=lambda: True)
    fake = FakeSite()
    return Station(
        who=Nameplate(gateway="gw-12345", title="", site="", sector="", machine="m", release="1"),
        newest=Newest(clock.wall_at),
        clock=clock,
        running=lambda: None,
        health=fake.health,
        state=fake.state,
        commit=commit,
    )


def test_readings_are_the_newest_of_the_tags_asked_for_with_their_age():
    station = make_station(mono_s=100.0)
    station.newest.put(("a.x", "a.y"), Scan("a.fast", 90 * NS, (1.0, 2.0), (0, 0)))
    station.newest.put(("a.x", "a.y"), Scan("a.fast", 98 * NS, (3.0, None), (0, 0x81)))
    found = station.readings([tag("a.x", "", "", 0, 1), tag("a.never", "", "", 0, 1), tag("b.x", "", "", 0, 1)])
    assert list(found) == ["a.x"]
    assert (found["a.x"].value, found["a.x"].quality, found["a.x"].age_s) == (3.0, 0, 2.0)


def test_while_nothing_runs_yet_there_is_nothing_and_nothing_is_done():
    station = make_station()
    assert station.alarms() == ()
    assert station.devices() == ()
    assert station.tags() == {}
    assert station.now_ns() == WALL_NS
    operation = Operation(action="reset", request=AlarmRequest(alarm="a.x:high"), by="x", where="page")
    with pytest.raises(OperationError, match="is starting"):
        station.operate(operation)


async def test_operator_waits_until_what_was_done_is_durable_and_not_for_ever(monkeypatch):
    monkeypatch.setattr(edge.station, "KEEP_S", 0.01)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    async def fail() -> bool:
        return False

    assert await make_station().keep()
    assert not await make_station(commit=fail).keep()
    assert not await make_station(commit=hang).keep()
