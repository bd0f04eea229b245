"""The commissioning report as PDF: what was found, values read, alarms tested, who and when; with a place to sign.

Its Chinese is set in STSong-Light, one of the fonts that every PDF reader has for it, so that no font file is needed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from flask_babel import gettext
from reportlab.graphics.shapes import Drawing, PolyLine
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Table
from sqlalchemy.orm import Session

from fleet.commissioning.models import Commissioning
from fleet.commissioning.service import FIELD, Stroke
from fleet.configs.models import ConfigTemplate
from fleet.console.faults import Line
from fleet.console.notation import write_figure, write_time
from fleet.console.state import find_console
from fleet.console.words import name_quality
from fleet.gateways.models import Gateway
from fleet.overview.labels import read_labels
from fleet.overview.sources import Sources
from fleet.overview.values import read_newest
from fleet.sites.models import Site
from wire.sample import is_good

FONT = "STSong-Light"
INK, SOFT, RULE, GROUND = (colors.HexColor(text) for text in ("#1f2a33", "#53616c", "#cfd4d8", "#f0f2f3"))
MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
VALUES_MOST = 300
PHOTO_MM = 70
SIGNATURE_MM = (60, 24)
MARKS = {"done": "OK", "failed": "!", "waiting": "–"}
HEAD = ParagraphStyle("head", fontName=FONT, fontSize=18, leading=24, textColor=INK, wordWrap="CJK")
TITLE = ParagraphStyle("title", fontName=FONT, fontSize=11, leading=16, textColor=SOFT, spaceBefore=10, wordWrap="CJK")
TEXT = ParagraphStyle("text", fontName=FONT, fontSize=9.5, leading=13, textColor=INK, wordWrap="CJK")
NOTE = ParagraphStyle("note", parent=TEXT, textColor=SOFT, fontSize=8, leading=11)
LOOK = [
    ("FONT", (0, 0), (-1, -1), FONT, 9.5),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
    ("LEFTPADDING", (0, 0), (-1, -1), 2),
    ("TOPPADDING", (0, 0), (-1, -1), 2.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs: by an ``account`` of the enterprise, or by ``hand`` on the phone of ``witness``, and when."""

    by: str
    witness: str
    via: str
    at_ns: int
    strokes: Sequence[Stroke]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag showed. ``is_good`` is false where it cannot be relied on."""

    device: str
    title: str
    value: str
    quality: str
    is_good: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What page and report say beside the checklist."""

    gateway: str
    title: str
    site: str
    template: str
    technician: str
    begun_ns: int
    lat: float | None
    lon: float | None
    note: str
    photo: bytes | None
    values: tuple[Value, ...]


def gather(session: Session, row: Commissioning) -> Page:
    """Gather what is known of a commissioning's gateway, its site and its newest values."""
    services = find_console().services
    gateway, site = session.get(Gateway, row.gateway), session.get(Site, row.site_key)
    labels = read_labels(session, row.gateway) if gateway is not None else {}
    sources = Sources(session, services.live, find_console().trends, services.clock())
    shown = dict(list(labels.items())[:VALUES_MOST])
    newest = read_newest(sources, row.gateway, {tag: number for tag, (number, _) in shown.items()})
    return Page(
        gateway=row.gateway,
        title=gateway.title if gateway else "",
        site=(site.title or site.key) if site else row.site_key,
        template=_name_template(session, row.template),
        technician=row.technician,
        begun_ns=row.begun_ns,
        lat=row.lat,
        lon=row.lon,
        note=row.note,
        photo=row.photo,
        values=tuple(
            Value(
                device=label.device,
                title=label.title or tag,
                value=write_figure(newest[tag].value, label),
                quality=name_quality(newest[tag].quality),
                is_good=is_good(newest[tag].quality),
            )
            for tag, (_, label) in shown.items()
            if tag in newest
        ),
    )


def _name_template(session: Session, key: str) -> str:
    if not key:
        return ""
    rows = session.query(ConfigTemplate).filter_by(key=key).order_by(ConfigTemplate.version.desc())
    found = rows.first()
    return found.title if found else key


def draw(page: Page, lines: Sequence[Line], signature: Signature | None, now_ns: int) -> bytes:
    """Draw the report. The same findings give the same octets."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    buffer = io.BytesIO()
    title = gettext("Commissioning report %(name)s", name=page.gateway)
    document = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=title, author="Fengsui", invariant=1,
    )  # fmt: skip
    story: list[Flowable] = [Paragraph(_clean(title), HEAD), _facts(page, now_ns)]
    story += _section(gettext("What was checked"), _checks(lines))
    if page.values:
        story += _section(gettext("Values read"), _values(page.values))
    if page.photo is not None:
        story.append(_photo(page.photo))
    story.append(KeepTogether(_section(gettext("Signed off by the enterprise"), _signature(signature))))
    document.build(story, onFirstPage=_foot(page, signature), onLaterPages=_foot(page, signature))
    return buffer.getvalue()


def _clean(text: str) -> str:
    """Escape a text and keep what the font's encoding takes: the basic plane of Unicode, nothing invisible."""
    return escape("".join(letter if letter.isprintable() and ord(letter) < 0x10000 else "?" for letter in text))


