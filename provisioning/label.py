"""Labels: a QR code that a phone's own camera opens, and what gateway and fleet are to know of its claim.

The code stands in the link's fragment, which a browser sends to nobody: no proxy and no log ever sees it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

import segno

from provisioning.codes import hash_code
from provisioning.errors import RequestError

COLUMNS = ("secret_sha256", "gateway", "title", "site", "template")
KINDS = ("png", "svg", "pdf")
SCALE = 8
"""Dots, or points, to a module of the QR code: some 4 cm on a label at 300 dpi."""
BORDER = 4
"""Modules around it that stay white (ISO/IEC 18004, 5.3.8)."""
PAGE = "claim"
DOT = "."
"""Between a local code and the fingerprint of its key."""


@dataclass(frozen=True)
class Label:
    """One label: the gateway that it belongs to, "" if that is said later, and its code."""

    code: str
    gateway: str = ""
    title: str = ""
    site: str = ""
    template: str = ""


def make_link(url: str, code: str) -> str:
    """Return the link of a label. Raises RequestError unless it is HTTPS: a phone would warn, and rightly."""
    if not url.startswith("https://"):
        raise RequestError("url", f"'{url}' is not the fleet's address", hint="write https://host")
    return f"{url.rstrip('/')}/{PAGE}#{code}"


def make_local_link(url: str, code: str, key: str) -> str:
    """Return the link of a code that a gateway made itself. It says for which key it is good: `read_fragment`."""
    return f"{url.rstrip('/')}/{PAGE}#{code}{DOT}{key}"


def read_fragment(text: str) -> tuple[str, str]:
    """Read what was scanned or typed, a code or a whole link: the code, and the key that goes with it or ""."""
    code, _, key = text.strip().rpartition("#")[2].partition(DOT)
    return code, key


def draw_inline(link: str) -> str:
    """Draw a QR code as SVG to stand in a page, black on white, as large as its place."""
    drawn: str = segno.make(link, error="m", micro=False).svg_inline(border=BORDER, light="#fff", omitsize=True)
    return drawn


def draw_terminal(link: str) -> str:
    """Draw a QR code in the letters of a terminal."""
    drawn = io.StringIO()
    segno.make(link, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()


def draw(link: str, kind: str) -> bytes:
    """Draw a QR code as PNG, SVG or PDF; a quarter of it may be scratched."""
    drawn = io.BytesIO()
    segno.make(link, error="q", micro=False).save(drawn, kind=kind, scale=SCALE, border=BORDER)
    return drawn.getvalue()


def write_enrol_toml(url: str, ca_sha256: str, code: str) -> bytes:
    """Write what the gateway is to know. It holds the secret."""
    return f'url = "{url}"\nca_sha256 = "{ca_sha256}"\nclaim = "{code}"\n'.encode()


def write_claims(labels: Iterable[Label]) -> bytes:
    """Write what the fleet is to know, as CSV for ``fengsui-fleet claim import``: hashes, and no secret."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for label in labels:
        rows.writerow((hash_code(label.code), label.gateway, label.title, label.site, label.template))
    return text.getvalue().encode()


def read_list(text: str) -> list[dict[str, str]]:
    """Read the gateways to make labels for: CSV with a heading of ``gateway,title,site,template``.

    Raises RequestError that names the line.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        if "gateway" not in (rows.fieldnames or ()) or set(rows.fieldnames or ()) - set(COLUMNS[1:]):
            raise RequestError("list", "line 1: these are not the columns", hint=f"write: {','.join(COLUMNS[1:])}")
        found = []
        for row in rows:
            if None in row or None in row.values():
                raise RequestError(
                    "list", f"line {rows.line_num}: not as many fields as the heading", hint="correct it"
                )
            found.append({name: value.strip() for name, value in row.items()})
    except csv.Error as error:
        raise RequestError("list", f"line {rows.line_num}: not CSV: {error}", hint="correct it") from error
    return found
