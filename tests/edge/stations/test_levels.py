"""Two levels of a structure: samples put together by their times, drift and frequency shift as tags."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edge.stations.levels import Levels
from seismic.structure import StructureSettings
from tests.edge.readings import at
from tests.edge.stations.site import RATE_HZ, Counts, configuration, station
from tests.edge.stations.test_stations import start

SWING_HZ, SWING_MICRO_G = 0.95, 10_000
DRIFT_MM = 1000 * SWING_MICRO_G * 9.80665e-6 / (2 * math.pi * SWING_HZ) ** 2
SETTINGS = StructureSettings(reference_hz=1.0, window_periods=20)


def swing(index: int) -> float:
    return math.sin(2 * math.pi * SWING_HZ * index / RATE_HZ)


def compare(levels: Levels, from_s: int, to_s: int, late_s: float = 0.0) -> None:
    """Let the upper level swing by 1 m/s2 against the lower one, whose samples come in bursts, ``late_s`` behind."""
    burst = round(late_s * RATE_HZ)
    for index in range(from_s * RATE_HZ, to_s * RATE_HZ):
        levels.take_upper(at(index / RATE_HZ), swing(index))
        if burst == 0:
            levels.take_lower(at(index / RATE_HZ), 0.0)
        elif (index + 1) % burst == 0:
            for late in range(index + 1 - burst, index + 1):
                levels.take_lower(at(late / RATE_HZ), 0.0)


@pytest.mark.parametrize("late_s", [0.0, 0.25, 1.0])
def test_drift_is_the_same_however_late_the_samples_of_one_level_come(late_s: float) -> None:
    levels = Levels(RATE_HZ, SETTINGS)
    compare(levels, 0, 30, late_s)
    levels.show(is_quake=False)
    compare(levels, 30, 40, late_s)
    drift_mm, _ = levels.show(is_quake=False)
    assert drift_mm == pytest.approx(1000 / (2 * math.pi * SWING_HZ) ** 2, rel=0.1)


def test_drift_of_a_quake_is_its_largest_and_otherwise_that_since_the_last_look() -> None:
    levels = Levels(RATE_HZ, SETTINGS)
    compare(levels, 0, 10)
    first, _ = levels.show(is_quake=True)
    assert levels.show(is_quake=True)[0] == first
    levels.show(is_quake=False)
    assert levels.show(is_quake=False)[0] == 0


def test_level_without_samples_is_compared_with_nothing() -> None:
    levels = Levels(RATE_HZ, SETTINGS)
    for index in range(1000):
        levels.take_upper(at(index / RATE_HZ), swing(index))
    assert levels.show(is_quake=False) == (0.0, None)
    levels.take_lower(at(20), 0.0)
    assert levels.show(is_quake=False) == (0.0, None)


async def test_drift_and_frequency_shift_are_tags_of_the_upper_station(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    structure = {"lower": "quake-1", "reference_hz": 1.0, "window_periods": 20}
    still: Counts = (0, 0, 0)
    async with start(folder, configuration(station(), station(2, structure=structure))) as site:
        for index in range(60 * RATE_HZ):
            await site.sample(still, (round(SWING_MICRO_G * swing(index)), 0, 0))
        newest = site.newest.of("quake-2.motion")
        assert newest is not None
        shown = dict(zip(newest[0], zip(newest[1].values, newest[1].quality, strict=True), strict=True))
    drift_mm, shift = shown["quake-2.drift"], shown["quake-2.frequency_shift"]
    assert drift_mm[0] == pytest.approx(DRIFT_MM, rel=0.1)
    assert shift[0] == pytest.approx(-5, abs=0.5)
