"""What the fleet asks of an alarm: done once, answered, told in lane A with who asked; and time that passes alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.base import Scan
from edge.acquisition import TICK_LEAST_S, Acquisition
from edge.clock import SystemClock
from edge.command_ledger import CommandLedger
from edge.commands import Commander
from edge.handlers import make_handlers
from edge.live import Newest
from edge.operating import Operation
from tests.edge.test_alarm_restart import NAME, configuration, limit
from tests.edge.test_commands import GATEWAY, KEY, NOW_NS, KeptEvents, command
from tests.edge.virtual import mono_ns, run
from wire.alarm import ACTIONS, AlarmRequest, Standing
from wire.command import DONE, REFUSED
from wire.record import AlarmRecord, AuditRecord, Layout, ScanRecord, StandingRecord

S = 1_000_000_000


class Kept(KeptEvents):
    """A store that keeps events, and takes scans for stored."""

    def put_scan(self, record: ScanRecord, layout: Layout) -> None:
        del record, layout


class Plant:
    """A tank with an alarm, and the commands of its gateway. `restart` keeps what is on the disk."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.path, self.store, self.now_ns = folder / "commands.json", Kept(), 5 * S
        self.clock = SystemClock(lambda: self.now_ns, lambda: NOW_NS, lambda: True)
        self.acquisition = acquire(self.store, self.clock, **more)
        self.restart()

    def restart(self) -> None:
        handlers = make_handlers(cast("Any", None), self.acquisition)
        ledger = CommandLedger(self.path)
        store = cast("Any", self.store)
        self.commander = Commander(GATEWAY, KEY.public_key(), ledger, store, self.clock, handlers)

    def reads(self, value: float) -> None:
        self.now_ns += S
        self.acquisition.take(Scan("tank.fast", self.now_ns, (value, False), (0, 0)))

    async def asks(self, action: str, command_id: str = "c1", **arguments: Any) -> tuple[str, str]:
        asked = command(command_id, name=f"alarm-{action}", arguments={"alarm": NAME, **arguments}, author="li")
        await self.commander.carry_out(asked)
        answer = next(r for r in reversed(self.store.events) if isinstance(r, AuditRecord))
        return answer.event, answer.detail

    @property
    def operations(self) -> list[StandingRecord]:
        return [record for record in self.store.events if isinstance(record, StandingRecord)]

    @property
    def standing(self) -> Standing:
        return next((view.standing for view in self.acquisition.alarms()), Standing(0))


def acquire(store: Kept, clock: SystemClock, **more: Any) -> Acquisition:
    newest = Newest(clock.wall_at)
    return Acquisition(configuration(limit(**more)), cast("Any", store), newest, clock, {}, random.Random(1))


