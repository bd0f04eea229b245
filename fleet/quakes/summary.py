"""What an event comes to: its reports put together, each station once. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from fleet.quakes.felt import Measured
from fleet.quakes.models import CLOSED, OPEN, REJECTED, StationQuake
from wire.sample import is_good

ERROR_LEAST = 0.05
"""No estimate on site is better than that."""
SILENT_NS = 600_000_000_000
"""A report of which no newer one came for so long is over, though its station never said so."""


class Magnitude(msgspec.Struct, frozen=True):
    """An estimate from the first seconds of the P wave at so many ``stations``; ``error`` is its standard error."""

    value: float
    error: float
    stations: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An event. ``strongest`` is the report of its highest intensity, ``place`` where that is.

    ``state`` is open, closed or rejected. ``onset_ns`` is the earliest onset by a clock that is set; ``is_timed`` tells
    whether there was one. Peaks are the highest of any station. ``lat`` and ``lon`` are of the strongest station that
    has a position: no source is located. ``doubts`` are words of `DOUBTS` on what the whole rests on.
    """

    id: int
    state: str
    onset_ns: int
    is_timed: bool
    changed_ns: int
    duration_s: float
    stations: int
    rejected: int
    intensity_gb: float
    intensity_jma: float
    grade: int
    pga_gal: float
    pgv_cm_s: float
    pgd_cm: float
    peak_ns: int | None
    place: str
    station: str
    lat: float | None
    lon: float | None
    magnitude: Magnitude | None
    doubts: tuple[str, ...]


SINGLE, UNTIMED, CLOCK, UNPLACED, QUALITY, CUT = "single", "untimed", "clock", "unplaced", "quality", "cut"
DOUBTS = (SINGLE, UNTIMED, CLOCK, UNPLACED, QUALITY, CUT)
"""One station only; no station knew the time; a clock that nothing holds; a station without a position; a measurement
that is not good; a station that fell silent before it was over."""


def counts(report: StationQuake) -> bool:
    """Tell whether a report counts: one that was rejected does not."""
    return report.state != REJECTED


def is_over(report: StationQuake, now_ns: int) -> bool:
    """Tell whether nothing more is to come of a report."""
    return report.state in (CLOSED, REJECTED) or now_ns - report.received_ns > SILENT_NS


def strongest_of_stations(reports: Iterable[StationQuake]) -> list[StationQuake]:
    """The strongest report of each station, which may have triggered on P and on S; in the order of their onsets."""
    found: dict[tuple[str, str], StationQuake] = {}
    for report in reports:
        name = (report.gateway, report.station)
        if name not in found or _strength(report) > _strength(found[name]):
            found[name] = report
    return sorted(found.values(), key=lambda one: (one.onset_ns, one.station, one.gateway))


def summarise(number: int, reports: Sequence[StationQuake], now_ns: int) -> Summary | None:
    """Sum an event up as of now; None without a report. Without one that counts it tells what was taken back."""
    if not reports:
        return None
    live = [report for report in reports if counts(report)]
    told = live or list(reports)
    stations = strongest_of_stations(told)
    strongest = max(stations, key=_strength)
    placed = [report for report in stations if report.lat is not None]
    where = max(placed, key=_strength) if placed else strongest
    timed = [report for report in told if report.clock != "unset"]
    return Summary(
        id=number,
        state=_state_of(live, now_ns),
        onset_ns=min(report.onset_ns for report in timed or told),
        is_timed=bool(timed),
        changed_ns=max(report.received_ns for report in reports),
        duration_s=max(report.duration_s for report in told),
        stations=len(stations) if live else 0,
        rejected=len(reports) - len(live),
        intensity_gb=strongest.intensity_gb,
        intensity_jma=max(report.intensity_jma for report in told),
        grade=max(report.grade for report in told),
        pga_gal=max(report.pga_gal for report in told),
        pgv_cm_s=max(report.pgv_cm_s for report in told),
        pgd_cm=max(report.pgd_cm for report in told),
        peak_ns=strongest.peak_ns,
        place=strongest.title or strongest.station,
        station=strongest.station,
        lat=where.lat,
        lon=where.lon,
        magnitude=find_magnitude(told),
        doubts=_find_doubts(stations, now_ns),
    )


def find_magnitude(reports: Iterable[StationQuake]) -> Magnitude | None:
    """The mean of the stations' magnitudes, each with the weight 1 / error^2 (P. R. Bevington, Data Reduction and Error
    Analysis, chapter 4). Its error is that of the mean, and no less than what the stations differ by."""
    found = [
        (report.magnitude, report.magnitude_error or 0.0)
        for report in strongest_of_stations(one for one in reports if one.magnitude is not None)
        if report.magnitude is not None and (report.magnitude_error or 0.0) >= ERROR_LEAST
    ]
    if not found:
        return None
    weights = [1.0 / error**2 for _, error in found]
    mean = sum(weight * value for weight, (value, _) in zip(weights, found, strict=True)) / sum(weights)
    apart = math.sqrt(sum((value - mean) ** 2 for value, _ in found) / max(len(found) * (len(found) - 1), 1))
    return Magnitude(round(mean, 1), round(max(1.0 / math.sqrt(sum(weights)), apart), 1), len(found))


def measured_at(reports: Iterable[StationQuake]) -> list[Measured]:
    """What stations with a position measured, for the estimates of places."""
    return [
        Measured(one.title or one.station, one.lat, one.lon, one.intensity_gb)
        for one in strongest_of_stations(report for report in reports if counts(report))
        if one.lat is not None and one.lon is not None
    ]


def _state_of(live: Sequence[StationQuake], now_ns: int) -> str:
    if not live:
        return REJECTED
    return CLOSED if all(is_over(report, now_ns) for report in live) else OPEN


def _strength(report: StationQuake) -> tuple[float, float, int]:
    return report.intensity_gb, report.pga_gal, -report.quake


def _find_doubts(stations: Sequence[StationQuake], now_ns: int) -> tuple[str, ...]:
    amiss = {
        SINGLE: len(stations) == 1,
        UNTIMED: all(report.clock == "unset" for report in stations),
        CLOCK: any(report.clock != "synced" for report in stations),
        UNPLACED: any(report.lat is None for report in stations),
        QUALITY: not all(is_good(report.quality) for report in stations),
        CUT: any(is_over(report, now_ns) and report.state not in (CLOSED, REJECTED) for report in stations),
    }
    return tuple(doubt for doubt in DOUBTS if amiss[doubt])
