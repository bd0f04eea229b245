"""What the console's pages show: read-only, across all slices. Takes a session, never commits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from fleet.commands import service as commands
from fleet.configs import drift
from fleet.errors import NotFoundError
from fleet.gateways.models import Gateway
from fleet.overview.alarms import (
    count_active,
    count_by_gateway,
    list_active,
    list_journal,
    worst_by_tag,
)
from fleet.overview.commands import list_commands
from fleet.overview.figures import Access, TagRow
from fleet.overview.known import ONLINE_WITHIN_S, Known, list_known, read_health
from fleet.overview.labels import name_places, read_labels
from fleet.overview.pages import (
    BusLine,
    GatewayLine,
    GatewayPage,
    GatewaysPage,
    LaneLine,
    NowPage,
    OutputLine,
    TagPage,
)
from fleet.overview.relay import list_relay
from fleet.overview.sites import count_missing
from fleet.overview.sources import NS, Sources
from fleet.overview.values import measure_access, measure_lag, read_history, read_newest, sum_access
from fleet.readings.models import Quarantined
from fleet.sites.models import Site
from wire.health import Health

GATEWAY_STATES = ("", "alarm", "silent", "online", "retired")
"""What gateways can be filtered by; empty for all that are in service."""
GATEWAYS_PAGE = 100
NOW_MOST = 20
"""Active alarms on the first page; how many there are stands beside them."""
SPANS_S = {"10m": 600, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""The ranges of a chart."""


def find_now(sources: Sources) -> NowPage:
    """Gather what needs action."""
    known = list_known(sources)
    access = measure_access(sources, known)
    online = [row for row in known if row.online(sources.now_ns)]
    silent = sorted((row for row in known if not row.online(sources.now_ns)), key=lambda row: row.seen_ns or 0)
    heard = [sources.now_ns - row.seen_ns for row in silent if row.seen_ns is not None]
    relay = list_relay(sources)
    by_sector: dict[str, list[Access]] = {}
    for row in known:
        by_sector.setdefault(row.sector, []).append(access[row.name])
    for sector, tags in count_missing(sources.session).items():
        by_sector.setdefault(sector, []).append(Access(sector=sector, good=0, registered=tags))
    return NowPage(
        gateways_total=len(known),
        gateways_online=len(online),
        silent=tuple(_line(row, access[row.name], sources.now_ns) for row in silent),
        silent_longest_ns=max(heard, default=None),
        access=sum_access("", (part for parts in by_sector.values() for part in parts)),
        access_by_sector=tuple(
            total for sector, parts in sorted(by_sector.items()) if (total := sum_access(sector, parts)).registered
        ),
        lag_p99_s=measure_lag(sources),
        pending=sum(row.pending for row in known),
        lost=sum(row.tombstoned for row in known),
        quarantined=sources.session.scalar(sa.select(sa.func.count()).select_from(Quarantined)) or 0,
        relay=relay,
        relay_lag_s=max((row.lag_s for row in relay if row.lag_s is not None), default=None),
        drifting=drift.count_amiss(sources.session, sources.now_ns),
        active=count_active(sources.session)[0],
        alarms=list_active(sources, most=NOW_MOST),
        recent=tuple(alarm for alarm in list_journal(sources, most=20) if alarm.cleared_ns is not None)[:6],
    )


