"""Sites: are they connected, and is anything in alarm? The access rate by site, with what is missing from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Device, Gateway, Tag
from fleet.overview.alarms import count_by_gateway, list_active, list_journal
from fleet.overview.figures import Access, Alarm
from fleet.overview.figures import Reading as Newest
from fleet.overview.known import Known, list_known
from fleet.overview.sources import Sources
from fleet.overview.values import delivers, read_newest_of
from fleet.sites import service as sites
from fleet.sites.models import ExpectedDevice, Site

ALARMS_SHOWN = 50


class DeviceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a site. Without a ``gateway`` it is expected, and no gateway has reported it yet.

    ``seen_ns`` is when its newest value was taken, None if there is none.
    """

    name: str
    title: str = ""
    gateway: str = ""
    profile: str = ""
    access: Access
    seen_ns: int | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it delivers anything good."""
        return self.access.good > 0


class SiteLine(msgspec.Struct, frozen=True, kw_only=True):
    """A site in a list. ``worst`` is the most urgent priority among its active alarms, 0 without any."""

    key: str
    title: str
    sector: str = ""
    lat: float | None = None
    lon: float | None = None
    gateways: int = 0
    online: int = 0
    devices: int = 0
    connected: int = 0
    alarms: int = 0
    worst: int = 0
    access: Access


class SitesPage(msgspec.Struct, frozen=True, kw_only=True):
    """All sites, or those that were asked for."""

    rows: tuple[SiteLine, ...]
    total: int
    sectors: tuple[str, ...]
    sector: str
    q: str
    access: Access


class GatewayOfSite(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway on the page of its site."""

    name: str
    title: str
    online: bool
    seen_ns: int | None
    pending: int
    alarms: int
    worst: int
    lat: float | None
    lon: float | None


class SitePage(msgspec.Struct, frozen=True, kw_only=True):
    """One site."""

    line: SiteLine
    gateways: tuple[GatewayOfSite, ...]
    devices: tuple[DeviceLine, ...]
    alarms: tuple[Alarm, ...]
    recent: tuple[Alarm, ...]
    expected: int


def find_sites(sources: Sources, *, sector: str = "", q: str = "") -> SitesPage:
    """Gather the list of sites: what is in alarm first, then what is missing most."""
    lines = list_lines(sources)
    needle = q.strip().casefold()
    chosen = [
        line
        for line in lines
        if (not sector or line.sector == sector)
        and (not needle or any(needle in text.casefold() for text in (line.key, line.title)))
    ]
    chosen.sort(key=lambda line: (line.worst or 9, 2.0 if line.access.rate is None else line.access.rate, line.key))
    return SitesPage(
        rows=tuple(chosen),
        total=len(lines),
        sectors=tuple(sorted({line.sector for line in lines if line.sector})),
        sector=sector,
        q=q,
        access=sum_of(line.access for line in chosen),
    )


def list_lines(sources: Sources) -> list[SiteLine]:
    """All sites by key, with what is counted of each."""
    known = {row.name: row for row in list_known(sources)}
    counts = count_by_gateway(sources.session)
    at = _gateways_by_site(sources)
    expected = _by_site(sites.list_expected(sources.session))
    devices = measure_devices(sources, known.values())
    return [
        _line(
            site, [known[name] for name in at.get(site.key, ())], counts, devices, expected.get(site.key, ()), sources
        )
        for site in sites.list_all(sources.session)
    ]


def find_site(sources: Sources, key: str) -> SitePage:
    """Gather one site. Raises NotFoundError."""
    site = sites.get(sources.session, key)
    known = {row.name: row for row in list_known(sources)}
    here = [known[name] for name in _gateways_by_site(sources).get(key, ())]
    names = {row.name for row in here}
    expected = sites.list_expected(sources.session, key)
    devices = measure_devices(sources, here)
    counts = count_by_gateway(sources.session)
    alarms = [alarm for alarm in list_active(sources, with_trend=False) if alarm.label.gateway in names]
    recent = [alarm for name in sorted(names) for alarm in list_journal(sources, gateway=name, most=10)]
    recent.sort(key=lambda alarm: -alarm.raised_ns)
    return SitePage(
        line=_line(site, here, counts, devices, expected, sources),
        gateways=tuple(_gateway(sources, row, counts.get(row.name, (0, 0))) for row in here),
        devices=tuple(sorted(_all_devices(devices, expected), key=lambda line: (line.is_connected, line.name))),
        alarms=tuple(alarms[:ALARMS_SHOWN]),
        recent=tuple(recent[:10]),
        expected=len(expected),
    )


def _gateway(sources: Sources, row: Known, alarms: tuple[int, int]) -> GatewayOfSite:
    stored = sources.session.get(Gateway, row.name)
    return GatewayOfSite(
        name=row.name,
        title=row.title,
        online=row.online(sources.now_ns),
        seen_ns=row.seen_ns,
        pending=row.pending,
        alarms=alarms[0],
        worst=alarms[1],
        lat=stored.lat if stored else None,
        lon=stored.lon if stored else None,
    )


