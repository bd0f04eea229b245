"""How the gateways of rollouts stand, in few queries however many there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.releases.models import Artifact
from fleet.rollouts.decision import WaveCount
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.plan import Candidate
from fleet.rollouts.states import ERRORS, FINISHED, OPEN, PLANNED, STANDINGS
from fleet.sites.models import Site

REASONS_MOST = 5
NAMES_MOST = 5
PENDING = (PLANNED, *OPEN)

StateCounts = Mapping[str, int]
"""{state of an action: how many}."""


class Reason(NamedTuple):
    """What gateways said of a failure, how many said it, and the first of them."""

    detail: str
    number: int
    gateways: tuple[str, ...]


def count_waves(session: Session, rollout_id: int, waves: int) -> list[WaveCount]:
    """Count what decides about a rollout: of each wave, without what counts nowhere."""
    query = (
        sa.select(UpdateAction.wave, UpdateAction.state, sa.func.count())
        .where(UpdateAction.rollout_id == rollout_id, UpdateAction.is_excused.is_(False))
        .group_by(UpdateAction.wave, UpdateAction.state)
    )
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for wave, state, number in session.execute(query):
        found[wave][state] += number
    return [_judge(found[wave]) for wave in range(waves)]


def _judge(states: Counter[str]) -> WaveCount:
    return WaveCount(
        pending=sum(states[state] for state in PENDING),
        finished=states[FINISHED],
        errors=sum(states[state] for state in ERRORS),
    )


def count_states(session: Session, rollout_ids: Collection[int]) -> dict[int, dict[int, StateCounts]]:
    """{rollout: {wave: {state: how many}}}, for people to look at."""
    query = (
        sa.select(UpdateAction.rollout_id, UpdateAction.wave, UpdateAction.state, sa.func.count())
        .where(UpdateAction.rollout_id.in_(rollout_ids))
        .group_by(UpdateAction.rollout_id, UpdateAction.wave, UpdateAction.state)
    )
    found: dict[int, dict[int, dict[str, int]]] = {number: defaultdict(dict) for number in rollout_ids}
    for rollout_id, wave, state, number in session.execute(query):
        assert rollout_id is not None
        found[rollout_id][wave][state] = number
    return {number: dict(waves) for number, waves in found.items()}


def add_up(waves: Iterable[StateCounts]) -> dict[str, int]:
    """Add the counts of several waves."""
    total: Counter[str] = Counter()
    for states in waves:
        total.update(states)
    return dict(total)


def find_reasons(session: Session, rollout_id: int, wave: int | None = None) -> list[Reason]:
    """Return the most frequent reasons of failures that count, with the first gateways of each."""
    failed = [
        UpdateAction.rollout_id == rollout_id,
        UpdateAction.state.in_(ERRORS),
        UpdateAction.is_excused.is_(False),
        *([] if wave is None else [UpdateAction.wave == wave]),
    ]
    query = (
        sa.select(UpdateAction.detail, UpdateAction.step, sa.func.count().label("many"))
        .where(*failed)
        .group_by(UpdateAction.detail, UpdateAction.step)
        .order_by(sa.desc("many"), UpdateAction.detail)
        .limit(REASONS_MOST)
    )
    reasons = []
    for detail, step, number in session.execute(query).all():
        named = sa.select(UpdateAction.gateway).where(*failed, UpdateAction.detail == detail, UpdateAction.step == step)
        names = session.scalars(named.order_by(UpdateAction.gateway).limit(NAMES_MOST)).all()
        reasons.append(Reason(detail or step, number, tuple(names)))
    return reasons


class Shown(NamedTuple):
    """Which actions of a rollout are asked for; "" and None for any. ``standing`` is a key of `STANDINGS`."""

    standing: str = ""
    wave: int | None = None
    q: str = ""


def list_actions(
    session: Session, rollout_id: int, shown: Shown, most: int, skip: int = 0
) -> tuple[Sequence[UpdateAction], int]:
    """Return a part of a rollout's actions by wave and gateway, and how many there are in all parts."""
    wanted = [UpdateAction.rollout_id == rollout_id]
    if shown.standing:
        wanted.append(UpdateAction.state.in_(STANDINGS.get(shown.standing, ())))
    if shown.wave is not None:
        wanted.append(UpdateAction.wave == shown.wave)
    if shown.q:
        wanted.append(UpdateAction.gateway.contains(shown.q, autoescape=True))
    total = session.scalar(sa.select(sa.func.count()).where(*wanted)) or 0
    query = sa.select(UpdateAction).where(*wanted).order_by(UpdateAction.wave, UpdateAction.gateway)
    return session.scalars(query.limit(most).offset(skip)).all(), total


def list_candidates(session: Session, name: str | None = None) -> list[Candidate]:
    """Return every gateway, or one, with what a plan asks for; of what it reports only that is read."""
    query = sa.select(
        Gateway.name,
        sa.func.coalesce(Gateway.site_key, ""),
        sa.func.coalesce(Site.sector, ""),
        Gateway.release,
        Gateway.reported["installs"],
        sa.func.coalesce(Gateway.reported["hardware"].as_string(), ""),
        Gateway.retired_ns.is_not(None),
        Gateway.reported_ns.is_not(None),
    ).outerjoin(Site, Site.key == Gateway.site_key)
    if name is not None:
        query = query.where(Gateway.name == name)
    return [
        Candidate(name, site, sector, release, tuple(installs or ()), hardware, retired, known)
        for name, site, sector, release, installs, hardware, retired, known in session.execute(query)
    ]


def list_machines(session: Session, kind: str, version: str) -> Sequence[Collection[str]]:
    """Return the machines of each published artifact of a version; one without a list fits all."""
    query = sa.select(Artifact.hardware).where(
        Artifact.kind == kind, Artifact.version == version, Artifact.published_ns.is_not(None)
    )
    return session.scalars(query).all()
