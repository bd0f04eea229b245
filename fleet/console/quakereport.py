"""The report of an earthquake for the duty officer as PDF: what, where, how strong by street, on what it rests."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext
from reportlab.graphics.shapes import Circle, Drawing, Line, Rect, String
from reportlab.lib import colors
from reportlab.platypus import Flowable, Paragraph, Table

from fleet.console import paper
from fleet.console.notation import write_time
from fleet.console.paper import (
    FONT,
    HEAD,
    INK,
    RULE,
    SOFT,
    WIDTH,
    clean,
    keep_known,
    make_section,
    make_table,
    paragraph,
    small,
)
from fleet.console.quakedraw import Map, draw_map
from fleet.console.words import DOUBTS, QUAKE_STATES, REPORT_STATES, ROMAN, find_word
from fleet.quakes.felt import Estimate
from fleet.quakes.models import REJECTED, StationQuake
from fleet.quakes.service import Found
from fleet.quakes.summary import Summary

COLOURS = tuple(
    colors.HexColor(text)
    for text in (
        "#ffffff", "#ffffd9", "#f4fbc4", "#e2f4b2", "#c0e6b5", "#8ad3ba", "#55bfc4", "#2f9fc4", "#2474b4", "#24479d",
        "#1b2f7c", "#111f60", "#081442",
    )
)  # fmt: skip
"""By class, 0 for none, as in tokens.css: the scale YlGnBu of ColorBrewer (C. Brewer), safe for the colour-blind."""
WHITE_FROM = 8
STREETS_MOST = 200
SCALE_Y = 12.0
"""How far the scale of the map is above its lower edge."""


def draw(found: Found, now_ns: int, by: str) -> bytes:
    """Draw the report as of now, for who asks for it. The same findings give the same octets."""
    paper.prepare()
    one = found.summary
    title = gettext("Earthquake report %(number)s", number=one.id)
    story: list[Flowable] = [Paragraph(clean(title), HEAD), _facts(one, now_ns, by)]
    story += make_section(gettext("What this rests on"), *(paragraph(text) for text in _list_grounds(one)))
    plan = draw_map(found.reports, found.streets)
    if plan is not None:
        story += make_section(gettext("Intensity map"), _draw_map(plan))
    felt = [street for street in found.streets if street.intensity is not None][:STREETS_MOST]
    if felt:
        story += make_section(gettext("Felt area by street (estimate)"), _streets(felt))
    story += make_section(gettext("Stations"), _stations(found.reports))
    return paper.build(story, title, f"{title}, {write_time(now_ns)}")


def _facts(one: Summary, now_ns: int, by: str) -> Table:
    where = "" if one.lat is None or one.lon is None else f"{one.lat:.4f}°, {one.lon:.4f}°"
    facts = {
        gettext("State"): find_word(QUAKE_STATES, one.state),
        gettext("Onset"): write_time(one.onset_ns) if one.is_timed else f"{write_time(one.onset_ns)} ?",
        gettext("Highest intensity (GB/T 17742-2020)"): f"{one.intensity_gb:.1f} ({ROMAN[one.grade]})",
        gettext("Highest intensity (JMA)"): f"{one.intensity_jma:.1f}",
        gettext("Strongest at"): f"{one.place} {one.station} {where}".strip(),
        "PGA": f"{one.pga_gal:.1f} gal",
        "PGV": f"{one.pgv_cm_s:.2f} cm/s",
        "PGD": f"{one.pgd_cm:.2f} cm",
        gettext("Duration"): f"{one.duration_s:.0f} s",
        gettext("Stations"): str(one.stations),
        gettext("Magnitude, estimated on site"): _write_magnitude(one),
        gettext("Report of"): f"{write_time(now_ns)} {by}",
    }
    return make_table([[small(name), paragraph(value)] for name, value in facts.items() if value], (0.34, 0.66))


def _write_magnitude(one: Summary) -> str:
    found = one.magnitude
    return "" if found is None else f"{found.value:.1f} ± {found.error:.1f} ({found.stations})"


def _list_grounds(one: Summary) -> list[str]:
    """What a reader has to know before relying on the figures."""
    grounds = [str(DOUBTS[doubt]) for doubt in one.doubts]
    if one.rejected:
        grounds.append(gettext("Reports that were taken back: %(number)s.", number=one.rejected))
    grounds.append(
        gettext(
            "Intensities at stations are instrumental. Those of streets are estimates from the stations around, by "
            "inverse distances; no epicentre is located. Official figures come from the earthquake network centre."
        )
    )
    return grounds


def _streets(streets: Sequence[Estimate]) -> Table:
    heading = [
        gettext("Street"), gettext("Class"), gettext("Intensity"), gettext("Stations"), gettext("Nearest station"),
    ]  # fmt: skip
    rows = [
        [
            f"{one.place.name}{'*' if one.place.is_approximate else ''}",
            ROMAN[one.grade],
            f"{one.intensity:.1f}",
            str(one.stations),
            f"{one.nearest} {one.nearest_km or 0:.1f} km",
        ]
        for one in streets
    ]
    if all(one.place.population is None for one in streets):
        return _rows(heading, rows, (0.25, 0.1, 0.12, 0.12, 0.41))
    for row, one in zip(rows, streets, strict=True):
        row.append("" if one.place.population is None else f"{one.place.population:,}")
    return _rows([*heading, gettext("Population")], rows, (0.25, 0.1, 0.12, 0.12, 0.27, 0.14))


def _stations(reports: Sequence[StationQuake]) -> Table:
    heading = (
        gettext("Station"), gettext("Onset"), gettext("Class"), gettext("Intensity"), "PGA gal", "PGV cm/s",
        gettext("State"),
    )  # fmt: skip
    rows = [
        (
            f"{one.title} {one.station}".strip(),
            write_time(one.onset_ns),
            "–" if one.state == REJECTED else ROMAN[one.grade],
            f"{one.intensity_gb:.1f}",
            f"{one.pga_gal:.1f}",
            f"{one.pgv_cm_s:.2f}",
            f"{find_word(REPORT_STATES, one.state)} {one.reason}".strip(),
        )
        for one in reports
    ]
    return _rows(heading, rows, (0.25, 0.21, 0.08, 0.09, 0.1, 0.11, 0.16))


def _rows(heading: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Table:
    cells = [[paragraph(text) for text in row] for row in rows]
    return make_table([[small(text) for text in heading], *cells], widths, heading=True)


def _draw_map(plan: Map) -> Drawing:
    scale, high = WIDTH / plan.width, plan.height
    drawing = Drawing(WIDTH, high * scale)

    def write(x: float, y: float, text: str, size: float, **look: object) -> None:
        drawing.add(String(x * scale, (high - y) * scale, text, fontName=FONT, fontSize=size * scale, **look))

    drawing.add(Rect(0, 0, WIDTH, high * scale, fillColor=None, strokeColor=RULE, strokeWidth=0.6))
    for spot in plan.spots:  # each whole before the next, so that what lies on top covers all of what is below
        look = {"fillColor": COLOURS[spot.grade], "strokeColor": INK, "strokeWidth": 0.6}
        x, y, r = spot.x * scale, (high - spot.y) * scale, spot.r * scale
        drawing.add(Rect(x - r, y - r, 2 * r, 2 * r, **look) if spot.kind == "station" else Circle(x, y, r, **look))
        if spot.grade:
            ink = colors.white if spot.grade >= WHITE_FROM else colors.black
            write(spot.x, spot.y + 5, str(spot.grade), 14, textAnchor="middle", fillColor=ink)
        if spot.label:
            write(spot.label_x, spot.label_y, keep_known(spot.label), 12, textAnchor=spot.anchor, fillColor=INK)
    bar_y = SCALE_Y * scale
    drawing.add(Line(16 * scale, bar_y, (16 + plan.bar) * scale, bar_y, strokeColor=SOFT))
    write(24 + plan.bar, high - SCALE_Y + 4, f"{plan.bar_km:g} km", 12, fillColor=SOFT)
    return drawing
