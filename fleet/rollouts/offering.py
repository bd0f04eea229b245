"""What gateways are told of their actions, and what they tell of them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from fleet.db import take_turn
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CANCELLING
from wire.update import Progress, Target

ID_DIGITS_MOST = 18
"""Digits of a number that every database takes for a key."""
Offers = list[tuple[str, str, Target]]
"""Gateway, what tells an offer apart, and what is sent."""


def find_offers(session: Session) -> Offers:
    """Return what gateways shall hear of: every open action that has been put on offer."""
    return [
        (action.gateway, f"{action.id} {action.attempt} {action.state == CANCELLING}", _make_target(action))
        for action in actions.list_offered(session)
    ]


def note_progress(session: Session, gateway: str, told: Progress, now_ns: int) -> None:
    """Take what a gateway says of one of its actions; what it says of others' is not heard.

    A fleet that was restored from a backup gives numbers again: what is said of another version is not meant.
    """
    if not told.action.isdecimal() or len(told.action) > ID_DIGITS_MOST:
        return
    take_turn(session)
    action = session.get(UpdateAction, int(told.action))
    meant = (gateway, told.kind, told.version)
    if action is not None and (action.gateway, action.kind, action.version) == meant:
        actions.note(session, action, told.step, told.detail, now_ns, attempt=told.attempt, done=told.done, of=told.of)


def _make_target(action: UpdateAction) -> Target:
    return Target(
        action=str(action.id),
        kind=action.kind,  # type: ignore[arg-type]  # images are not on offer here
        version=action.version,
        attempt=action.attempt,
        until_ns=action.until_ns,
        budget_bytes_per_s=action.budget_bytes_per_s,
        is_cancelled=action.state == CANCELLING,
    )
