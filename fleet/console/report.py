"""The commissioning report as PDF: what was found, values read, alarms tested, who and when; with a place to sign."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec
from flask_babel import gettext
from reportlab.graphics.shapes import Drawing, PolyLine
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, Table
from sqlalchemy.orm import Session

from fleet.commissioning.models import Commissioning
from fleet.commissioning.service import FIELD, Stroke
from fleet.configs.models import ConfigTemplate
from fleet.console import paper
from fleet.console.faults import Line
from fleet.console.notation import write_figure, write_time
from fleet.console.paper import HEAD, INK, NOTE, clean, make_section, make_table, paragraph, small
from fleet.console.state import find_console
from fleet.console.words import name_quality
from fleet.gateways.models import Gateway
from fleet.overview.labels import read_labels
from fleet.overview.sources import Sources
from fleet.overview.values import read_newest
from fleet.sites.models import Site
from wire.sample import is_good

VALUES_MOST = 300
PHOTO_MM = 70
SIGNATURE_MM = (60, 24)
MARKS = {"done": "OK", "failed": "!", "waiting": "–"}


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
    paper.prepare()
    title = gettext("Commissioning report %(name)s", name=page.gateway)
    story: list[Flowable] = [Paragraph(clean(title), HEAD), _facts(page, now_ns)]
    story += make_section(gettext("What was checked"), _checks(lines))
    if page.values:
        story += make_section(gettext("Values read"), _values(page.values))
    if page.photo is not None:
        story.append(_photo(page.photo))
    story.append(KeepTogether(make_section(gettext("Signed off by the enterprise"), _signature(signature))))
    foot = page.gateway if signature else f"{page.gateway}, {gettext('draft, not signed')}"
    return paper.build(story, title, foot)


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
    return make_table([[small(name), paragraph(value)] for name, value in facts.items() if value], (0.18, 0.82))


def _checks(lines: Sequence[Line]) -> Table:
    rows = [
        [
            paragraph(MARKS[line.step.state]),
            paragraph(line.title),
            paragraph(line.value or f"{line.wrong} {line.hint}".strip()),
        ]
        for line in lines
    ]
    return make_table(rows, (0.07, 0.38, 0.55))


def _values(values: Sequence[Value]) -> Table:
    heading = [small(text) for text in (gettext("Device"), gettext("Tag"), gettext("Value"), gettext("Quality"))]
    rows = [[paragraph(text) for text in (one.device, one.title, one.value, one.quality)] for one in values]
    return make_table([heading, *rows], (0.3, 0.3, 0.2, 0.2), heading=True)


def _photo(photo: bytes) -> Flowable:
    try:
        width, height = ImageReader(io.BytesIO(photo)).getSize()
        scale = PHOTO_MM * mm / max(width, height)
        image = Image(io.BytesIO(photo), width * scale, height * scale, hAlign="LEFT")
    except (OSError, ValueError, ZeroDivisionError):  # it was taken for a JPEG by its segments, and cannot be drawn
        image = Paragraph(clean(gettext("The photo cannot be shown.")), NOTE)
    return KeepTogether(make_section(gettext("Photo"), image))


def _signature(signature: Signature | None) -> Table:
    if signature is None:
        return make_table([[paragraph(gettext("Not signed yet: this is a draft."))]], (1.0,))
    how = {"account": gettext("by the enterprise's account"), "hand": gettext("by hand on site")}[signature.via]
    rows: list[list[Any]] = [
        [small(gettext("Name")), paragraph(f"{signature.by} ({how})")],
        [small(gettext("Time")), paragraph(write_time(signature.at_ns))],
    ]
    if signature.via == "hand":  # the name is typed: the report says on whose word
        rows.append([small(gettext("Technician")), paragraph(signature.witness)])
    if signature.strokes:
        rows.append([small(gettext("Signature")), _draw_strokes(signature.strokes)])
    return make_table(rows, (0.18, 0.82))


def _draw_strokes(strokes: Sequence[Stroke]) -> Drawing:
    width, height = (side * mm for side in SIGNATURE_MM)
    drawing = Drawing(width, height)
    for stroke in strokes:
        points = [value for x, y in stroke for value in (x / FIELD * width, height - y / FIELD * height)]
        drawing.add(PolyLine(points * (1 if len(stroke) > 1 else 2), strokeColor=INK, strokeWidth=1.2, fillColor=None))
    return drawing
