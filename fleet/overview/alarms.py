"""Alarms that are not normal, with their newest values, and the journal of those raised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import operations, own, service
from fleet.alarms.models import Alarm as AlarmRow
from fleet.alarms.models import AlarmEvent
from fleet.overview.figures import Alarm, Label, Point
from fleet.overview.figures import Reading as Newest
from fleet.overview.labels import label_untagged, name_places, pick_label, read_labels
from fleet.overview.sources import Sources
from fleet.overview.values import read_newest
from fleet.quakes import service as quakes
from wire.alarm import ACTIONS, SILENCED, Standing

JOURNAL_PAGE = 100
LISTED_PAGE = 100
OWN_TAKES = frozenset(ACTIONS) - {"reset"}
"""What the fleet does with alarms of its own: they do not latch."""
ANNUNCIATED = AlarmRow.standing.op("&")(int(SILENCED)) == 0


def list_active(
    sources: Sources, *, gateway: str = "", with_trend: bool = True, most: int | None = None
) -> tuple[Alarm, ...]:
    """Active alarms that are not set aside, the most urgent first, then the newest."""
    query = sa.select(AlarmRow).where(AlarmRow.active, ANNUNCIATED)
    if gateway:
        query = query.where(AlarmRow.gateway == gateway)
    query = query.order_by(AlarmRow.priority, AlarmRow.raised_ns.desc()).limit(most)
    return list_rows(sources, list(sources.session.scalars(query)), with_trend=with_trend)


def list_standing(
    sources: Sources, *, tab: str = "", gateway: str = "", priority: int = 0, number: int = 1
) -> tuple[Alarm, ...]:
    """A page of alarms that are not normal, by how they stand (`fleet.alarms.service.TABS`)."""
    query = service.select_listed(tab, gateway, priority)
    return list_rows(
        sources, list(sources.session.scalars(query.limit(LISTED_PAGE).offset((number - 1) * LISTED_PAGE)))
    )


def list_rows(sources: Sources, rows: Sequence[AlarmRow], *, with_trend: bool = True) -> tuple[Alarm, ...]:
    """Put rows together with the names, newest values and trends of their tags, and with what was asked of them."""
    requests = operations.find_requests(sources.session, rows, sources.now_ns)
    takers = operations.takers(sources.session, {row.gateway for row in rows} - {own.FLEET})
    places = name_places(sources.session, {row.gateway for row in rows})
    found: dict[tuple[str, str], tuple[Label, Newest | None, tuple[Point, ...]]] = {}
    for name in places:
        labels = read_labels(sources.session, name, {row.tag for row in rows if row.gateway == name})
        newest = read_newest(sources, name, {tag: tag_id for tag, (tag_id, _) in labels.items()})
        ids = [tag_id for tag_id, _ in labels.values()]
        trends = sources.trends.read(sources.session, ids, sources.now_ns) if with_trend else {}
        for tag, (tag_id, label) in labels.items():
            found[name, tag] = (label, newest.get(tag), trends.get(tag_id, ()))
    felt = _place_quakes(sources, rows)
    alarms = []
    for row in rows:
        label, reading, trend = found.get(
            (row.gateway, row.tag), (label_untagged(row.gateway, row.tag, row.name), None, ())
        )
        alarms.append(
            Alarm(
                label=label,
                level=row.level,
                priority=row.priority,
                value=row.value,
                limit=row.limit,
                raised_ns=row.raised_ns or sources.now_ns,
                place=places[row.gateway][0],
                site=felt.get(row.name) or places[row.gateway][1],
                reading=reading,
                trend=trend,
                cleared_ns=row.cleared_ns,
                name=row.name,
                occurrence=row.occurrence,
                standing=Standing(row.standing),
                until_ns=row.until_ns,
                change=row.change,
                operated_ns=row.operated_ns,
                by=row.by,
                where=row.where,
                comment=row.comment,
                request=requests.get((row.gateway, row.name)),
                takes=OWN_TAKES if own.find(row.name) else takers[row.gateway],
            )
        )
    return tuple(alarms)


def _place_quakes(sources: Sources, rows: Sequence[AlarmRow]) -> dict[str, str]:
    """{alarm: where the earthquake that it tells of is strongest}."""
    numbers = {row.name: int(about[1]) for row in rows if (about := own.find(row.name)) and about[0] is own.EARTHQUAKE}
    found = {name: quakes.find_summary(sources.session, number) for name, number in numbers.items()}
    return {name: summary.place for name, summary in found.items() if summary is not None}


def worst_by_tag(alarms: Iterable[Alarm]) -> dict[str, Alarm]:
    """The most urgent alarm of each tag, from a list that has the most urgent first."""
    found: dict[str, Alarm] = {}
    for alarm in alarms:
        found.setdefault(alarm.label.tag, alarm)
    return found


def count_active(session: Session) -> tuple[int, int]:
    """(how many alarms are active and not set aside, the most urgent priority among them or 0), for the menu."""
    number, worst = session.execute(
        sa.select(sa.func.count(), sa.func.min(AlarmRow.priority)).where(AlarmRow.active, ANNUNCIATED)
    ).one()
    return number, worst or 0


def count_by_gateway(session: Session) -> dict[str, tuple[int, int]]:
    """{gateway: (how many of its alarms are active, the most urgent priority among them)}."""
    query = (
        sa.select(AlarmRow.gateway, sa.func.count(), sa.func.min(AlarmRow.priority))
        .where(AlarmRow.active, ANNUNCIATED)
        .group_by(AlarmRow.gateway)
    )
    return {gateway: (number, worst) for gateway, number, worst in session.execute(query)}


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
    places = name_places(sources.session, {row.gateway for row in rows})
    labels = {
        name: read_labels(sources.session, name, {row.tag for row in rows if row.gateway == name}) for name in places
    }
    return tuple(
        Alarm(
            label=pick_label(labels[row.gateway], row),
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
