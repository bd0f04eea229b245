"""Geometry of the pages of earthquakes: stations and streets on a map, and the traces of a station. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fleet.console.drawing import draw_plan
from fleet.quakes.felt import Estimate, grade_of
from fleet.quakes.models import StationQuake
from fleet.quakes.summary import counts, strongest_of_stations
from fleet.quakes.waves import NS, StationWaves, Step, Trace, Waves

MAP_WIDTH, MAP_HEIGHT = 640.0, 460.0
STATION_R, STREET_R, QUIET_R = 15.0, 10.0, 3.5
LETTER_WIDE, LETTER_NARROW, LETTER_HIGH, GAP = 12.5, 7.0, 15.0, 4.0
"""Of a label, in units of the map."""
SHARE = {"start": 0.0, "middle": 0.5, "end": 1.0}
"""How much of a label is left of its anchor."""
PHONE = 21 / 12
"""How much larger the names of stations are written on a phone (quakes.css): so long they must not leave the map."""
SCALE_HIGH = 24.0
"""The room below that the scale has."""
TRACE_WIDTH, TRACE_HEIGHT = 720.0, 46.0
TICKS_S = (1, 2, 5, 10, 20, 30, 60)
TICKS_MOST = 10
Box = tuple[float, float, float, float]


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A station or a street. ``grade`` is its class, 0 where nothing is known; ``label`` is "" where there is no room
    for it, else it stands at (``label_x``, ``label_y``), which is its ``anchor``: start, middle or end."""

    kind: str
    x: float
    y: float
    r: float
    grade: int
    title: str
    label: str
    label_x: float
    label_y: float
    anchor: str = "start"


class Map(msgspec.Struct, frozen=True):
    """Spots north up, stations last so that they lie on top; a bar of ``bar_km`` is ``bar`` long."""

    width: float
    height: float
    spots: tuple[Spot, ...]
    bar: float
    bar_km: float
    grades: tuple[int, ...]


def draw_map(reports: Iterable[StationQuake], streets: Sequence[Estimate]) -> Map | None:
    """Draw the stations that have a position and the streets; None if there is neither."""
    stations = strongest_of_stations(report for report in reports if counts(report))
    named = {f"station {number}": one for number, one in enumerate(stations) if one.lat is not None}
    places = {f"street {number}": one for number, one in enumerate(streets)}
    known = [(one.lat, one.lon, 0, one.title or one.station, key) for key, one in named.items()]
    known += [(one.place.lat, one.place.lon, 0, one.place.name, key) for key, one in places.items()]
    plan = draw_plan(known, MAP_WIDTH, MAP_HEIGHT - SCALE_HIGH)
    if plan is None or not named:
        return None
    marks = {mark.key: mark for mark in plan.marks}
    bare = []
    for key, station in named.items():
        mark, title = marks[key], station.title or station.station
        grade = grade_of(station.intensity_gb)
        bare.append(("station", mark.x, mark.y, STATION_R, grade, f"{title} {station.intensity_gb:.1f}", title))
    for key, street in places.items():
        mark, name = marks[key], street.place.name
        said = name if street.intensity is None else f"{name} {street.intensity:.1f}"
        kind, r = ("street", STREET_R) if street.grade else ("quiet", QUIET_R)
        bare.append((kind, mark.x, mark.y, r, street.grade, said, name))
    spots = tuple(_label(bare))
    grades = tuple(sorted({spot.grade for spot in spots if spot.grade}))
    return Map(MAP_WIDTH, MAP_HEIGHT, spots[::-1], plan.bar, plan.bar_km, grades)


def _label(bare: Sequence[tuple[str, float, float, float, int, str, str]]) -> Iterable[Spot]:
    """Give each spot its label on the first side where it covers nothing, stations first."""
    taken: list[Box] = [(0.0, MAP_HEIGHT - SCALE_HIGH, MAP_WIDTH, MAP_HEIGHT)]
    taken += [(x - r, y - r, x + r, y + r) for _, x, y, r, *_ in bare]
    for kind, x, y, r, grade, title, label in bare:
        width = sum(LETTER_WIDE if ord(letter) > 0x2000 else LETTER_NARROW for letter in label)
        sides = (
            ("start", x + r + GAP, y - LETTER_HIGH / 2),
            ("end", x - r - GAP, y - LETTER_HIGH / 2),
            ("middle", x, y + r + 1),
            ("middle", x, y - r - 1 - LETTER_HIGH),
        )
        longest = width * (PHONE if kind == "station" else 1.0)
        fitting = [side for side in sides if _fits(side[1] - SHARE[side[0]] * longest, longest)]
        boxes = [(side, _box(side[1] - SHARE[side[0]] * width, side[2], width)) for side in fitting]
        (anchor, label_x, label_y), free = next((one for one in boxes if _is_free(one[1], taken)), (sides[0], None))
        if free is not None:
            taken.append(free)
        yield Spot(
            kind=kind,
            x=x,
            y=y,
            r=r,
            grade=grade,
            title=title,
            label=label if free else "",
            label_x=round(label_x, 1),
            label_y=round(label_y + LETTER_HIGH - GAP, 1),
            anchor=anchor,
        )


