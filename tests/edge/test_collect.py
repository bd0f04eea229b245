"""Cadence, faults and backoff of a bus, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError, SettingsError
from edge.collect import BACKOFF_FIRST_S, BACKOFF_MOST_S, EXCHANGE_MOST_S, SILENT_POLL_S, quality_of
from tests.edge.lines import FakePolled, FakeStreaming, broken, collecting
from tests.edge.virtual import now_s, run
from wire.sample import Quality

GOOD = Quality.GOOD


def failing(*errors: Exception) -> Callable[[], float]:
    """Raise each error in turn, then answer."""
    left = list(errors)

    def answer() -> float:
        if left:
            raise left.pop(0)
        return 1.0

    return answer


def always(error: Exception) -> Callable[[], float]:
    def answer() -> float:
        raise error

    return answer


def test_due_times_lie_on_a_grid_and_do_not_drift() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["tank.fast"] = 0.07
        async with collecting(driver, {"tank.fast": 0.1}) as running:
            await asyncio.sleep(100)
        asked = driver.times("tank.fast")
        assert len(asked) == 1000
        assert all(abs(at - 0.1 * n) < 0.002 for n, at in enumerate(asked))
        assert running.collector.counts["tank.fast"].missed == 0

    run(story)


def test_each_group_keeps_its_own_cadence_on_one_line() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"tank.fast": 0.5, "tank.slow": 2.0, "gas.one": 1.0}) as running:
            await asyncio.sleep(19.9)
        assert [len(running.of(name)) for name in ("tank.fast", "tank.slow", "gas.one")] == [40, 10, 20]

    run(story)


def test_groups_start_apart_within_a_second() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"a.x": 5.0, "b.x": 5.0, "c.x": 0.2}) as running:
            running.collector._jitter = random.Random(7)
            await asyncio.sleep(4)
        starts = [driver.times(name)[0] for name in ("a.x", "b.x", "c.x")]
        assert len(set(starts)) == 3
        assert max(starts) < 1.0
        assert starts[2] < 0.2

    run(story)


def test_scans_that_came_due_during_a_slow_exchange_are_missed_and_the_grid_stays() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["tank.fast"] = 0.25
        async with collecting(driver, {"tank.fast": 0.1}) as running:
            await asyncio.sleep(9.99)
        assert driver.times("tank.fast")[:4] == pytest.approx([0.0, 0.3, 0.6, 0.9], abs=0.002)
        count = running.collector.counts["tank.fast"]
        assert (count.good, count.missed) == (33, 66)

    run(story)


@pytest.mark.parametrize(
    ("error", "quality"),
    [
        (LinkTimeoutError("silence"), Quality.BAD_TIMEOUT),
        (LinkError("gone"), Quality.BAD_LINK),
        (FrameError("garbled"), Quality.BAD_FRAME),
        (DeviceError("cannot"), Quality.BAD_DEVICE),
        (SettingsError("never"), Quality.BAD_CONFIG),
        (DriverError("what"), Quality.BAD),
    ],
)
def test_fault_becomes_a_bad_scan_that_says_why(error, quality) -> None:
    assert quality_of(error) == quality

    async def story() -> None:
        driver = FakePolled()
        driver.answers["tank.fast"] = failing(error)
        async with collecting(driver, {"tank.fast": 1.0}) as running:
            await asyncio.sleep(0.5)
        assert [scan.values for _, scan in running.scans] == [(None,)]
        assert running.of("tank.fast")[0][1] == quality

    run(story)


def test_dead_device_costs_the_others_one_time_out_and_is_asked_rarely(caplog) -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["dead.x"] = always(LinkTimeoutError("no answer", hint="is it on?"))
        driver.takes_s["dead.x"] = 1.0
        async with collecting(driver, {"dead.x": 0.5, "live.x": 0.5}) as running:
            await asyncio.sleep(9.9)
            assert driver.times("dead.x") == [0.0]
            assert {quality for _, quality in running.of("live.x")} == {GOOD}
            assert running.collector.counts["live.x"].missed <= 2
            assert {quality for _, quality in running.of("dead.x")} == {Quality.BAD_TIMEOUT}
            assert running.line.bad_devices == {"dead"}
            await asyncio.sleep(20)
            assert driver.times("dead.x") == pytest.approx([0.0, 10.0, 20.0], abs=0.6)
            assert SILENT_POLL_S == 10.0
            driver.answers["dead.x"] = lambda: 1.0
            await asyncio.sleep(11)
            assert running.of("dead.x")[-1][1] == GOOD
            assert running.line.bad_devices == set()
        assert driver.opened == 1, "the line stays open for the others"

    run(story)
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["device dead on bus bus: no answer. is it on?"]


@pytest.mark.parametrize("error", [FrameError("garbled"), DeviceError("cannot")])
def test_garbled_or_refusing_device_is_asked_again_at_its_next_turn(error) -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["tank.fast"] = failing(error, error)
        async with collecting(driver, {"tank.fast": 1.0}) as running:
            await asyncio.sleep(2.9)
        assert [quality >= 0x80 for _, quality in running.of("tank.fast")] == [True, True, False]
        assert driver.opened == 1

    run(story)


def test_broken_line_gives_bad_scans_and_is_opened_again_with_growing_pauses(caplog) -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.open_fault = broken()
        async with collecting(driver, {"a.x": 0.1, "b.x": 0.1}) as running:
            await asyncio.sleep(100)
            tries = driver.times("refused")
            pauses = [b - a for a, b in itertools.pairwise(tries)]
            assert pauses[0] >= BACKOFF_FIRST_S
            assert pauses == sorted(pauses)
            assert BACKOFF_MOST_S <= pauses[-1] <= 1.2 * BACKOFF_MOST_S + 0.1
            assert {quality for _, quality in running.of("a.x")} == {Quality.BAD_LINK}
            assert len(running.of("a.x")) == 1000
            assert running.line.fault == "the cable is out"
            driver.open_fault = None
            await asyncio.sleep(12)
            assert running.of("a.x")[-1][1] == running.of("b.x")[-1][1] == GOOD
            assert running.line.fault == ""
            driver.open_fault = broken()
            driver.answers["a.x"] = failing(broken())
            await asyncio.sleep(0.2)
            recent = [at for at in driver.times("refused") if at > 112]
            await asyncio.sleep(0.6)
            assert len([at for at in driver.times("refused") if at > 112]) == len(recent) + 1, "backoff begins anew"

    run(story)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "bus bus: the cable is out. plug it in",
        "bus bus: the cable is out. plug it in",
    ]


def test_line_that_breaks_in_an_exchange_is_closed_before_it_is_opened_again() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["a.x"] = failing(broken())
        async with collecting(driver, {"a.x": 1.0}):
            await asyncio.sleep(1.5)
        assert [what for _, what in driver.log] == ["open", "a.x", "close", "open", "a.x", "close"]

    run(story)


def test_exchange_without_end_is_broken_off_and_the_line_begun_anew() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["a.x"] = 1e6
        async with collecting(driver, {"a.x": 1.0, "b.x": 1.0}) as running:
            await asyncio.sleep(EXCHANGE_MOST_S + 5)
            assert running.of("a.x")[0] == (EXCHANGE_MOST_S, Quality.BAD_TIMEOUT)
            assert driver.times("close") == [EXCHANGE_MOST_S]
            assert running.of("b.x")[-1][1] == GOOD

    run(story)


def test_bug_of_a_driver_is_a_fault_of_one_device_and_no_end_of_the_bus(caplog) -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["odd.x"] = always(ZeroDivisionError("by nought"))
        async with collecting(driver, {"odd.x": 0.5, "fine.x": 0.5}) as running:
            await asyncio.sleep(5.2)
        assert {quality for _, quality in running.of("odd.x")} == {Quality.BAD_FRAME}
        assert {quality for _, quality in running.of("fine.x")} == {GOOD}
        assert len(running.of("fine.x")) == len(running.of("odd.x")) == 11

    run(story)
    (warning,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert "device odd on bus bus: the driver broke down: ZeroDivisionError: by nought" in warning


def test_scan_of_which_a_part_is_good_counts_as_good() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"a.x": 1.0}) as running:
            await asyncio.sleep(0.5)
        assert running.collector.counts["a.x"].health().good == 1

    run(story)


def play(*plays: tuple[list[float], Exception | None]) -> FakeStreaming:
    driver = FakeStreaming()
    driver.plays = iter(plays)
    return driver


def test_streaming_line_hands_over_as_it_comes_and_starts_again_when_it_ends(caplog) -> None:
    async def story() -> None:
        driver = play(([0.01] * 5, broken()), ([0.01] * 3, None), ([0.01] * 2, broken()), ([0.01] * 400, None))
        async with collecting(driver, {"imu.stream": None}) as running:
            await asyncio.sleep(7)
        goods = [quality == GOOD for _, quality in running.of("imu.stream")]
        assert goods[:13] == [True] * 5 + [False] + [True] * 3 + [False] + [True] * 2 + [False]
        assert driver.opened >= 4
        assert 0.5 <= driver.times("open")[1] - driver.times("close")[0] <= 1.3

    run(story)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "bus bus: the cable is out. plug it in",
        "bus bus: the line ended. It is tried again.",
        "bus bus: the cable is out. plug it in",
    ]


def test_streaming_line_that_opens_but_says_nothing_is_tried_more_and_more_rarely() -> None:
    async def story() -> None:
        driver = play(*[([], broken())] * 40)
        async with collecting(driver, {"imu.stream": None}) as running:
            await asyncio.sleep(100)
        assert 8 <= driver.opened <= 20
        assert running.collector.counts["imu.stream"].bad == driver.opened

    run(story)


def test_silent_instrument_on_a_streaming_line_shows_as_a_bad_device_until_it_speaks() -> None:
    async def story() -> None:
        driver = play(([0.1], LinkTimeoutError("silence")), ([], LinkTimeoutError("silence")), ([0.1] * 50, None))
        async with collecting(driver, {"imu.stream": None}) as running:
            await asyncio.sleep(0.15)
            assert running.line.bad_devices == {"imu"}
            assert running.of("imu.stream")[-1][1] == Quality.BAD_TIMEOUT
            await asyncio.sleep(3)
            assert running.line.bad_devices == set()
            assert running.of("imu.stream")[-1][1] == GOOD
        assert driver.opened == 1, "silence does not close the line"

    run(story)


FAULTS = st.sampled_from(
    [None, None, None, LinkTimeoutError("t"), LinkError("l"), FrameError("f"), DeviceError("d"), ValueError("bug")]
)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.sampled_from(["a.x", "a.y", "b.x", "c.x"]), st.sampled_from([0.1, 0.3, 1.0, 7.0]), min_size=1, max_size=4
    ),
    st.lists(st.tuples(FAULTS, st.sampled_from([0.0, 0.01, 0.4, 2.0, 45.0])), min_size=1, max_size=30),
)
def test_due_is_good_and_bad_and_missed_whatever_the_instruments_do(groups, answers) -> None:
    async def story() -> None:
        driver = FakePolled()
        turns = itertools.cycle(answers)

        async def exchange(what: str, _takes_s: float) -> None:
            driver.note(what)
            error, takes_s = next(turns)
            await asyncio.sleep(takes_s)
            if error is not None:
                raise error

        driver._exchange = exchange  # type: ignore[method-assign]
        async with collecting(driver, groups) as running:
            await asyncio.sleep(120)
            end = now_s()
        for name, period in groups.items():
            due = running.collector.counts[name].due
            assert due <= end / period + 2
            assert due >= (end - EXCHANGE_MOST_S * len(groups)) / period - 2

    run(story)
