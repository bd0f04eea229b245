"""The analyser on real records, and on what befalls instruments."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic.analyser import Analyser, AnalyserSettings, Component, Report
from seismic.errors import SeismicError
from seismic.settings import TriggerSettings
from seismic.spectrum import PERIODS
from tests.seismic.records import (
    EAST,
    START_NS,
    THREE,
    UP,
    Row,
    S,
    after_s,
    fed,
    knet,
    noise,
    ridgecrest,
    rows,
)
from wire.sample import Quality, is_good

RIDGECREST = rows(ridgecrest())
TIMES = [START_NS + at * S // 100 for at in range(len(RIDGECREST))]
QUIET = list(noise(60))
PEAK_S = 39.38


def copied(samples: list[Row]) -> list[Row]:
    return [list(row) for row in samples]


def states(reports: list[Report]) -> list[str]:
    return [report.state for report in reports]


def last(reports: list[Report]) -> Report:
    assert states(reports).count("closed") == 1
    assert reports[-1].state == "closed"
    return reports[-1]


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    return fed(RIDGECREST)


# Ridgecrest


def test_ridgecrest_triggers_on_its_p_wave_and_not_on_its_pre_shocks(reports) -> None:
    assert states(reports)[0] == "onset"
    assert 22.40 <= after_s(reports[0].onset_at_ns) <= 22.75
    assert 22.40 <= after_s(reports[0].at_ns) <= 22.75
    assert states(reports).count("onset") == states(reports).count("closed") == 1


def test_ridgecrest_closes_with_the_reference_values(reports) -> None:
    closed = last(reports)
    assert closed.pga_gal == pytest.approx(509.79, rel=1e-3)
    assert closed.pgv_cm_s == pytest.approx(88.37, rel=1e-3)
    assert closed.pgd_cm == pytest.approx(30.4, rel=0.02)
    assert closed.intensity_gb == pytest.approx(9.609, abs=0.005)
    assert closed.intensity_jma == pytest.approx(5.775, abs=0.05)
    assert (closed.grade, closed.quality, closed.reason) == (10, 0, "")
    assert after_s(closed.peak_at_ns) == pytest.approx(PEAK_S, abs=0.005)
    assert len(closed.spectrum) == len(PERIODS)
    assert closed.spectrum[0] > closed.pga_gal


def test_the_peak_is_told_within_a_second_of_it(reports) -> None:
    told = next(report for report in reports if report.pga_gal > 0.9999 * reports[-1].pga_gal)
    assert 0 <= after_s(told.at_ns) - PEAK_S <= 0.3


def test_the_p_wave_is_told_within_half_a_second_of_the_trigger_and_again_when_its_window_is_full(reports) -> None:
    onset, first, full = [report for report in reports if report.state in {"onset", "p-wave"}]
    assert 0 < first.at_ns - onset.at_ns <= 0.5 * S
    assert first.magnitude is None
    assert first.tau_c_s is None
    assert first.pd_cm is not None
    assert full.at_ns - onset.at_ns == pytest.approx(3 * S, abs=0.05 * S)
    assert full.tau_c_s is not None
    assert full.pd_cm > first.pd_cm
    assert full.magnitude_error == 0.412
    assert reports[-1].magnitude == full.magnitude


def test_growth_comes_at_most_every_quarter_second_or_with_a_higher_class_and_never_shrinks(reports) -> None:
    grown = [report for report in reports if report.state == "grown"]
    for earlier, later in pairwise(grown):
        assert later.at_ns - earlier.at_ns >= 0.25 * S or later.grade > earlier.grade
    for earlier, later in pairwise(reports):
        for name in ("pga_gal", "pgv_cm_s", "pgd_cm", "intensity_jma", "grade", "duration_s"):
            assert getattr(later, name) >= getattr(earlier, name)
    assert len(grown) < 100


def test_a_higher_class_is_told_with_the_sample_that_reaches_it(reports) -> None:
    risen = [later for earlier, later in pairwise(reports) if later.grade > earlier.grade and later.state == "grown"]
    assert [report.grade for report in risen][-3:] == [8, 9, 10]
    for report in risen[-3:]:
        assert fed(RIDGECREST[: TIMES.index(report.at_ns)])[-1].grade == report.grade - 1


def test_one_g_on_the_vertical_changes_nothing(reports) -> None:
    lifted = fed([[east, north, up + 9.80665] for east, north, up in RIDGECREST])
    assert len(lifted) == len(reports)
    assert lifted[-1].pga_gal == pytest.approx(reports[-1].pga_gal, rel=1e-9)
    assert lifted[-1].intensity_gb == reports[-1].intensity_gb


def test_a_turned_instrument_measures_the_same(reports) -> None:
    c, s = math.cos(1.1), math.sin(1.1)
    turned = fed([[c * east - s * north, s * east + c * north, up] for east, north, up in RIDGECREST])
    assert turned[-1].pga_gal == pytest.approx(reports[-1].pga_gal, rel=1e-6)
    assert turned[-1].spectrum == pytest.approx(reports[-1].spectrum, rel=1e-6)


def test_a_recording_at_200_samples_a_second_measures_the_same(reports) -> None:
    doubled: list[Row] = []
    for one, two in pairwise(RIDGECREST):
        doubled += [one, [(a + b) / 2 for a, b in zip(one, two, strict=True)]]
    closed = last(fed(doubled, rate_hz=200.0))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.03)
    assert closed.pgv_cm_s == pytest.approx(reports[-1].pgv_cm_s, rel=0.01)


def test_velocities_are_differentiated(reports) -> None:
    means = [sum(column) / len(column) for column in zip(*RIDGECREST, strict=True)]
    velocity, integrated = [0.0] * 3, []
    for row in RIDGECREST:
        velocity = [v + (a - mean) / 100 for v, a, mean in zip(velocity, row, means, strict=True)]
        integrated.append(velocity)
    geophones = [
        Component(name=each.name, azimuth_deg=each.azimuth_deg, dip_deg=each.dip_deg, quantity="velocity")
        for each in THREE
    ]
    closed = last(fed(integrated, geophones))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.001)


def test_a_single_component_measures_and_tells_nothing_of_a_p_wave_without_a_vertical() -> None:
    closed = last(fed(rows(knet()), knet().components))
    assert closed.pga_gal == pytest.approx(2.8205, rel=1e-3)
    assert closed.pgv_cm_s == pytest.approx(0.696, rel=0.01)
    assert closed.pd_cm is None
    assert len(closed.spectrum) == len(PERIODS)
    assert last(fed([[up] for *_, up in RIDGECREST], [UP])).spectrum == ()


def test_a_geophones_local_event_raises_no_strong_motion_alarm() -> None:
    import obspy

    samples = list(zip(*((trace.data / 2.5168e9).tolist() for trace in obspy.read()), strict=True))
    geophones = [Component(name=name, quantity="velocity") for name in "ZNE"]
    assert fed(samples, geophones) == []
    assert fed(samples, geophones, settings=AnalyserSettings(settle_s=1)) == []
    sensitive = AnalyserSettings(settle_s=1, trigger=TriggerSettings(floor_gal=0.0005))
    assert states(fed(samples, geophones, settings=sensitive))[0] == "onset", "it is seen, and far below the floor"


def test_an_event_that_ends_is_closed_and_the_next_one_is_another() -> None:
    burst = RIDGECREST[2200:4500]
    found = fed([*QUIET, *burst, *QUIET, *burst, *QUIET])
    closed = [report for report in found if report.state == "closed"]
    assert states(found).count("onset") == len(closed) == 2
    assert closed[0].onset_at_ns != closed[1].onset_at_ns
    assert 15 < closed[0].duration_s < 40
    assert all(is_good(report.quality) for report in closed)


def test_motion_that_does_not_end_is_closed_and_taken_for_quiet() -> None:
    source = random.Random(1)
    shaking = [[source.gauss(0, 0.1) for _ in range(3)] for _ in range(9000)]
    found = fed([*QUIET, *shaking], settings=AnalyserSettings(longest_s=30))
    assert states(found).count("onset") == 1
    assert found[-1].state == "closed"
    assert "still moving" in found[-1].reason


def test_the_level_tells_how_things_stand() -> None:
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    assert not analyser.level().is_settled
    for at, row in enumerate(QUIET[:3000]):
        analyser.take(START_NS + at * S // 100, row)
    level = analyser.level()
    assert level.is_settled
    assert not level.is_triggered
    assert 0.001 < level.noise_gal < 0.1
    assert level.quality == Quality.GOOD


# What befalls instruments


@pytest.mark.parametrize("size", [0.03, 0.1, 0.5, 5.0, -9.8])
@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_an_offset_that_comes_and_stays_is_no_event(size, gain) -> None:
    samples = list(noise(60, gain=gain))
    for row in samples[3000:]:
        row[0] += size
    assert fed(samples) == []


def test_behind_an_offset_an_earthquake_is_found_as_before(reports) -> None:
    samples = [*copied(QUIET), *copied(RIDGECREST[1000:])]
    for row in samples[3000:]:
        row[1] += 5.0
    found = fed(samples)
    assert states(found).count("onset") == 1
    assert found[-1].pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.01)


@pytest.mark.parametrize("at", [2300, 3300, 3900, 6000])
def test_an_offset_that_comes_in_an_event_adds_nothing_to_it(at, reports) -> None:
    samples = copied(RIDGECREST)
    for row in samples[at:]:
        row[0] += 30.0
    closed = last(fed(samples))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.02)
    assert closed.pgv_cm_s == pytest.approx(reports[-1].pgv_cm_s, rel=0.05)
    assert closed.quality == Quality.UNCERTAIN_STEP
    assert "E jumped" in closed.reason


@pytest.mark.parametrize("width", [1, 2])
def test_spikes_are_no_events(width) -> None:
    assert fed(with_spikes(QUIET, 40, width, 5.0)) == []


def test_spikes_in_an_event_are_left_out_and_told(reports) -> None:
    closed = last(fed(with_spikes(RIDGECREST, 30, 1, 30.0)))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.02)
    assert closed.quality == Quality.UNCERTAIN_STEP
    assert "spikes" in closed.reason


def with_spikes(samples: list[Row], count: int, width: int, size: float) -> list[Row]:
    source, found = random.Random(3), copied(samples)
    for at in source.sample(range(1000, len(found) - 10, 10), count):
        component, sign = source.randrange(3), source.choice((-1, 1))
        for row in found[at : at + width]:
            row[component] += sign * size
    return found


@pytest.mark.parametrize("value", [None, 0.0, 9.8, 1e9, math.nan, math.inf])
def test_a_component_that_dies_in_quiet_is_no_event_and_shows(value) -> None:
    samples = [[east, north, up + 9.8] for east, north, up in QUIET] * 2
    for row in samples[3000:]:
        row[2] = value
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    for at, row in enumerate(samples):
        assert analyser.take(START_NS + at * S // 100, row) is None
    assert analyser.level().quality == Quality.UNCERTAIN_PARTIAL


def test_an_instrument_that_is_dead_altogether_shows() -> None:
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    for at in range(6000):
        assert analyser.take(START_NS + at * S // 100, [0.0, 0.0, 9.8]) is None
    assert analyser.level().quality == Quality.BAD_SENSOR


@pytest.mark.parametrize("value", [None, 0.0, 9.8, 300.0, math.nan])
@pytest.mark.parametrize("at", [2300, 3300])
def test_a_component_that_dies_in_an_event_adds_nothing_to_it(value, at, reports) -> None:
    samples = [[east, north, up + 9.8] for east, north, up in RIDGECREST]
    for row in samples[at:]:
        row[2] = value
    closed = last(fed(samples))
    assert 0.8 * reports[-1].pga_gal < closed.pga_gal <= reports[-1].pga_gal
    assert closed.pgv_cm_s == pytest.approx(reports[-1].pgv_cm_s, rel=0.1)
    assert closed.quality in {Quality.UNCERTAIN_PARTIAL, Quality.UNCERTAIN_RANGE}
    assert "Z" in closed.reason


def test_an_event_of_a_component_alone_that_then_fails_is_rejected() -> None:
    source = random.Random(2)
    samples = copied(QUIET)
    for row in samples[3000:3100]:
        row[0] += source.gauss(0, 1.0)
    for row in samples[3100:]:
        row[0] = 40.0
    found = fed(samples)
    assert states(found)[0] == "onset"
    assert found[-1].state == "rejected"
    assert "failed" in found[-1].reason
    assert found[-1].at_ns - found[0].at_ns < 3 * S


@pytest.mark.parametrize("full_scale_m_s2", [None, 2.0])
def test_a_clipped_record_is_told_as_the_least_that_it_was(full_scale_m_s2, reports) -> None:
    clipped = [[max(-2.0, min(2.0, value)) for value in row] for row in RIDGECREST]
    closed = last(fed(clipped, settings=AnalyserSettings(full_scale_m_s2=full_scale_m_s2)))
    assert closed.quality == Quality.UNCERTAIN_RANGE
    assert "clipped" in closed.reason
    assert 200 < closed.pga_gal < reports[-1].pga_gal


def test_samples_that_come_twice_change_nothing_but_the_quality(reports) -> None:
    order = [*range(3500), *range(2900, 12000)]
    closed = last(fed([RIDGECREST[at] for at in order], times=[TIMES[at] for at in order]))
    assert closed.pga_gal == reports[-1].pga_gal
    assert closed.intensity_gb == reports[-1].intensity_gb
    assert closed.quality == Quality.UNCERTAIN_STATUS


def test_a_packet_that_comes_reversed_is_a_short_gap(reports) -> None:
    order = [*range(3000), *reversed(range(3000, 3050)), *range(3050, 12000)]
    closed = last(fed([RIDGECREST[at] for at in order], times=[TIMES[at] for at in order]))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.01)
    assert closed.quality == Quality.UNCERTAIN_PARTIAL


def test_packets_that_change_places_are_a_short_gap(reports) -> None:
    order = [*range(3000), *range(3050, 3100), *range(3000, 3050), *range(3100, 12000)]
    closed = last(fed([RIDGECREST[at] for at in order], times=[TIMES[at] for at in order]))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.01)
    assert "missing" in closed.reason
    assert "late" in closed.reason


def test_an_event_outlasts_a_short_gap(reports) -> None:
    closed = last(fed(RIDGECREST[:3300] + RIDGECREST[3400:], times=TIMES[:3300] + TIMES[3400:]))
    assert closed.pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.01)
    assert closed.pgv_cm_s == pytest.approx(reports[-1].pgv_cm_s, rel=0.06)
    assert closed.quality == Quality.UNCERTAIN_PARTIAL


def test_a_long_gap_ends_an_event_and_what_goes_on_is_a_new_one() -> None:
    found = fed(RIDGECREST[:3300] + RIDGECREST[4000:], times=TIMES[:3300] + TIMES[4000:])
    closed = [report for report in found if report.state == "closed"]
    assert [report.quality for report in closed] == [Quality.UNCERTAIN_PARTIAL, Quality.GOOD]
    assert "no samples for 7.0 s" in closed[0].reason
    assert closed[1].pga_gal > 400


def test_an_instrument_that_falls_silent_in_an_event_ends_it() -> None:
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    for at_ns, row in zip(TIMES[:3300], RIDGECREST, strict=False):
        analyser.take(at_ns, row)
    silent_ns = TIMES[3299]
    assert analyser.tick(silent_ns + 4 * S) is None
    closed = analyser.tick(silent_ns + 6 * S)
    assert closed is not None
    assert closed.state == "closed"
    assert closed.quality == Quality.UNCERTAIN_PARTIAL
    assert "silent" in closed.reason
    assert analyser.tick(silent_ns + 7 * S) is None
    assert not analyser.level().is_triggered
    for at, row in enumerate(QUIET):
        assert analyser.take(silent_ns + 60 * S + at * S // 100, row) is None


def test_the_last_word_of_an_instrument_that_is_turned_off_is_not_believed() -> None:
    found = fed([*RIDGECREST[:3300], [300.0, -300.0, 12.0]])
    assert found[-1].pga_gal < 150
    assert fed([*QUIET, [300.0, -300.0, 12.0]]) == []


@pytest.mark.parametrize("by_s", [3600, -3600, 86400 * 365])
def test_a_clock_that_jumps_in_quiet_is_no_event(by_s) -> None:
    samples = QUIET * 2
    times = [START_NS + at * S // 100 + (by_s * S if at > 6000 else 0) for at in range(len(samples))]
    assert fed(samples, times=times) == []


@pytest.mark.parametrize("by_s", [3600, -3600])
def test_a_clock_that_jumps_in_an_event_ends_it_and_begins_another(by_s) -> None:
    times = [at_ns + (by_s * S if at > 3300 else 0) for at, at_ns in enumerate(TIMES)]
    closed = [report for report in fed(RIDGECREST, times=times) if report.state == "closed"]
    assert closed[0].quality in {Quality.UNCERTAIN_PARTIAL, Quality.UNCERTAIN_STATUS}
    assert closed[0].pga_gal < 200
    assert closed[1].pga_gal > 500


def test_times_that_jitter_are_no_gaps(reports) -> None:
    source = random.Random(6)
    times = [at_ns + source.randrange(4_000_000) for at_ns in TIMES]
    closed = last(fed(RIDGECREST, times=times))
    assert closed.quality == Quality.GOOD
    assert closed.pga_gal == reports[-1].pga_gal


def test_the_sway_of_a_tall_building_is_an_event_once_it_has_swung() -> None:
    swaying = [
        [east + (0.05 * math.sin(2 * math.pi * 0.15 * (at - 2000) / 100) if at > 2000 else 0), north, up]
        for at, (east, north, up) in enumerate(QUIET)
    ]
    onset = fed(swaying)[0]
    assert 20 < after_s(onset.at_ns) < 26


def test_a_coarse_instrument_that_stood_still_wakes_with_the_earthquake(reports) -> None:
    step = 0.0048  # 0.5 mg, as of a WitMotion
    coarse = [[round(value / step) * step for value in row] for row in [*QUIET, *RIDGECREST[1000:]]]
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    found = [report for at, row in enumerate(coarse) if (report := analyser.take(START_NS + at * S // 100, row))]
    assert 72.3 < after_s(found[0].at_ns) < 72.8
    assert found[-1].pga_gal == pytest.approx(reports[-1].pga_gal, rel=0.02)
    assert found[-1].pgv_cm_s == pytest.approx(reports[-1].pgv_cm_s, rel=0.02)


def test_ten_minutes_of_noise_trigger_nothing() -> None:
    """The long run is `make bench ONLY=quake`."""
    for gain in (1.0, 50.0):
        assert fed(noise(600, seed=7, gain=gain)) == []


# Anything at all

_values = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 9.8, 1e-300, 999.9, -999.9, 1e308, math.nan, math.inf, -math.inf]),
    st.floats(-20, 20),
    st.floats(),
)
_steps = st.one_of(st.just(1), st.just(1), st.just(1), st.sampled_from([-(10**12), -1, 0, 2, 30, 1000, 10**5, 10**12]))
_runs = st.tuples(st.integers(1, 400), _steps, st.tuples(_values, _values, _values), st.floats(0, 5))


@settings(max_examples=60, deadline=None)
@given(st.lists(_runs, min_size=1, max_size=30), st.integers(0, 2**32))
def test_whatever_comes_reports_are_finite_in_order_and_every_event_ends_once(runs, seed) -> None:
    source = random.Random(seed)
    analyser = Analyser(100.0, THREE, AnalyserSettings(trigger=TriggerSettings(floor_gal=0.1)))
    at, found = 10**14, []
    for count, step, values, shake in runs:
        for _ in range(count):
            at += step
            row = [None if value is None else value + source.gauss(0, shake) for value in values]
            found.append(analyser.take(at * S // 100, row))
        found.append(analyser.tick(at * S // 100))
        analyser.level()
    found.append(analyser.finish())
    assert analyser.finish() is None
    is_running = False
    for report in found:
        if report is None:
            continue
        assert is_running == (report.state != "onset")
        is_running = report.state not in {"closed", "rejected"}
        for number in (report.pga_gal, report.pgv_cm_s, report.pgd_cm, report.duration_s, *report.spectrum):
            assert math.isfinite(number)
            assert number >= 0
        assert 1 <= report.grade <= 12
    assert not is_running


@pytest.mark.parametrize("rate_hz", [0, 20, 2000, math.nan])
def test_a_rate_that_cannot_be_judged_is_refused(rate_hz) -> None:
    with pytest.raises(SeismicError, match="samples/s"):
        Analyser(rate_hz, THREE, AnalyserSettings())


def test_an_instrument_has_one_to_three_components() -> None:
    for count in (0, 4):
        with pytest.raises(SeismicError, match="components"):
            Analyser(100.0, [EAST] * count, AnalyserSettings())
    with pytest.raises(SeismicError, match="2 values for 3"):
        Analyser(100.0, THREE, AnalyserSettings()).take(1, [0.0, 0.0])


def test_pd_and_tau_c_are_those_of_scipy_from_the_trigger_on(reports) -> None:
    import numpy as np
    from scipy.integrate import cumulative_trapezoid
    from scipy.signal import butter, sosfilt

    vertical = np.array([row[2] for row in RIDGECREST])
    vertical -= vertical[:500].mean()
    acceleration = sosfilt(butter(2, 0.075, "highpass", fs=100.0, output="sos"), vertical)
    velocity = cumulative_trapezoid(acceleration, dx=0.01, initial=0)
    displacement = cumulative_trapezoid(velocity, dx=0.01, initial=0)
    begin = round(after_s(reports[0].peak_at_ns) * 100)
    window = slice(begin, begin + 300)
    tau_c_s = 2 * np.pi * np.sqrt((displacement[window] ** 2).sum() / (velocity[window] ** 2).sum())
    assert reports[-1].tau_c_s == pytest.approx(tau_c_s, rel=0.02)
    assert reports[-1].pd_cm == pytest.approx(100 * np.abs(displacement[window]).max(), rel=0.02)


def _offset(samples: list[Row], at: int, component: int, size: float) -> None:
    for row in samples[at:]:
        row[component] = None if row[component] is None else row[component] + size


def _stuck(samples: list[Row], at: int, component: int, size: float) -> None:
    for row in samples[at:]:
        row[component] = size


def _silent(samples: list[Row], at: int, component: int, size: float) -> None:
    for row in samples[at : at + round(abs(size) * 20)]:
        row[component] = None


def _spike(samples: list[Row], at: int, component: int, size: float) -> None:
    for row in samples[at : at + 2]:
        row[component] = None if row[component] is None else row[component] + size


_mishaps = st.tuples(
    st.sampled_from([_offset, _stuck, _silent, _spike]),
    st.integers(1000, 5900),
    st.integers(0, 2),
    st.floats(-30, 30),
)
_time_mishaps = st.tuples(st.integers(1000, 5900), st.sampled_from([-3600 * S, -S, S, 7 * S, 3600 * S]))


@settings(max_examples=60, deadline=None)
@given(st.lists(_mishaps, max_size=4), st.lists(_time_mishaps, max_size=2), st.sampled_from([0.0, 9.8]))
def test_whatever_befalls_a_quiet_instrument_is_no_event(mishaps, jumps, gravity) -> None:
    samples = [[east, north, up + gravity] for east, north, up in QUIET]
    for befall, at, component, size in mishaps:
        befall(samples, at, component, size)
    times = [START_NS + at * S // 100 + sum(by for since, by in jumps if at >= since) for at in range(len(samples))]
    assert fed(samples, times=times) == []
