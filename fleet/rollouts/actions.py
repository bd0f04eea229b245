"""Actions: one release for one gateway. The one table behind the agents' own updater and the DDI interface."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.db import take_turn
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.readings.items import escape_text
from fleet.releases.models import AGENT, IMAGE, PROFILES, Artifact
from fleet.rollouts.models import UpdateAction, UpdateEvent
from fleet.rollouts.states import (
    AFTER,
    CANCELLED,
    CANCELLING,
    CLOSED,
    ERRORS,
    FAILED,
    OFFERED,
    OPEN,
    PLANNED,
    RUNNING,
    TIMED_OUT,
    WAITING,
    move,
)
from wire.update import DETAIL_MOST

NS = 1_000_000_000
TIMEOUT_S = 7200
"""How long an attempt may take from its offer, unless its author says otherwise."""
ATTEMPTS_MOST = 3
AGAIN_FROM = (*ERRORS, CANCELLED)
HEARD = (OFFERED, RUNNING, CANCELLING)
OWN_KINDS = (AGENT, PROFILES)
"""What the agent installs by itself; images are the business of a client of the DDI interface."""


def find_artifact(session: Session, kind: str, version: str, hardware: str) -> Artifact | None:
    """Return the published artifact of a version for a machine, None if there is none; ``hardware`` "" takes any."""
    query = sa.select(Artifact).where(
        Artifact.kind == kind, Artifact.version == version, Artifact.published_ns.is_not(None)
    )
    fitting = (one for one in session.scalars(query) if not (one.hardware and hardware) or hardware in one.hardware)
    return next(fitting, None)


def assign(
    session: Session,
    gateway: str,
    kind: str,
    version: str,
    author: str,
    now_ns: int,
    *,
    rollout_id: int | None = None,
    wave: int = 0,
    timeout_s: int = TIMEOUT_S,
    attempts_most: int = ATTEMPTS_MOST,
    budget_bytes_per_s: int = 0,
    is_forced: bool = False,
) -> UpdateAction:
    """Have a gateway take a release; it is offered from now on.

    Raises NotFoundError, InvalidError for what is not published, ConflictError while another of the kind is open.
    """
    gateways.get(session, gateway)
    if find_artifact(session, kind, version, "") is None:
        raise InvalidError(f"there is no published {kind} of version {version}", hint="run: fengsui-fleet release list")
    _require_free(session, gateway, kind)
    action = UpdateAction(
        gateway=gateway,
        rollout_id=rollout_id,
        wave=wave,
        kind=kind,
        version=version,
        state=WAITING,
        timeout_s=timeout_s,
        attempts_most=attempts_most,
        budget_bytes_per_s=budget_bytes_per_s,
        is_forced=is_forced,
        author=author,
        created_ns=now_ns,
        changed_ns=now_ns,
    )
    session.add(action)
    session.flush()
    return action


def get(session: Session, action_id: int) -> UpdateAction:
    """Return an action. Raises NotFoundError."""
    action = session.get(UpdateAction, action_id)
    if action is None:
        raise NotFoundError(f"there is no action {action_id}")
    return action


def find_open(session: Session, gateway: str, kind: str) -> UpdateAction | None:
    """Return the action of a gateway that is not closed, None if all are."""
    query = sa.select(UpdateAction).where(
        UpdateAction.gateway == gateway, UpdateAction.kind == kind, UpdateAction.state.in_(OPEN)
    )
    return session.scalar(query.order_by(UpdateAction.id).limit(1))


def list_newest(session: Session, gateway: str, most: int = 20) -> Sequence[UpdateAction]:
    """Return the newest actions of a gateway."""
    query = sa.select(UpdateAction).where(UpdateAction.gateway == gateway)
    return session.scalars(query.order_by(UpdateAction.id.desc()).limit(most)).all()


def events(session: Session, action_id: int) -> Sequence[UpdateEvent]:
    """Return the story of an action, oldest first."""
    query = sa.select(UpdateEvent).where(UpdateEvent.action_id == action_id)
    return session.scalars(query.order_by(UpdateEvent.id)).all()


def offer(action: UpdateAction, until_ns: int | None, now_ns: int) -> None:
    """Note that an action goes out to its gateway: its time runs from the first offer of an attempt."""
    action.until_ns = until_ns
    if action.state == WAITING:
        action.state, action.offered_ns, action.changed_ns = OFFERED, now_ns, now_ns
        action.deadline_ns = now_ns + action.timeout_s * NS


def note(
    session: Session,
    action: UpdateAction,
    step: str,
    detail: str,
    now_ns: int,
    *,
    attempt: int | None = None,
    done: int = 0,
    of: int = 0,
) -> None:
    """Take what a gateway says of an action. An end of an earlier attempt is no end of this one."""
    if action.state == PLANNED:
        return  # nobody has told it anything
    is_late = attempt is not None and attempt < action.attempt
    if step not in AFTER or (is_late and AFTER[step] in CLOSED and step != "confirmed"):
        return
    detail = escape_text(detail[:DETAIL_MOST])
    action.done, action.of = done, of
    if (step, detail) == (action.step, action.detail) and action.state != OFFERED:
        return
    if attempt is not None:
        action.attempt = max(action.attempt, attempt)  # greater than ours after the fleet was restored
    if AFTER[step] == FAILED and _is_window_over(action, now_ns):
        action.attempts_most += 1  # it had no time, which is not its fault
    state = move(action.state, step, action.attempts_most - action.attempt)
    if state == action.state and state in CLOSED:
        return  # it has its end, and the reason of it
    _add_event(session, action, step, detail, now_ns)
    if state == WAITING:
        action.attempt += 1
        action.deadline_ns = None
    elif state == RUNNING and action.deadline_ns is None:  # its offer was taken back, and it had it already
        action.deadline_ns = now_ns + action.timeout_s * NS
    action.step, action.detail, action.changed_ns = step, detail, now_ns
    _enter(action, state, now_ns)


def cancel(session: Session, action: UpdateAction, by: str, reason: str, now_ns: int) -> None:
    """Call an action off: at once if its gateway has not heard of it, else when the gateway agrees."""
    if action.state in CLOSED or action.state == CANCELLING:
        return
    is_unheard = action.state in (PLANNED, WAITING) and action.offered_ns is None
    _add_event(session, action, "cancelling", f"{by}: {reason}" if reason else by, now_ns)
    _enter(action, CANCELLED if is_unheard else CANCELLING, now_ns)
    if action.deadline_ns is None and not is_unheard:
        action.deadline_ns = now_ns + action.timeout_s * NS


def refuse_cancel(session: Session, action: UpdateAction, reason: str, now_ns: int) -> None:
    """Note that a client does not take a cancellation: it goes on with what it does."""
    if action.state == CANCELLING:
        _add_event(session, action, "cancel-refused", reason, now_ns)
        _enter(action, RUNNING, now_ns)


def expire(session: Session, now_ns: int) -> list[UpdateAction]:
    """Close the actions whose time is over. Returns them."""
    query = sa.select(UpdateAction).where(UpdateAction.state.in_(OPEN), UpdateAction.deadline_ns <= now_ns)
    late = list(session.scalars(query))
    for action in late:
        said = f"the last it said was '{action.step}'" if action.step else "it never answered"
        _add_event(session, action, TIMED_OUT, f"not done within {action.timeout_s} s: {said}", now_ns)
        action.detail = f"not done within {action.timeout_s} s: {said}"
        _enter(action, CANCELLED if action.state == CANCELLING else TIMED_OUT, now_ns)
    return late


def withdraw_unanswered(session: Session, now_ns: int) -> None:
    """End the attempts that nobody answered in their maintenance window; those left are made in the next one."""
    query = sa.select(UpdateAction).where(UpdateAction.state == OFFERED, UpdateAction.until_ns <= now_ns)
    for action in session.scalars(query):
        has_more = action.attempt < action.attempts_most
        detail = "it did not answer within the maintenance window"
        _add_event(session, action, WAITING if has_more else TIMED_OUT, detail, now_ns)
        action.detail, action.deadline_ns = detail, None
        action.attempt += has_more
        _enter(action, WAITING if has_more else TIMED_OUT, now_ns)


def close_retired(session: Session, now_ns: int) -> None:
    """Call off what gateways were to take that have been retired since."""
    query = (
        sa.select(UpdateAction)
        .join(Gateway, Gateway.name == UpdateAction.gateway)
        .where(UpdateAction.state.in_((PLANNED, *OPEN)), Gateway.retired_ns.is_not(None))
    )
    for action in session.scalars(query):
        action.detail = "the gateway was retired"
        _add_event(session, action, CANCELLED, action.detail, now_ns)
        _enter(action, CANCELLED, now_ns)


def offer_again(session: Session, action: UpdateAction, by: str, now_ns: int) -> None:
    """Have a gateway try once more what it has failed at: only what comes of that counts.

    Raises ConflictError unless that is over, or if the gateway has another release of the kind to take.
    """
    if action.state not in AGAIN_FROM:
        raise ConflictError(
            f"action {action.id} is {action.state}, so there is nothing to offer again",
            hint="only what has failed, was rejected, timed out or was cancelled is offered again",
        )
    _require_free(session, action.gateway, action.kind)
    if gateways.get(session, action.gateway).retired_ns is not None:
        raise ConflictError(f"'{action.gateway}' is retired", hint="it comes back by a new claim")
    action.attempt += 1
    action.attempts_most = max(action.attempts_most, action.attempt)
    action.is_excused, action.deadline_ns, action.until_ns, action.step, action.detail = False, None, None, "", ""
    action.done = action.of = 0
    _add_event(session, action, WAITING, f"offered again by {by}", now_ns)
    _enter(action, WAITING, now_ns)


def list_offered(session: Session) -> Sequence[UpdateAction]:
    """Return what gateways' own updaters shall hear of, oldest first."""
    query = (
        sa.select(UpdateAction)
        .join(Gateway, Gateway.name == UpdateAction.gateway)
        .where(UpdateAction.state.in_(HEARD), UpdateAction.kind != IMAGE, Gateway.retired_ns.is_(None))
        .order_by(UpdateAction.id)
    )
    return session.scalars(query).all()


def has_open(session: Session) -> bool:
    """Tell whether any action is open."""
    return session.scalar(sa.select(sa.exists().where(UpdateAction.state.in_(OPEN)))) or False


def _require_free(session: Session, gateway: str, kind: str) -> None:
    take_turn(session)
    other = find_open(session, gateway, kind)
    if other is not None:
        raise ConflictError(
            f"'{gateway}' is to take {kind} {other.version} already (action {other.id})",
            hint="wait for its end, or cancel it",
        )


def _is_window_over(action: UpdateAction, now_ns: int) -> bool:
    return action.until_ns is not None and now_ns >= action.until_ns


def _enter(action: UpdateAction, state: str, now_ns: int) -> None:
    action.state = state
    action.changed_ns = now_ns
    action.closed_ns = now_ns if state in CLOSED else None


def _add_event(session: Session, action: UpdateAction, step: str, detail: str, now_ns: int) -> None:
    session.add(
        UpdateEvent(action_id=action.id, at_ns=now_ns, attempt=action.attempt, step=step, detail=detail[:DETAIL_MOST])
    )
