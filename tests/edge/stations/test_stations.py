"""An earthquake on a gateway: the Ridgecrest record goes through a real acquisition, spool and all."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import Scan
from edge.settings import Configuration, SpoolSettings
from edge.store import Store
from seismic.packet import from_record
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
    records,
    ridgecrest,
    slam,
    station,
)
from wire.record import AlarmRecord, Lane, ScanRecord, WaveFlag, WaveformRecord
from wire.sample import Quality

VI = "quake-1.intensity_gb:vi"
SHORT = {"pre_s": 10, "post_s": 5}
QUIET_S = 70
"""The quake ends after 10 s, the alarm clears after another 30 s, at the next heartbeat."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@asynccontextmanager
async def start(
    folder: Path, running: Configuration, clock: Clocks | None = None, *, is_cut: bool = False, max_bytes: int = 10**9
) -> AsyncIterator[Site]:
    """Run a gateway; ``is_cut`` ends it by a power cut: what was not committed is gone."""
    clock = clock or Clocks()
    store = await Store.open(folder / "spool.sqlite3", SpoolSettings(max_bytes=max_bytes, min_free_bytes=0), clock)
    site = Site(store, clock, running, folder)
    site.begin(running, await store.standings())
    yield site
    if is_cut:
        await store.commit()
        cut = folder.with_name("cut")
        shutil.copytree(folder, cut)
        await store.close()
        shutil.rmtree(folder)
        cut.rename(folder)
        return
    await site.stations.close()
    await store.close()


def at_s(ns: int) -> float:
    """Seconds since the start of the story."""
    return (ns - Clocks().now_ns) / S


def waveforms(folder: Path) -> dict[str, list[WaveformRecord]]:
    found: dict[str, list[WaveformRecord]] = defaultdict(list)
    for record in records(folder, Lane.WAVEFORMS):
        if isinstance(record, WaveformRecord):
            found[record.stream].append(record)
    return found


def sent(found: list[WaveformRecord]) -> dict[int, int]:
    """The counts that were sent, by the number of their sample in the story. Each comes once."""
    samples: dict[int, int] = {}
    for record in found:
        first = round((record.mono_ns - Clocks().now_ns) / STEP_NS) - 1
        for number, count in enumerate(from_record(record).counts, first):
            assert number not in samples
            samples[number] = count
    return samples


async def test_ridgecrest_raises_alarm_output_quake_and_waveforms_within_a_second_of_its_peak(folder: Path) -> None:
    story: list[Counts] = [*ridgecrest(), *quiet(QUIET_S)]
    raised_s: list[float] = []
    siren_s: list[float] = []
    async with start(folder, configuration(station(**SHORT))) as site:
        for counts in story:
            await site.sample(counts)
            if VI in site.alarms() and not raised_s:
                raised_s.append(at_s(site.clock.now_ns))
            if site.is_siren_on and not siren_s:
                siren_s.append(at_s(site.clock.now_ns))
        assert site.alarms() == set()
    told = quakes(folder)
    assert told[0].state == "onset"
    assert {record.state for record in told} == {"onset", "p-wave", "grown", "closed"}
    assert [record.state for record in told].count("closed") == 1
    assert len({record.quake for record in told}) == 1
    last = told[-1]
    assert last.state == "closed"
    assert last.station == "CQ.YF1"
    assert last.quake == told[0].onset_ns
    assert last.peak_ns is not None
    assert last.onset_ns is not None
    assert 22.40 <= (last.onset_ns - NOON) / S <= 22.75
    assert last.intensity_gb == pytest.approx(9.61, abs=0.05)
    assert last.intensity_jma == pytest.approx(5.775, abs=0.05)
    assert last.pga_gal == pytest.approx(509.8, rel=0.015)
    peak_s = (last.peak_ns - NOON) / S
    assert raised_s[0] <= peak_s + 1
    assert siren_s == raised_s
    whole = next(record for record in told if record.intensity_gb >= last.intensity_gb - 0.05)
    assert whole.wall_ns is not None
    assert (whole.wall_ns - NOON) / S <= peak_s + 1
    assert told[0].wall_ns is not None
    assert (told[0].wall_ns - NOON) / S - 22.40 <= 0.5

    alarms = [record for record in records(folder, Lane.ALARMS) if isinstance(record, AlarmRecord)]
    changes = [(record.alarm.partition(":")[2], record.change) for record in alarms]
    assert changes == [("v", "raised"), ("vi", "raised"), ("vii", "raised"), *changes[3:]]
    assert sorted(changes[3:]) == [("v", "cleared"), ("vi", "cleared"), ("vii", "cleared")]

    for column, channel in enumerate(("HNE", "HNN", "HNZ")):
        found = waveforms(folder)[f"CQ.YF1..{channel}"]
        samples = sent(found)
        assert all(record.flags & WaveFlag.EVENT for record in found)
        assert {number: story[number][column] for number in samples} == samples
        first, end = min(samples), max(samples) + 1
        assert len(samples) == end - first
        assert first / RATE_HZ <= (last.onset_ns - NOON) / S - 10
        assert end / RATE_HZ >= (last.wall_ns - NOON) / S + 5
        assert end / RATE_HZ <= (last.wall_ns - NOON) / S + 7


