"""Groups that are read more densely for a while: what a line can bear, when it ends, and that nothing is uncounted."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from edge.hurrying import COST_UNKNOWN_S, NS, SHARE_MOST, Ask, Hurries, Load, grant
from tests.edge.lines import FakePolled, collecting, scan_group
from tests.edge.virtual import mono_ns, now_s, run

PERIOD_S = st.floats(0.01, 3600)
LOADS = st.lists(
    st.builds(Load, st.uuids().map(str), PERIOD_S, st.floats(0, 5), st.none() | PERIOD_S), min_size=1, max_size=8
)


@given(LOADS)
def test_nothing_is_slower_than_configured_nor_denser_than_asked(loads: list[Load]) -> None:
    granted = grant(loads)
    for load in loads:
        if (period_s := granted.get(load.name)) is not None:
            assert load.asked_s is not None
            assert load.asked_s - 1e-3 <= period_s <= load.period_s + 1e-3


@given(LOADS)
def test_what_is_granted_never_takes_more_of_the_line_than_its_share(loads: list[Load]) -> None:
    granted = grant(loads)
    before = sum(load.cost_s / load.period_s for load in loads)
    after = sum(load.cost_s / granted.get(load.name, load.period_s) for load in loads)
    assert after <= max(SHARE_MOST, before) * (1 + 1e-6)


def test_all_are_stretched_by_one_factor_where_the_line_is_short_of_time() -> None:
    loads = [Load("a", 600, 1.0, 1.0), Load("b", 600, 1.0, 2.0), Load("c", 10, 1.0)]
    granted = grant(loads)  # c takes 0.1, so 0.7 is left for what wants 1.5
    assert granted == {"a": 2.143, "b": 4.286}


def test_busy_line_has_nothing_to_give() -> None:
    assert grant([Load("a", 2, 1.0, 0.5), Load("b", 2, 1.0)]) == {}


def test_group_that_never_answered_is_taken_to_be_slow() -> None:
    hurries = Hurries([scan_group("a.x", 600)])
    hurries.ask({"a.x": Ask(0.1, 3600 * NS)}, 0)
    assert hurries.granted == {"a.x": COST_UNKNOWN_S / SHARE_MOST}
    hurries.note("a.x", NS // 100)
    hurries.end(1)
    assert hurries.granted == {"a.x": 0.1}


def test_of_two_requests_the_denser_holds_for_as_long_as_the_longer() -> None:
    hurries = Hurries([scan_group("a.x", 600)])
    hurries.note("a.x", 1)
    hurries.ask({"a.x": Ask(10, 100)}, 0)
    hurries.ask({"a.x": Ask(30, 200)}, 0)
    assert (hurries.granted, hurries.find("a.x")) == ({"a.x": 10}, Ask(10, 200))
    assert hurries.end(200) == ["a.x"]
    assert hurries.granted == {}


def test_slow_group_is_read_at_once_densely_and_then_as_before_and_every_reading_is_counted() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"crack.slow": 600.0, "other.fast": 7.0}) as running:
            await asyncio.sleep(100)
            collector = running.collector
            collector.hurry({"crack.slow": Ask(10.0, mono_ns() + 120 * NS)})
            await asyncio.sleep(61)
            assert collector.hurries.granted == {"crack.slow": 10.0}
            dense = [at for at, _ in running.of("crack.slow")][1:]
            assert [round(at - dense[0]) for at in dense] == [0, 10, 20, 30, 40, 50, 60]
            assert dense[0] < 100.2
            await asyncio.sleep(2000)
            assert collector.hurries.granted == {}
            late = [round(at) for at, _ in running.of("crack.slow") if at > 225]
            assert late == [600, 1200, 1800], "the old grid"
            assert [event for _, event, _ in running.journal] == ["hurry-over"]
            assert len(running.of("other.fast")) == 309 == int(now_s() / 7) + 1, "nobody else is disturbed"

    run(story)


def test_line_that_is_slow_is_never_asked_for_more_than_it_can_bear() -> None:
    async def story() -> None:
        driver = FakePolled()
        driver.takes_s["tilt.a"] = driver.takes_s["tilt.b"] = 1.0
        async with collecting(driver, {"tilt.a": 60.0, "tilt.b": 60.0}) as running:
            await asyncio.sleep(5)
            until_ns = mono_ns() + 600 * NS
            running.collector.hurry({"tilt.a": Ask(0.5, until_ns), "tilt.b": Ask(0.5, until_ns)})
            await asyncio.sleep(300)
            assert running.collector.hurries.granted == {"tilt.a": 2.5, "tilt.b": 2.5}
            counts = running.collector.counts["tilt.a"]
            assert counts.missed == 0
            assert abs(counts.good - 121) <= 2

    run(story)


def test_group_that_is_calmed_is_read_as_configured_again() -> None:
    async def story() -> None:
        driver = FakePolled()
        async with collecting(driver, {"crack.slow": 600.0}) as running:
            await asyncio.sleep(1)
            running.collector.hurry({"crack.slow": Ask(1.0, mono_ns() + 3600 * NS)})
            await asyncio.sleep(5)
            running.collector.calm(["crack.slow"])
            read = len(running.of("crack.slow"))
            await asyncio.sleep(500)
            assert len(running.of("crack.slow")) == read

    run(story)
