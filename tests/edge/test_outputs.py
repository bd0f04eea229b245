"""Local outputs: on while an alarm holds them, tried until they take it, every action journalled."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from drivers.errors import LinkTimeoutError
from edge import outputs
from edge.alarms import Transition
from edge.outputs import Output, resume_outputs
from edge.settings import AlarmRule, OutputEntry
from wire.record import ActionRecord
from wire.sample import Value


def rule(level: str) -> AlarmRule:
    return AlarmRule(tag="tank.level", level=level, limit=90.0, outputs=("siren",))  # type: ignore[arg-type]


def change(what: str, level: str = "high") -> Transition:
    return Transition(rule(level), what, 95.0, 0, time.monotonic_ns())


class Siren:
    """A coil that can refuse."""

    def __init__(self) -> None:
        self.writes: list[Value] = []
        self.refusals = 0

    async def write(self, tag: str, value: Value) -> None:
        assert tag == "relay.siren"
        if self.refusals:
            self.refusals -= 1
            raise LinkTimeoutError("no answer")
        self.writes.append(value)


class Rig:
    def __init__(self) -> None:
        self.siren = Siren()
        self.journal: list[ActionRecord] = []
        entry = OutputEntry(name="siren", tag="relay.siren", on=1, off=0)
        self.output = Output(entry, self.siren.write, self.journal.append, time.monotonic_ns, lambda mono: mono)

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.output.run())
        await asyncio.sleep(0.01)
        yield self
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch) -> None:
    monkeypatch.setattr(outputs, "RETRY_S", 0.01)


async def test_output_is_brought_to_a_known_state_at_the_start() -> None:
    async with Rig().running() as rig:
        assert rig.siren.writes == [0]
        assert rig.output.health().state == "off"


async def test_alarm_switches_on_and_its_end_switches_off() -> None:
    async with Rig().running() as rig:
        rig.output.apply(change("raised"))
        await asyncio.sleep(0.01)
        assert rig.output.health().state == "on"
        rig.output.apply(change("cleared"))
        await asyncio.sleep(0.01)
    assert rig.siren.writes == [0, 1, 0]
    assert [(action.state, action.cause, action.error) for action in rig.journal] == [
        ("off", "start", ""),
        ("on", "tank.level:high", ""),
        ("off", "tank.level:high", ""),
    ]
    assert all(action.delay_ns >= 0 for action in rig.journal)


async def test_output_stays_on_until_its_last_alarm_has_cleared() -> None:
    async with Rig().running() as rig:
        rig.output.apply(change("raised", "high"))
        rig.output.apply(change("raised", "high-high"))
        rig.output.apply(change("cleared", "high-high"))
        await asyncio.sleep(0.01)
        assert rig.output.health().state == "on"
        rig.output.apply(change("cleared", "high"))
        await asyncio.sleep(0.01)
        assert rig.output.health().state == "off"


async def test_output_that_does_not_answer_is_tried_until_it_does_and_the_fault_is_journalled_once() -> None:
    async with Rig().running() as rig:
        rig.siren.refusals = 5
        rig.output.apply(change("raised"))
        await asyncio.sleep(0.005)
        assert "no answer" in rig.output.health().error
        await asyncio.sleep(0.2)
        assert rig.output.health().state == "on"
        assert rig.output.health().error == ""
    assert [(action.state, action.error) for action in rig.journal[1:]] == [("on", "no answer"), ("on", "")]


async def test_alarm_that_clears_while_the_output_is_silent_leaves_it_off() -> None:
    async with Rig().running() as rig:
        rig.siren.refusals = 3
        rig.output.apply(change("raised"))
        await asyncio.sleep(0.005)
        rig.output.apply(change("cleared"))
        await asyncio.sleep(0.2)
        assert rig.output.health().state == "off"
    assert rig.siren.writes[-1] == 0


async def test_alarms_that_were_up_before_a_restart_hold_the_output_on() -> None:
    rig = Rig()
    resume_outputs([rig.output], [rule("high")])
    async with rig.running():
        assert rig.siren.writes == [1]
