"""Rollouts: made from a plan, approved by another account, started, paused, stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.db import take_turn
from fleet.errors import ConflictError, DeniedError, InvalidError, NotFoundError
from fleet.readings.items import escape_text
from fleet.rollouts import actions, counting
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.plan import Candidate, Obstacle, Plan, find_obstacle, matches, runs_already, split
from fleet.rollouts.states import (
    APPROVAL,
    CANCELLED,
    DENIED,
    ERRORS,
    FINISHED,
    OFFERED,
    OPEN,
    PAUSED,
    PLANNED,
    READY,
    ROLLOUT_MOVES,
    RUNNING,
    STOPPED,
    STOPPING,
    WAITING,
)

WHY_MOST = 500


class LeftOut(NamedTuple):
    """A gateway that the target names and that takes no part."""

    gateway: Candidate
    obstacle: Obstacle


class Preview(NamedTuple):
    """What a plan comes to. ``needs_approval``: another account has to approve it."""

    waves: list[tuple[str, ...]]
    left_out: list[LeftOut]
    needs_approval: bool

    @property
    def size(self) -> int:
        """Return how many gateways take part."""
        return sum(map(len, self.waves))


def preview(session: Session, plan: Plan, approval_from: int) -> Preview:
    """Tell which gateways a plan would update, in which wave, and which take no part and why.

    Rollouts of ``approval_from`` gateways or more need another's approval. Raises InvalidError for what is not
    published, or a site, sector or gateway that there is not.
    """
    machines = counting.list_machines(session, plan.kind, plan.version)
    if not machines:
        raise InvalidError(
            f"version: there is no published {plan.kind} of version {plan.version}",
            hint="run: fengsui-fleet release list",
        )
    everybody = counting.list_candidates(session)
    _require_known(plan, everybody)
    taking: list[Candidate] = []
    left_out: list[LeftOut] = []
    for one in everybody:
        if not matches(plan.target, one):
            continue
        obstacle = find_obstacle(one, plan.kind, machines)
        if obstacle is None and runs_already(one, plan.kind, plan.version):
            obstacle = "runs-it"
        if obstacle is None:
            taking.append(one)
        else:
            left_out.append(LeftOut(one, obstacle))
    waves = split(plan.waves, taking, plan.version)
    return Preview(waves, sorted(left_out), needs_approval=len(taking) >= approval_from)


def _require_known(plan: Plan, everybody: Sequence[Candidate]) -> None:
    """Raise InvalidError if a plan names what there is not: a name that is misspelt must not shrink a rollout."""
    names, sites = {one.name for one in everybody}, {one.site for one in everybody}
    asked = [("target.gateways", plan.target.gateways, names), ("target.sites", plan.target.sites, sites)]
    for number, wave in enumerate(plan.waves):
        asked += [(f"waves[{number}].gateways", wave.gateways, names), (f"waves[{number}].sites", wave.sites, sites)]
    for place, wanted, known in asked:
        strange = [name for name in wanted if name not in known]
        if strange:
            noun = "gateway" if place.endswith("gateways") else "site with a gateway"
            raise InvalidError(f"{place}: there is no {noun} '{strange[0]}'", hint="correct the name, or leave it out")


def create(session: Session, plan: Plan, author: str, now_ns: int, approval_from: int) -> Rollout:
    """Make a rollout with an action for each of its gateways; nothing is offered before it is started.

    Raises InvalidError as `preview` does, or if no gateway would take part.
    """
    seen = preview(session, plan, approval_from)
    if not seen.size:
        raise InvalidError(
            "target: none of these gateways would take part", hint="look at the preview: it says why of each"
        )
    rollout = Rollout(
        name=plan.name.strip(),
        kind=plan.kind,
        version=plan.version,
        state=APPROVAL if seen.needs_approval else READY,
        target=msgspec.to_builtins(plan.target),
        waves=[msgspec.to_builtins(wave) for wave in plan.waves],
        rules=msgspec.to_builtins(plan.rules),
        waves_count=len(seen.waves),
        author=author,
        approvals=[],
        created_ns=now_ns,
    )
    session.add(rollout)
    session.flush()
    rows = [_plan_action(rollout, plan, name, wave, now_ns) for wave, names in enumerate(seen.waves) for name in names]
    session.execute(sa.insert(UpdateAction), rows)
    return rollout


def _plan_action(rollout: Rollout, plan: Plan, gateway: str, wave: int, now_ns: int) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "rollout_id": rollout.id,
        "wave": wave,
        "kind": plan.kind,
        "version": plan.version,
        "state": PLANNED,
        "timeout_s": plan.rules.timeout_s,
        "attempts_most": plan.rules.attempts,
        "budget_bytes_per_s": plan.rules.budget_bytes_per_s,
        "is_forced": plan.rules.is_forced,
        "author": rollout.author,
        "created_ns": now_ns,
        "changed_ns": now_ns,
    }


def get(session: Session, rollout_id: int) -> Rollout:
    """Return a rollout. Raises NotFoundError."""
    rollout = session.get(Rollout, rollout_id)
    if rollout is None:
        raise NotFoundError(f"there is no rollout {rollout_id}")
    return rollout


def get_to_change(session: Session, rollout_id: int) -> Rollout:
    """Return a rollout that nobody else changes meanwhile. Raises NotFoundError."""
    take_turn(session)
    rollout = session.get(Rollout, rollout_id, with_for_update=True)
    if rollout is None:
        raise NotFoundError(f"there is no rollout {rollout_id}")
    return rollout


def list_newest(session: Session, before: int | None = None, most: int = 50) -> Sequence[Rollout]:
    """Return rollouts, newest first."""
    query = sa.select(Rollout).order_by(Rollout.id.desc()).limit(most)
    return session.scalars(query if before is None else query.where(Rollout.id < before)).all()


def find_paused(session: Session) -> dict[str, str]:
    """{number of a rollout that has paused by itself: which it is, and why}."""
    paused = session.scalars(sa.select(Rollout).where(Rollout.state == PAUSED))
    return {str(row.id): f"{row.name} ({row.version}): {row.reason}"[:WHY_MOST] for row in paused if row.cause}


def approve(session: Session, rollout_id: int, by: str) -> Rollout:
    """Approve a rollout. Raises NotFoundError, DeniedError for its author, ConflictError unless it waits for that."""
    rollout = get_to_change(session, rollout_id)
    if rollout.author == by:
        raise DeniedError("who made a rollout cannot approve it", hint="ask somebody else who may configure")
    _move(rollout, READY, APPROVAL)
    rollout.approvals = [*rollout.approvals, by]
    return rollout


def deny(session: Session, rollout_id: int, by: str, reason: str, now_ns: int) -> Rollout:
    """Turn a rollout down for good. Raises NotFoundError, InvalidError without a reason, ConflictError."""
    rollout = get_to_change(session, rollout_id)
    why = _require_reason(reason)
    _move(rollout, DENIED, APPROVAL)
    rollout.reason, rollout.ended_ns = f"{by}: {why}", now_ns
    _drop_planned(session, rollout, now_ns)
    return rollout


def start(session: Session, rollout_id: int, now_ns: int) -> Rollout:
    """Begin with the first wave. Raises NotFoundError, ConflictError unless it is ready."""
    rollout = get_to_change(session, rollout_id)
    _move(rollout, RUNNING, READY)
    rollout.wave, rollout.started_ns, rollout.wave_ns = 0, now_ns, now_ns
    return rollout


def pause(session: Session, rollout_id: int, by: str, reason: str) -> Rollout:
    """Offer nothing more until it is resumed; gateways that have begun go on. Raises NotFoundError, ConflictError."""
    rollout = get_to_change(session, rollout_id)
    _move(rollout, PAUSED, RUNNING)
    rollout.reason = f"{by}: {reason.strip()[:WHY_MOST]}".rstrip(": ")
    hold_offers(session, rollout)
    return rollout


def resume(session: Session, rollout_id: int) -> Rollout:
    """Go on. What has failed until now is excused: it counts no more. Raises NotFoundError, ConflictError."""
    rollout = get_to_change(session, rollout_id)
    _move(rollout, RUNNING, PAUSED)
    rollout.reason, rollout.cause = "", {}
    failed = sa.update(UpdateAction).where(UpdateAction.rollout_id == rollout.id, UpdateAction.state.in_(ERRORS))
    session.execute(failed.values(is_excused=True))
    return rollout


def stop(session: Session, rollout_id: int, by: str, reason: str, now_ns: int) -> Rollout:
    """Call a rollout off: what nobody has heard of at once, the rest as gateways agree.

    Raises NotFoundError, InvalidError without a reason, ConflictError if it is over.
    """
    rollout = get_to_change(session, rollout_id)
    why = _require_reason(reason)
    has_begun = rollout.state in (RUNNING, PAUSED)
    _move(rollout, STOPPING if has_begun else STOPPED, RUNNING, PAUSED, APPROVAL, READY)
    rollout.reason, rollout.cause = f"{by}: {why}", {}
    rollout.ended_ns = None if has_begun else now_ns
    _drop_planned(session, rollout, now_ns)
    going = sa.select(UpdateAction).where(UpdateAction.rollout_id == rollout.id, UpdateAction.state.in_(OPEN))
    for action in session.scalars(going):
        actions.cancel(session, action, by, why, now_ns)
    return rollout


def offer_again(session: Session, rollout_id: int, gateways: Sequence[str], by: str, now_ns: int) -> int:
    """Have gateways try again what they have failed at; all that failed if none is named. Returns how many.

    Raises NotFoundError, ConflictError if one of them has something else to do or the rollout offers nothing more.
    """
    rollout = get_to_change(session, rollout_id)
    if rollout.state not in (RUNNING, PAUSED, FINISHED):
        raise ConflictError(f"the rollout is {rollout.state}: it offers nothing", hint="make another rollout")
    query = sa.select(UpdateAction).where(UpdateAction.rollout_id == rollout.id)
    if gateways:
        found = list(session.scalars(query.where(UpdateAction.gateway.in_(gateways))))
        strange = set(gateways) - {action.gateway for action in found}
        if strange:
            raise NotFoundError(f"gateway '{min(strange)}' is not in this rollout")
    else:
        found = list(session.scalars(query.where(UpdateAction.state.in_(ERRORS))))
    for action in found:
        actions.offer_again(session, action, by, now_ns)
    return len(found)


def hold_offers(session: Session, rollout: Rollout) -> None:
    """Take back what no gateway has answered: one that comes back now must not begin."""
    unanswered = sa.update(UpdateAction).where(UpdateAction.rollout_id == rollout.id, UpdateAction.state == OFFERED)
    session.execute(unanswered.values(state=WAITING, deadline_ns=None))


def _drop_planned(session: Session, rollout: Rollout, now_ns: int) -> None:
    planned = sa.update(UpdateAction).where(UpdateAction.rollout_id == rollout.id, UpdateAction.state == PLANNED)
    session.execute(planned.values(state=CANCELLED, changed_ns=now_ns, closed_ns=now_ns))


def _move(rollout: Rollout, state: str, *from_states: str) -> None:
    if rollout.state not in from_states or state not in ROLLOUT_MOVES[rollout.state]:
        raise ConflictError(
            f"the rollout is {rollout.state}, so it cannot become {state}", hint="look at it again, and decide anew"
        )
    rollout.state = state


def _require_reason(reason: str) -> str:
    why = escape_text(reason.strip()[:WHY_MOST])
    if not why:
        raise InvalidError("reason: is empty", hint="say why; it stays in the audit log")
    return why
