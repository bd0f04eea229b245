"""Geometry of what a page draws: a value on its range, a trend, a chart that needs no script. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec

from fleet.overview.figures import Label, Point, Rule
from fleet.waveforms.service import Chart, Column
from wire.record import WaveFlag

UPPER = ("high-high", "high")
LOWER = ("low", "low-low")


class Band(msgspec.Struct, frozen=True):
    """A stretch of the range in which a rule of this priority is active, in per cent of the width."""

    x: float
    width: float
    priority: int


class Scale(msgspec.Struct, frozen=True):
    """The range on which a tag is drawn."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value sits, in per cent, held inside the range."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * 100, 2)


class Bar(msgspec.Struct, frozen=True):
    """A value on its range. ``at`` is None without a value; what lies outside stands at the end."""

    bands: tuple[Band, ...]
    at: float | None


def find_scale(low: float | None, high: float | None, rules: Sequence[Rule]) -> Scale | None:
    """The range to draw on: the instrument's, else one that shows its limits. None if neither is known."""
    if low is not None and high is not None and high > low:
        return Scale(low, high)
    limits = [rule.limit for rule in rules]
    if not limits:
        return None
    floor = low if low is not None else min(0.0, min(limits) * 1.5)
    ceiling = high if high is not None else max(0.0, max(limits) * 1.5)
    return Scale(floor, ceiling) if ceiling > floor else None


def draw_bands(scale: Scale, rules: Iterable[Rule]) -> tuple[Band, ...]:
    """The alarm bands, the widest first, so that the inner and more urgent ones lie on top."""
    bands = []
    for rule in rules:
        at = scale.place(rule.limit)
        if rule.level in UPPER and at < 100:
            bands.append(Band(at, round(100 - at, 2), rule.priority))
        elif rule.level in LOWER and at > 0:
            bands.append(Band(0.0, at, rule.priority))
    return tuple(sorted(bands, key=lambda band: -band.width))


def draw_bar(scale: Scale, rules: Iterable[Rule], value: object) -> Bar:
    """A value on its range with its alarm bands."""
    bands = draw_bands(scale, rules)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Bar(bands, None)
    return Bar(bands, scale.place(value))


class Trend(msgspec.Struct, frozen=True):
    """A line in a box of ``width`` x ``height``: an SVG path, its last point, and limits that fall inside.

    ``area`` is the spread between smallest and largest value, empty where there is next to none.
    """

    width: int
    height: int
    path: str
    last: tuple[float, float] | None
    limits: tuple[tuple[float, int], ...] = ()
    area: str = ""


SPREAD = 0.1
"""Share of a drawing from which on the spread within a point is worth an area."""
CALM = 0.04
"""Share of the range that fills a drawing at least: noise stays flat instead of being blown up to a mountain range."""


def _extent(points: Sequence[Point], rules: Sequence[Rule], scale: Scale | None) -> tuple[float, float]:
    """The span of values to show: what was measured, and a limit if it is near enough to matter."""
    low, high = min(point.low for point in points), max(point.high for point in points)
    least = (scale.high - scale.low) * CALM if scale else 0.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    reach = (high - low) or abs(high) * 0.02 or 1.0
    for rule in rules:
        if low - reach <= rule.limit <= high + reach:
            low, high = min(low, rule.limit), max(high, rule.limit)
    pad = ((high - low) or reach) * 0.08
    return low - pad, high + pad


