"""What the console's pages show: read-only queries across all slices. Takes a session, never commits."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms.models import Alarm as AlarmRow
from fleet.alarms.models import AlarmEvent
from fleet.errors import NotFoundError
from fleet.gateways.models import Gateway, Tag
from fleet.live import Live, LiveValue
from fleet.overview.figures import Access, Alarm, Label, Point, Rule, TagRow
from fleet.overview.figures import Reading as Newest
from fleet.overview.pages import (
    AlarmsPage,
    BusLine,
    GatewayLine,
    GatewayPage,
    GatewaysPage,
    LaneLine,
    NowPage,
    OutputLine,
    RelayLine,
    TagPage,
)
from fleet.overview.trends import Trends
from fleet.readings.models import Quarantined, Reading, Record
from fleet.relay.models import Destination, RelayCursor
from fleet.sites.models import Site
from wire.errors import WireError
from wire.health import Health
from wire.record import Lane
from wire.sample import is_good

NS = 1_000_000_000
ONLINE_WITHIN_S = 30
"""A gateway tells its health every few seconds; after this long without a word it counts as silent."""
FRESH_WITHIN_S = 2 * 3600
"""A good value older than this no longer counts as delivered: twice the slowest usual poll of an hour."""
LAG_WITHIN_S = 600
LAG_RECORDS = 2000
"""Delivery lag is that of the records received in the last ten minutes, the newest 2000 at most."""
BEHIND_MOST = 100_000
"""Waiting records are counted up to here; beyond, the exact number changes nothing."""
CHART_POINTS = 600
JOURNAL_PAGE = 100
GATEWAYS_PAGE = 100

SPANS_S = {"10m": 600, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
"""The ranges of a chart."""


class Sources(NamedTuple):
    """What a page is gathered from: a session, the newest values in memory, the trends, and the time."""

    session: Session
    live: Live
    trends: Trends
    now_ns: int


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's row without its documents, and its site."""

    name: str
    title: str
    site: str
    sector: str
    release: str
    seen_ns: int | None
    health: Health | None

    def online(self, now_ns: int) -> bool:
        return self.seen_ns is not None and now_ns - self.seen_ns <= ONLINE_WITHIN_S * NS

    @property
    def pending(self) -> int:
        return sum(lane.pending for lane in self.health.lanes.values()) if self.health else 0

    @property
    def tombstoned(self) -> int:
        return sum(lane.tombstoned for lane in self.health.lanes.values()) if self.health else 0


# gateways


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
    return NowPage(
        gateways_total=len(known),
        gateways_online=len(online),
        silent=tuple(_line(row, access[row.name], sources.now_ns) for row in silent),
        silent_longest_ns=max(heard, default=None),
        access=_sum_access("", access.values()),
        access_by_sector=tuple(
            total for sector, parts in sorted(by_sector.items()) if (total := _sum_access(sector, parts)).registered
        ),
        lag_p99_s=measure_lag(sources),
        pending=sum(row.pending for row in known),
        lost=sum(row.tombstoned for row in known),
        quarantined=sources.session.scalar(sa.select(sa.func.count()).select_from(Quarantined)) or 0,
        relay=relay,
        relay_lag_s=max((row.lag_s for row in relay if row.lag_s is not None), default=None),
        alarms=list_active(sources),
    )


def find_gateways(
    sources: Sources, *, state: str = "", sector: str = "", q: str = "", sort: str = "", number: int = 1
) -> GatewaysPage:
    """Gather the list of gateways. An order or a state that we do not know counts as not given."""
    known = list_known(sources)
    access = measure_access(sources, known)
    counts = _count_active(sources.session)
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
        total=len(lines),
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


GATEWAY_STATES = ("", "alarm", "silent", "online")


def _stands(state: str, line: GatewayLine) -> bool:
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


