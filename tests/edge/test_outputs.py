"""Local outputs: switched at once, tried until they switch, journalled once; and their turn on a shared line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from drivers.errors import DeviceError, DriverError, LinkError, LinkTimeoutError, SettingsError
from edge.line import WRITE_TIMEOUT_S
from edge.outputs import RETRY_MOST_S, Output, is_held
from edge.settings import OutputEntry
from tests.edge.lines import FakePolled, FakeStreaming, broken, collecting, make_line
from tests.edge.virtual import mono_ns, now_s, run
from wire.alarm import Standing
from wire.record import ActionRecord
from wire.sample import Value

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
    def __init__(self) -> None:
        self.siren = Siren()
        self.journal: list[ActionRecord] = []
        self.output = Output(
            OutputEntry(name="siren", tag="relay.siren", on=5, off=7),
            self.siren.write,
            self.journal.append,
            mono_ns,
            lambda mono: mono + 1,
        )

    def said(self) -> list[tuple[str, str, str]]:
        return [(record.state, record.cause, record.error) for record in self.journal]


@asynccontextmanager
async def site(**raised: Standing) -> AsyncIterator[Site]:
    made = Site()
    made.output.resume(raised)
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
        async with site(level=ACTIVE) as here:
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
