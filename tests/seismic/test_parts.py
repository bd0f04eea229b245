"""Trigger, P wave, spectrum and structure, each against an independent computation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from obspy.signal.trigger import recursive_sta_lta
from scipy.signal import StateSpace, cont2discrete, lfilter

from seismic.errors import SeismicError
from seismic.pwave import PWave
from seismic.settings import TriggerSettings
from seismic.spectrum import DAMPING, PERIODS, Oscillators
from seismic.structure import Structure, StructureSettings
from seismic.trigger import Averages
from tests.seismic.records import ridgecrest


def test_the_averages_are_obspys() -> None:
    values = np.array(ridgecrest().values[0][:4000])
    values -= values.mean()
    settings = TriggerSettings(sta_s=0.5, lta_s=20)
    averages = Averages(settings, 100.0)
    ratios = []
    for value in values.tolist():
        averages.step(value * value, is_learning=True)
        ratios.append(averages.short / averages.long)
    expected = recursive_sta_lta(values, 50, 2000)
    # obspy's long average begins at zero, ours with a mean: they agree once both have forgotten that.
    assert np.allclose(ratios[3000:], expected[3000:], rtol=0.3)
    short, long = averages.short, averages.long
    averages.step(1.0, is_learning=True)
    assert averages.short == pytest.approx(short + (1 - short) / 50)
    assert averages.long == pytest.approx(long + (1 - long) / 2000)


def _response(period_s: float, acceleration: np.ndarray, rate_hz: float) -> float:
    """Largest displacement of an oscillator, by scipy's exact step for straight lines between samples."""
    w = 2 * math.pi / period_s
    system = StateSpace([[0, 1], [-w * w, -2 * DAMPING * w]], [[0], [-1]], [[1, 0]], [[0]])
    numerator, denominator = _transfer(system, rate_hz)
    return float(np.abs(lfilter(numerator, denominator, acceleration)).max())


def _transfer(system: StateSpace, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.signal import ss2tf

    a, b, c, d, _ = cont2discrete((system.A, system.B, system.C, system.D), 1 / rate_hz, method="foh")
    numerator, denominator = ss2tf(a, b, c, d)
    return numerator[0], denominator


@pytest.mark.parametrize("rate_hz", [100.0, 200.0])
def test_the_spectrum_is_the_exact_response_to_straight_lines(rate_hz) -> None:
    acceleration = np.array(ridgecrest().values[0])
    acceleration -= acceleration.mean()
    oscillators = Oscillators(rate_hz)
    for value in acceleration.tolist():
        oscillators.step(value, 0.0)
    for period_s, psa_gal in zip(PERIODS, oscillators.psa_gal, strict=True):
        expected = _response(period_s, acceleration, rate_hz) * (2 * math.pi / period_s) ** 2 * 100
        assert psa_gal == pytest.approx(expected, rel=1e-6), period_s


def test_the_spectrum_does_not_depend_on_how_the_instrument_is_turned() -> None:
    east, north, _ = ridgecrest().values
    straight, turned = Oscillators(100.0), Oscillators(100.0)
    c, s = math.cos(0.7), math.sin(0.7)
    for x, y in zip(east[2000:5000], north[2000:5000], strict=True):
        straight.step(x, y)
        turned.step(c * x - s * y, s * x + c * y)
    assert turned.psa_gal == pytest.approx(straight.psa_gal)


def test_tau_c_of_a_sine_is_its_period() -> None:
    wave = PWave(100.0, 0.0)
    w = 2 * math.pi / 1.5
    for at in range(300):
        assert wave.tau_c_s is None
        assert wave.magnitude is None
        wave.step(0.01 * w * math.cos(w * at / 100), 0.01 * math.sin(w * at / 100))
    assert wave.tau_c_s == pytest.approx(1.5, rel=1e-3)
    assert wave.pd_cm == pytest.approx(1.0, rel=1e-3)
    assert wave.magnitude == pytest.approx(3.373 * math.log10(1.5) + 5.787, abs=0.01)
    wave.step(9.0, 9.0)
    assert wave.pd_cm == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(("size_m", "noise_m"), [(1e-4, 0.0), (0.01, 0.003), (0.0, 0.0)])
def test_no_magnitude_is_told_of_what_may_be_noise(size_m, noise_m) -> None:
    wave = PWave(100.0, noise_m)
    for at in range(300):
        wave.step(size_m * 4 * math.cos(4 * at / 100), size_m * math.sin(4 * at / 100))
    assert wave.is_complete
    assert wave.magnitude is None


def _building(mode_hz: float, seconds: float, rate_hz: float = 50.0) -> list[float]:
    """The acceleration at the top of a building with 1 % damping that noise shakes."""
    w, damping = 2 * math.pi * mode_hz, 0.01
    system = StateSpace([[0, 1], [-w * w, -2 * damping * w]], [[0], [-1]], [[-w * w, -2 * damping * w]], [[0]])
    push = np.random.default_rng(4).normal(size=round(seconds * rate_hz), scale=0.01)
    return lfilter(*_transfer(system, rate_hz), push).tolist()


@pytest.mark.parametrize("mode_hz", [0.2, 0.19, 0.215])
def test_the_frequency_of_a_tall_building_is_followed(mode_hz) -> None:
    structure = Structure(50.0, StructureSettings(reference_hz=0.2))
    assert structure.frequency_shift_percent is None
    for value in _building(mode_hz, 3600):
        structure.take(value, 0.0)
    assert structure.frequency_shift_percent == pytest.approx(100 * (mode_hz / 0.2 - 1), abs=1.5)


def test_noise_without_a_mode_has_no_frequency() -> None:
    source = random.Random(5)
    structure = Structure(50.0, StructureSettings(reference_hz=1.0, width=0.5))
    for _ in range(50 * 600):
        structure.take(source.gauss(0, 1), 0.0)
    assert structure.frequency_shift_percent is None


def test_drift_is_the_difference_of_two_displacements() -> None:
    structure = Structure(100.0, StructureSettings(reference_hz=0.5))
    w = 2 * math.pi * 0.5
    for at in range(6000):
        lower = 0.2 * math.sin(w * at / 100)
        structure.take(9.81 + 3 * lower, 9.81 + lower)
        if at == 3000:
            structure.forget_peak()
    assert structure.peak_drift_mm == pytest.approx(1000 * 0.4 / w**2, rel=0.03)


def test_a_level_that_is_missing_changes_nothing() -> None:
    structure = Structure(100.0, StructureSettings(reference_hz=0.5))
    for upper, lower in ((None, 1.0), (1.0, None), (math.nan, 1.0), (1.0, math.inf)):
        structure.take(upper, lower)
    assert structure.drift_mm == 0.0
    structure.take(1.0, 9.0)
    assert structure.drift_mm == 0.0


def test_a_mode_too_fast_for_the_rate_is_refused() -> None:
    with pytest.raises(SeismicError, match="too few"):
        Structure(50.0, StructureSettings(reference_hz=10))