async def test_samples_cost_no_records_and_the_live_view_gets_one_a_second(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        shown = 0
        before = None
        for counts in quiet(20):
            await site.sample(counts)
            newest = site.newest.of("acc-1.motion")
            shown += newest is not before
            before = newest
        assert shown <= 21
        health = site.acquisition.groups()["quake-1.motion"]
        assert health.due == health.good
        assert health.difference == 0
    scans = [record for record in records(folder, Lane.MEASUREMENTS) if isinstance(record, ScanRecord)]
    assert 2 <= len(scans) <= 4
    assert {len(scan.values) for scan in scans} == {8}


async def test_alarm_on_a_raw_sample_is_watched_all_the_same(folder: Path) -> None:
    rule = {"tag": "acc-1.ax", "level": "high", "limit": 0.02}
    async with start(folder, configuration(station(), alarms=[rule])) as site:
        await site.play(quiet(1))
        assert site.alarms() == set()
        await site.sample((30_000, 0, 0))
        assert site.alarms() == {"acc-1.ax:high"}


async def test_alarm_on_the_trigger_is_up_within_half_a_second_of_it(folder: Path) -> None:
    rule = {"tag": "quake-1.triggered", "level": "discrete", "equals": 1, "priority": 1, "outputs": ["siren"]}
    async with start(folder, configuration(station(), alarms=[rule])) as site:
        for counts in ridgecrest():
            await site.sample(counts)
            if site.is_siren_on:
                break
        assert 22.40 <= at_s(site.clock.now_ns) <= 22.75 + 0.5


async def test_two_stations_agree_on_ridgecrest(folder: Path) -> None:
    pair = {"coincidence": {"station": "quake-2", "within_s": 2}}
    late = chain(quiet(0.4, 2), ridgecrest())
    story = [*ridgecrest(), *quiet(20)]
    async with start(folder, configuration(station(**pair), station(2))) as site:
        await site.play(story[:6000], list(late)[:6000])
        assert VI in site.alarms()
        assert site.is_siren_on
    states = [(record.station, record.state) for record in quakes(folder)]
    assert ("CQ.YF1", "rejected") not in states
    onset = next(record for record in quakes(folder) if record.station == "CQ.YF1")
    assert (onset.state, onset.reason) == ("onset", "")


async def test_two_stations_that_name_each_other_count_together(folder: Path) -> None:
    pair = [station(number, coincidence={"station": f"quake-{3 - number}", "within_s": 2}) for number in (1, 2)]
    late = [*quiet(0.4, 2), *ridgecrest()]
    async with start(folder, configuration(*pair)) as site:
        await site.play(ridgecrest()[:4500], late[:4500])
        assert VI in site.alarms()
    told = quakes(folder)
    assert {record.state for record in told} == {"onset", "p-wave", "grown", "closed"}
    assert {record.station: record.state for record in reversed(told)} == {"CQ.YF1": "onset", "CQ.YF2": "onset"}
    assert len({record.mono_ns for record in told[:2]}) == 2


async def test_door_that_slams_at_one_of_two_stations_is_rejected(folder: Path) -> None:
    pair = {"coincidence": {"station": "quake-2", "within_s": 2}}
    async with start(folder, configuration(station(**pair), station(2))) as site:
        story = [*quiet(40), *slam(), *quiet(30, 3)]
        await site.play(story, list(quiet(len(story) / RATE_HZ, 2)))
        assert site.alarms() == set()
    (told,) = quakes(folder)
    assert (told.state, told.reason.split(";")[0]) == ("rejected", "station 'quake-2' has not triggered within 2 s")
    assert waveforms(folder) == {}


async def test_door_that_slams_at_a_station_alone_counts(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        await site.play([*quiet(40), *slam(), *quiet(30, 3)])
    assert quakes(folder)[0].state == "onset"


async def test_station_is_not_kept_waiting_by_one_that_is_dead(folder: Path) -> None:
    pair = {"coincidence": {"station": "quake-2", "within_s": 2}}
    async with start(folder, configuration(station(**pair), station(2))) as site:
        for counts in ridgecrest()[:5000]:
            await site.sample(counts, None)
        assert VI in site.alarms()
    assert quakes(folder)[0].reason == "station 'quake-2' gives no samples: counted without it"


async def test_sensor_that_is_turned_off_in_mid_event_closes_the_quake_and_holds_the_alarm(folder: Path) -> None:
    async with start(folder, configuration(station(**SHORT))) as site:
        await site.play(ridgecrest()[:4500])
        assert VI in site.alarms()
        await site.pass_s(20)
        assert VI in site.alarms()
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert newest[1].values == (None,) * 8
        assert set(newest[1].quality) == {Quality.BAD_TIMEOUT}
        await site.play(quiet(120))
        assert site.alarms() == set()
    told = quakes(folder)
    assert told[-1].state == "closed"
    assert told[-1].quality == Quality.UNCERTAIN_PARTIAL
    assert "fell silent" in told[-1].reason
    numbers = sorted(sent(waveforms(folder)["CQ.YF1..HNZ"]))
    assert numbers[-1] == 4499


async def test_line_that_breaks_in_mid_event_is_told_at_once(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        await site.play(ridgecrest()[:4500])
        await site.sample((0, 0, 0), quality=int(Quality.BAD_LINK))
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert set(newest[1].quality) == {Quality.BAD_LINK}
        assert VI in site.alarms()


async def test_short_gap_in_mid_event_is_a_gap_in_the_packets_and_one_quake(folder: Path) -> None:
    async with start(folder, configuration(station(**SHORT))) as site:
        await site.play(ridgecrest()[:4000])
        await site.pass_s(2)
        await site.play([*ridgecrest()[4200:], *quiet(QUIET_S)])
    told = quakes(folder)
    assert [record.state for record in told].count("closed") == 1
    assert len({record.quake for record in told}) == 1
    found = waveforms(folder)["CQ.YF1..HNE"]
    samples = sent(found)
    story = ridgecrest()
    assert all(samples[number] == story[number][0] for number in samples if number < len(story))
    assert not set(range(4000, 4200)) & samples.keys()
    behind = [record for record in found if round((record.mono_ns - Clocks().now_ns) / STEP_NS) - 1 == 4200]
    assert [record.flags & WaveFlag.GAP_BEFORE for record in behind] == [WaveFlag.GAP_BEFORE]


async def test_instrument_that_clips_where_its_profile_says_is_no_failure(folder: Path) -> None:
    most = 100_000  # counts, 0.1 g: for a third of a second at a time
    running = configuration(station())
    (settings,) = running.stations
    channels = tuple(msgspec.structs.replace(one, clips_at=most) for one in settings.channels)
    running = msgspec.structs.replace(running, stations=(msgspec.structs.replace(settings, channels=channels),))
    async with start(folder, running) as site:
        for counts in ridgecrest():
            await site.sample([max(-most, min(most, count)) for count in counts])
    last = quakes(folder)[-1]
    assert last.quality == Quality.UNCERTAIN_RANGE
    assert last.reason == "HNE clipped; HNN clipped; HNZ clipped; the agent was stopped"
    assert last.pga_gal < 190, "the vector of three that are cut off at 98 gal, filtered"


async def test_instrument_of_another_rate_than_was_said_makes_all_uncertain(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        for index, counts in enumerate(ridgecrest()[:4500]):
            await site.sample(counts if index % 2 else None)
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert set(newest[1].quality) == {Quality.UNCERTAIN_INCONSISTENT}
        assert VI in site.alarms()
    last = quakes(folder)[-2]
    assert last.quality == Quality.UNCERTAIN_INCONSISTENT
    assert "50 samples a second come, not 100" in last.reason


async def test_dead_component_makes_the_quake_uncertain_and_the_alarm_none_the_less(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        await site.play([(east, north, 7) for east, north, _ in [*ridgecrest(), *quiet(QUIET_S)]])
        assert site.alarms() == set()
    told = quakes(folder)
    assert told[-1].state == "closed"
    assert told[-1].intensity_gb > 9
    assert told[-1].quality >= Quality.UNCERTAIN
    assert any(
        isinstance(record, AlarmRecord) and record.alarm == VI and record.change == "raised"
        for record in records(folder, Lane.ALARMS)
    )


async def test_value_that_is_no_number_or_beyond_32_bits_is_no_sample(folder: Path) -> None:
    async with start(folder, configuration(station(continuous=True))) as site:
        await site.play(quiet(20))
        for odd in (float("nan"), float("inf"), 1e9):
            await site.sample((odd, 1, 2))  # type: ignore[arg-type]
        await site.play(quiet(5))
    assert quakes(folder) == []


async def test_configuration_that_leaves_a_station_as_it_is_does_not_interrupt_a_quake(folder: Path) -> None:
    running = configuration(station(**SHORT))
    async with start(folder, running) as site:
        await site.play(ridgecrest()[:4500])
        changed = configuration(station(**SHORT), alarms=[{"tag": "quake-1.pga", "level": "high", "limit": 2000}])
        site.begin(changed, dict(site.acquisition.remembered()))
        assert VI in site.alarms()
        assert site.is_siren_on
        await site.play([*ridgecrest()[4500:], *quiet(QUIET_S)])
    told = quakes(folder)
    assert [record.state for record in told].count("onset") == 1
    assert told[-1].intensity_gb == pytest.approx(9.61, abs=0.05)
    samples = sent(waveforms(folder)["CQ.YF1..HNN"])
    assert sorted(samples) == list(range(min(samples), max(samples) + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"pre_s": 11},
        {"post_s": 3, "keep_days": 1},
        {"continuous": True},
        {"coincidence": {}},
        {"coincidence": {"station": "quake-2", "within_s": 9}},
        {"structure": {"lower": "quake-2", "reference_hz": 0.5}},
    ],
    ids=str,
)
async def test_configuration_that_changes_what_is_kept_sent_or_waited_for_loses_no_quake(
    folder: Path, change: dict[str, Any]
) -> None:
    """It comes between the P wave and what shakes: an analyser that began there would take that for noise."""
    both = station(1, coincidence={"station": "quake-2", "within_s": 5}), station(2)
    async with start(folder, configuration(*both)) as site:
        await site.play(ridgecrest()[:2400], ridgecrest()[:2400])
        assert not site.alarms()
        changed = station(1, **{"coincidence": both[0]["coincidence"], **change}), station(2)
        site.begin(configuration(*changed), dict(site.acquisition.remembered()))
        await site.play(ridgecrest()[2400:4500], ridgecrest()[2400:4500])
        assert VI in site.alarms()
        assert site.is_siren_on
    told = [record.state for record in quakes(folder) if record.station == "CQ.YF1"]
    assert (told.count("onset"), told.count("closed"), told.count("rejected")) == (1, 1, 0)
    samples = sent(waveforms(folder)["CQ.YF1..HNN"])
    assert sorted(samples) == list(range(min(samples), max(samples) + 1))


async def test_quake_that_waits_for_another_counts_once_it_is_not_to_wait_any_more(folder: Path) -> None:
    both = station(1, coincidence={"station": "quake-2", "within_s": 60}), station(2)
    async with start(folder, configuration(*both)) as site:
        await site.play(ridgecrest()[:4500], quiet(45))
        assert not site.alarms()
        site.begin(configuration(station(1), station(2)), dict(site.acquisition.remembered()))
        await site.play(ridgecrest()[4500:4510], quiet(0.1))
        assert VI in site.alarms()


async def test_configuration_that_changes_a_station_closes_its_quake_and_holds_the_alarm(folder: Path) -> None:
    async with start(folder, configuration(station())) as site:
        await site.play(ridgecrest()[:4500])
        site.begin(configuration(station(analyser={"settle_s": 6})), dict(site.acquisition.remembered()))
        await site.play(ridgecrest()[4500:4800])
        assert VI in site.alarms()
    told = quakes(folder)
    assert told[-1].state == "closed"
    assert "the configuration was changed" in told[-1].reason


async def test_agent_that_is_stopped_in_mid_event_closes_the_quake_and_loses_no_sample(folder: Path) -> None:
    async with start(folder, configuration(station(**SHORT))) as site:
        await site.play(ridgecrest()[:4550])
    told = quakes(folder)
    assert told[-1].state == "closed"
    assert "the agent was stopped" in told[-1].reason
    assert max(sent(waveforms(folder)["CQ.YF1..HNE"])) == 4549


async def test_power_cut_in_mid_event_closes_the_quake_at_the_next_start_and_waveforms_go_on(folder: Path) -> None:
    running = configuration(station(**SHORT))
    clock = Clocks()
    async with start(folder, running, clock, is_cut=True) as site:
        await site.play(ridgecrest()[:4500])
    cut = quakes(folder)
    assert cut[-1].state == "grown"
    async with start(folder, running, clock) as site:
        assert VI in site.alarms()
        assert site.is_siren_on
        await site.play(ridgecrest()[4500:6000])
    told = quakes(folder)
    closed = [record for record in told if record.reason == "the agent ended before the quake did"]
    assert [(record.state, record.quake) for record in closed] == [("closed", cut[0].quake)]
    assert closed[0].intensity_gb == cut[-1].intensity_gb
    samples = sent(waveforms(folder)["CQ.YF1..HNE"])
    assert {4500, 4999} <= samples.keys()


async def test_quake_that_was_left_open_is_closed_once(folder: Path) -> None:
    running = configuration(station())
    async with start(folder, running, is_cut=True) as site:
        await site.play(ridgecrest()[:4500])
    for _ in range(2):
        async with start(folder, running) as site:
            await site.play(quiet(3))
    assert [record.state for record in quakes(folder)].count("closed") == 1


async def test_full_spool_gives_up_waveforms_and_keeps_every_alarm_and_quake(folder: Path) -> None:
    async with start(folder, configuration(station(continuous=True)), max_bytes=1_000_000) as site:
        for number in range(40):
            bulk = WaveformRecord(
                "CQ.YF1..HNE", number, None, 100.0, 6000, "delta-rice", random.Random(1).randbytes(24_000)
            )
            site.store.put_waveform(bulk)
            await site.store.commit()
        for index, counts in enumerate(ridgecrest()):
            await site.sample(counts)
            if index % 500 == 0:
                await site.store.commit()
        await site.store.commit()
        figures = site.store.figures
        assert figures.accounts[Lane.WAVEFORMS].tombstoned > 0
        assert figures.accounts[Lane.MEASUREMENTS].tombstoned == 0
        assert figures.accounts[Lane.ALARMS].tombstoned == 0
    assert [record.state for record in quakes(folder)].count("closed") >= 1
    raised = [r for r in records(folder, Lane.ALARMS) if isinstance(r, AlarmRecord) and r.alarm == VI]
    assert raised[0].change == "raised"


async def test_siren_is_told_before_the_quake_is_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    async with start(folder, configuration(station())) as site:
        put = site.store.put_event

        def note(record: Any) -> None:
            order.append(type(record).__name__ + (f":{record.state}" if hasattr(record, "state") else ""))
            put(record)

        monkeypatch.setattr(site.store, "put_event", note)
        applied = site.acquisition._outputs["siren"].apply
        monkeypatch.setattr(
            site.acquisition._outputs["siren"], "apply", lambda *given: (order.append("siren"), applied(*given))
        )
        await site.play(ridgecrest()[:4000])
    first = order.index("siren")
    assert order[first + 1 : first + 3] == ["AlarmRecord", "QuakeRecord:grown"]


async def test_quake_on_a_gateway_that_was_never_told_the_time_has_that_of_its_boot(folder: Path) -> None:
    clock = Clocks(wall_ns=0)
    async with start(folder, configuration(station(pre_s=5)), clock) as site:
        await site.play(ridgecrest()[:4000])
        assert VI in site.alarms()
    told = quakes(folder)
    assert {record.wall_ns for record in told} == {None}
    assert told[0].onset_ns is None
    assert 22.40 <= at_s(told[0].quake) <= 22.75
    found = waveforms(folder)["CQ.YF1..HNE"]
    assert {record.wall_ns for record in found} == {None}
    assert max(sent(found)) == 3999


async def test_samples_that_come_twice_or_out_of_order_are_no_quake(folder: Path) -> None:
    order = random.Random(1)
    async with start(folder, configuration(station(continuous=True))) as site:
        for counts in quiet(60):
            await site.sample(counts)
            back_ns = order.choice((0, 0, 0, 0, 1, 2, 300)) * STEP_NS
            if back_ns:
                values = tuple(count / SENSITIVITY for count in counts)
                site.acquisition.take(Scan("acc-1.motion", site.clock.now_ns - back_ns, values, (0, 0, 0)))
        newest = site.newest.of("quake-1.motion")
        assert newest is not None
        assert newest[1].values[6] == 0
    assert quakes(folder) == []
    counted = sum(record.samples for record in waveforms(folder)["CQ.YF1..HNE"])
    assert counted >= 60 * RATE_HZ
