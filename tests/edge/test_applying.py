"""What runs: a configuration is tried, kept or given up, across starts of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge import applying
from edge.applying import Applying
from edge.clock import SystemClock
from edge.configuration import read_desired
from edge.errors import DocumentError
from edge.mistakes import Mistakes
from edge.settings import Configuration
from edge.trial import STARTS_MOST, Sight
from edge.twin import Twin
from wire.twin import Desired

WINDOW_S = 0.05


def document(bus: str) -> dict[str, Any]:
    tag = {"name": "level", "function": 3, "address": 0, "type": "u16"}
    device = {"name": "tank", "bus": bus, "unit": 1, "group": [{"name": "fast", "poll_s": 1.0, "tag": [tag]}]}
    return {"bus": [{"name": bus, "kind": "modbus", "url": "tcp://127.0.0.1:1502"}], "device": [device]}


def read(given: dict[str, Any]) -> Configuration:
    mistakes = Mistakes()
    configuration = read_desired(given, mistakes)
    assert configuration is not None, mistakes.found
    return configuration


class Journal:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def put_audit(self, event: str, detail: str) -> None:
        self.events.append((event, detail))


class Gateway:
    """A gateway of which only the twin's file outlives the agent. ``sights`` is what is seen of its buses."""

    def __init__(self, folder: Path, seed: dict[str, Any] | None = None) -> None:
        self.seed = document("seed") if seed is None else seed
        self.path = folder / "twin.json"
        self.journal = Journal()
        self.sights: Mapping[str, Sight] = {}
        self.reports = 0
        self.clock = SystemClock()
        self.start()

    def start(self) -> Applying:
        self.twin = Twin(self.path)
        self.applying = Applying(
            read(self.seed),
            self.twin,
            self.journal,  # type: ignore[arg-type]
            self.clock,
            self.path.parent / "profiles",
            window_s=WINDOW_S,
            sights=lambda _: self.sights,
        )
        return self.applying

    def see(self, place: str, *, answers: bool) -> None:
        self.sights = {place: Sight(2**62 if answers else 0, True, not answers)}

    @property
    def runs(self) -> str:
        return self.applying.configuration.buses[0].name

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.applying.watch(self._report))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _report(self) -> None:
        self.reports += 1

    async def judged(self) -> None:
        async with self.watching():
            for _ in range(500):
                if self.twin.trial is None:
                    return
                await asyncio.sleep(0.01)
        raise AssertionError("nobody judged the trial")


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


async def test_configuration_under_which_all_is_well_again_is_kept(gateway: Gateway) -> None:
    gateway.see("bus plc", answers=True)
    gateway.applying.take(Desired(version=1, config=document("new")))
    assert (gateway.runs, gateway.twin.outcome.trial, gateway.applying.changed.is_set()) == ("new", "on", True)
    await gateway.judged()
    assert (gateway.runs, gateway.twin.outcome.trial, gateway.reports) == ("new", "kept", 1)
    assert [event for event, _ in gateway.journal.events] == ["configured", "configuration-kept"]


async def test_configuration_under_which_a_bus_fails_that_was_well_gives_way_to_the_last_good_one(gateway) -> None:
    gateway.see("bus plc", answers=True)
    gateway.applying.take(Desired(version=1, config=document("first")))
    await gateway.judged()
    gateway.applying.take(Desired(version=2, config=document("bad")))
    gateway.applying.changed.clear()
    gateway.see("bus plc", answers=False)
    await gateway.judged()
    assert (gateway.runs, gateway.twin.version, gateway.twin.refused) == ("first", 1, 2)
    assert "bus plc" in gateway.twin.reason
    assert gateway.applying.changed.is_set()
    assert gateway.journal.events[-1][0] == "configuration-returned"
    assert "version 2 is given up, version 1 runs" in gateway.journal.events[-1][1]
    gateway.start()
    assert (gateway.runs, gateway.twin.outcome.trial) == ("first", "returned")


