"""The API of earthquakes: events with what each station measured, and the streets that the felt area is told by."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Float, Integer, List, Nested, String
from apiflask.validators import Range

from fleet.api import INT_MAX, find_services, make_blueprint, reading
from fleet.quakes import service, streets
from fleet.quakes.felt import Estimate
from fleet.quakes.models import StationQuake

blueprint = make_blueprint("quakes")


class QuakesQuery(Schema):
    """Which part of the list, newest onset first."""

    before_ns = Integer(load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only onsets before"})
    limit = Integer(load_default=service.LISTED, validate=Range(1, 1000))
    rejected = Boolean(load_default=False, metadata={"description": "Also those of which all was taken back"})


class MagnitudeOut(Schema):
    """An estimate on site, its standard error, and from how many stations."""

    value = Float()
    error = Float()
    stations = Integer()


class QuakeOut(Schema):
    """An event. ``state``: open, closed or rejected. Times are UTC in ns, peaks the highest of any station in gal, cm/s
    and cm; the position is that of the strongest station, not of the source. ``doubts`` say what it rests on."""

    id = Integer()
    state = String()
    onset_ns = Integer()
    is_timed = Boolean()
    changed_ns = Integer()
    duration_s = Float()
    stations = Integer()
    rejected = Integer()
    intensity_gb = Float()
    intensity_jma = Float()
    grade = Integer()
    pga_gal = Float()
    pgv_cm_s = Float()
    pgd_cm = Float()
    peak_ns = Integer(allow_none=True)
    place = String()
    station = String()
    lat = Float(allow_none=True)
    lon = Float(allow_none=True)
    magnitude = Nested(MagnitudeOut, allow_none=True)
    doubts = List(String())


class StationQuakeOut(Schema):
    """The newest of what a station told. ``clock``: how good its onset is, synced, holdover, told or unset."""

    gateway = String()
    station = String()
    title = String()
    lat = Float(allow_none=True)
    lon = Float(allow_none=True)
    quake = Integer()
    state = String()
    clock = String()
    onset_ns = Integer()
    peak_ns = Integer(allow_none=True)
    first_ns = Integer()
    received_ns = Integer()
    duration_s = Float()
    pga_gal = Float()
    pgv_cm_s = Float()
    pgd_cm = Float()
    intensity_gb = Float()
    intensity_jma = Float()
    grade = Integer()
    quality = Integer()
    pd_cm = Float(allow_none=True)
    tau_c_s = Float(allow_none=True)
    magnitude = Float(allow_none=True)
    magnitude_error = Float(allow_none=True)
    spectrum = List(Float())
    reason = String()


class EstimateOut(Schema):
    """What a street is estimated to have felt, from so many ``stations``; no intensity where none speaks for it."""

    name = String()
    lat = Float()
    lon = Float()
    population = Integer(allow_none=True)
    is_approximate = Boolean()
    intensity = Float(allow_none=True)
    grade = Integer()
    stations = Integer()
    nearest = String()
    nearest_km = Float(allow_none=True)


class QuakesOut(Schema):
    """A page of events."""

    quakes = List(Nested(QuakeOut))


class QuakeDetail(Schema):
    """An event, all its reports, and the streets, the strongest first."""

    quake = Nested(QuakeOut)
    stations = List(Nested(StationQuakeOut))
    streets = List(Nested(EstimateOut))


class StreetOut(Schema):
    """A street and the position that stands for it; ``is_approximate`` if nobody measured that."""

    name = String()
    lat = Float()
    lon = Float()
    population = Integer(allow_none=True)
    is_approximate = Boolean()


class StreetsOut(Schema):
    """All streets by name."""

    streets = List(Nested(StreetOut))


@blueprint.get("/quakes")
@blueprint.input(QuakesQuery, location="query")
@blueprint.output(QuakesOut)
def list_quakes(query_data: dict[str, Any]) -> dict[str, Any]:
    """List earthquakes, newest onset first, each by the stations that the account sees."""
    with reading() as session:
        found = service.list_quakes(
            session,
            find_services().clock(),
            query_data["before_ns"],
            query_data["limit"],
            with_rejected=query_data["rejected"],
        )
        return {"quakes": found}


@blueprint.get("/quakes/<int:number>")
@blueprint.output(QuakeDetail)
def get_quake(number: int) -> dict[str, Any]:
    """Show an earthquake with its stations and the felt area by street."""
    with reading() as session:
        found = service.get_quake(session, number, find_services().clock())
        stations: tuple[StationQuake, ...] = found.reports
        return {"quake": found.summary, "stations": stations, "streets": [_flatten(one) for one in found.streets]}


@blueprint.get("/quakes/streets")
@blueprint.output(StreetsOut)
def list_streets() -> dict[str, Any]:
    """List the streets that the felt area is told by."""
    with reading() as session:
        return {"streets": streets.list_places(session)}


def _flatten(one: Estimate) -> dict[str, Any]:
    place = one.place
    return {
        "name": place.name,
        "lat": place.lat,
        "lon": place.lon,
        "population": place.population,
        "is_approximate": place.is_approximate,
        "intensity": one.intensity,
        "grade": one.grade,
        "stations": one.stations,
        "nearest": one.nearest,
        "nearest_km": one.nearest_km,
    }
