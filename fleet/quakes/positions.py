"""Where a station stands: as its gateway's configuration says, else where its gateway or its site is."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from fleet.waveforms.places import clean_title


class Position(msgspec.Struct, frozen=True):
    """A station's title for people, and its position in degrees (WGS 84), None where nobody said."""

    title: str = ""
    lat: float | None = None
    lon: float | None = None


def find_position(session: Session, gateway: str, station: str) -> Position:
    """Find a station ``NET.STA`` of a gateway."""
    row = session.get(Gateway, gateway)
    if row is None:
        return Position()
    entry = find_entry(row.reported, station)
    site = session.get(Site, row.site_key) if row.site_key else None
    title = clean_title(str(entry.get("title") or "")) or row.title or (site.title if site else "")
    for lat, lon in (
        (entry.get("latitude"), entry.get("longitude")),
        (row.lat, row.lon),
        (site.lat, site.lon) if site else (None, None),
    ):
        if isinstance(lat, int | float) and isinstance(lon, int | float) and -90 <= lat <= 90 and -180 <= lon <= 180:
            return Position(title, float(lat), float(lon))
    return Position(title)


def find_entry(reported: dict[str, Any] | None, station: str) -> dict[str, Any]:
    """Return a station's entry of a reported configuration, empty if there is none."""
    config = (reported or {}).get("config")
    entries = config.get("station") if isinstance(config, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and f"{entry.get('network')}.{entry.get('station')}" == station:
            return entry
    return {}


def count_stations(session: Session) -> int:
    """Count the stations that the gateways' configurations name."""
    documents = session.scalars(sa.select(Gateway.reported).where(Gateway.retired_ns.is_(None)))
    found = 0
    for reported in documents:
        entries = ((reported or {}).get("config") or {}).get("station")
        found += len(entries) if isinstance(entries, list) else 0
    return found