def _section(title: str, *content: Flowable) -> list[Flowable]:
    return [Paragraph(_clean(title), TITLE), *content]


def _table(rows: Sequence[Sequence[Any]], widths: Sequence[float], heading: bool = False) -> Table:
    look = [*LOOK, *([("TEXTCOLOR", (0, 0), (-1, 0), SOFT)] if heading else [])]
    return Table(
        rows, colWidths=[width * WIDTH for width in widths], style=look, repeatRows=int(heading), hAlign="LEFT"
    )


def _facts(page: Page, now_ns: int) -> Table:
    where = "" if page.lat is None or page.lon is None else f"{page.lat:.6f}°, {page.lon:.6f}°"
    facts = {
        gettext("Gateway"): f"{page.gateway} {page.title}".strip(),
        gettext("Site"): page.site,
        gettext("Template"): page.template,
        gettext("Position"): where,
        gettext("Technician"): page.technician,
        gettext("Begun"): write_time(page.begun_ns),
        gettext("Report of"): write_time(now_ns),
        gettext("Note"): page.note,
    }
    return _table([[_note(name), _text(value)] for name, value in facts.items() if value], (0.18, 0.82))


def _checks(lines: Sequence[Line]) -> Table:
    rows = [
        [_text(MARKS[line.step.state]), _text(line.title), _text(line.value or f"{line.wrong} {line.hint}".strip())]
        for line in lines
    ]
    return _table(rows, (0.07, 0.38, 0.55))


def _values(values: Sequence[Value]) -> Table:
    heading = [_note(text) for text in (gettext("Device"), gettext("Tag"), gettext("Value"), gettext("Quality"))]
    rows = [[_text(text) for text in (one.device, one.title, one.value, one.quality)] for one in values]
    return _table([heading, *rows], (0.3, 0.3, 0.2, 0.2), heading=True)


def _photo(photo: bytes) -> Flowable:
    try:
        width, height = ImageReader(io.BytesIO(photo)).getSize()
        scale = PHOTO_MM * mm / max(width, height)
        image = Image(io.BytesIO(photo), width * scale, height * scale, hAlign="LEFT")
    except (OSError, ValueError, ZeroDivisionError):  # it was taken for a JPEG by its segments, and cannot be drawn
        image = Paragraph(_clean(gettext("The photo cannot be shown.")), NOTE)
    return KeepTogether(_section(gettext("Photo"), image))


def _signature(signature: Signature | None) -> Table:
    if signature is None:
        return _table([[_text(gettext("Not signed yet: this is a draft."))]], (1.0,))
    how = {"account": gettext("by the enterprise's account"), "hand": gettext("by hand on site")}[signature.via]
    rows: list[list[Any]] = [
        [_note(gettext("Name")), _text(f"{signature.by} ({how})")],
        [_note(gettext("Time")), _text(write_time(signature.at_ns))],
    ]
    if signature.via == "hand":  # the name is typed: the report says on whose word
        rows.append([_note(gettext("Technician")), _text(signature.witness)])
    if signature.strokes:
        rows.append([_note(gettext("Signature")), _draw_strokes(signature.strokes)])
    return _table(rows, (0.18, 0.82))


def _draw_strokes(strokes: Sequence[Stroke]) -> Drawing:
    width, height = (side * mm for side in SIGNATURE_MM)
    drawing = Drawing(width, height)
    for stroke in strokes:
        points = [value for x, y in stroke for value in (x / FIELD * width, height - y / FIELD * height)]
        drawing.add(PolyLine(points * (1 if len(stroke) > 1 else 2), strokeColor=INK, strokeWidth=1.2, fillColor=None))
    return drawing


def _foot(page: Page, signature: Signature | None) -> Any:
    words = page.gateway if signature else f"{page.gateway} · {gettext('draft, not signed')}"

    def draw_foot(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(FONT, 8)
        canvas.setFillColor(SOFT)
        canvas.drawString(MARGIN, 10 * mm, words)
        canvas.drawRightString(A4[0] - MARGIN, 10 * mm, str(document.page))
        canvas.restoreState()

    return draw_foot


def _text(text: str) -> Paragraph:
    return Paragraph(_clean(text), TEXT)


def _note(text: str) -> Paragraph:
    return Paragraph(_clean(text), NOTE)