def list_known(sources: Sources) -> list[_Known]:
    """All gateways by name, with what they last said of themselves."""
    query = (
        sa.select(
            Gateway.name, Gateway.title, Gateway.site_key, Site.title, Site.sector, Gateway.release,
            Gateway.last_seen_ns, Gateway.health_ns, Gateway.health,
        )
        .outerjoin(Site, Site.key == Gateway.site_key)
        .order_by(Gateway.name)
    )  # fmt: skip
    known = []
    for name, title, key, site, sector, release, seen, health_ns, document in sources.session.execute(query):
        newest = sources.live.health(name)
        heard = [at for at in (seen, health_ns, newest.received_ns if newest else None) if at is not None]
        known.append(
            _Known(
                name=name,
                title=title,
                site=site or key or "",
                sector=sector or "",
                release=release,
                seen_ns=max(heard, default=None),
                health=read_health(newest.document if newest else document),
            )
        )
    return known


def read_health(document: Mapping[str, Any] | None) -> Health | None:
    """Read a stored health document; None if there is none, or a newer gateway's does not fit ours."""
    if document is None:
        return None
    try:
        return msgspec.convert(document, Health)
    except (msgspec.ValidationError, WireError):
        return None


def _line(row: _Known, access: Access, now_ns: int, alarms: tuple[int, int] = (0, 0)) -> GatewayLine:
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
    )


def _count_active(session: Session) -> dict[str, tuple[int, int]]:
    query = (
        sa.select(AlarmRow.gateway, sa.func.count(), sa.func.min(AlarmRow.priority))
        .where(AlarmRow.active)
        .group_by(AlarmRow.gateway)
    )
    return {gateway: (number, worst) for gateway, number, worst in session.execute(query)}


# access rate and lag


def measure_access(sources: Sources, known: Iterable[_Known]) -> dict[str, Access]:
    """Count, by gateway, the registered tags and those that deliver good data.

    A tag delivers good data if its gateway is online and its newest value is good and fresh.
    """
    registered: dict[str, dict[str, int]] = {}
    query = sa.select(Tag.gateway, Tag.name, Tag.id).where(Tag.listed)
    for gateway, name, tag_id in sources.session.execute(query):
        registered.setdefault(gateway, {})[name] = tag_id
    access = {}
    for row in known:
        tags = registered.get(row.name, {})
        newest = read_newest(sources, row.name, tags) if row.online(sources.now_ns) else {}
        good = sum(_delivers(value, sources.now_ns) for value in newest.values())
        access[row.name] = Access(sector=row.sector, good=good, registered=len(tags))
    return access


def _delivers(value: Newest, now_ns: int) -> bool:
    fresh = value.time_ns is None or now_ns - value.time_ns <= FRESH_WITHIN_S * NS
    return fresh and is_good(value.quality)


def _sum_access(sector: str, parts: Iterable[Access]) -> Access:
    held = list(parts)
    return Access(sector=sector, good=sum(part.good for part in held), registered=sum(part.registered for part in held))


def read_newest(sources: Sources, gateway: str, tags: Mapping[str, int]) -> dict[str, Newest]:
    """The newest value of some tags {name: id}: from memory, else the last committed one."""
    snapshot = sources.live.snapshot(gateway)
    found = {name: live_reading(snapshot[name]) for name in tags if name in snapshot}
    missing = [tag_id for name, tag_id in tags.items() if name not in found]
    if missing:
        stored = _read_stored(sources.session, missing)
        found.update({name: stored[tag_id] for name, tag_id in tags.items() if tag_id in stored})
    return found


def live_reading(value: LiveValue) -> Newest:
    """A value from memory as pages show it."""
    return Newest(value.value, value.quality, value.at_ns)


def _read_stored(session: Session, tag_ids: Collection[int]) -> dict[int, Newest]:
    newest = (
        sa.select(Reading.tag_id, sa.func.max(Reading.at_ns).label("at_ns"))
        .where(Reading.tag_id.in_(tag_ids))
        .group_by(Reading.tag_id)
        .subquery()
    )
    query = sa.select(Reading.tag_id, Reading.value, Reading.text, Reading.quality, Reading.at_ns).join(
        newest, sa.and_(Reading.tag_id == newest.c.tag_id, Reading.at_ns == newest.c.at_ns)
    )
    return {
        tag_id: Newest(text if value is None else value, quality, at_ns)
        for tag_id, value, text, quality, at_ns in session.execute(query)
    }


