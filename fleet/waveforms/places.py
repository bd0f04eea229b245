"""Stations as the gateways' reported configurations describe them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from fleet.waveforms.fdsn import StationQuery
from fleet.waveforms.models import WaveStream
from fleet.waveforms.stationxml import Channel, Station

TITLE_MOST = 100
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]


class ChannelEntry(msgspec.Struct, frozen=True):
    """A channel of ``[[station]]`` in a gateway's configuration, as far as others are told of it."""

    code: Annotated[str, Meta(pattern=r"^[A-Z0-9]{3}\Z")]
    sensitivity: Annotated[float, Meta(gt=0, le=1e15)]
    unit: Literal["m/s2", "g", "gal", "m/s"] = "m/s2"
    azimuth: Annotated[float, Meta(ge=0, lt=360)] = 0.0
    dip: Annotated[float, Meta(ge=-90, le=90)] = 0.0


class StationEntry(msgspec.Struct, frozen=True):
    """``[[station]]`` in a gateway's configuration. Releases may know more of it than is read here."""

    network: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,2}\Z")]
    station: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,5}\Z")]
    channels: tuple[ChannelEntry, ...]
    location: Annotated[str, Meta(pattern=r"^([A-Z0-9]{2})?\Z")] = ""
    title: str = ""
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    elevation_m: Number | None = None
    rate_hz: Annotated[float, Meta(gt=0, le=1e6)] | None = None


def list_stations(session: Session) -> list[Station]:
    """Return the stations that a session sees, as far as it is known where they stand.

    A station's position is its own, else its gateway's, else its site's. The height is 0 where nobody says it.
    """
    rates = {row.name: row.rate_hz for row in session.execute(sa.select(WaveStream.name, WaveStream.rate_hz))}
    positions = {row.key: (row.lat, row.lon) for row in session.scalars(sa.select(Site))}
    found: dict[tuple[str, str, str], Station] = {}
    for gateway in session.scalars(sa.select(Gateway).order_by(Gateway.reported_ns)):
        for entry in _read_entries(gateway):
            own, there = (entry.latitude, entry.longitude), (gateway.lat, gateway.lon)
            for lat, lon in (own, there, positions.get(gateway.site_key or "", (None, None))):
                if lat is not None and lon is not None:
                    found[entry.network, entry.station, entry.location] = _describe(entry, lat, lon, rates)
                    break
    return list(found.values())


def _read_entries(gateway: Gateway) -> Iterator[StationEntry]:
    config = (gateway.reported or {}).get("config", {})
    entries = config.get("station", ()) if isinstance(config, dict) else ()
    for entry in entries if isinstance(entries, list | tuple) else ():
        try:
            yield msgspec.convert(entry, StationEntry)
        except msgspec.ValidationError:
            continue  # of a release that describes it otherwise: its page shows the configuration


def clean_title(text: str) -> str:
    """Return a title as every database, page and XML takes it."""
    return "".join(letter for letter in text if letter.isprintable())[:TITLE_MOST]


def _describe(entry: StationEntry, lat: float, lon: float, rates: dict[str, float]) -> Station:
    prefix = f"{entry.network}.{entry.station}.{entry.location}"
    channels = tuple(
        Channel(
            channel.code,
            channel.sensitivity,
            channel.unit,
            channel.azimuth,
            channel.dip,
            rates.get(f"{prefix}.{channel.code}") or entry.rate_hz,
        )
        for channel in entry.channels
    )
    height_m = entry.elevation_m or 0.0
    return Station(entry.network, entry.station, entry.location, clean_title(entry.title), lat, lon, height_m, channels)


def find_channel(session: Session, stream: str) -> Channel | None:
    """Return what is known of a stream's channel, None if no gateway describes it."""
    for station in list_stations(session):
        for channel in station.channels:
            if f"{station.network}.{station.station}.{station.location}.{channel.code}" == stream:
                return channel
    return None


def choose(stations: list[Station], query: StationQuery) -> list[Station]:
    """Return those of the stations, with those of their channels, that are asked for."""
    south, north, west, east = query.box
    chosen = []
    for one in stations:
        if not (south <= one.latitude <= north and west <= one.longitude <= east):
            continue
        wanted = tuple(
            channel
            for channel in one.channels
            if any(each.matches(one.network, one.station, one.location, channel.code) for each in query.selections)
        )
        if wanted:
            chosen.append(msgspec.structs.replace(one, channels=wanted))
    return chosen
