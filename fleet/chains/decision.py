"""Whether a quake fires a rule: pure. Distances by the haversine formula on a sphere of the earth's mean radius."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from fleet.chains.rules import Rule

MINUTE_NS = 60_000_000_000
EARTH_KM = 6371.0088
"""Mean radius R1 of the earth (IUGG, GRS 80)."""
Place = tuple[float, float]
"""Latitude and longitude in degrees, WGS 84."""

FIRES, LATE, REJECTED, FAR, QUESTIONABLE, WEAK, OFF = (
    "fires",
    "late",
    "rejected",
    "far",
    "questionable",
    "weak",
    "off",
)


class Reading(msgspec.Struct, frozen=True):
    """What one station has measured so far. ``station`` is ``NET.STA``; without a position it is near to nothing.

    ``is_good``: its quality is not questionable.
    """

    station: str
    intensity: float
    lat: float | None = None
    lon: float | None = None
    is_good: bool = True


class Quake(msgspec.Struct, frozen=True):
    """A quake as far as it is known. ``at_ns`` is its onset in UTC; ``is_rejected``: it was none."""

    readings: tuple[Reading, ...]
    at_ns: int
    is_rejected: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """``reason`` is one of the words above; ``intensity`` the highest of the stations that count, 0 without one."""

    reason: str
    intensity: float = 0.0

    @property
    def fires(self) -> bool:
        """Whether the rule fires."""
        return self.reason == FIRES


def judge(rule: Rule, place: Place | None, quake: Quake, now_ns: int) -> Verdict:
    """Tell whether a quake fires a rule now. ``place`` is what ``within_km`` counts from.

    Intensities count to one decimal, as GB/T 17742 states them. A questionable one counts if the rule says so, or if
    another station has seen the quake, too.
    """
    if quake.is_rejected:
        return Verdict(REJECTED)
    near = [reading for reading in quake.readings if _counts(rule, place, reading)]
    if not near:
        return Verdict(FAR)
    is_confirmed = len({reading.station for reading in quake.readings}) > 1
    trusted = [reading for reading in near if reading.is_good or rule.questionable or is_confirmed]
    intensity = max((round(reading.intensity, 1) for reading in trusted), default=0.0)
    if not trusted and _strongest(near) >= rule.intensity:
        return Verdict(QUESTIONABLE, _strongest(near))
    if intensity < rule.intensity:
        return Verdict(WEAK, intensity)
    if now_ns - quake.at_ns > rule.late_min * MINUTE_NS:
        return Verdict(LATE, intensity)
    return Verdict(FIRES, intensity)


def _strongest(readings: Sequence[Reading]) -> float:
    return max(round(reading.intensity, 1) for reading in readings)


def _counts(rule: Rule, place: Place | None, reading: Reading) -> bool:
    if not math.isfinite(reading.intensity) or (rule.stations and reading.station not in rule.stations):
        return False
    if rule.within_km is None:
        return True
    if place is None or reading.lat is None or reading.lon is None:
        return False
    return distance_km(place, (reading.lat, reading.lon)) <= rule.within_km


def distance_km(one: Place, other: Place) -> float:
    """Length of the great circle between two places, by the haversine formula (Sinnott, Sky and Telescope 68, 1984)."""
    lat, lon = math.radians(other[0] - one[0]), math.radians(other[1] - one[1])
    a = (
        math.sin(lat / 2) ** 2
        + math.cos(math.radians(one[0])) * math.cos(math.radians(other[0])) * math.sin(lon / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(a)))