def _box(left: float, top: float, width: float) -> Box:
    return left, top, left + width, top + LETTER_HIGH


def _fits(left: float, width: float) -> bool:
    return left >= 0 and left + width <= MAP_WIDTH


def _is_free(box: Box, taken: Iterable[Box]) -> bool:
    left, top, right, bottom = box
    inside = top >= 0 and bottom <= MAP_HEIGHT
    return inside and not any(left < r and l < right and top < b and t < bottom for l, t, r, b in taken)  # noqa: E741


class Line(msgspec.Struct, frozen=True):
    """One channel of a station, drawn: the outline of its envelope."""

    stream: str
    code: str
    path: str


class Drawn(msgspec.Struct, frozen=True):
    """A station's channels on one scale: half the height is ``swing`` in ``unit``. ``onset`` is where it triggered."""

    report: StationQuake
    lines: tuple[Line, ...]
    onset: float
    swing: float
    unit: str


class Sheet(msgspec.Struct, frozen=True):
    """All stations over one time; ``ticks`` are (x, seconds after the first onset)."""

    width: float
    height: float
    stations: tuple[Drawn, ...]
    ticks: tuple[tuple[float, int], ...]
    left_off: int


def draw_waves(waves: Waves) -> Sheet:
    """Draw all stations of an event."""
    span_ns = waves.end_ns - waves.start_ns

    def place(at_ns: int) -> float:
        return round(min(max((at_ns - waves.start_ns) / span_ns, 0.0), 1.0) * TRACE_WIDTH, 1)

    first_ns = min((one.report.onset_ns for one in waves.stations), default=waves.start_ns)
    step_s = next((step for step in TICKS_S if span_ns / NS / step <= TICKS_MOST), TICKS_S[-1])
    after_s = (waves.end_ns - first_ns) // NS
    ticks = tuple((place(first_ns + second * NS), second) for second in range(0, after_s + 1, step_s))
    stations = tuple(_draw_station(one, waves, place(one.report.onset_ns)) for one in waves.stations)
    return Sheet(TRACE_WIDTH, TRACE_HEIGHT, stations, ticks, waves.left_off)


def _draw_station(waves: StationWaves, axis: Waves, onset: float) -> Drawn:
    units = {trace.unit for trace in waves.traces}
    unit = units.pop() if len(units) == 1 else ""
    swing = max((trace.swing for trace in waves.traces), default=0.0)
    lines = tuple(
        Line(trace.stream, trace.code, draw_trace(trace, axis.start_ns, axis.end_ns, swing)) for trace in waves.traces
    )
    return Drawn(waves.report, lines, onset, swing, unit)


def draw_trace(trace: Trace, start_ns: int, end_ns: int, swing: float) -> str:
    """The outline of a trace's envelope, no finer than a unit of the drawing; a hole stays a hole."""
    per_unit = (end_ns - start_ns) / TRACE_WIDTH
    middle, scale = trace.middle, trace.per_count * TRACE_HEIGHT / 2 / (swing or 1.0)
    parts = []
    for run in _split(trace.steps):
        columns: dict[int, tuple[int, int]] = {}
        for begin_ns, _, least, most in run:
            x = int((begin_ns - start_ns) / per_unit)
            low, high = columns.get(x, (least, most))
            columns[x] = (min(low, least), max(high, most))
        shown = [(x, low, high) for x, (low, high) in columns.items() if 0 <= x < TRACE_WIDTH]
        upper = [f"{x} {TRACE_HEIGHT / 2 - (high - middle) * scale:.1f}" for x, _, high in shown]
        lower = [f"{x} {TRACE_HEIGHT / 2 - (low - middle) * scale:.1f}" for x, low, _ in reversed(shown)]
        if shown:
            parts.append("M" + "L".join(upper + lower) + "Z")
    return "".join(parts)


def _split(steps: Sequence[Step]) -> Iterable[list[Step]]:
    """Cut steps where something is missing between two of them."""
    run: list[Step] = []
    for step in steps:
        if run and step[0] - run[-1][1] > (step[1] - step[0]):
            yield run
            run = []
        run.append(step)
    if run:
        yield run
