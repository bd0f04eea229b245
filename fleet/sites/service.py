"""Sites: where gateways stand, and what devices each is to have."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.sites.models import ExpectedDevice, Site

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TEXT_MOST = 200
TAGS_MOST = 100_000
EXPECTED_MOST = 10_000
COLUMNS = ("device", "title", "tags", "note")


def add(
    session: Session, key: str, title: str, sector: str = "", lat: float | None = None, lon: float | None = None
) -> Site:
    """Add a site. Raises InvalidError or ConflictError."""
    if not KEY_PATTERN.fullmatch(key):
        raise InvalidError(f"'{key}' is not a site key", hint="use up to 63 of a-z, 0-9 and '-', not '-' first")
    if session.get(Site, key) is not None:
        raise ConflictError(f"there is a site '{key}' already")
    site = Site(key=key)
    _describe(site, title, sector, lat, lon)
    session.add(site)
    session.flush()
    return site


def change(session: Session, key: str, title: str, sector: str, lat: float | None, lon: float | None) -> Site:
    """Say anew how a site is called and where it is. Raises NotFoundError or InvalidError."""
    site = get(session, key)
    _describe(site, title, sector, lat, lon)
    session.flush()
    return site


def _describe(site: Site, title: str, sector: str, lat: float | None, lon: float | None) -> None:
    check_position(lat, lon)
    for text, name in ((title, "title"), (sector, "sector")):
        if len(text) > TEXT_MOST or "\0" in text:
            raise InvalidError(f"the {name} is too long", hint=f"up to {TEXT_MOST} letters")
    site.title, site.sector, site.lat, site.lon = title or site.key, sector, lat, lon


def check_position(lat: float | None, lon: float | None) -> None:
    """Check a position in degrees, of which both are given or none. Raises InvalidError."""
    if (lat is None) != (lon is None):
        raise InvalidError("half a position", hint="give latitude and longitude, or neither")
    if lat is not None and lon is not None and not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise InvalidError("the position is not on earth", hint="latitude -90..90, longitude -180..180, in degrees")


def get(session: Session, key: str) -> Site:
    """Return a site. Raises NotFoundError."""
    site = session.get(Site, key)
    if site is None:
        raise NotFoundError(f"there is no site '{key}'")
    return site


def list_all(session: Session) -> Sequence[Site]:
    """Return all sites by key."""
    return session.scalars(sa.select(Site).order_by(Site.key)).all()


def list_expected(session: Session, key: str | None = None) -> Sequence[ExpectedDevice]:
    """Return the devices that a site is to have, or all sites, by site and name."""
    query = sa.select(ExpectedDevice).order_by(ExpectedDevice.site_key, ExpectedDevice.name)
    return session.scalars(query if key is None else query.where(ExpectedDevice.site_key == key)).all()


def set_expected(session: Session, key: str, text: str, now_ns: int) -> int:
    """Say anew which devices a site is to have: CSV with a heading of ``device,title,tags,note``. Returns how many.

    All of it or nothing. Raises NotFoundError, or InvalidError that lists every wrong line.
    """
    get(session, key)
    found: dict[str, ExpectedDevice] = {}
    mistakes: list[str] = []
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        _check_heading(rows.fieldnames)
        for row in rows:
            mistake = _read_line(row, key, now_ns, found)
            if mistake:
                mistakes.append(f"line {rows.line_num}: {mistake}")
    except csv.Error as error:
        mistakes.append(f"line {rows.line_num}: not CSV: {error}")
    if mistakes:
        raise InvalidError("; ".join(mistakes[:20]), hint="nothing was changed: correct these lines and try again")
    session.execute(sa.delete(ExpectedDevice).where(ExpectedDevice.site_key == key))
    session.add_all(found.values())
    session.flush()
    return len(found)


def _check_heading(found: Sequence[str] | None) -> None:
    unknown = [name for name in found or () if name not in COLUMNS]
    if not found or unknown or COLUMNS[0] not in found:
        what = f"unknown column {unknown[0]!r}" if unknown else f"there is no column {COLUMNS[0]}"
        raise InvalidError(f"line 1: {what}", hint=f"the first line names the columns: {','.join(COLUMNS)}")


def _read_line(row: dict[str, str], key: str, now_ns: int, found: dict[str, ExpectedDevice]) -> str:
    """Read one line into ``found``. Returns what is wrong with it, empty if nothing."""
    if None in row or None in row.values():
        return "it has not as many fields as the heading"
    field = {name: (row.get(name) or "").strip() for name in COLUMNS}
    name, tags = field["device"], field["tags"] or "1"
    if not name or any(len(text) > TEXT_MOST or "\0" in text for text in field.values()):
        return f"a device has a name, and no text is longer than {TEXT_MOST} letters"
    if name in found:
        return f"device '{name}' stands there twice"
    if not (tags.isascii() and tags.isdigit() and 1 <= int(tags) <= TAGS_MOST):
        return f"'{tags}' is no number of tags"
    if len(found) >= EXPECTED_MOST:
        return f"more than {EXPECTED_MOST} devices"
    found[name] = ExpectedDevice(
        site_key=key, name=name, title=field["title"], tags=int(tags), note=field["note"], made_ns=now_ns
    )
    return ""


def write_expected(rows: Sequence[ExpectedDevice]) -> str:
    """Write the devices that a site is to have, as `set_expected` reads them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.name, row.title, row.tags, row.note) for row in rows)
    return text.getvalue()