async def test_acknowledgement_of_what_was_seen_is_told_with_who_where_and_command(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.reads(90)
    (view,) = plant.acquisition.alarms()
    answer = await plant.asks("acknowledge", occurrence=view.occurrence, comment="seen")
    assert answer == (DONE, f"alarm-acknowledge of li: {NAME} acknowledged")
    (told,) = plant.operations
    assert (told.by, told.where, told.command, told.comment) == ("li", "console", "c1", "seen")
    assert (told.change, told.standing, told.occurrence) == ("acknowledged", Standing.ACTIVE, view.occurrence)


async def test_acknowledgement_of_an_occurrence_that_is_over_is_refused_with_what_to_do(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.reads(90)
    (view,) = plant.acquisition.alarms()
    plant.reads(10)
    plant.reads(90)
    event, detail = await plant.asks("acknowledge", occurrence=view.occurrence)
    assert (event, plant.operations) == (REFUSED, [])
    assert "raised anew" in detail
    assert "look at it again" in detail


async def test_second_acknowledgement_changes_nothing_and_is_no_error(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.reads(90)
    assert (await plant.asks("acknowledge", "c1"))[0] == DONE
    assert await plant.asks("acknowledge", "c2") == (DONE, f"alarm-acknowledge of li: {NAME} stands so already")
    assert len(plant.operations) == 1


async def test_command_that_comes_again_after_a_restart_is_not_done_again(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.reads(90)
    await plant.asks("shelve", minutes=30)
    await plant.asks("unshelve", "c2")
    plant.restart()
    await plant.asks("shelve", minutes=30)
    assert [told.change for told in plant.operations] == ["shelved", "unshelved"]
    assert Standing.SHELVED not in plant.standing


@pytest.mark.parametrize(
    ("action", "arguments", "words"),
    [
        ("acknowledge", {"alarm": "tank.level:hihg"}, "there is no alarm 'tank.level:hihg'"),
        ("shelve", {"minutes": 13 * 60}, "at most, not for 13 h"),
        ("shelve", {"minutes": -1}, "minutes"),
        ("shelve", {"minuets": 5}, "minuets"),
        ("acknowledge", {"alarm": ""}, "alarm"),
        ("reset", {}, "is still active"),
    ],
)
async def test_what_an_alarm_does_not_take_is_refused_and_changes_nothing(tmp_path, action, arguments, words) -> None:
    plant = Plant(tmp_path, latch=True)
    plant.reads(90)
    event, detail = await plant.asks(action, **arguments)
    assert (event, plant.operations) == (REFUSED, [])
    assert words in detail


async def test_every_action_is_a_command(tmp_path: Path) -> None:
    plant = Plant(tmp_path, latch=True)
    plant.reads(90)
    plant.reads(10)
    assert {f"alarm-{action}" for action in ACTIONS} <= set(plant.commander.names)
    for number, action in enumerate(ACTIONS):
        assert (await plant.asks(action, f"c{number}", **({"minutes": 5} if action == "shelve" else {})))[0] == DONE
    changes = [told.change for told in plant.operations]
    assert changes == ["acknowledged", "reset", "shelved", "unshelved", "removed", "restored"]
    assert plant.standing == Standing(0)


def in_time(story: Callable[[Acquisition, Kept], Any], **more: Any) -> None:
    """Run a story beside the task that lets time pass, on a clock that jumps."""

    async def begin() -> None:
        store, clock = Kept(), SystemClock(mono_ns, lambda: NOW_NS, lambda: True)
        acquisition = acquire(store, clock, **more)
        passing = asyncio.create_task(acquisition._watch_time())
        await story(acquisition, store)
        passing.cancel()

    run(begin)


def test_delay_ends_on_time_though_nothing_more_comes() -> None:
    async def story(acquisition: Acquisition, store: Kept) -> None:
        await asyncio.sleep(10)
        acquisition.take(Scan("tank.fast", mono_ns(), (90.0, False), (0, 0)))
        await asyncio.sleep(0.4)
        (raised,) = [record for record in store.events if isinstance(record, AlarmRecord)]
        assert 10.3 * S <= raised.mono_ns <= (10.3 + TICK_LEAST_S) * S

    in_time(story, on_delay_s=0.3)


def test_reminder_and_the_end_of_a_shelving_come_by_time_alone() -> None:
    async def story(acquisition: Acquisition, store: Kept) -> None:
        acquisition.take(Scan("tank.fast", mono_ns(), (90.0, False), (0, 0)))
        for action in ("acknowledge", "shelve"):
            ask(acquisition, action, minutes=30 if action == "shelve" else 0)
        await asyncio.sleep(4000)
        told = [record.change for record in store.events if isinstance(record, StandingRecord)]
        assert told == ["acknowledged", "shelved", "unshelved", "reminded"]

    in_time(story, realarm_s=3600)


def ask(acquisition: Acquisition, action: str, **more: Any) -> None:
    acquisition.operate(Operation(action=action, request=AlarmRequest(alarm=NAME, **more), by="Li", where="page"))
