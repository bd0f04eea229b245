"""What the fleet orders for a while: an alarm that the configuration lets it raise, and groups that are read often."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.base import Scan
from edge.acquisition import Acquisition
from edge.clock import SystemClock
from edge.command_ledger import COMMANDS_MOST, CommandLedger
from edge.commands import Commander
from edge.configuration import read_configuration
from edge.errors import DocumentError
from edge.handlers import Handler, NoArguments, make_handlers
from edge.live import Newest
from edge.mandates import Mandate, Mandates, left_s
from edge.mistakes import Mistakes
from edge.operating import Operation
from edge.settings import Configuration
from edge.spool import Remembered
from edge.supervise import end
from tests.edge.test_alarm_commands import Kept
from tests.edge.test_alarm_restart import Clocks
from tests.edge.test_commands import GATEWAY, KEY, NOW_NS, command
from tests.edge.test_outputs_on_site import until
from tests.edge.virtual import mono_ns, run
from wire.alarm import AlarmRequest, Standing
from wire.command import DONE, FAILED, REFUSED, decode_order
from wire.mandate import RaiseRequest
from wire.record import AlarmRecord, AuditRecord

S = 1_000_000_000
NAME = "close-gas:commanded"
ACTIVE, UNACKNOWLEDGED, LATCHED = Standing.ACTIVE, Standing.UNACKNOWLEDGED, Standing.LATCHED


def document(**more: Any) -> dict[str, Any]:
    """A line with a crack gauge that is read every 10 minutes, and a valve that the fleet may have shut."""
    tags = [{"name": "level", "address": 0}, {"name": "valve", "address": 5, "function": 1}]
    return {
        "bus": [{"name": "line", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
        "device": [
            {"name": "tank", "bus": "line", "group": [{"name": "fast", "poll_s": 1, "tag": tags}]},
            {"name": "crack", "bus": "line", "group": [{"name": "slow", "poll_s": 600, "tag": [dict(tags[0])]}]},
        ],
        "output": [{"name": "valve", "tag": "tank.valve", "on": True, "off": False}],
        "alarm": [
            {"tag": "tank.level", "level": "high", "limit": 80.0},
            {"name": "close-gas", "level": "commanded", "lasts_s": 1800, "outputs": ["valve"], "priority": 1, **more},
        ],
    }


def read(made: dict[str, Any]) -> Configuration:
    mistakes = Mistakes()
    configuration = read_configuration(made, mistakes)
    assert configuration is not None, mistakes.found
    return configuration


class Plant:
    """A gateway: its acquisition, and the commands that it takes. `restart` keeps what is on the disk."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder, self.store, self.clock = folder, Kept(), Clocks(5.0, NOW_NS)
        self.start(read(document(**more)), {})

    async def restart(self, configuration: Configuration, before: dict[str, Remembered]) -> None:
        await self.mandates.close()
        self.start(configuration, before)

    def start(self, configuration: Configuration, before: dict[str, Remembered]) -> None:
        self.mandates = Mandates(self.folder / "mandates.json")
        self.acquisition = Acquisition(
            configuration,
            cast("Any", self.store),
            Newest(self.clock.wall_at),
            self.clock,
            before,
            random.Random(1),
            mandates=self.mandates,
        )
        handlers = make_handlers(cast("Any", None), self.acquisition)
        self.ledger = CommandLedger(self.folder / "commands.json")
        store = cast("Any", self.store)
        self.commander = Commander(GATEWAY, KEY.public_key(), self.ledger, store, self.clock, handlers)

    async def asks(self, name: str, command_id: str = "c1", **arguments: Any) -> tuple[str, str]:
        asked = command(command_id, name=name, arguments=arguments, author="chain gas-off")
        await self.commander.carry_out(asked)
        answer = next(r for r in reversed(self.store.events) if isinstance(r, AuditRecord) and r.command)
        return answer.event, answer.detail

    def pass_s(self, seconds: float) -> None:
        self.clock.pass_s(seconds)
        for change in self.acquisition._alarms.tick(self.clock.now_ns):
            self.acquisition._announce(change)

    @property
    def standing(self) -> Standing:
        return next((view.standing for view in self.acquisition.alarms() if view.name == NAME), Standing(0))

    @property
    def is_shut(self) -> bool:
        return self.acquisition._outputs["valve"].wants_on

    @property
    def changes(self) -> list[str]:
        return [record.change for record in self.store.events if isinstance(record, AlarmRecord)]