def find_gateways(
    sources: Sources, *, state: str = "", sector: str = "", q: str = "", sort: str = "", number: int = 1
) -> GatewaysPage:
    """Gather the list of gateways. An order or a state that we do not know counts as not given."""
    known = list_known(sources, with_retired=True)
    access = measure_access(sources, known)
    counts = count_by_gateway(sources.session)
    lines = [_line(row, access[row.name], sources.now_ns, counts.get(row.name, (0, 0))) for row in known]
    needle = q.strip().casefold()
    state = state if state in GATEWAY_STATES else ""
    matching = [
        line
        for line in lines
        if (not sector or line.sector == sector)
        and (not needle or any(needle in text.casefold() for text in (line.name, line.title, line.site)))
    ]
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    if key not in _ORDERS:
        key, descending = "state", False
    chosen = sorted((line for line in matching if _stands(state, line)), key=lambda line: line.name)
    chosen.sort(key=_ORDERS[key], reverse=descending)
    pages = max(math.ceil(len(chosen) / GATEWAYS_PAGE), 1)
    number = min(max(number, 1), pages)
    return GatewaysPage(
        rows=tuple(chosen[(number - 1) * GATEWAYS_PAGE : number * GATEWAYS_PAGE]),
        total=sum(_stands("", line) for line in lines),
        states=tuple((each, sum(_stands(each, line) for line in matching)) for each in GATEWAY_STATES),
        sectors=tuple(sorted({line.sector for line in lines if line.sector})),
        state=state,
        sector=sector,
        q=q,
        sort=key,
        descending=descending,
        number=number,
        pages=pages,
    )


def _stands(state: str, line: GatewayLine) -> bool:
    if state == "retired" or line.retired_ns is not None:
        return state == "retired" and line.retired_ns is not None
    if state == "alarm":
        return line.alarms > 0
    return not state or line.online == (state == "online")


_ORDERS: dict[str, Any] = {
    "name": lambda line: line.name,
    "site": lambda line: (line.site, line.name),
    # The usual order: what is in alarm first, then what is silent.
    "state": lambda line: (line.worst or 9, line.online, line.name),
    "alarms": lambda line: (-line.alarms, line.worst or 9),
    "access": lambda line: 1.0 if line.access.rate is None else line.access.rate,
    "pending": lambda line: line.pending,
    "release": lambda line: line.release,
    "seen": lambda line: -(line.seen_ns or 0),
}


def _line(row: Known, access: Access, now_ns: int, alarms: tuple[int, int] = (0, 0)) -> GatewayLine:
    return GatewayLine(
        name=row.name,
        title=row.title,
        site=row.site,
        sector=row.sector,
        release=row.release,
        online=row.online(now_ns),
        seen_ns=row.seen_ns,
        alarms=alarms[0],
        worst=alarms[1],
        access=access,
        pending=row.pending,
        retired_ns=row.retired_ns,
    )


def find_gateway(sources: Sources, name: str, show: str = "") -> GatewayPage:
    """Gather one gateway. Raises NotFoundError."""
    row = sources.session.get(Gateway, name)
    if row is None:
        raise NotFoundError(f"there is no gateway '{name}'")
    site = sources.session.get(Site, row.site_key) if row.site_key else None
    newest_health = sources.live.health(name)
    health = read_health(newest_health.document if newest_health else row.health)
    health_ns = newest_health.received_ns if newest_health else row.health_ns
    seen = max((at for at in (row.last_seen_ns, health_ns) if at is not None), default=None)
    reported = row.reported or {}
    return GatewayPage(
        name=name,
        title=row.title,
        site=site.title if site else row.site_key or "",
        sector=site.sector if site else "",
        online=seen is not None and sources.now_ns - seen <= ONLINE_WITHIN_S * NS,
        seen_ns=seen,
        up_since_ns=_find_start(health, health_ns),
        version=row.reported_version,
        refused=reported.get("refused"),
        reason=str(reported.get("reason") or ""),
        release=row.release,
        clock=health.clock if health else row.clock_quality,
        tags=_list_tags(sources, name),
        show=show,
        lanes=_list_lanes(health),
        spool_bytes=health.spool_bytes if health else 0,
        spool_max_bytes=health.spool_max_bytes if health else 0,
        buses=_list_buses(health),
        outputs=_list_outputs(health, reported),
        recent=list_journal(sources, gateway=name, most=5),
        link=health.link if health else None,
        command_names=commands.names(sources.session, name),
        commands=list_commands(sources, name),
        retired_ns=row.retired_ns,
        sites=_list_other_sites(sources, row.site_key),
        replaced_by="".join(_find_names(sources, Gateway.name == row.replaced_by)),
        replaced=_find_names(sources, Gateway.replaced_by == name),
    )


