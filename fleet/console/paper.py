"""What our reports on paper share: fonts, colours, texts and tables for PDF.

Chinese is set in STSong-Light, one of the fonts that every PDF reader has for it, so that no font file is needed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Table

FONT = "STSong-Light"
INK, SOFT, RULE, GROUND = (colors.HexColor(text) for text in ("#1f2a33", "#53616c", "#cfd4d8", "#f0f2f3"))
MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
HEAD = ParagraphStyle("head", fontName=FONT, fontSize=18, leading=24, textColor=INK, wordWrap="CJK")
TITLE = ParagraphStyle(
    "title", fontName=FONT, fontSize=11, leading=16, textColor=SOFT, spaceBefore=10, wordWrap="CJK", keepWithNext=1
)
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


def prepare() -> None:
    """Make the font known. It may be called again."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))


def build(story: Sequence[Flowable], title: str, foot: str) -> bytes:
    """Make the document. The same story gives the same octets."""
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=title, author="Fengsui", invariant=1,
    )  # fmt: skip
    document.build(list(story), onFirstPage=_foot(foot), onLaterPages=_foot(foot))
    return buffer.getvalue()


def _foot(words: str) -> Callable[[Any, Any], None]:
    def draw_foot(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(FONT, 8)
        canvas.setFillColor(SOFT)
        canvas.drawString(MARGIN, 10 * mm, words)
        canvas.drawRightString(A4[0] - MARGIN, 10 * mm, str(document.page))
        canvas.restoreState()

    return draw_foot


def keep_known(text: str) -> str:
    """Keep what the font's encoding takes: the basic plane of Unicode, nothing invisible."""
    return "".join(letter if letter.isprintable() and ord(letter) < 0x10000 else "?" for letter in text)


def clean(text: str) -> str:
    """Keep what the font's encoding takes, and escape it for a paragraph."""
    return escape(keep_known(text))


def make_section(title: str, *content: Flowable) -> list[Flowable]:
    """A heading and what stands below it."""
    return [Paragraph(clean(title), TITLE), *content]


def make_table(rows: Sequence[Sequence[Any]], widths: Sequence[float], heading: bool = False) -> Table:
    """A table over the whole width, of which each column has its share."""
    look = [*LOOK, *([("TEXTCOLOR", (0, 0), (-1, 0), SOFT)] if heading else [])]
    return Table(
        rows, colWidths=[width * WIDTH for width in widths], style=look, repeatRows=int(heading), hAlign="LEFT"
    )


def paragraph(text: str) -> Paragraph:
    """A text."""
    return Paragraph(clean(text), TEXT)


def small(text: str) -> Paragraph:
    """What names or explains, smaller and softer."""
    return Paragraph(clean(text), NOTE)