def measure_lag(sources: Sources) -> float | None:
    """The 99th percentile of received - captured over the newest records, in s; None without any."""
    query = (
        sa.select(Record.received_ns - Record.captured_ns)
        .where(Record.received_ns >= sources.now_ns - LAG_WITHIN_S * NS, Record.captured_ns.is_not(None))
        .where(Record.id > sa.select(sa.func.max(Record.id) - LAG_RECORDS).scalar_subquery())
    )
    lags = sorted(sources.session.scalars(query))
    return max(lags[math.ceil(len(lags) * 0.99) - 1], 0) / NS if lags else None


# relay


def list_relay(sources: Sources) -> tuple[RelayLine, ...]:
    """Every enabled destination: what waits, for how long, and what went wrong last."""
    cursors: dict[int, dict[Lane, RelayCursor]] = {}
    for cursor in sources.session.scalars(sa.select(RelayCursor)):
        if cursor.lane in set(Lane):
            cursors.setdefault(cursor.destination_id, {})[Lane(cursor.lane)] = cursor
    query = sa.select(Destination).where(Destination.enabled).order_by(Destination.name)
    return tuple(_relay_line(sources, row, cursors.get(row.id, {})) for row in sources.session.scalars(query))


def _relay_line(sources: Sources, row: Destination, cursors: Mapping[Lane, RelayCursor]) -> RelayLine:
    behind, oldest = 0, None
    for lane in (Lane.ALARMS, Lane.MEASUREMENTS):
        position = cursors[lane].position if lane in cursors else 0
        waiting = sa.select(Record.id).where(Record.lane == lane, Record.id > position)
        number = sources.session.scalar(sa.select(sa.func.count()).select_from(waiting.limit(BEHIND_MOST).subquery()))
        if number:
            behind += number
            received = sources.session.scalar(
                sa.select(Record.received_ns)
                .where(Record.lane == lane, Record.id > position)
                .order_by(Record.id)
                .limit(1)
            )
            oldest = min(at for at in (oldest, received) if at is not None)
    failed = max((c for c in cursors.values() if c.failures), key=lambda c: c.last_try_ns or 0, default=None)
    return RelayLine(
        name=row.name,
        url=row.url,
        behind=behind,
        lag_s=0.0 if oldest is None else max(sources.now_ns - oldest, 0) / NS,
        cursors=tuple((lane, cursor.position) for lane, cursor in sorted(cursors.items())),
        delivered_ns=max((c.last_ok_ns for c in cursors.values() if c.last_ok_ns is not None), default=None),
        last_error=failed.last_error if failed else "",
        error_ns=failed.last_try_ns if failed else None,
    )


# labels


def _read_rules(limits: Mapping[str, Any], priorities: Mapping[str, int]) -> tuple[Rule, ...]:
    """The rules of a tag. Without a known priority the level alone decides."""
    return tuple(
        Rule(level, float(limit), priorities.get(level, 1 if level in ("high-high", "low-low") else 2))
        for level, limit in limits.items()
        if isinstance(limit, int | float)
    )


def _read_priorities(reported: Mapping[str, Any] | None) -> dict[str, dict[str, int]]:
    """{tag: {level: priority}} from a reported document."""
    found: dict[str, dict[str, int]] = {}
    for rule in (reported or {}).get("alarms", ()):
        found.setdefault(str(rule.get("tag")), {})[str(rule.get("level"))] = int(rule.get("priority", 2))
    return found


def _name_devices(reported: Mapping[str, Any] | None) -> dict[str, str]:
    """{device: title} from a reported document."""
    return {
        str(row.get("name")): str(row.get("title") or row.get("name")) for row in (reported or {}).get("devices", ())
    }


def read_labels(session: Session, gateway: str, names: Collection[str] | None = None) -> dict[str, tuple[int, Label]]:
    """{tag: (id, label)} of a gateway's listed tags in its own order, or of the tags named, listed or not."""
    reported = session.scalar(sa.select(Gateway.reported).where(Gateway.name == gateway))
    priorities, devices = _read_priorities(reported), _name_devices(reported)
    query = sa.select(Tag).where(Tag.gateway == gateway).order_by(Tag.position, Tag.name)
    query = query.where(Tag.listed) if names is None else query.where(Tag.name.in_(names))
    return {
        tag.name: (
            tag.id,
            Label(
                gateway=gateway,
                tag=tag.name,
                title=tag.title,
                device=devices.get(tag.device, tag.device),
                unit=tag.unit,
                low=tag.low,
                high=tag.high,
                rules=_read_rules(tag.limits, priorities.get(tag.name, {})),
            ),
        )
        for tag in session.scalars(query)
    }