# raise


async def test_commanded_alarm_switches_its_outputs_and_clears_by_itself(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    event, detail = await plant.asks("raise", alarm=NAME, why="intensity 6.4")
    assert event == DONE
    assert detail.startswith(f"raise of chain gas-off: {NAME} raised, until 20")
    assert detail.endswith("(intensity 6.4)")
    assert (plant.standing, plant.is_shut) == (ACTIVE | UNACKNOWLEDGED, True)
    plant.pass_s(1799)
    assert plant.is_shut
    plant.pass_s(1)
    assert (plant.changes, plant.is_shut) == (["raised", "cleared"], False)


async def test_second_command_begins_the_time_anew_and_raises_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    plant.pass_s(1000)
    event, detail = await plant.asks("raise", "c2", alarm=NAME)
    assert (event, "stands so already" in detail) == (DONE, True)
    plant.pass_s(1500)
    assert (plant.changes, plant.is_shut) == (["raised"], True)
    plant.pass_s(300)
    assert plant.changes == ["raised", "cleared"]


async def test_command_clears_it_and_a_further_one_changes_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    assert (await plant.asks("raise", "c2", alarm=NAME, holds=False))[1].endswith(f"{NAME} cleared")
    assert (await plant.asks("raise", "c3", alarm=NAME, holds=False))[1].endswith("stands so already")
    assert (plant.changes, plant.is_shut, plant.standing) == (["raised", "cleared"], False, UNACKNOWLEDGED)


async def test_latch_acknowledgement_and_shelving_are_those_of_any_alarm(tmp_path: Path) -> None:
    plant = Plant(tmp_path, latch=True)
    await plant.asks("raise", alarm=NAME)
    plant.pass_s(1800)
    assert (plant.standing, plant.is_shut) == (UNACKNOWLEDGED | LATCHED, True)
    assert (await plant.asks("alarm-acknowledge", "c2", alarm=NAME))[0] == DONE
    assert (await plant.asks("alarm-reset", "c3", alarm=NAME))[0] == DONE
    assert not plant.is_shut
    plant.acquisition.operate(
        Operation(action="shelve", request=AlarmRequest(alarm=NAME, minutes=60), by="Li", where="page")
    )
    await plant.asks("raise", "c4", alarm=NAME)
    assert Standing.SHELVED in plant.standing
    assert not plant.is_shut


async def test_on_delay_of_a_commanded_alarm_runs(tmp_path: Path) -> None:
    plant = Plant(tmp_path, on_delay_s=5)
    assert "waits for its delay" in (await plant.asks("raise", alarm=NAME))[1]
    plant.pass_s(5)
    assert plant.is_shut


@pytest.mark.parametrize("name", ["tank.level:high", "close-gass:commanded", "valve:output-fault"])
async def test_no_other_alarm_can_be_commanded(tmp_path: Path, name: str) -> None:
    plant = Plant(tmp_path)
    event, detail = await plant.asks("raise", alarm=name)
    assert (event, plant.changes) == (REFUSED, [])
    assert f"there are: {NAME}" in detail


async def test_drill_says_what_would_happen_and_touches_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    event, detail = await plant.asks("raise", alarm=NAME, drill=True)
    assert (event, detail) == (DONE, f"raise of chain gas-off: drill: {NAME} would be raised, outputs: valve")
    assert (plant.changes, plant.is_shut, plant.standing) == ([], False, Standing(0))
    assert not (tmp_path / "mandates.json").exists()


async def test_it_is_raised_though_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant(tmp_path)

    def fail(*_: object) -> None:
        raise DocumentError("no space left on device")

    monkeypatch.setattr("provisioning.document.AtomicStorage.write", fail)
    assert (await plant.asks("raise", alarm=NAME))[0] == DONE
    assert plant.is_shut
    with pytest.raises(DocumentError):
        await plant.commander.carry_out(command("c2", name="hurry", arguments={}))


async def test_neither_it_nor_what_runs_beside_it_waits_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(tmp_path)
    freed = threading.Event()
    monkeypatch.setattr("provisioning.document.os.fsync", lambda _: freed.wait(10))
    running = asyncio.create_task(plant.commander.run())
    plant.commander.take(command("c0", name="hurry", arguments={"groups": ["crack"], "every_s": 10, "lasts_s": 60}))
    plant.commander.take(command("c1", name="raise", arguments={"alarm": NAME}))
    await until(lambda: plant.is_shut)
    plant.commander.take(command("c1", name="raise", arguments={"alarm": NAME}))
    plant.commander.take(command("c2", name="raise", arguments={"alarm": NAME, "holds": False}))
    await until(lambda: not plant.is_shut)
    assert not freed.is_set()
    assert plant.changes == ["raised", "cleared"], "what came twice was done once"
    freed.set()
    await until(lambda: not plant.ledger.unanswered and plant.ledger.knows("c2") and plant.ledger.knows("c0"))
    await end(running)
    await plant.mandates.close()
    assert plant.acquisition.hurried() == {"crack.slow": 10}


async def test_it_is_raised_though_no_further_command_can_be_remembered(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    for number in range(COMMANDS_MOST):
        plant.ledger.take(order(f"x{number}"))
    assert (await plant.asks("raise", alarm=NAME))[0] == DONE
    assert plant.is_shut


def order(command_id: str) -> Any:

    return decode_order(command(command_id).order)


async def test_it_waits_for_no_command_that_takes_long(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang(*_: object) -> str:
        begun.set()
        await never.wait()
        return ""

    handlers = {**make_handlers(cast("Any", None), plant.acquisition), "report": Handler(NoArguments, hang)}
    store = cast("Any", plant.store)
    commander = Commander(GATEWAY, KEY.public_key(), plant.ledger, store, plant.clock, handlers)
    running = asyncio.create_task(commander.run())
    commander.take(command("c1", name="report"))
    await begun.wait()
    commander.take(command("c2", name="raise", arguments={"alarm": NAME}))
    await until(lambda: plant.is_shut)
    running.cancel()
    await asyncio.wait([running])


async def test_it_holds_over_a_restart_for_what_is_left_of_its_time(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    plant.clock.pass_s(1000)
    await plant.restart(plant.acquisition.configuration, plant.acquisition.remembered())
    assert plant.is_shut
    plant.pass_s(799)
    assert plant.is_shut
    plant.pass_s(1)
    assert (plant.changes, plant.is_shut) == (["raised", "cleared"], False)


async def test_time_that_ended_while_the_agent_was_off_has_ended(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    plant.clock.pass_s(5000)
    await plant.restart(plant.acquisition.configuration, plant.acquisition.remembered())
    assert (plant.changes, plant.is_shut) == (["raised", "cleared"], False)


async def test_it_is_raised_anew_if_the_spool_forgot_it_and_its_time_is_not_over(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    plant.clock.pass_s(60)
    await plant.restart(plant.acquisition.configuration, {})
    assert plant.is_shut


async def test_without_its_document_it_holds_for_all_of_its_time(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    await plant.mandates.close()
    (tmp_path / "mandates.json").write_text("{ torn")
    plant.start(plant.acquisition.configuration, plant.acquisition.remembered())
    plant.pass_s(1799)
    assert plant.is_shut
    plant.pass_s(1)
    assert not plant.is_shut


async def test_configuration_without_it_clears_it_and_one_with_it_raises_it_again(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("raise", alarm=NAME)
    with_it, without = plant.acquisition.configuration, document()
    without["alarm"].pop()
    await plant.restart(read(without), plant.acquisition.remembered())
    assert plant.changes == ["raised", "cleared"]
    await plant.restart(with_it, plant.acquisition.remembered())
    assert plant.is_shut


def test_time_left_is_all_of_it_where_nobody_knows_the_time_and_never_more() -> None:
    mandate = Mandate(kind="raise", name="x", lasts_s=60, until_ns=100 * S)
    assert [left_s(mandate, now) for now in (None, 70 * S, 100 * S, 500 * S, 1 * S)] == [60, 30, 0, 0, 60]
    assert left_s(Mandate(kind="raise", name="x", lasts_s=60, until_ns=None), 70 * S) == 60


def test_commanded_alarm_must_say_how_long_it_lasts() -> None:
    made = document()
    del made["alarm"][1]["lasts_s"]
    mistakes = Mistakes()
    read_configuration(made, mistakes)
    assert any("lasts_s" in str(mistake) for mistake in mistakes.found)


# hurry


async def test_hurry_says_what_is_granted_and_is_told_in_the_journal(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    event, detail = await plant.asks("hurry", groups=["crack", "gone.slow"], every_s=10, lasts_s=7200)
    assert (event, detail) == (
        DONE,
        "hurry of chain gas-off: no group gone.slow; crack.slow every 10 s instead of 600 s",
    )
    assert plant.acquisition.hurried() == {"crack.slow": 10}
    (told,) = [r.detail for r in plant.store.events if isinstance(r, AuditRecord) and r.event == "hurried"]
    assert told == "crack.slow every 10 s instead of 600 s"


async def test_hurry_beyond_the_line_says_so(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    detail = (await plant.asks("hurry", groups=["crack.slow", "tank.fast"], every_s=0.5, lasts_s=60))[1]
    assert "(asked 0.5 s: the line has no more time)" in detail
    assert "tank.fast stays at every 1 s" in detail


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": ["gone"], "every_s": 10, "lasts_s": 60}, "there is no group gone"),
        ({"groups": [], "every_s": 10, "lasts_s": 60}, "groups"),
        ({"groups": ["crack"], "every_s": 0, "lasts_s": 60}, "every_s"),
        ({"groups": ["crack"], "every_s": 10, "lasts_s": 1e6}, "lasts_s"),
        ({"groups": ["crack"], "every_s": 10}, "lasts_s"),
    ],
)
async def test_hurry_that_makes_no_sense_is_refused(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    plant = Plant(tmp_path)
    event, detail = await plant.asks("hurry", **arguments)
    assert event in {REFUSED, FAILED}
    assert words in detail


async def test_hurry_survives_a_restart_and_another_configuration_for_what_is_left(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    await plant.asks("hurry", groups=["crack"], every_s=10, lasts_s=7200)
    plant.clock.pass_s(3600)
    await plant.restart(plant.acquisition.configuration, {})
    (collector,) = plant.acquisition._collectors
    ask = collector.hurries.find("crack.slow")
    assert ask is not None
    assert (ask.every_s, ask.until_ns - plant.clock.now_ns) == (10, 3600 * S)
    made = document()
    made["device"][1]["group"][0]["poll_s"] = 5
    await plant.restart(read(made), {})
    assert plant.acquisition.hurried() == {}, "it is denser than was asked"
    plant.clock.pass_s(3600)
    await plant.restart(read(document()), {})
    (collector,) = plant.acquisition._collectors
    assert collector.hurries.find("crack.slow") is None


async def test_hurry_can_be_ended_and_tried_as_a_drill(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    detail = (await plant.asks("hurry", groups=["crack"], every_s=10, lasts_s=60, drill=True))[1]
    assert detail.endswith("drill: crack.slow every 10 s instead of 600 s")
    assert plant.acquisition.hurried() == {}
    await plant.asks("hurry", "c2", groups=["crack"], every_s=10, lasts_s=60)
    assert (await plant.asks("hurry", "c3", groups=["crack"], every_s=10, lasts_s=0))[1].endswith("every 600 s again")
    assert plant.acquisition.hurried() == {}
    await plant.restart(plant.acquisition.configuration, {})
    assert plant.acquisition.hurried() == {}


def test_deadline_of_a_commanded_alarm_comes_by_time_alone() -> None:
    async def story() -> None:
        store, clock = Kept(), SystemClock(mono_ns, lambda: NOW_NS, lambda: True)
        acquisition = Acquisition(
            read(document(lasts_s=30)), cast("Any", store), Newest(clock.wall_at), clock, {}, random.Random(1)
        )
        passing = asyncio.create_task(acquisition._watch_time())
        await asyncio.sleep(3)
        acquisition.command_alarm(RaiseRequest(alarm=NAME))
        acquisition.take(Scan("tank.fast", mono_ns(), (1.0, False), (0, 0)))
        await asyncio.sleep(31)
        told = [record for record in store.events if isinstance(record, AlarmRecord)]
        assert [record.change for record in told] == ["raised", "cleared"]
        assert 33 * S <= told[1].mono_ns <= 33.1 * S
        passing.cancel()

    run(story)
