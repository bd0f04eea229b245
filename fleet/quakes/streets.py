"""The streets and townships of the district, of which the felt area is told: read from a CSV, whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError
from fleet.quakes.felt import Place
from fleet.quakes.models import Street

COLUMNS = ("name", "latitude", "longitude", "population", "approximate")
NEEDED = COLUMNS[:3]
NAME_MOST = 100
STREETS_MOST = 5_000
POPULATION_MOST = 100_000_000
SHOWN = 20
YES, NO = ("1", "yes", "true"), ("", "0", "no", "false")


def replace_all(session: Session, text: str) -> int:
    """Take a CSV in the place of all streets. Returns how many. Raises InvalidError that lists every wrong line.

    Its first line names the columns: name, latitude and longitude in degrees, optionally population and approximate
    (1 or 0).
    """
    found: dict[str, Street] = {}
    mistakes: list[str] = []
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        _check_heading(rows.fieldnames)
        for row in rows:
            mistake = _read_line(row, found)
            if mistake:
                mistakes.append(f"line {rows.line_num}: {mistake}")
    except csv.Error as error:
        mistakes.append(f"line {rows.line_num}: not CSV: {error}")
    if mistakes:
        raise InvalidError("; ".join(mistakes[:SHOWN]), hint="nothing was changed: correct these lines and try again")
    session.execute(sa.delete(Street))
    session.add_all(found.values())
    session.flush()
    return len(found)


def list_places(session: Session) -> list[Place]:
    """Return all streets by name."""
    rows = session.scalars(sa.select(Street).order_by(Street.name))
    return [Place(row.name, row.lat, row.lon, row.population, row.is_approximate) for row in rows]


def _check_heading(found: Sequence[str] | None) -> None:
    unknown = [name for name in found or () if name not in COLUMNS]
    missing = [name for name in NEEDED if name not in (found or ())]
    if unknown or missing:
        what = f"unknown column {unknown[0]!r}" if unknown else f"there is no column {missing[0]}"
        raise InvalidError(f"line 1: {what}", hint=f"the first line names the columns: {','.join(COLUMNS)}")


def _read_line(row: dict[str, str], found: dict[str, Street]) -> str:
    """Read one line into ``found``. Returns what is wrong with it, empty if nothing."""
    if None in row or None in row.values():
        return "it has not as many fields as the heading"
    field = {name: (row.get(name) or "").strip() for name in COLUMNS}
    name, population, approximate = field["name"], field["population"], field["approximate"].lower()
    if not name or len(name) > NAME_MOST or not name.isprintable():
        return f"a street has a name of {NAME_MOST} letters at most"
    if name in found:
        return f"'{name}' stands there twice"
    lat, lon = (_read_degrees(field["latitude"], 90.0), _read_degrees(field["longitude"], 180.0))
    if lat is None or lon is None:
        return f"'{field['latitude']}', '{field['longitude']}' is no position in degrees, such as 29.66, 106.55"
    if population and not (population.isascii() and population.isdigit() and int(population) <= POPULATION_MOST):
        return f"'{population}' is no population"
    if approximate not in YES + NO:
        return f"approximate is 1 or 0, not '{approximate}'"
    if len(found) >= STREETS_MOST:
        return f"more than {STREETS_MOST} streets"
    found[name] = Street(
        name=name,
        lat=lat,
        lon=lon,
        population=int(population) if population else None,
        is_approximate=approximate in YES,
    )
    return ""


def _read_degrees(text: str, most: float) -> float | None:
    try:
        degrees = float(text)
    except ValueError:
        return None
    return degrees if math.isfinite(degrees) and abs(degrees) <= most else None
