"""Peaks and intensities of real records, against scipy and the reference values that two computations agreed on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from seismic.errors import SeismicError
from seismic.filters import response
from seismic.intensity import Exceedance, Grade, grade_of, intensity_gb, intensity_jma, jma_sections
from seismic.measuring import measure
from seismic.motion import Band, broad
from seismic.settings import AnalyserSettings
from seismic.weighting import _weight, jma_by_definition
from tests.seismic.records import knet, ridgecrest


def test_ridgecrest_measures_as_the_reference_does() -> None:
    found = measure(ridgecrest(), AnalyserSettings())
    assert found.pga_gal == pytest.approx(509.79, rel=1e-4)
    assert found.pgv_cm_s == pytest.approx(88.37, rel=1e-4)
    assert found.pgd_cm == pytest.approx(30.4, rel=0.02)
    assert found.intensity_gb == pytest.approx(9.609, abs=0.001)
    assert found.intensity_jma == pytest.approx(5.7751, abs=0.001)
    assert found.triggered_at is not None
    assert 22.40 <= found.triggered_at <= 22.75
    assert found.quality == "good"


def test_knet_measures_as_the_reference_does() -> None:
    found = measure(knet(), AnalyserSettings())
    assert found.pga_gal == pytest.approx(2.8205, rel=1e-4)
    assert found.pgv_cm_s == pytest.approx(0.6959, rel=1e-3)
    assert found.pgd_cm == pytest.approx(0.506, rel=0.02)
    assert found.intensity_gb == pytest.approx(2.488, abs=0.001)
    assert found.intensity_jma == pytest.approx(1.3055, abs=0.001)


def test_velocity_and_displacement_are_the_trapezoidal_integrals_of_the_band() -> None:
    values = np.random.default_rng(2).normal(size=6000)
    acceleration = sosfilt(butter(2, (0.1, 10), "bandpass", fs=100.0, output="sos"), values)
    band = Band(100.0)
    found = np.array([(_step(band, value)) for value in values.tolist()])
    steps = (acceleration[1:] + acceleration[:-1]) / 200
    velocity = acceleration[0] / 200 + np.concatenate([[0], np.cumsum(steps)])
    displacement = velocity[0] / 200 + np.concatenate([[0], np.cumsum((velocity[1:] + velocity[:-1]) / 200)])
    assert np.allclose(found[:, 0], acceleration, atol=1e-9)
    assert np.allclose(found[:, 1], velocity, atol=1e-9)
    assert np.allclose(found[:, 2], displacement, atol=1e-8)


def _step(band: Band, value: float) -> tuple[float, float, float]:
    band.step(value)
    return band.high.acceleration, band.high.velocity, band.high.displacement


def test_an_hour_of_a_constant_leaves_no_drift() -> None:
    high = broad(100.0)
    for _ in range(360_000):
        high.step(9.80665)
    assert abs(high.acceleration) < 1e-9
    assert abs(high.velocity) < 1e-7
    assert high.displacement == pytest.approx(9.80665 / (2 * math.pi * 0.075) ** 2, rel=1e-3)


@pytest.mark.parametrize(
    ("grade", "pga", "pgv"),
    [
        (4, 0.106, 0.0081),
        (5, 0.219, 0.0175),
        (6, 0.453, 0.0377),
        (7, 0.937, 0.0813),
        (8, 1.94, 0.175),
        (9, 4.00, 0.377),
        (10, 8.28, 0.813),
    ],
)
def test_a_class_begins_where_the_table_of_the_standard_says(grade, pga, pgv) -> None:
    assert intensity_gb(pga, pgv) == pytest.approx(grade - 0.5, abs=0.06)
    assert grade_of(intensity_gb(pga * 1.06, pgv * 1.06)) == grade
    assert grade_of(intensity_gb(pga * 0.94, pgv * 0.94)) == grade - 1


def test_intensity_is_velocitys_only_where_both_reach_six() -> None:
    assert intensity_gb(5.0979, 0.8837) == pytest.approx(3.0 * math.log10(0.8837) + 9.77)
    assert intensity_gb(10.0, 0.01) == pytest.approx((3.17 + 6.59 + 3.0 * -2 + 9.77) / 2)


@given(st.floats(), st.floats())
def test_intensity_is_within_its_scale_whatever_the_peaks(pga, pgv) -> None:
    if not (math.isnan(pga) or math.isnan(pgv)):
        assert 1 <= intensity_gb(pga, pgv) <= 12


def test_a_class_falls_only_by_its_deadband() -> None:
    grade = Grade(0.2)
    assert [grade.take(intensity) for intensity in (5.6, 6.5, 6.45, 6.31, 6.29, 6.45, 6.5)] == [6, 7, 7, 7, 6, 6, 7]


def test_the_recursive_filter_follows_the_definition() -> None:
    """From 0.3 to 10 Hz within 7 %, as Kunugi et al. show."""
    sections = jma_sections(100.0)
    for hz in np.geomspace(0.3, 10, 30):
        assert abs(response(sections, 2 * math.pi * hz / 100)) == pytest.approx(_weight(float(hz)), rel=0.08)


@pytest.mark.parametrize(("record", "expected"), [(ridgecrest, 5.775), (knet, 1.306)])
def test_the_recursive_form_is_within_its_tolerance(record, expected) -> None:
    from seismic.filters import Cascade

    recording = record()
    cascades = [Cascade(jma_sections(recording.rate_hz)) for _ in recording.values]
    means = [sum(column) / len(column) for column in recording.values]
    held = Exceedance(recording.rate_hz)
    for values in zip(*recording.values, strict=True):
        held.take(
            sum((100 * cascade.step(v - mean)) ** 2 for cascade, v, mean in zip(cascades, values, means, strict=True))
        )
    assert intensity_jma(held.held_gal) == pytest.approx(expected, abs=0.05)


def test_the_definition_is_that_of_a_plain_fourier_transform() -> None:
    values = np.random.default_rng(3).normal(size=(3, 1024))
    hz = np.fft.rfftfreq(1024, 1 / 100)
    weights = np.array([_weight(float(each)) for each in hz])
    weighed = np.fft.irfft(np.fft.rfft(values * 100) * weights)
    largest = np.sort(np.sqrt((weighed**2).sum(0)))[::-1]
    assert jma_by_definition(values.tolist(), 100.0) == pytest.approx(intensity_jma(largest[29]), abs=1e-9)


@given(st.lists(st.floats(0.2, 5000), min_size=30, max_size=300))
def test_the_histogram_finds_what_a_sort_finds(values) -> None:
    held = Exceedance(100.0)
    for value in values:
        held.take(value * value)
    assert held.held_gal == pytest.approx(sorted(values, reverse=True)[29], rel=0.003)


def test_the_histogram_takes_what_is_beyond_it() -> None:
    held = Exceedance(100.0)
    for value in (0.0, 1e-300, 1e300, *[1e12] * 40):
        held.take(value)
    assert held.held_gal > 9000


def test_too_few_samples_a_second_are_refused() -> None:
    with pytest.raises(SeismicError, match="too few"):
        jma_sections(20.0)