async def test_device_that_never_answered_is_told_and_the_configuration_kept(gateway: Gateway) -> None:
    gateway.applying.take(Desired(version=1, config=document("new")))
    gateway.see("device d1 on new", answers=False)
    await gateway.judged()
    assert gateway.twin.outcome.unanswered == ("device d1 on new",)
    assert gateway.journal.events[-1] == ("configuration-kept", "version 1; never answered: device d1 on new")


async def test_trial_goes_on_after_a_kill_and_is_judged_by_who_was_well_before_it(gateway: Gateway) -> None:
    gateway.see("bus plc", answers=True)
    gateway.applying.take(Desired(version=1, config=document("bad")))
    gateway.see("bus plc", answers=False)
    gateway.start()
    assert (gateway.runs, gateway.twin.outcome.trial) == ("bad", "on")
    await gateway.judged()
    assert (gateway.runs, gateway.twin.version, gateway.twin.refused) == ("seed", 0, 1)


def test_agent_that_ends_again_and_again_in_a_trial_returns_to_the_last_good_one(gateway: Gateway) -> None:
    gateway.applying.take(Desired(version=1, config=document("bad")))
    for _ in range(STARTS_MOST):
        gateway.start()
        assert gateway.runs == "bad"
    gateway.start()
    assert (gateway.runs, gateway.twin.refused) == ("seed", 1)
    assert gateway.twin.reason == f"the agent ended unasked {STARTS_MOST + 1} times while it was tried"


def test_first_configuration_of_a_gateway_that_came_with_none_has_nothing_to_give_way_to(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, seed={})
    gateway.applying.take(Desired(version=1, config=document("first")))
    for _ in range(STARTS_MOST * 2):
        gateway.start()
    assert (gateway.runs, gateway.twin.outcome.trial, gateway.twin.refused) == ("first", "on", None)


def test_stops_that_were_asked_for_count_for_nothing(gateway: Gateway) -> None:
    gateway.applying.take(Desired(version=1, config=document("new")))
    for _ in range(STARTS_MOST * 3):
        gateway.applying.leave()
        gateway.start()
    assert (gateway.runs, gateway.twin.outcome.trial) == ("new", "on")


def test_configuration_with_mistakes_is_refused_and_what_is_on_trial_stays_so(gateway: Gateway) -> None:
    gateway.applying.take(Desired(version=1, config=document("new")))
    assert gateway.applying.take(Desired(version=2, config={"bus": [{"name": "plc", "kind": "modbuss"}]}))
    assert (gateway.runs, gateway.twin.refused, gateway.twin.outcome.trial) == ("new", 2, "on")
    assert "modbuss" in gateway.twin.reason


async def test_disk_that_takes_nothing_delays_the_verdict_until_it_does(gateway: Gateway, monkeypatch) -> None:
    monkeypatch.setattr(applying, "LOOK_S", 0.01)
    gateway.applying.take(Desired(version=1, config=document("new")))
    refused = asyncio.Event()
    keep = gateway.twin.keep

    def refuse(*_: object) -> None:
        refused.set()
        raise DocumentError("twin.json cannot be written: No space left on device")

    monkeypatch.setattr(gateway.twin, "keep", refuse)
    async with gateway.watching():
        await asyncio.wait_for(refused.wait(), 5)
        assert gateway.twin.outcome.trial == "on"
    monkeypatch.setattr(gateway.twin, "keep", keep)
    await gateway.judged()
    assert gateway.twin.outcome.trial == "kept"


async def test_configuration_that_comes_in_a_trial_is_watched_in_its_place(gateway: Gateway) -> None:
    gateway.see("bus plc", answers=True)
    gateway.applying.take(Desired(version=1, config=document("first")))
    async with gateway.watching():
        await asyncio.sleep(0)
        gateway.applying.take(Desired(version=2, config=document("second")))
    await gateway.judged()
    assert (gateway.runs, gateway.twin.outcome.version, gateway.twin.outcome.trial) == ("second", 2, "kept")