def draw_trend(
    points: Sequence[Point], label: Label, begin: int, end: int, width: int = 120, height: int = 28
) -> Trend | None:
    """A sparkline of the means between two times in ns. A hole longer than three steps breaks the line."""
    if not points:
        return None
    low, high = _extent(points, label.rules, find_scale(label.low, label.high, label.rules))

    def place_y(value: float) -> float:
        return round(height - (value - low) / (high - low) * height, 1)

    span = max(end - begin, 1)
    hole = 3 * max(span // 60, _step(points))
    parts: list[str] = []
    before: int | None = None
    x = y = 0.0
    for point in points:
        x, y = round((point.time_ns - begin) / span * width, 1), place_y(point.mean)
        parts.append(f"{'M' if before is None or point.time_ns - before > hole else 'L'}{x} {y}")
        before = point.time_ns
    limits = tuple((place_y(rule.limit), rule.priority) for rule in label.rules if low < rule.limit < high)
    spread = max(point.high - point.low for point in points) > SPREAD * (high - low)
    area = _draw_area(points, lambda time_ns: (time_ns - begin) / span * width, place_y) if spread else ""
    return Trend(width, height, "".join(parts), (x, y), limits, area)


def _draw_area(points: Sequence[Point], place_x: Callable[[int], float], place_y: Callable[[float], float]) -> str:
    """The outline of the spread: along the largest values and back along the smallest."""
    upper = [f"{round(place_x(point.time_ns), 1)} {place_y(point.high)}" for point in points]
    lower = [f"{round(place_x(point.time_ns), 1)} {place_y(point.low)}" for point in reversed(points)]
    return "M" + "L".join(upper + lower) + "Z"


def _step(points: Sequence[Point]) -> int:
    """The usual distance of points in ns: the median, so that holes do not count."""
    gaps = sorted(after.time_ns - before.time_ns for before, after in pairwise(points))
    return gaps[len(gaps) // 2] if gaps else 0


def draw_still(
    points: Sequence[Point], label: Label, begin: int, end: int, width: int = 1000, height: int = 320
) -> Trend | None:
    """The chart of a tag between two times in ns, shown until (or without) a script."""
    return draw_trend(points, label, begin, end, width, height)


def draw_columns(counts: Sequence[int], width: float = 720.0, height: float = 80.0) -> str:
    """The outline of columns of counts, side by side, the tallest as high as the drawing; empty without any."""
    most = max(counts, default=0)
    if most == 0:
        return ""
    step = width / len(counts)
    parts = [
        f"M{number * step:.1f} {height:g}v{-height * count / most:.1f}h{step:.2f}V{height:g}z"
        for number, count in enumerate(counts)
        if count
    ]
    return "".join(parts)


PLAN_WIDTH, PLAN_HEIGHT, PLAN_EDGE = 640.0, 320.0, 28.0
KM_PER_DEGREE = 111.195
"""Of latitude: the mean radius of the earth, 6371.0 km, times pi / 180."""
ROUND_KM = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
SPREAD_LEAST_KM = 0.2


class Mark(msgspec.Struct, frozen=True):
    """Something at a place on a plan, in its units. ``worst`` is the priority of its most urgent alarm, 0 if none."""

    x: float
    y: float
    worst: int
    title: str
    key: str


class Plan(msgspec.Struct, frozen=True):
    """Places drawn north up, with a bar of ``bar_km`` that is ``bar`` units long."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    bar: float
    bar_km: float


def draw_plan(
    places: Iterable[tuple[float | None, float | None, int, str, str]],
    width: float = PLAN_WIDTH,
    height: float = PLAN_HEIGHT,
) -> Plan | None:
    """Draw what has a position: (latitude, longitude, worst, title, key). None if nothing has.

    Equirectangular about the middle latitude, which is true to scale over a district.
    """
    known = [
        (lat, lon, worst, title, key) for lat, lon, worst, title, key in places if lat is not None and lon is not None
    ]
    if not known:
        return None
    south, north = min(lat for lat, *_ in known), max(lat for lat, *_ in known)
    west, east = min(lon for _, lon, *_ in known), max(lon for _, lon, *_ in known)
    shrink = max(math.cos(math.radians((south + north) / 2)), 0.01)
    wide, high = (east - west) * shrink * KM_PER_DEGREE, (north - south) * KM_PER_DEGREE
    room_x, room_y = width - 2 * PLAN_EDGE, height - 2 * PLAN_EDGE
    per_km = min(room_x / max(wide, SPREAD_LEAST_KM), room_y / max(high, SPREAD_LEAST_KM))
    marks = []
    for lat, lon, worst, title, key in known:
        x = width / 2 + ((lon - west) * shrink * KM_PER_DEGREE - wide / 2) * per_km
        y = height / 2 - ((lat - south) * KM_PER_DEGREE - high / 2) * per_km
        marks.append(Mark(round(x, 1), round(y, 1), worst, title, key))
    marks.sort(key=lambda mark: -(mark.worst or 9))  # the most urgent lies on top
    bar_km = max((km for km in ROUND_KM if km * per_km <= room_x / 3), default=ROUND_KM[0])
    return Plan(width, height, tuple(marks), round(bar_km * per_km, 1), bar_km)


class Tick(msgspec.Struct, frozen=True):
    """A line across a drawing, and the time or value it stands for."""

    at: float
    value: int


class WaveDrawing(msgspec.Struct, frozen=True):
    """A waveform in a box: an outline of its least and largest counts, or a line where each sample is drawn.

    ``gaps`` are (x, width) of what is missing, ``poor`` of what has a clock that is not held, ``clipped`` of what the
    instrument could not follow.
    """

    width: int
    height: int
    path: str
    is_line: bool
    gaps: tuple[tuple[float, float], ...]
    poor: tuple[tuple[float, float], ...]
    clipped: tuple[tuple[float, float], ...]
    times: tuple[Tick, ...]
    counts: tuple[Tick, ...]


WAVE_WIDTH, WAVE_HEIGHT = 1000, 320
GAP_WIDTH_LEAST = 1.5
"""A gap is drawn at least so wide: one that cannot be seen might as well be hidden."""
TIMING_HELD = 60
"""Per cent of timing quality from which on a clock is held, as is usual where miniSEED is read."""
TIME_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000,
)  # fmt: skip
TIMES_MOST = 6
ZONE_NS = 8 * 3600 * 1_000_000_000
"""The console's zone is so far ahead of UTC, without a summer time: its days begin at round times there."""


def draw_wave(chart: Chart, width: int = WAVE_WIDTH, height: int = WAVE_HEIGHT) -> WaveDrawing | None:
    """Draw a part of a stream; None where there is nothing."""
    if not chart.columns:
        return None
    low, high = min(one.least for one in chart.columns), max(one.most for one in chart.columns)
    pad = max((high - low) * 0.08, 1.0)
    low_edge, high_edge = low - pad, high + pad
    span = chart.end_ns - chart.start_ns

    def place_x(at_ns: int) -> float:
        return round(min(max((at_ns - chart.start_ns) / span, 0.0), 1.0) * width, 2)

    def place_y(count: int) -> float:
        return round(height - (count - low_edge) / (high_edge - low_edge) * height, 1)

    is_line = all(one.least == one.most for one in chart.columns)
    runs = _split_runs(chart.columns)
    draw = _draw_line if is_line else _draw_outline
    return WaveDrawing(
        width,
        height,
        "".join(draw(run, place_x, place_y) for run in runs),
        is_line,
        tuple((place_x(a), max(round(place_x(b) - place_x(a), 2), GAP_WIDTH_LEAST)) for a, b in chart.gaps),
        _mark_spans([one for one in chart.columns if 0 <= one.timing < TIMING_HELD], place_x),
        _mark_spans([one for one in chart.columns if one.flags & WaveFlag.CLIPPED], place_x),
        tuple(Tick(place_x(at_ns), at_ns) for at_ns in _find_times(chart.start_ns, chart.end_ns)),
        tuple(Tick(place_y(count), count) for count in (high, (low + high) // 2, low)),
    )


def _split_runs(columns: Sequence[Column]) -> list[list[Column]]:
    """Part columns where something is missing between them: more than their own usual distance."""
    steps = sorted(after.start_ns - before.start_ns for before, after in pairwise(columns))
    step = steps[len(steps) // 2] if steps else 0
    runs = [[columns[0]]]
    for before, after in pairwise(columns):
        if after.start_ns > max(before.end_ns, before.start_ns + step) + step // 2:
            runs.append([])
        runs[-1].append(after)
    return runs


def _draw_line(run: Sequence[Column], place_x: Callable[[int], float], place_y: Callable[[int], float]) -> str:
    return "M" + "L".join(f"{place_x(one.start_ns)} {place_y(one.most)}" for one in run)


def _draw_outline(run: Sequence[Column], place_x: Callable[[int], float], place_y: Callable[[int], float]) -> str:
    """Along the largest counts and back along the least; a column has its own width."""
    upper = [f"{place_x(at)} {place_y(one.most)}" for one in run for at in (one.start_ns, one.end_ns)]
    lower = [f"{place_x(at)} {place_y(one.least)}" for one in reversed(run) for at in (one.end_ns, one.start_ns)]
    return "M" + "L".join(upper + lower) + "Z"


def _mark_spans(columns: Sequence[Column], place_x: Callable[[int], float]) -> tuple[tuple[float, float], ...]:
    """The stretches of columns, (x, width), those that touch in one."""
    marks: list[tuple[float, float]] = []
    for one in columns:
        begin, end = place_x(one.start_ns), place_x(one.end_ns)
        if marks and begin - marks[-1][1] < 1.0:
            marks[-1] = (marks[-1][0], end)
        else:
            marks.append((begin, end))
    return tuple((begin, max(round(end - begin, 2), GAP_WIDTH_LEAST)) for begin, end in marks)


def _find_times(start_ns: int, end_ns: int) -> list[int]:
    """Round times between two others, some at most."""
    span_s = (end_ns - start_ns) / 1_000_000_000
    step = next((step for step in TIME_STEPS_S if span_s / step <= TIMES_MOST), math.ceil(span_s / TIMES_MOST))
    step_ns = step * 1_000_000_000
    first = -(-(start_ns + ZONE_NS) // step_ns) * step_ns - ZONE_NS
    return list(range(first, end_ns, step_ns))