# alarms


def list_active(
    sources: Sources, *, gateway: str = "", priority: int = 0, with_trend: bool = True
) -> tuple[Alarm, ...]:
    """Active alarms, the most urgent first, then the newest."""
    query = sa.select(AlarmRow).where(AlarmRow.active)
    if gateway:
        query = query.where(AlarmRow.gateway == gateway)
    if priority:
        query = query.where(AlarmRow.priority == priority)
    rows = list(sources.session.scalars(query.order_by(AlarmRow.priority, AlarmRow.raised_ns.desc())))
    places = _name_places(sources.session, {row.gateway for row in rows})
    found: dict[tuple[str, str], tuple[Label, Newest | None, tuple[Point, ...]]] = {}
    for name in places:
        labels = read_labels(sources.session, name, {row.tag for row in rows if row.gateway == name})
        newest = read_newest(sources, name, {tag: tag_id for tag, (tag_id, _) in labels.items()})
        ids = [tag_id for tag_id, _ in labels.values()]
        trends = sources.trends.read(sources.session, ids, sources.now_ns) if with_trend else {}
        for tag, (tag_id, label) in labels.items():
            found[name, tag] = (label, newest.get(tag), trends.get(tag_id, ()))
    alarms = []
    for row in rows:
        label, reading, trend = found.get((row.gateway, row.tag), (Label(row.gateway, row.tag), None, ()))
        alarms.append(
            Alarm(
                label=label,
                level=row.level,
                priority=row.priority,
                value=row.value,
                limit=row.limit,
                raised_ns=row.raised_ns or sources.now_ns,
                place=places[row.gateway][0],
                site=places[row.gateway][1],
                reading=reading,
                trend=trend,
            )
        )
    return tuple(alarms)


def count_active(session: Session) -> tuple[int, int]:
    """(how many alarms are active, the most urgent priority among them or 0), for the menu."""
    number, worst = session.execute(
        sa.select(sa.func.count(), sa.func.min(AlarmRow.priority)).where(AlarmRow.active)
    ).one()
    return number, worst or 0


def _name_places(session: Session, gateways: Collection[str]) -> dict[str, tuple[str, str]]:
    """{gateway: (its title or name, its site's title)}."""
    query = (
        sa.select(Gateway.name, Gateway.title, Gateway.site_key, Site.title)
        .outerjoin(Site, Site.key == Gateway.site_key)
        .where(Gateway.name.in_(gateways))
    )
    return {name: (title or name, site or key or "") for name, title, key, site in session.execute(query)}


def list_journal(
    sources: Sources, *, gateway: str = "", priority: int = 0, before: int | None = None, most: int = JOURNAL_PAGE
) -> tuple[Alarm, ...]:
    """Raised alarms with the time each was cleared, the newest first."""
    query = sa.select(AlarmEvent).where(AlarmEvent.kind == "raised")
    if gateway:
        query = query.where(AlarmEvent.gateway == gateway)
    if priority:
        query = query.where(AlarmEvent.priority == priority)
    if before is not None:
        query = query.where(AlarmEvent.id < before)
    rows = list(sources.session.scalars(query.order_by(AlarmEvent.id.desc()).limit(most)))
    cleared = _find_clears(sources.session, rows)
    places = _name_places(sources.session, {row.gateway for row in rows})
    labels = {
        name: read_labels(sources.session, name, {row.tag for row in rows if row.gateway == name}) for name in places
    }
    return tuple(
        Alarm(
            label=labels[row.gateway][row.tag][1] if row.tag in labels[row.gateway] else Label(row.gateway, row.tag),
            level=row.level,
            priority=row.priority or 4,
            value=row.value,
            limit=row.limit,
            raised_ns=row.at_ns or row.received_ns,
            cleared_ns=cleared.get(row.id),
            number=row.id,
            place=places[row.gateway][0],
            site=places[row.gateway][1],
        )
        for row in rows
    )


