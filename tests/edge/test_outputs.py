"""Local outputs: switched at once, tried until they switch, journalled once; and their turn on a shared line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from drivers.errors import DeviceError, DriverError, LinkError, LinkTimeoutError, SettingsError
from edge.line import WRITE_TIMEOUT_S
from edge.output_settings import OutputEntry
from edge.outputs import Output, is_held
from edge.outputs.output import FAIL_SAFE_MOST_S, LOCK_LOOK_S, RETRY_MOST_S
from edge.outputs.switches import TagSwitch
from tests.edge.lines import FakePolled, FakeStreaming, broken, collecting, make_line
from tests.edge.virtual import mono_ns, now_s, run
from wire.alarm import Standing
from wire.health import OutputHealth
from wire.record import ActionRecord
from wire.sample import Quality, Value

ACTIVE, UNACKNOWLEDGED, LATCHED = Standing.ACTIVE, Standing.UNACKNOWLEDGED, Standing.LATCHED
STANDING = {"raised": ACTIVE | UNACKNOWLEDGED, "cleared": UNACKNOWLEDGED}


def change(what: str, level: str = "high") -> tuple[str, Standing, int]:
    return f"tank.level:{level}", STANDING[what], mono_ns()


@pytest.mark.parametrize(
    ("standing", "active", "acknowledged", "normal"),
    [
        (Standing(0), False, False, False),
        (ACTIVE | UNACKNOWLEDGED, True, True, True),
        (ACTIVE, True, False, True),
        (UNACKNOWLEDGED, False, True, True),
        (LATCHED | UNACKNOWLEDGED, True, True, True),
        (LATCHED, True, False, True),
    ],
)
def test_what_holds_an_output_on(standing, active, acknowledged, normal) -> None:
    alarms = {"a": Standing(0), "b": standing}
    for hold, wanted in (("active", active), ("acknowledged", acknowledged), ("normal", normal)):
        assert is_held(hold, alarms) is wanted
        for flag in (Standing.SHELVED, Standing.SUPPRESSED, Standing.OUT_OF_SERVICE):
            assert not is_held(hold, {"b": standing | flag})
            assert is_held(hold, {"b": standing, "c": standing | flag}) is wanted, "one set aside silences no other"


class Siren:
    """The thing at the end of the wire."""

    def __init__(self) -> None:
        self.state: Value = None
        self.fault: DriverError | None = None
        self.tries: list[float] = []
        self.takes_s = 0.01

    async def write(self, tag: str, value: Value) -> None:
        assert tag == "relay.siren"
        self.tries.append(now_s())
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        self.state = value


class Site:
    def __init__(self, **keys: Any) -> None:
        self.siren = Siren()
        self.journal: list[ActionRecord] = []
        self.faults: list[str] = []
        self.refusal = ""
        entry = OutputEntry(name="siren", tag="relay.siren", on=5, off=7, **keys)
        self.output = Output(
            entry,
            TagSwitch(entry, self.siren.write),
            find_refusal=self._find_refusal,
            journal=self.journal.append,
            on_fault=lambda _, fault: self.faults.append(fault),
            mono_ns=mono_ns,
            wall_at=lambda mono: mono + 1,
        )

    async def _find_refusal(self, output: str) -> str:
        assert output == "siren"
        return self.refusal

    def states(self) -> list[str]:
        return [record.state for record in self.journal]

    def said(self) -> list[tuple[str, str, str]]:
        return [(record.state, record.cause, record.error) for record in self.journal]


@asynccontextmanager
async def site(raised: Mapping[str, Standing] | None = None, **keys: Any) -> AsyncIterator[Site]:
    made = Site(**keys)
    made.output.resume(raised or {})
    task = asyncio.create_task(made.output.run())
    yield made
    assert not task.done(), task
    task.cancel()
    await asyncio.wait([task])


def test_output_is_brought_to_a_known_state_at_the_start() -> None:
    async def story() -> None:
        async with site() as here:
            assert here.output.health().state == "unknown"
            await asyncio.sleep(1)
            assert here.siren.state == 7
            assert here.output.health().state == "off"
            assert here.said() == [("off", "start", "")]

    run(story)


def test_output_of_an_alarm_that_was_up_before_a_restart_comes_up_on() -> None:
    async def story() -> None:
        async with site({"tank.level:high": ACTIVE}) as here:
            await asyncio.sleep(1)
            assert here.siren.state == 5

    run(story)


def test_alarm_switches_at_once_and_the_journal_says_how_long_it_took() -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            here.output.apply(*change("raised"))
            await asyncio.sleep(0.02)
            assert here.siren.state == 5
            record = here.journal[-1]
            assert (record.output, record.state, record.cause) == ("siren", "on", "tank.level:high")
            assert record.delay_ns == pytest.approx(10_000_000, abs=1000)
            assert record.wall_ns == record.mono_ns + 1
            assert here.output.health().since_ns == record.wall_ns

    run(story)


def test_output_stays_on_until_the_last_alarm_that_names_it_is_cleared() -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            for what, level in (("raised", "high"), ("raised", "high-high"), ("cleared", "high")):
                here.output.apply(*change(what, level))
                await asyncio.sleep(1)
                assert here.siren.state == 5
            here.output.apply(*change("cleared", "high-high"))
            await asyncio.sleep(1)
            assert here.siren.state == 7
            assert [state for state, *_ in here.said()] == ["off", "on", "off"]

    run(story)


@pytest.mark.parametrize(
    "fault", [LinkTimeoutError("no answer"), LinkError("gone"), DeviceError("cannot"), SettingsError("never")]
)
def test_fault_is_journalled_once_and_the_output_tried_until_it_switches(fault) -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            here.siren.fault = fault
            here.siren.tries.clear()
            here.output.apply(*change("raised"))
            await asyncio.sleep(60)
            tries = here.siren.tries
            pauses = [b - a for a, b in pairwise(tries)]
            assert pauses[0] < 1.1
            assert max(pauses) == pytest.approx(RETRY_MOST_S, abs=0.1)
            assert here.said()[1:] == [("on", "tank.level:high", str(fault))]
            assert here.output.health().error == str(fault)
            assert here.output.health().state == "off"
            here.siren.fault = None
            await asyncio.sleep(RETRY_MOST_S + 0.1)
            assert here.siren.state == 5
            assert here.said()[2:] == [("on", "tank.level:high", "")]
            assert here.journal[-1].delay_ns > 60e9
            assert here.output.health().error == ""

    run(story)


def test_alarm_does_not_wait_for_the_pause_between_two_tries() -> None:
    async def story() -> None:
        async with site() as here:
            here.siren.fault = DeviceError("cannot")
            await asyncio.sleep(60)
            tried = len(here.siren.tries)
            await asyncio.sleep(here.siren.tries[-1] + 1.0 - now_s())
            assert len(here.siren.tries) == tried
            here.siren.fault = None
            here.output.apply(*change("raised"))
            await asyncio.sleep(0.02)
            assert here.siren.state == 5

    run(story)


def test_alarm_that_is_over_before_the_output_answered_leaves_it_off() -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            here.siren.takes_s = 2.0
            here.output.apply(*change("raised"))
            await asyncio.sleep(0.5)
            here.output.apply(*change("cleared"))
            await asyncio.sleep(10)
            assert here.siren.state == 7
            assert [state for state, *_ in here.said()] == ["off", "on", "off"]

    run(story)


@pytest.mark.parametrize("fault", [LinkTimeoutError("no answer"), DeviceError("cannot")])
def test_fault_is_told_once_and_its_end_once(fault) -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            assert here.faults == [""], "it answers: an alarm from before a restart is over"
            here.siren.fault = fault
            here.output.apply(*change("raised"))
            await asyncio.sleep(60)
            assert here.faults == ["", str(fault)]
            here.siren.fault = None
            await asyncio.sleep(RETRY_MOST_S + 0.1)
            assert here.faults == ["", str(fault), ""]

    run(story)


def test_output_that_failed_is_tried_until_it_answers_though_the_alarm_is_over() -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            here.siren.fault = LinkTimeoutError("no answer")
            here.output.apply(*change("raised"))
            await asyncio.sleep(10)
            here.output.apply(*change("cleared"))
            await asyncio.sleep(10)
            here.siren.fault = None
            await asyncio.sleep(RETRY_MOST_S + 0.1)
            assert (here.siren.state, here.output.health().error, here.faults[-1]) == (7, "", "")

    run(story)


def test_pulse_ends_by_itself_and_begins_again_with_the_next_alarm() -> None:
    async def story() -> None:
        async with site(pulse_s=10.0) as here:
            await asyncio.sleep(1)
            here.output.apply(*change("raised"))
            await asyncio.sleep(9)
            assert here.siren.state == 5
            await asyncio.sleep(2)
            assert here.siren.state == 7
            assert here.states() == ["off", "on", "off"]
            here.output.apply(*change("raised", "high-high"))
            await asyncio.sleep(5)
            assert here.siren.state == 5
            here.output.apply("tank.level:low", ACTIVE | UNACKNOWLEDGED, mono_ns())
            await asyncio.sleep(8)
            assert here.siren.state == 5, "a second alarm within a pulse has a whole one"
            await asyncio.sleep(3)
            assert here.siren.state == 7
            assert here.journal[-1].delay_ns < 1e9, "from the end of the pulse, not from the alarm"

    run(story)


def test_pulse_lasts_as_long_as_it_should_though_the_output_took_it_late() -> None:
    async def story() -> None:
        async with site(pulse_s=10.0) as here:
            await asyncio.sleep(1)
            here.siren.fault = LinkTimeoutError("no answer")
            here.output.apply(*change("raised"))
            await asyncio.sleep(60)
            here.siren.fault = None
            await asyncio.sleep(RETRY_MOST_S)
            assert here.siren.state == 5
            await asyncio.sleep(11)
            assert here.siren.state == 7

    run(story)


def test_beacon_flashes_while_it_is_held_and_the_journal_has_no_flashes() -> None:
    async def story() -> None:
        async with site(pulse_s=0.5, pause_s=1.5) as here:
            await asyncio.sleep(1)
            here.siren.tries.clear()
            here.output.apply(*change("raised"))
            seen = []
            for _ in range(8):
                await asyncio.sleep(0.5)
                seen.append(here.siren.state)
            assert seen.count(5) == 2
            assert here.output.health().state == "on"
            here.output.apply(*change("cleared"))
            await asyncio.sleep(5)
            assert here.siren.state == 7
            assert here.states() == ["off", "on", "off"]

    run(story)


@pytest.mark.parametrize(
    ("value", "quality", "state"),
    [
        (True, 0, 7),
        (1, 0, 7),
        (1.0, 0, 7),
        (0, 0, 5),
        (None, 0, 5),
        (1, int(Quality.BAD_TIMEOUT), 5),
        (1, int(Quality.UNCERTAIN_STUCK), 5),
        ("1", 0, 5),
        (float("nan"), 0, 5),
    ],
)
def test_maintenance_key_keeps_an_output_off_only_while_it_reads_well(value, quality, state) -> None:
    async def story() -> None:
        async with site(inhibit="panel.key") as here:
            here.output.turn_key(value, quality, mono_ns())
            here.output.apply(*change("raised"))
            await asyncio.sleep(1)
            assert here.siren.state == state
            assert (here.output.health().state == "inhibited") is (state == 7)

    run(story)


def test_alarm_that_was_raised_under_the_key_sounds_when_the_key_is_turned_back() -> None:
    async def story() -> None:
        async with site(inhibit="panel.key", pulse_s=10.0) as here:
            await asyncio.sleep(1)
            here.output.turn_key(1, 0, mono_ns())
            here.output.apply(*change("raised"))
            await asyncio.sleep(60)
            assert here.siren.state == 7
            here.output.turn_key(1, int(Quality.BAD_LINK), mono_ns())
            await asyncio.sleep(1)
            assert here.siren.state == 5, "a broken wire silences nothing"
            assert here.said()[1:] == [
                ("inhibited", "panel.key", ""),
                ("uninhibited", "panel.key", ""),
                ("on", "tank.level:high", ""),
            ]

    run(story)


def test_key_that_is_turned_silences_what_sounds() -> None:
    async def story() -> None:
        async with site(inhibit="panel.key") as here:
            here.output.apply(*change("raised"))
            await asyncio.sleep(1)
            here.output.turn_key(1, 0, mono_ns())
            await asyncio.sleep(1)
            assert here.siren.state == 7
            assert here.said()[-2:] == [("inhibited", "panel.key", ""), ("off", "panel.key", "")]

    run(story)


@pytest.mark.parametrize(("fail_safe", "state"), [("off", 7), ("on", 5)])
@pytest.mark.parametrize("word", ["raised", "cleared"])
def test_output_is_left_in_its_fail_safe_state(fail_safe, state, word) -> None:
    async def story() -> None:
        async with site(fail_safe=fail_safe) as here:
            here.output.apply(*change(word))
            await asyncio.sleep(1)
        await here.output.fail_safe("stop")
        assert here.siren.state == state
        if here.journal[-1].cause != "stop":
            assert here.said()[-1][0] == fail_safe, "it stood so already"

    run(story)


def test_fail_safe_state_is_written_though_the_last_command_was_broken_off() -> None:
    async def story() -> None:
        async with site() as here:
            await asyncio.sleep(1)
            here.siren.takes_s = 0.5
            here.output.apply(*change("raised"))
            await asyncio.sleep(0.1)
        here.siren.state = 5  # it had arrived all the same
        await here.output.fail_safe("stop")
        assert here.siren.state == 7

    run(story)


def test_key_keeps_an_output_off_at_the_end_too() -> None:
    async def story() -> None:
        async with site(fail_safe="on", inhibit="panel.key") as here:
            here.output.turn_key(1, 0, mono_ns())
            await asyncio.sleep(1)
        await here.output.fail_safe("stop")
        assert here.siren.state == 7

    run(story)


def test_end_does_not_wait_for_an_output_that_does_not_answer_and_the_journal_says_so() -> None:
    async def story() -> None:
        async with site() as here:
            here.output.apply(*change("raised"))
            await asyncio.sleep(1)
        here.siren.takes_s = 1e6
        began = now_s()
        await here.output.fail_safe("stop")
        assert now_s() - began == pytest.approx(FAIL_SAFE_MOST_S)
        assert here.said()[-1] == ("off", "stop", "no answer within 3 s")

    run(story)


def test_interlock_writes_nothing_while_it_is_locked_and_switches_once_it_is_unlocked() -> None:
    async def story() -> None:
        async with site(interlock=True) as here:
            here.refusal = "locked: no key"
            await asyncio.sleep(1)
            here.output.apply(*change("raised"))
            await asyncio.sleep(60)
            assert here.siren.tries == []
            assert here.output.health() == OutputHealth(state="locked", error="locked: no key")
            assert here.said() == [
                ("locked", "start", "locked: no key"),
                ("locked", "tank.level:high", "locked: no key"),
            ]
            here.refusal = ""
            await asyncio.sleep(LOCK_LOOK_S)
            assert here.siren.state == 5
            assert here.said()[2:] == [("unlocked", "tank.level:high", ""), ("on", "tank.level:high", "")]
            here.refusal = "locked: no key"
            here.output.apply(*change("cleared"))
            await asyncio.sleep(60)
            assert here.siren.state == 5, "what is locked stays as it is"
        await here.output.fail_safe("stop")
        assert here.siren.state == 5
        assert here.faults == [""], "it is no fault"

    run(story)


GROUPS = {"relay.coils": 0.5, "gas.one": 0.1}


def test_write_goes_between_polls_before_the_next_one() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["gas.one"] = 0.09
        async with collecting(driver, dict(GROUPS)) as running:
            await asyncio.sleep(3.05)
            await running.line.write("relay.value", 1)
            await asyncio.sleep(1)
            ((at, _, _),) = driver.written
            assert at < 3.05 + 0.1
            log = [what for when, what in driver.log if when > 2.9]
            assert log[log.index("write relay.value") + 1] == "gas.one"

    run(story)


def test_write_opens_a_line_that_is_down_and_says_when_it_cannot() -> None:
    async def story() -> None:
        driver = FakePolled()
        line = make_line(driver, dict(GROUPS))
        await line.write("relay.value", True)
        assert driver.opened == 1
        driver.write_fault = broken()
        with pytest.raises(LinkError, match="the cable is out"):
            await line.write("relay.value", True)
        assert (line.is_up, line.fault, driver.closed) == (False, "the cable is out", 1)
        driver.write_fault = DeviceError("read-only")
        with pytest.raises(DeviceError):
            await line.write("relay.value", True)
        assert line.is_up

    run(story)


def test_write_without_end_is_broken_off_and_the_line_begun_anew() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["write"] = 1e6
        line = make_line(driver, dict(GROUPS))
        with pytest.raises(LinkTimeoutError, match=r"writing 'relay.value' took over 10 s"):
            await line.write("relay.value", True)
        assert now_s() == pytest.approx(WRITE_TIMEOUT_S, abs=0.01)
        assert (line.is_up, driver.closed) == (False, 1)

    run(story)


def test_cancelled_write_closes_the_line_so_that_its_answer_is_taken_for_no_other() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["write"] = 5.0
        line = make_line(driver, dict(GROUPS))
        writing = asyncio.create_task(line.write("relay.value", True))
        await asyncio.sleep(1)
        writing.cancel()
        await asyncio.wait([writing])
        assert (line.is_up, driver.closed) == (False, 1)

    run(story)


def test_driver_that_cannot_write_says_so() -> None:
    async def story() -> None:
        line = make_line(FakeStreaming(), {"imu.stream": None})
        with pytest.raises(SettingsError, match="driver fake cannot write"):
            await line.write("imu.value", 1)

    run(story)
