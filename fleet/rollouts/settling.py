"""Puts on offer what gateways can take now, within window and rate of the rollout, and closes what they cannot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.releases.models import IMAGE
from fleet.rollouts import actions, counting
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.plan import Candidate, Rules, explain, find_obstacle
from fleet.rollouts.states import AGAIN, AGAIN_AFTER_S, FINISHED, RUNNING, WAITING
from fleet.rollouts.windows import find_end

NS = 1_000_000_000
MINUTE_NS = 60 * NS
OFFERS_MOST = 500
"""Offers of one rollout in one turn."""
OFFERING = (RUNNING, FINISHED)
"""States of rollouts whose actions go out; of a finished one those that are offered again."""


def settle(session: Session, now_ns: int) -> None:
    """Put on offer every waiting action whose gateway can take it now, and close those whose gateway cannot."""
    _offer(session, UpdateAction.rollout_id.is_(None), None, OFFERS_MOST, now_ns)
    waiting = sa.exists().where(UpdateAction.rollout_id == Rollout.id, UpdateAction.state == WAITING)
    for rollout in session.scalars(sa.select(Rollout).where(Rollout.state.in_(OFFERING), waiting)):
        rules = msgspec.convert(rollout.rules, Rules)
        until_ns = None
        if rules.window is not None and not rules.is_forced:
            until_ns = find_end(rules.window, now_ns)
            if until_ns is None:
                continue
        most = _find_allowance(session, rollout, rules, now_ns)
        _offer(session, UpdateAction.rollout_id == rollout.id, until_ns, most, now_ns)


def _find_allowance(session: Session, rollout: Rollout, rules: Rules, now_ns: int) -> int:
    """Return how many more may be offered now: what the rate leaves of the minute behind us."""
    if not rules.rate_per_minute:
        return OFFERS_MOST
    query = sa.select(sa.func.count()).where(
        UpdateAction.rollout_id == rollout.id, UpdateAction.offered_ns > now_ns - MINUTE_NS
    )
    return max(0, min(OFFERS_MOST, rules.rate_per_minute - (session.scalar(query) or 0)))


def _offer(session: Session, which: sa.ColumnElement[bool], until_ns: int | None, most: int, now_ns: int) -> None:
    @cache
    def machines(kind: str, version: str) -> Sequence[Collection[str]]:
        return counting.list_machines(session, kind, version)

    for action, candidate in _list_waiting(session, which, most, now_ns):
        obstacle = find_obstacle(candidate, action.kind, machines(action.kind, action.version))
        if obstacle is None:
            actions.offer(action, until_ns, now_ns)
        else:
            reason = explain(obstacle, candidate, action.kind, action.version)
            actions.note(session, action, "refused", reason, now_ns)


def _list_waiting(
    session: Session, which: sa.ColumnElement[bool], most: int, now_ns: int
) -> Sequence[tuple[UpdateAction, Candidate]]:
    """Return waiting actions with their gateways, oldest first. One that has not reported yet waits on."""
    just_now = UpdateAction.changed_ns.between(now_ns - AGAIN_AFTER_S * NS + 1, now_ns)
    query: sa.Select[Any] = (
        sa.select(
            UpdateAction,
            Gateway.release,
            Gateway.reported["installs"],
            sa.func.coalesce(Gateway.reported["hardware"].as_string(), ""),
        )
        .join(Gateway, Gateway.name == UpdateAction.gateway)
        .where(
            which,
            UpdateAction.state == WAITING,
            sa.not_(sa.and_(UpdateAction.step.in_(AGAIN), just_now)),
            Gateway.retired_ns.is_(None),
            sa.or_(UpdateAction.kind == IMAGE, Gateway.reported_ns.is_not(None)),
        )
        .order_by(UpdateAction.id)
        .limit(most)
    )
    return [
        (action, Candidate(action.gateway, "", "", release, tuple(installs or ()), hardware, False, True))
        for action, release, installs, hardware in session.execute(query)
    ]
