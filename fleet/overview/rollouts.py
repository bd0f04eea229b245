"""What the pages of rollouts show: how each stands, its waves, its gateways and why some failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.releases.models import Artifact
from fleet.rollouts import actions, counting, service
from fleet.rollouts.counting import Reason, Shown, StateCounts
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.states import OPEN, PLANNED, STANDINGS
from fleet.sites.models import Site

LISTED = 50
ACTIONS_PAGE = 50
UPDATES_SHOWN = 5


class Standings(msgspec.Struct, frozen=True):
    """How many gateways stand how: {key of `STANDINGS`: number}, and all of them."""

    numbers: Mapping[str, int]
    size: int

    def bar(self) -> list[tuple[str, float, float]]:
        """Return the parts of a progress bar: what it is, where it begins and how wide it is, in percent."""
        parts, at = [], 0.0
        for standing in ("finished", "errors", "open"):
            width = 100 * self.numbers[standing] / self.size if self.size else 0.0
            if width:
                parts.append((standing, round(at, 3), round(width, 3)))
            at += width
        return parts


class RolloutRow(msgspec.Struct, frozen=True):
    """A rollout in the list."""

    rollout: Rollout
    standings: Standings


class ActionRow(msgspec.Struct, frozen=True):
    """A gateway of a rollout. ``waits_for`` is the other update that has to end first, None if there is none."""

    action: UpdateAction
    title: str
    waits_for: UpdateAction | None


class RolloutPage(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout. ``rows`` are a page of its gateways: the ``number``-th of ``pages``; ``total`` of all pages."""

    rollout: Rollout
    standings: Standings
    waves: tuple[Standings, ...]
    reasons: tuple[Reason, ...]
    rows: tuple[ActionRow, ...]
    shown: Shown
    total: int
    number: int
    pages: int


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the form of a new rollout offers to choose from."""

    versions: tuple[tuple[str, str], ...]
    sites: tuple[tuple[str, str], ...]
    sectors: tuple[str, ...]
    releases: tuple[str, ...]
    hardware: tuple[str, ...]


def stand(states: StateCounts) -> Standings:
    """Put states together to what people ask for."""
    numbers = {name: sum(states.get(state, 0) for state in of) for name, of in STANDINGS.items()}
    return Standings(numbers, sum(numbers.values()))


def list_rollouts(session: Session, before: int | None) -> tuple[list[RolloutRow], int | None]:
    """Return the newest rollouts, and the id before which there are more."""
    found = service.list_newest(session, before, LISTED)
    counts = counting.count_states(session, [row.id for row in found])
    rows = [RolloutRow(row, stand(counting.add_up(counts[row.id].values()))) for row in found]
    return rows, found[-1].id if len(found) == LISTED else None


def find_rollout(session: Session, rollout_id: int, shown: Shown, number: int) -> RolloutPage:
    """Gather a rollout. Raises NotFoundError."""
    rollout = service.get(session, rollout_id)
    counts = counting.count_states(session, [rollout_id])[rollout_id]
    found, total = counting.list_actions(session, rollout_id, shown, ACTIONS_PAGE, (number - 1) * ACTIONS_PAGE)
    return RolloutPage(
        rollout=rollout,
        standings=stand(counting.add_up(counts.values())),
        waves=tuple(stand(counts.get(wave, {})) for wave in range(rollout.waves_count)),
        reasons=tuple(counting.find_reasons(session, rollout_id)),
        rows=tuple(_list_rows(session, rollout, found)),
        shown=shown,
        total=total,
        number=number,
        pages=max(1, -(-total // ACTIONS_PAGE)),
    )


def _list_rows(session: Session, rollout: Rollout, found: Sequence[UpdateAction]) -> list[ActionRow]:
    names = [action.gateway for action in found]
    query = sa.select(Gateway.name, Gateway.title).where(Gateway.name.in_(names))
    titles = {row.name: row.title for row in session.execute(query)}
    begun = -1 if rollout.wave is None else rollout.wave
    due = [one.gateway for one in found if one.state == PLANNED and one.wave <= begun]
    others = sa.select(UpdateAction).where(
        UpdateAction.gateway.in_(due), UpdateAction.kind == rollout.kind, UpdateAction.state.in_(OPEN)
    )
    busy = {other.gateway: other for other in session.scalars(others)} if due else {}
    return [ActionRow(action, titles.get(action.gateway, ""), busy.get(action.gateway)) for action in found]


def look_at(session: Session, rollout_id: int) -> object:
    """Return what changes whenever the page of a rollout does, by one small query."""
    rollout = service.get(session, rollout_id)
    newest = sa.select(sa.func.max(UpdateAction.changed_ns), sa.func.sum(UpdateAction.done)).where(
        UpdateAction.rollout_id == rollout_id
    )
    return rollout.state, rollout.wave, tuple(session.execute(newest).one())


def find_choices(session: Session) -> Choices:
    """Return what a target can be made of: releases that are published, and what the gateways in service are."""
    everybody = [one for one in counting.list_candidates(session) if not one.is_retired]
    used = Counter(one.site for one in everybody)
    sites = session.execute(sa.select(Site.key, Site.title).order_by(Site.title))
    return Choices(
        versions=tuple(list_published(session)),
        sites=tuple((key, title) for key, title in sites if used[key]),
        sectors=tuple(sorted({one.sector for one in everybody if one.sector})),
        releases=tuple(sorted({one.release for one in everybody if one.release})),
        hardware=tuple(sorted({one.hardware for one in everybody if one.hardware})),
    )


def list_published(session: Session) -> list[tuple[str, str]]:
    """Return kind and version of what is published, agents first, each kind with the newest first."""
    query = (
        sa.select(Artifact.kind, Artifact.version)
        .where(Artifact.published_ns.is_not(None))
        .group_by(Artifact.kind, Artifact.version)
        .order_by(Artifact.kind, sa.func.max(Artifact.published_ns).desc(), Artifact.version.desc())
    )
    return [(kind, version) for kind, version in session.execute(query)]


class GatewayUpdates(msgspec.Struct, frozen=True):
    """The newest updates of a gateway, and the releases of agents and profiles that it could be given."""

    rows: tuple[UpdateAction, ...]
    versions: tuple[tuple[str, str], ...]
    is_busy: bool


def find_updates(session: Session, name: str) -> GatewayUpdates:
    """Gather the updates of a gateway."""
    rows = actions.list_newest(session, name, UPDATES_SHOWN)
    (mine,) = counting.list_candidates(session, name)
    fitting = tuple(one for one in list_published(session) if one[0] in mine.installs)
    return GatewayUpdates(tuple(rows), fitting, any(row.state in OPEN for row in rows))
