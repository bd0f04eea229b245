"""Instruments with a clock of their own, whose samples come late: SeedLink servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.base import Scan
from edge.stations.stations import Stations
from seismic.packet import TimeQuality, from_record
from tests.edge.stations.site import (
    NOON,
    RATE_HZ,
    SENSITIVITY,
    STEP_NS,
    Clocks,
    Counts,
    S,
    Site,
    configuration,
    quakes,
    quiet,
    ridgecrest,
    slam,
    station,
)
from tests.edge.stations.test_stations import VI, start, waveforms
from wire.record import WaveFlag
from wire.sample import Quality


async def replay(site: Site, late_s: float, ahead_s: float, samples: int) -> None:
    """The record by an instrument whose samples come in records of 2 s, ``late_s`` behind, with UTC of its own: it is
    ``ahead_s`` ahead of ours."""
    began_ns, utc_ns = site.clock.now_ns, site.clock.utc_ns
    for index, counts in enumerate(ridgecrest()[:samples]):
        taken_ns = (index + 1) * STEP_NS
        came_ns = (index // (2 * RATE_HZ) + 1) * 2 * S + round(late_s * S)
        site.clock.now_ns, site.clock.utc_ns = began_ns + came_ns, utc_ns + came_ns
        offset_ns = utc_ns + taken_ns + round(ahead_s * S) - site.clock.now_ns
        values = tuple(count / SENSITIVITY for count in counts)
        clock = TimeQuality(offset_ns, 100, WaveFlag.CLOCK_LOCKED)
        site.acquisition.take(Scan("acc-1.motion", site.clock.now_ns, values, (0, 0, 0), clock))
        if index % RATE_HZ == 0:
            for made in site.stations.tick():
                site.acquisition._use(made)
            await site.stations._send()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


async def test_quake_and_packets_have_the_instruments_own_time(folder: Path) -> None:
    async with start(folder, configuration(station(pre_s=10))) as site:
        await replay(site, 4.0, 0.3, 5000)
        assert VI in site.alarms()
    told = quakes(folder)
    assert told[0].onset_ns is not None
    assert 22.40 <= (told[0].onset_ns - NOON) / S - 0.3 <= 22.75
    found = waveforms(folder)["CQ.YF1..HNE"]
    assert all(record.timing == 100 and record.flags & WaveFlag.CLOCK_LOCKED for record in found)
    first = found[0]
    assert first.wall_ns is not None
    assert first.wall_ns <= told[0].onset_ns - 10 * S
    number = round((first.wall_ns - NOON - 0.3 * S) / STEP_NS) - 1
    counts = [count for record in found for count in from_record(record).counts]
    assert counts == [one[0] for one in ridgecrest()[number : number + len(counts)]]


async def test_quake_of_ten_minutes_ago_is_recorded_and_raises_no_alarm(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        await replay(site, 600.0, 0.0, 6000)
        assert site.alarms() == set()
        assert not site.is_siren_on
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert set(newest[1].quality) == {Quality.BAD_TIMEOUT}
    assert quakes(folder)[0].state == "onset"
    assert waveforms(folder)["CQ.YF1..HNE"]


async def test_clocks_that_drift_apart_disturb_nothing(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        stations: Stations = site.stations
        one = stations._all["quake-1"]
        for index, counts in enumerate(quiet(60)):
            taken_ns = (index + 1) * (STEP_NS + STEP_NS // 1000)  # 1 in 1000: worse than any
            site.clock.now_ns += STEP_NS
            site.clock.utc_ns += STEP_NS
            values = tuple(count / SENSITIVITY for count in counts)
            clock = TimeQuality(NOON + taken_ns - site.clock.now_ns)
            site.acquisition.take(Scan("acc-1.motion", site.clock.now_ns, values, (0, 0, 0), clock))
            if index % RATE_HZ == 0:
                list(stations.tick())
        assert one._instrument.level().is_settled
        assert abs(one.newest_ns - site.clock.now_ns) < S
    assert Clocks().now_ns < one.newest_ns


async def feed(site: Site, counts: Counts, off_ns: int) -> None:
    """The next sample, by an instrument whose clock is so far ahead of ours."""
    site.clock.pass_s(1 / RATE_HZ)
    values = tuple(count / SENSITIVITY for count in counts)
    clock = TimeQuality(site.clock.utc_ns + off_ns - site.clock.now_ns)
    site.acquisition.take(Scan("acc-1.motion", site.clock.now_ns, values, (0, 0, 0), clock))
    await site.tick()


@pytest.mark.parametrize("years", [73, -20])
async def test_own_clock_that_jumps_for_a_moment_stops_nothing(folder: Path, years: int) -> None:
    async with start(folder, configuration(station(pre_s=10))) as site:
        one = site.stations._all["quake-1"]
        for seconds, off_ns in ((20, 0), (20, years * 365 * 86_400 * S), (60, 0)):
            for counts in quiet(seconds):
                await feed(site, counts, off_ns)
                newest = site.newest.of("quake-1.motion")
                assert newest is None or newest[1].mono_ns <= site.clock.now_ns
        assert newest is not None
        assert site.clock.now_ns - newest[1].mono_ns <= 10 * S
        assert len(one._recording._waiting) <= 3 * 20
        for counts in ridgecrest()[:4000]:
            await feed(site, counts, 0)
        assert VI in site.alarms()
    assert [quake.state for quake in quakes(folder)].count("onset") == 1
    found = waveforms(folder)["CQ.YF1..HNE"]
    assert sum(record.samples for record in found) <= 51 * RATE_HZ, "of the quake and 10 s before"


async def test_door_is_judged_by_samples_up_to_then_though_they_come_late(folder: Path) -> None:
    both = station(1, coincidence={"station": "quake-2", "within_s": 2}), station(2)
    async with start(folder, configuration(*both)) as site:
        began_ns = site.clock.now_ns
        shaken = [*quiet(29.5), *slam(), *quiet(9)]
        for first in range(0, 4000, RATE_HZ):
            site.clock.pass_s(1)
            if first == 30 * RATE_HZ:  # the records of the second after the onset are held up
                for _ in range(3):
                    site.clock.pass_s(1)
                    await site.tick()
            for number in range(first, first + RATE_HZ):
                for one in (1, 2):
                    values = tuple(count / SENSITIVITY for count in shaken[number])
                    clock = TimeQuality(site.clock.utc_ns - site.clock.now_ns)
                    taken_ns = began_ns + number * STEP_NS
                    if one == 1 or number > 30.2 * RATE_HZ:  # the other feels it a moment later
                        site.acquisition.take(Scan(f"acc-{one}.motion", taken_ns, values, (0, 0, 0), clock))
                    else:
                        still = Scan(f"acc-{one}.motion", taken_ns, (number % 2 * 1e-5,) * 3, (0, 0, 0), clock)
                        site.acquisition.take(still)
            await site.tick()
    told = [quake for quake in quakes(folder) if quake.station == "CQ.YF1"]
    assert told[0].state == "onset"
    assert not any(quake.state == "rejected" for quake in told)


async def test_records_that_take_long_to_fill_are_no_silence(folder: Path) -> None:
    """SeedLink of 40 samples/s in quiet: a record every 10 s."""
    async with start(folder, configuration(station())) as site:
        began_ns = site.clock.now_ns
        for first in range(0, 6000, 10 * RATE_HZ):
            for _ in range(10):
                site.clock.pass_s(1)
                await site.tick()
            for number, counts in enumerate(ridgecrest()[first : first + 10 * RATE_HZ], first):
                values = tuple(count / SENSITIVITY for count in counts)
                clock = TimeQuality(site.clock.utc_ns - site.clock.now_ns, 100)
                taken_ns = began_ns + number * STEP_NS
                site.acquisition.take(Scan("acc-1.motion", taken_ns, values, (0, 0, 0), clock))
        for _ in range(60):
            site.clock.pass_s(1)
            await site.tick()
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert set(newest[1].quality) == {Quality.BAD_TIMEOUT}
    told = quakes(folder)
    assert [quake.state for quake in told].count("closed") == 1
    assert told[-1].reason == "the instrument fell silent"
    assert told[-1].intensity_gb > 9
