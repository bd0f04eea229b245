"""Sites: adding and finding them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import ConflictError, InvalidError
from fleet.sites.models import Site

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def add(
    session: Session, key: str, title: str, sector: str = "", lat: float | None = None, lon: float | None = None
) -> Site:
    """Add a site."""
    if not KEY_PATTERN.fullmatch(key):
        raise InvalidError(f"'{key}' is not a site key", hint="use up to 63 of a-z, 0-9 and '-', not '-' first")
    check_position(lat, lon)
    if session.get(Site, key) is not None:
        raise ConflictError(f"there is a site '{key}' already")
    site = Site(key=key, title=title or key, sector=sector, lat=lat, lon=lon)
    session.add(site)
    session.flush()
    return site


def check_position(lat: float | None, lon: float | None) -> None:
    """Check a position in degrees, of which both are given or none. Raises InvalidError."""
    if (lat is None) != (lon is None):
        raise InvalidError("half a position", hint="give latitude and longitude, or neither")
    if lat is not None and lon is not None and not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise InvalidError("the position is not on earth", hint="latitude -90..90, longitude -180..180, in degrees")


def list_all(session: Session) -> Sequence[Site]:
    """Return all sites by key."""
    return session.scalars(sa.select(Site).order_by(Site.key)).all()