def _line(
    site: Site,
    here: Sequence[Known],
    counts: Mapping[str, tuple[int, int]],
    devices: Mapping[str, Sequence[DeviceLine]],
    expected: Sequence[ExpectedDevice],
    sources: Sources,
) -> SiteLine:
    lines = _all_devices({row.name: devices.get(row.name, ()) for row in here}, expected)
    alarms = [counts[row.name] for row in here if row.name in counts]
    return SiteLine(
        key=site.key,
        title=site.title,
        sector=site.sector,
        lat=site.lat,
        lon=site.lon,
        gateways=len(here),
        online=sum(row.online(sources.now_ns) for row in here),
        devices=len(lines),
        connected=sum(line.is_connected for line in lines),
        alarms=sum(number for number, _ in alarms),
        worst=min((worst for _, worst in alarms), default=0),
        access=sum_of(line.access for line in lines),
    )


def _all_devices(reported: Mapping[str, Sequence[DeviceLine]], expected: Sequence[ExpectedDevice]) -> list[DeviceLine]:
    """The devices that gateways report, and those that are expected and that none of them does."""
    lines = [line for of_gateway in reported.values() for line in of_gateway]
    there = {line.name for line in lines}
    missing = [
        DeviceLine(name=row.name, title=row.title, access=Access(sector="", good=0, registered=row.tags))
        for row in expected
        if row.name not in there
    ]
    return lines + missing


def count_missing(session: Session) -> dict[str, int]:
    """{sector: tags of devices that are expected there and that no gateway of their site reports}."""
    is_reported = (
        sa.select(Tag.id)
        .join(Gateway, Gateway.name == Tag.gateway)
        .where(Gateway.site_key == ExpectedDevice.site_key, Tag.device == ExpectedDevice.name, Tag.listed)
        .where(Gateway.retired_ns.is_(None))
        .exists()
    )
    query = (
        sa.select(Site.sector, sa.func.sum(ExpectedDevice.tags))
        .join(Site, Site.key == ExpectedDevice.site_key)
        .where(~is_reported)
        .group_by(Site.sector)
    )
    return {sector: int(tags) for sector, tags in session.execute(query)}


def sum_of(parts: Iterable[Access]) -> Access:
    """Add up counts."""
    held = list(parts)
    return Access(sector="", good=sum(part.good for part in held), registered=sum(part.registered for part in held))


def measure_devices(sources: Sources, known: Iterable[Known]) -> dict[str, list[DeviceLine]]:
    """Count, by gateway and device, the registered tags and those that deliver good data."""
    rows = list(known)
    tags: dict[str, dict[str, dict[str, int]]] = {}
    query = sa.select(Tag.gateway, Tag.device, Tag.name, Tag.id).where(
        Tag.listed, Tag.gateway.in_([row.name for row in rows])
    )
    for gateway, device, name, tag_id in sources.session.execute(query):
        tags.setdefault(gateway, {}).setdefault(device, {})[name] = tag_id
    described = {(row.gateway, row.name): row for row in sources.session.scalars(sa.select(Device))}
    ids = {
        row.name: {name: number for of_device in tags.get(row.name, {}).values() for name, number in of_device.items()}
        for row in rows
    }
    all_newest = read_newest_of(sources, ids)
    found: dict[str, list[DeviceLine]] = {}
    for row in rows:
        of_gateway, newest = tags.get(row.name, {}), all_newest[row.name]
        found[row.name] = [
            _measure(sources, row, device, {name: newest[name] for name in names if name in newest}, len(names),
                     described.get((row.name, device)))
            for device, names in sorted(of_gateway.items())
        ]  # fmt: skip
    return found


def _measure(
    sources: Sources, row: Known, device: str, newest: Mapping[str, Newest], registered: int, described: Device | None
) -> DeviceLine:
    is_online = row.online(sources.now_ns)
    good = sum(delivers(value, sources.now_ns) for value in newest.values()) if is_online else 0
    times = [value.time_ns for value in newest.values() if value.time_ns is not None]
    return DeviceLine(
        name=device,
        title=described.title if described else "",
        gateway=row.name,
        profile=described.profile if described else "",
        access=Access(sector=row.sector, good=good, registered=registered),
        seen_ns=max(times, default=None),
    )


def _gateways_by_site(sources: Sources) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    query = sa.select(Gateway.site_key, Gateway.name).where(Gateway.site_key.is_not(None), Gateway.retired_ns.is_(None))
    for key, name in sources.session.execute(query.order_by(Gateway.name)):
        found.setdefault(str(key), []).append(name)
    return found


def _by_site(rows: Iterable[ExpectedDevice]) -> dict[str, list[ExpectedDevice]]:
    found: dict[str, list[ExpectedDevice]] = {}
    for row in rows:
        found.setdefault(row.site_key, []).append(row)
    return found
