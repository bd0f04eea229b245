"""Cadence, faults and backoff of a bus, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Scan
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError, SettingsError
from edge.collect import BACKOFF_FIRST_S, BACKOFF_MOST_S, quality_of
from edge.line import EXCHANGE_MOST_S
from edge.silence import SHARED_MOST
from tests.edge.lines import FakePolled, FakeStreaming, Running, broken, collecting
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


def failing_from(begin_s: float, error: Exception, until: float = float("inf")) -> Callable[[], float]:
    """Raise from a time on, answer before and after."""

    def answer() -> float:
        if begin_s <= now_s() < until:
            raise error
        return 1.0

    return answer


def lossy(share: float) -> Callable[[], float]:
    source = random.Random(1)

    def answer() -> float:
        if source.random() < share:
            raise LinkTimeoutError("lost")
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
            await asyncio.sleep(99.95)
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


def test_scans_overtaken_by_the_next_in_a_slow_exchange_are_missed_and_the_line_never_rests() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["tank.fast"] = 0.25
        async with collecting(driver, {"tank.fast": 0.1}) as running:
            await asyncio.sleep(9.99)
        assert driver.times("tank.fast")[:4] == pytest.approx([0.0, 0.25, 0.5, 0.75], abs=0.002)
        count = running.collector.counts["tank.fast"]
        assert (count.good, count.missed) == (39, 58), "the fortieth reading, of due time 97, is not at its end"

    run(story)


def test_collector_that_broke_down_goes_on_in_its_grid_and_counts_what_it_slept_over() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"tank.fast": 0.1}) as running:
            await asyncio.sleep(1.05)
        await asyncio.sleep(2.0)
        again = asyncio.create_task(running.collector.run())
        await asyncio.sleep(0.92)
        again.cancel()
        await asyncio.wait([again])
        count = running.collector.counts["tank.fast"]
        assert (count.good, count.missed) == (11 + 10, 19), "39 due times from 0.0 to 3.9, one of them read late"
        assert all(round(at * 10, 1).is_integer() for at in driver.times("tank.fast") if at != 3.05)

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


def test_dead_device_costs_the_others_one_time_out_and_is_asked_more_and_more_rarely(caplog) -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["dead.x"] = failing_from(5.0, LinkTimeoutError("no answer", hint="is it on?"))
        driver.takes_s["dead.x"] = 0.4
        async with collecting(driver, {"dead.x": 0.5, "live.x": 0.5}) as running:
            await asyncio.sleep(100)
            asked = [at for at in driver.times("dead.x") if at >= 5]
            assert asked == pytest.approx([5.0, 6.0, 7.5, 9.5, 13.5, 20.5, 34.0, 58.5, 83.0], abs=0.51)
            assert {quality for at, quality in running.of("dead.x") if at > 5} == {Quality.BAD_TIMEOUT}
            assert {quality for _, quality in running.of("live.x")} == {GOOD}
            assert running.collector.counts["live.x"].missed == 0
            assert running.line.silence.bad_devices == {"dead"}
            driver.answers["dead.x"] = lambda: 1.0
            await asyncio.sleep(25)
            assert [quality for at, quality in running.of("dead.x") if at > 108.5] == [GOOD] * 33, "restored at once"
            assert running.line.silence.bad_devices == set()
        assert driver.opened == 1, "the line stays open for the others"
        assert [(event, detail) for _, event, detail in running.journal] == [
            ("device-fault", "dead on bus: no answer"),
            ("device-well", "dead on bus"),
        ]

    run(story)
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["device dead on bus bus: no answer. is it on?"]


def test_one_lost_reply_blinds_a_device_no_longer_than_a_time_out() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["a.x"] = lossy(0.01)
        driver.takes_s["a.x"] = 0.3
        async with collecting(driver, {"a.x": 1.0, "b.x": 1.0}) as running:
            await asyncio.sleep(3600)
        bad = running.collector.counts["a.x"].bad
        assert 20 <= bad <= 60, "about one in a hundred"
        assert running.journal == [], "a lost reply is no event"

    run(story)


def test_dead_unit_among_sixteen_takes_less_than_three_percent_of_a_saturated_line() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["u00.x"] = always(LinkTimeoutError("no answer"))
        driver.takes_s["u00.x"] = 1.0
        for unit in range(1, 16):
            driver.takes_s[f"u{unit:02d}.x"] = 0.1
        async with collecting(driver, {f"u{unit:02d}.x": 1.0 for unit in range(16)}) as running:
            await asyncio.sleep(600)
        asked = len(driver.times("u00.x"))
        assert asked * 1.0 < 0.03 * 600
        assert sum(running.collector.counts[f"u{unit:02d}.x"].good for unit in range(1, 16)) > 0.97 * 6000

    run(story)


def test_garbling_unit_that_costs_a_time_out_each_time_does_not_hold_up_its_line() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["bad.x"] = always(FrameError("what arrived is no answer"))
        driver.takes_s["bad.x"] = 1.0
        async with collecting(driver, {"bad.x": 1.0, "a.x": 1.0, "b.x": 1.0}) as running:
            await asyncio.sleep(600)
            assert {quality for _, quality in running.of("bad.x")} == {Quality.BAD_FRAME}
        for name in ("a.x", "b.x"):
            assert running.collector.counts[name].good > 0.97 * 600

    run(story)


def test_device_silent_for_one_group_only_keeps_its_other_groups() -> None:
    """Many cheap instruments stay silent when asked for a register that they do not have."""

    async def story() -> None:
        driver = FakePolled()
        driver.answers["a.absent"] = always(LinkTimeoutError("no answer"))
        driver.takes_s["a.absent"] = 0.3
        async with collecting(driver, {"a.absent": 1.0, "a.level": 1.0, "b.x": 1.0}) as running:
            await asyncio.sleep(600)
            assert running.line.silence.bad_devices == {"a"}
        assert running.collector.counts["a.level"].good > 0.97 * 600
        assert len(driver.times("a.absent")) < 0.03 * 600 / 0.3

    run(story)


def test_all_groups_of_a_device_are_asked_again_as_soon_as_one_is_answered() -> None:
    async def story() -> None:
        driver = FakePolled()
        for name in ("a.x", "a.y", "a.z"):
            driver.answers[name] = failing_from(0.0, LinkTimeoutError("no answer"), until=300.0)
            driver.takes_s[name] = 0.2
        async with collecting(driver, {"a.x": 1.0, "a.y": 1.0, "a.z": 1.0, "b.x": 1.0}) as running:
            await asyncio.sleep(330)
            first = min(at for name in ("a.x", "a.y", "a.z") for at, quality in running.of(name) if quality == GOOD)
            assert 300 <= first <= 300 + 2 * SHARED_MOST * 0.2
            for name in ("a.x", "a.y", "a.z"):
                assert {quality for at, quality in running.of(name) if at > first + 1.5} == {GOOD}

    run(story)


def test_device_alone_on_its_line_is_asked_again_after_each_time_out() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["only.x"] = failing_from(0.0, LinkTimeoutError("no answer"), until=60.0)
        driver.takes_s["only.x"] = 0.5
        async with collecting(driver, {"only.x": 1.0}) as running:
            await asyncio.sleep(63)
            assert running.of("only.x")[-1][1] == GOOD
            assert running.of("only.x")[-2][1] == GOOD

    run(story)


def test_command_to_a_silent_device_goes_before_the_next_poll_and_wakes_it() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.answers["a.x"] = failing_from(0.0, LinkTimeoutError("no answer"), until=31.0)
        driver.takes_s["a.x"] = driver.takes_s["b.x"] = 0.5
        async with collecting(driver, {"a.x": 1.0, "b.x": 0.5}) as running:
            await asyncio.sleep(39.1)
            assert running.of("a.x")[-1][1] == Quality.BAD_TIMEOUT, "asked again only at 48"
            await running.line.write("a.value", 1)
            written = driver.times("write a.value")[0]
            assert [what for at, what in driver.log if 39.0 <= at <= written] == ["b.x", "write a.value"]
            await asyncio.sleep(2)
            assert running.of("a.x")[-1][1] == GOOD

    run(story)


def test_dead_gateway_takes_nothing_from_other_lines() -> None:
    async def story() -> None:
        dead, well = FakePolled(), FakePolled()
        dead.open_fault = broken()
        dead.open_takes_s = 5.0
        async with collecting(dead, {"far.x": 1.0}) as lost, collecting(well, {"near.x": 0.1}) as kept:
            await asyncio.sleep(59.95)
            assert {quality for _, quality in lost.of("far.x")} == {Quality.BAD_LINK}
            assert [event for _, event, _ in lost.journal] == ["bus-down"]
            count = kept.collector.counts["near.x"]
            assert (count.good, count.bad, count.missed) == (600, 0, 0)
            dead.open_fault = None
            await asyncio.sleep(20)
            assert lost.of("far.x")[-1][1] == GOOD
            assert [event for _, event, _ in lost.journal] == ["bus-down", "bus-up"]

    run(story)


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
            assert len(running.of("a.x")) == 1001
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
        assert running.collector.groups()["a.x"].good == 1

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
            assert running.line.silence.bad_devices == {"imu"}
            assert running.of("imu.stream")[-1][1] == Quality.BAD_TIMEOUT
            await asyncio.sleep(3)
            assert running.line.silence.bad_devices == set()
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
            due = running.collector.groups()[name].due
            assert due <= end / period + 2
            assert due >= (end - EXCHANGE_MOST_S * len(groups)) / period - 2

    run(story)


def test_reading_over_which_its_taker_breaks_down_is_due_still_and_counted_once() -> None:
    async def story() -> None:
        driver = FakePolled()
        running = Running(driver, {"a.x": 1.0})
        falls = iter([True])

        def take(scan: Scan) -> None:
            if next(falls, False):
                raise RuntimeError("the taker broke down")
            running._take(scan)

        running.collector._sink = take
        with pytest.raises(RuntimeError):
            await running.collector.run()
        again = asyncio.create_task(running.collector.run())
        await asyncio.sleep(4.5)
        again.cancel()
        await asyncio.wait([again])
        running.check_accounts()
        assert running.collector.groups()["a.x"].due == 5

    run(story)
