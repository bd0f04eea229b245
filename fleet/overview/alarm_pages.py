"""What the console's pages of alarms show."""

from __future__ import annotations

import math

import sqlalchemy as sa

from fleet.alarms import service, statistics
from fleet.alarms.models import Alarm, AlarmEvent
from fleet.alarms.service import TABS, Filter
from fleet.gateways.models import Gateway
from fleet.overview.alarms import LISTED_PAGE, list_rows, list_standing
from fleet.overview.figures import Label
from fleet.overview.journal import LINES_PAGE, describe_events, list_changes
from fleet.overview.labels import label_untagged, name_places, read_labels
from fleet.overview.pages import AlarmsPage, StatisticsPage
from fleet.overview.sources import NS, Sources
from wire.alarm import RAISED

JOURNAL = "journal"
LOOK_BACK_NS = 3600 * NS
"""How far back a flood that goes on is looked for."""
FIRST_OUT = 10
STALE_SHOWN = 100


def find_alarms(
    sources: Sources, *, state: str = "", priority: int = 0, gateway: str = "", number: int = 1
) -> AlarmsPage:
    """Gather a page of alarms that are not normal. A state that we do not know counts as not given."""
    state = state if state in TABS else ""
    counts = service.count_listed(sources.session, gateway, priority)
    pages = max(math.ceil(counts[state] / LISTED_PAGE), 1)
    number = min(max(number, 1), pages)
    flood, first = _find_flood(sources) if not state else (None, ())
    names = _list_gateways(sources)
    return AlarmsPage(
        rows=list_standing(sources, tab=state, gateway=gateway, priority=priority, number=number),
        tabs=tuple(counts.items()),
        state=state,
        priority=priority,
        gateway=gateway,
        gateway_title=dict(names).get(gateway, ""),
        gateways=names,
        number=number,
        pages=pages,
        total=counts[state],
        flood=flood.count if flood else 0,
        flood_ns=flood.began_ns if flood else None,
        first=describe_events(sources, first),
    )


def find_journal(sources: Sources, chosen: Filter, before: int | None = None) -> AlarmsPage:
    """Gather a page of the journal."""
    lines = list_changes(sources, chosen, before)
    names = _list_gateways(sources)
    return AlarmsPage(
        lines=lines,
        tabs=tuple(service.count_listed(sources.session, chosen.gateway, chosen.priority).items()),
        state=JOURNAL,
        priority=chosen.priority,
        gateway=chosen.gateway,
        gateway_title=dict(names).get(chosen.gateway, ""),
        gateways=names,
        chosen=chosen,
        older=lines[-1].number if len(lines) == LINES_PAGE else None,
    )


def find_statistics(sources: Sources, days: int, gateway: str = "") -> StatisticsPage:
    """Gather the figures of the last days."""
    from_ns = sources.now_ns - days * statistics.DAY_NS
    figures = service.measure(sources.session, gateway, from_ns, sources.now_ns)
    named = {row.alarm for row in figures.frequent} | {alarm for alarm, _ in figures.chattering}
    return StatisticsPage(
        days=days,
        gateway=gateway,
        figures=figures,
        stale=list_rows(sources, service.stale(sources.session, gateway, sources.now_ns, STALE_SHOWN)),
        names=_name_alarms(sources, named),
    )


def _name_alarms(sources: Sources, named: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[Label, str, str]]:
    """{(gateway, alarm): (its label, its level, its place)}."""
    places = name_places(sources.session, {gateway for gateway, _ in named})
    found = {}
    for gateway, alarm in named:
        row = sources.session.get(Alarm, (gateway, alarm))
        tag, level = (row.tag, row.level) if row else (alarm, "")
        labels = read_labels(sources.session, gateway, {tag})
        label = labels[tag][1] if tag in labels else label_untagged(gateway, tag, alarm)
        found[gateway, alarm] = (label, level, places[gateway][0])
    return found


def _list_gateways(sources: Sources) -> tuple[tuple[str, str], ...]:
    found = sources.session.execute(sa.select(Gateway.name, Gateway.title).order_by(Gateway.name))
    return tuple((name, title) for name, title in found)


def _find_flood(sources: Sources) -> tuple[statistics.Flood | None, tuple[AlarmEvent, ...]]:
    """The flood that goes on, and what was raised first in it."""
    since_ns = sources.now_ns - LOOK_BACK_NS
    at_ns = sa.func.coalesce(AlarmEvent.at_ns, AlarmEvent.received_ns)
    lately = (AlarmEvent.kind == RAISED, AlarmEvent.received_ns >= since_ns, at_ns >= since_ns, at_ns <= sources.now_ns)
    times = list(sources.session.scalars(sa.select(at_ns).where(*lately).order_by(at_ns)))
    floods = statistics.find_floods(times, sources.now_ns)
    if not floods or floods[-1].ended_ns is not None:
        return None, ()
    query = sa.select(AlarmEvent).where(*lately, at_ns >= floods[-1].began_ns).order_by(at_ns, AlarmEvent.id)
    return floods[-1], tuple(sources.session.scalars(query.limit(FIRST_OUT)))