def _find_names(sources: Sources, which: sa.ColumnElement[bool]) -> tuple[str, ...]:
    """Names of gateways, as far as whoever asks may see them."""
    return tuple(sources.session.scalars(sa.select(Gateway.name).where(which).order_by(Gateway.name)))


def _list_other_sites(sources: Sources, here: str | None) -> tuple[tuple[str, str], ...]:
    rows = sources.session.execute(sa.select(Site.key, Site.title).order_by(Site.title))
    return tuple((key, title or key) for key, title in rows if key != here)


def _find_start(health: Health | None, health_ns: int | None) -> int | None:
    if health is None or health_ns is None or not 0 <= health.uptime_s * NS <= health_ns:
        return None
    return int(health_ns - health.uptime_s * NS)


def _list_tags(sources: Sources, gateway: str) -> tuple[TagRow, ...]:
    labels = read_labels(sources.session, gateway)
    newest = read_newest(sources, gateway, {name: tag_id for name, (tag_id, _) in labels.items()})
    alarms = worst_by_tag(list_active(sources, gateway=gateway, with_trend=False))
    trends = sources.trends.read(sources.session, [tag_id for tag_id, _ in labels.values()], sources.now_ns)
    return tuple(
        TagRow(label=label, reading=newest.get(name), alarm=alarms.get(name), trend=trends.get(tag_id, ()))
        for name, (tag_id, label) in labels.items()
    )


def _list_lanes(health: Health | None) -> tuple[LaneLine, ...]:
    if health is None:
        return ()
    return tuple(
        LaneLine(lane=lane, pending=count.pending, delivered=count.delivered, tombstoned=count.tombstoned)
        for lane, count in sorted(health.lanes.items())
    )


def _list_buses(health: Health | None) -> tuple[BusLine, ...]:
    if health is None:
        return ()
    return tuple(
        BusLine(
            name=name,
            kind=bus.kind,
            up=bus.up,
            devices=bus.devices,
            devices_bad=bus.devices_bad,
            busy=min(max(bus.busy, 0.0), 1.0),
            error=bus.error,
        )
        for name, bus in sorted(health.buses.items())
    )


def _list_outputs(health: Health | None, reported: Mapping[str, Any]) -> tuple[OutputLine, ...]:
    if health is None:
        return ()
    configured = (reported.get("config") or {}).get("output", ())
    titles = {str(row.get("name")): str(row.get("title") or "") for row in configured if isinstance(row, dict)}
    return tuple(
        OutputLine(name=name, title=titles.get(name, ""), state=row.state, since_ns=row.since_ns, error=row.error)
        for name, row in sorted(health.outputs.items())
    )


def find_tag(sources: Sources, gateway: str, tag: str, span: str = "1h") -> TagPage:
    """Gather one tag with its history. Raises NotFoundError."""
    labels = read_labels(sources.session, gateway, {tag})
    if tag not in labels:
        raise NotFoundError(f"gateway '{gateway}' has no tag '{tag}'")
    tag_id, label = labels[tag]
    span = span if span in SPANS_S else "1h"
    begin = sources.now_ns - SPANS_S[span] * NS
    points = read_history(sources.session, tag_id, begin, sources.now_ns)
    alarms = worst_by_tag(list_active(sources, gateway=gateway, with_trend=False))
    places = name_places(sources.session, {gateway})
    return TagPage(
        label=label,
        gateway_title=places[gateway][0],
        reading=read_newest(sources, gateway, {tag: tag_id}).get(tag),
        alarm=alarms.get(tag),
        span=span,
        begin_ns=begin,
        end_ns=sources.now_ns,
        points=points,
    )
