"""The API of sites: where they are, how well they are connected, and which devices they are to have."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Float, Integer, List, Nested, String
from apiflask.validators import Length, Range

from fleet.api import changing, find_services, make_blueprint, reading
from fleet.overview import sites as overview
from fleet.overview.sources import Sources
from fleet.overview.trends import Trends
from fleet.sites import service

blueprint = make_blueprint("sites")
TEXT = Length(max=service.TEXT_MOST)


class AboutIn(Schema):
    """What a site is called and where it is, in degrees (WGS 84)."""

    title = String(load_default="", validate=TEXT)
    sector = String(load_default="", validate=TEXT)
    lat = Float(load_default=None, allow_none=True, validate=Range(-90, 90))
    lon = Float(load_default=None, allow_none=True, validate=Range(-180, 180))


class SiteIn(AboutIn):
    """A new site."""

    key = String(required=True, validate=Length(max=63))


class SiteOut(Schema):
    """A site: its tags that deliver good data (``good``) of those registered, and the same of devices."""

    key = String()
    title = String()
    sector = String()
    lat = Float(allow_none=True)
    lon = Float(allow_none=True)
    gateways = Integer()
    online = Integer()
    devices = Integer()
    connected = Integer()
    alarms = Integer()
    good = Integer()
    registered = Integer()
    access_rate = Float(allow_none=True)


class DeviceOut(Schema):
    """A device of a site; without a gateway it is expected and was never connected."""

    name = String()
    title = String()
    gateway = String()
    profile = String()
    good = Integer()
    registered = Integer()
    seen_ns = Integer(allow_none=True)


class SiteDetail(SiteOut):
    """A site with its devices."""

    device_list = List(Nested(DeviceOut))


class SitesOut(Schema):
    """All sites."""

    sites = List(Nested(SiteOut))


class ExpectedIn(Schema):
    """Which devices a site is to have: CSV with a heading of ``device,title,tags,note``."""

    csv = String(required=True, validate=Length(max=2_000_000))


class ExpectedOut(Schema):
    """The same as text."""

    csv = String()


@blueprint.get("/sites")
@blueprint.output(SitesOut)
def list_sites() -> Any:
    """List sites, with the access rate of each."""
    with reading() as session:
        return {"sites": [_describe(line) for line in overview.list_lines(_sources(session))]}


@blueprint.get("/sites/<key>")
@blueprint.output(SiteDetail)
def get_site(key: str) -> Any:
    """Show one site with its devices, what is missing first."""
    with reading() as session:
        page = overview.find_site(_sources(session), key)
    devices = [
        {
            "name": row.name,
            "title": row.title,
            "gateway": row.gateway,
            "profile": row.profile,
            "good": row.access.good,
            "registered": row.access.registered,
            "seen_ns": row.seen_ns,
        }
        for row in page.devices
    ]
    return {**_describe(page.line), "device_list": devices}


@blueprint.post("/sites")
@blueprint.input(SiteIn)
@blueprint.output(AboutIn, status_code=201)
def add_site(json_data: dict[str, Any]) -> Any:
    """Add a site. Answers 409 if there is one of that key."""
    with changing("site.add", json_data["key"]) as session:
        return service.add(session, **json_data)


@blueprint.put("/sites/<key>")
@blueprint.input(AboutIn)
@blueprint.output(AboutIn)
def change_site(key: str, json_data: dict[str, Any]) -> Any:
    """Say anew what a site is called and where it is."""
    with changing("site.about", key) as session:
        return service.change(session, key, **json_data)


@blueprint.get("/sites/<key>/expected")
@blueprint.output(ExpectedOut)
def list_expected(key: str) -> Any:
    """Show which devices a site is to have."""
    with reading() as session:
        service.get(session, key)
        return {"csv": service.write_expected(service.list_expected(session, key))}


@blueprint.put("/sites/<key>/expected")
@blueprint.input(ExpectedIn)
@blueprint.output(ExpectedOut)
def set_expected(key: str, json_data: dict[str, Any]) -> Any:
    """Say anew which devices a site is to have, all of them. Every wrong line is named, and then nothing is changed."""
    with changing("site.devices", key) as session:
        service.set_expected(session, key, json_data["csv"], find_services().clock())
        return {"csv": service.write_expected(service.list_expected(session, key))}


def _sources(session: Any) -> Sources:
    services = find_services()
    return Sources(session, services.live, Trends(), services.clock())


def _describe(line: overview.SiteLine) -> dict[str, Any]:
    return {
        "key": line.key,
        "title": line.title,
        "sector": line.sector,
        "lat": line.lat,
        "lon": line.lon,
        "gateways": line.gateways,
        "online": line.online,
        "devices": line.devices,
        "connected": line.connected,
        "alarms": line.alarms,
        "good": line.access.good,
        "registered": line.access.registered,
        "access_rate": line.access.rate,
    }