def _find_clears(session: Session, rows: Sequence[AlarmEvent]) -> dict[int, int]:
    """{id of a raised event: time of the first event of the same alarm that ended it}."""
    if not rows:
        return {}
    query = (
        sa.select(AlarmEvent.id, AlarmEvent.gateway, AlarmEvent.alarm, AlarmEvent.at_ns, AlarmEvent.received_ns)
        .where(AlarmEvent.kind == "cleared", AlarmEvent.id > rows[-1].id)
        .where(AlarmEvent.gateway.in_({row.gateway for row in rows}))
        .order_by(AlarmEvent.id.desc())
    )
    clears: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, gateway, alarm, at_ns, received_ns in session.execute(query):
        clears.setdefault((gateway, alarm), []).append((number, at_ns or received_ns))
    found = {}
    for row in reversed(rows):
        later = clears.get((row.gateway, row.alarm), [])
        while later and later[-1][0] < row.id:
            later.pop()
        if later:
            found[row.id] = later[-1][1]
    return found


def find_alarms(
    sources: Sources, *, state: str = "", priority: int = 0, gateway: str = "", before: int | None = None
) -> AlarmsPage:
    """Gather active alarms, or a page of the journal."""
    journal = state == "journal"
    rows = (
        list_journal(sources, gateway=gateway, priority=priority, before=before)
        if journal
        else list_active(sources, gateway=gateway, priority=priority)
    )
    names = sources.session.execute(sa.select(Gateway.name, Gateway.title).order_by(Gateway.name)).tuples().all()
    return AlarmsPage(
        rows=rows,
        active=count_active(sources.session)[0],
        state="journal" if journal else "",
        priority=priority,
        gateway=gateway,
        gateway_title=dict(names).get(gateway, ""),
        gateways=tuple((name, title) for name, title in names),
        older=rows[-1].number if journal and len(rows) == JOURNAL_PAGE else None,
    )


# one gateway, one tag


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
        up_since_ns=int(health_ns - health.uptime_s * NS) if health and health_ns else None,
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
    )


def _list_tags(sources: Sources, gateway: str) -> tuple[TagRow, ...]:
    labels = read_labels(sources.session, gateway)
    newest = read_newest(sources, gateway, {name: tag_id for name, (tag_id, _) in labels.items()})
    alarms = worst_by_tag(list_active(sources, gateway=gateway, with_trend=False))
    trends = sources.trends.read(sources.session, [tag_id for tag_id, _ in labels.values()], sources.now_ns)
    return tuple(
        TagRow(label=label, reading=newest.get(name), alarm=alarms.get(name), trend=trends.get(tag_id, ()))
        for name, (tag_id, label) in labels.items()
    )


def worst_by_tag(alarms: Iterable[Alarm]) -> dict[str, Alarm]:
    """The most urgent alarm of each tag, from a list that has the most urgent first."""
    found: dict[str, Alarm] = {}
    for alarm in alarms:
        found.setdefault(alarm.label.tag, alarm)
    return found


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
    points, samples = read_history(sources.session, tag_id, begin, sources.now_ns)
    alarms = worst_by_tag(list_active(sources, gateway=gateway, with_trend=False))
    places = _name_places(sources.session, {gateway})
    return TagPage(
        label=label,
        gateway_title=places[gateway][0],
        reading=read_newest(sources, gateway, {tag: tag_id}).get(tag),
        alarm=alarms.get(tag),
        span=span,
        begin_ns=begin,
        end_ns=sources.now_ns,
        points=points,
        samples=samples,
    )


def read_history(
    session: Session, tag_id: int, begin_ns: int, end_ns: int, most: int = CHART_POINTS
) -> tuple[tuple[Point, ...], int]:
    """Smallest, mean and largest value of a tag in at most ``most`` + 1 equal stretches, and how many values those are."""
    width = max((end_ns - begin_ns) // most, 1)
    stretch = (Reading.at_ns // width).label("stretch")
    value = Reading.value
    query = (
        sa.select(stretch, sa.func.min(value), sa.func.avg(value), sa.func.max(value), sa.func.count())
        .where(Reading.tag_id == tag_id, Reading.at_ns >= begin_ns, Reading.at_ns <= end_ns, value.is_not(None))
        .group_by(stretch)
        .order_by(stretch)
    )
    points, samples = [], 0
    for number, low, mean, high, count in session.execute(query):
        points.append(Point(max(number * width, begin_ns), low, float(mean), high))
        samples += count
    return tuple(points), samples
