"""The journal of alarms, every change with who, when and where."""

from __future__ import annotations

from collections.abc import Sequence

from fleet.alarms import service
from fleet.alarms.models import AlarmEvent
from fleet.alarms.service import Filter
from fleet.overview.figures import Change
from fleet.overview.labels import name_places, pick_label, read_labels
from fleet.overview.sources import Sources
from wire.alarm import Standing, state_of

LINES_PAGE = 100


def list_changes(
    sources: Sources, chosen: Filter, before: int | None = None, most: int = LINES_PAGE
) -> tuple[Change, ...]:
    """Lines of the journal, the newest first; ``before`` is the number of the last line seen."""
    return describe_events(sources, service.journal(sources.session, chosen, before, most))


def describe_events(sources: Sources, rows: Sequence[AlarmEvent]) -> tuple[Change, ...]:
    """Put lines of the journal together with the names of their tags and places."""
    places = name_places(sources.session, {row.gateway for row in rows})
    labels = {
        name: read_labels(sources.session, name, {row.tag for row in rows if row.gateway == name}) for name in places
    }
    return tuple(
        Change(
            number=row.id,
            kind=row.kind,
            label=pick_label(labels[row.gateway], row),
            level=row.level,
            alarm=row.alarm,
            priority=row.priority or 0,
            value=row.value,
            limit=row.limit,
            at_ns=row.received_ns if row.at_ns is None else row.at_ns,
            state=row.state if row.standing is None else state_of(Standing(row.standing)),
            by=row.by,
            where=row.where,
            comment=row.comment,
            detail=row.detail or row.event,
            output=row.output,
            place=places[row.gateway][0],
            site=places[row.gateway][1],
        )
        for row in rows
    )
