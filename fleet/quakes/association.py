"""Which reports of stations are one earthquake. Pure: the same reports give the same events, in whatever order.

Two stations can have met the same wave if their onsets lie no further apart than it takes from one to the other. One of
them may have triggered on P and the other on S only, so the time between S and P adds to that. Any two reports of an
event must agree in this way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

NS = 1_000_000_000
P_KM_S = 6.0
"""Speed of P in the upper crust (crust1.0 and the textbooks have 5.8 to 6.2)."""
S_KM_S = P_KM_S / math.sqrt(3.0)
"""Speed of S in a Poisson solid: 3.46 km/s."""
REACH_KM = 200.0
"""How far away the source may be for which one station triggers on P and another on S."""
S_MINUS_P_S = REACH_KM * (1.0 / S_KM_S - 1.0 / P_KM_S)
"""The time between P and S at that distance: 24.4 s."""
APART_MOST_S = 60.0
"""Onsets further apart are two earthquakes, wherever the stations stand."""
UNPLACED_KM = 30.0
"""How far a station without a position is taken to be from any other: the size of the district."""
CLOCK_S: Mapping[str, float] = {"synced": 1.0, "holdover": 3.0, "told": 5.0, "unset": 20.0}
"""How far an onset may be off, by the clock of its gateway; the first also covers how late a trigger is."""
EARTH_KM = 6371.0


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A report as far as association asks. ``key`` tells it apart from all others; the onset is UTC in ns, the position
    in degrees, ``clock`` one of `CLOCK_S`."""

    key: tuple[str, str, int]
    onset_ns: int
    lat: float | None = None
    lon: float | None = None
    clock: str = "synced"


Group = tuple[Trigger, ...]


def associate(triggers: Iterable[Trigger]) -> list[Group]:
    """Put triggers together, each into exactly one group; groups and their members in the order of their onsets.

    Pairs are joined, those first whose times P explains best, those of an unset clock last: as long as all of the two
    groups agree with each other (complete linkage).
    """
    ordered = sorted(triggers, key=lambda one: (one.onset_ns, one.key))
    pairs = sorted(_list_pairs(ordered), key=_rank)
    # Looked up below many times over: a district that shakes as a whole must not make ingest wait.
    agreeing = {(one.key, other.key) for pair in pairs for one, other in (pair, pair[::-1])}
    group_of = {one.key: [one] for one in ordered}
    for one, other in pairs:
        left, right = group_of[one.key], group_of[other.key]
        if left is not right and all((mine.key, theirs.key) in agreeing for mine in left for theirs in right):
            left += right
            for moved in right:
                group_of[moved.key] = left
    groups = {id(group): sorted(group, key=lambda one: (one.onset_ns, one.key)) for group in group_of.values()}
    return sorted((tuple(group) for group in groups.values()), key=lambda group: (group[0].onset_ns, group[0].key))


def _list_pairs(ordered: Sequence[Trigger]) -> Iterator[tuple[Trigger, Trigger]]:
    for index, one in enumerate(ordered):
        for other in ordered[index + 1 :]:
            if other.onset_ns - one.onset_ns > APART_MOST_S * NS:
                break
            if agree(one, other):
                yield one, other


def _rank(pair: tuple[Trigger, Trigger]) -> tuple[object, ...]:
    """Well timed pairs first, then those of which P explains most, then those nearest in time."""
    one, other = pair
    apart_s = _apart_s(one, other)
    beyond_s = max(apart_s - _distance(one, other) / P_KM_S, 0.0)
    return "unset" in (one.clock, other.clock), beyond_s, apart_s, one.key, other.key


def agree(one: Trigger, other: Trigger) -> bool:
    """Tell whether two onsets can be of one earthquake."""
    return _apart_s(one, other) <= allow_s(one, other)


def allow_s(one: Trigger, other: Trigger) -> float:
    """How far apart in s the onsets of one earthquake can be at two stations: S from the one to the other, the time
    between P and S, and what their clocks may be off."""
    clocks = max(CLOCK_S.get(one.clock, CLOCK_S["unset"]), CLOCK_S.get(other.clock, CLOCK_S["unset"]))
    return min(_distance(one, other) / S_KM_S + S_MINUS_P_S + clocks, APART_MOST_S)


def gather(onsets_ns: Sequence[int], around_ns: int) -> tuple[int, int]:
    """Return from when to when onsets have to be looked at together with one ``around_ns``: up to the first pauses of
    `APART_MOST_S` before and after it. ``onsets_ns`` are in their order."""
    first = last = around_ns
    for onset_ns in reversed(onsets_ns):
        if onset_ns <= first and first - onset_ns <= APART_MOST_S * NS:
            first = onset_ns
    for onset_ns in onsets_ns:
        if onset_ns >= last and onset_ns - last <= APART_MOST_S * NS:
            last = onset_ns
    return first, last


def measure_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The distance of two places in degrees, in km along the earth (haversine; R. W. Sinnott, 1984)."""
    phi, other_phi = math.radians(lat), math.radians(other_lat)
    half_lat, half_lon = (other_phi - phi) / 2.0, math.radians(other_lon - lon) / 2.0
    chord = math.sin(half_lat) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lon) ** 2
    return 2.0 * EARTH_KM * math.asin(min(math.sqrt(chord), 1.0))


def _distance(one: Trigger, other: Trigger) -> float:
    if one.lat is None or one.lon is None or other.lat is None or other.lon is None:
        return UNPLACED_KM
    return measure_km(one.lat, one.lon, other.lat, other.lon)


def _apart_s(one: Trigger, other: Trigger) -> float:
    return abs(one.onset_ns - other.onset_ns) / NS
