"""What a DDI client is to do now, on the table of actions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.db import take_turn
from fleet.ddi.mapping import Feedback, find_detail, find_step
from fleet.ddi.models import DdiClient
from fleet.errors import InvalidError, NotFoundError
from fleet.releases.models import IMAGE, Artifact
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CANCELLING, CLOSED, FINISHED, OFFERED, RUNNING, WAITING, move

TELL_AGAIN_NS = 86_400_000_000_000
"""After that a client is asked for its attributes once more."""
ATTRIBUTES_MOST, NAME_MOST, VALUE_MOST = 64, 128, 512
MODES = ("merge", "replace", "remove")


class GoneError(NotFoundError):
    """The action is closed: nothing more is taken of it."""


def find_client(session: Session, gateway: str) -> DdiClient:
    """Return a gateway's client, made when it comes first."""
    client = session.get(DdiClient, gateway)
    if client is None:
        client = DdiClient(gateway=gateway, attributes={})
        session.add(client)
    return client


def needs_attributes(client: DdiClient, now_ns: int) -> bool:
    """Tell whether a client is to be asked what it is."""
    return client.told_ns is None or not 0 <= now_ns - client.told_ns < TELL_AGAIN_NS


def find_hardware(reported: dict[str, Any] | None, client: DdiClient) -> str:
    """Return the machine of a gateway, as its agent reports it or its client tells it; "" if neither has."""
    return str((reported or {}).get("hardware") or client.attributes.get("hardware") or "")


def find_due(session: Session, client: DdiClient, hardware: str, now_ns: int) -> UpdateAction | None:
    """Return the action that a client is to hear of, None if there is none, or none that it can take now.

    Upkeep puts actions on offer, for it alone knows window and rate. An image that is not made for this machine is
    closed here, since a gateway without an agent tells nobody else what it is.
    """
    take_turn(session)
    action = actions.find_open(session, client.gateway, IMAGE)
    if action is None or action.state == CANCELLING:
        return action
    if action.state == WAITING or (action.state == OFFERED and _is_past(action, now_ns)):
        return None
    reason = _find_obstacle(session, action, client, hardware)
    if reason is None:
        return action
    if reason:
        actions.note(session, action, "refused", reason, now_ns)
    return None


def _find_obstacle(session: Session, action: UpdateAction, client: DdiClient, hardware: str) -> str | None:
    """Say why a client cannot take an image, "" if it has to say first what it is, None if it can."""
    artifact = actions.find_artifact(session, IMAGE, action.version, hardware)
    if artifact is None:
        return f"image {action.version} is not made for {hardware or 'this gateway'}"
    if not artifact.hardware or hardware:
        return None
    return "" if client.told_ns is None else "the gateway does not say its hardware: have its client tell 'hardware'"


def _is_past(action: UpdateAction, now_ns: int) -> bool:
    return action.until_ns is not None and now_ns >= action.until_ns


def may_install(action: UpdateAction, now_ns: int) -> bool:
    """Tell whether the maintenance window of an action lets it be installed now."""
    return not _is_past(action, now_ns)


def find_installed(session: Session, gateway: str) -> UpdateAction | None:
    """Return the action whose image the gateway runs, None if none was installed by us."""
    query = sa.select(UpdateAction).where(
        UpdateAction.gateway == gateway, UpdateAction.kind == IMAGE, UpdateAction.state == FINISHED
    )
    return session.scalar(query.order_by(UpdateAction.closed_ns.desc()).limit(1))


def get_action(session: Session, gateway: str, action_id: int) -> UpdateAction:
    """Return an action of this gateway. Raises NotFoundError, also for another's."""
    take_turn(session)
    action = session.get(UpdateAction, action_id)
    if action is None or action.gateway != gateway or action.kind != IMAGE:
        raise NotFoundError(f"'{gateway}' has no action {action_id}")
    return action


def get_offered(session: Session, gateway: str, action_id: int) -> UpdateAction:
    """Return an action that the gateway may carry out now. Raises NotFoundError, GoneError once it is closed."""
    action = get_action(session, gateway, action_id)
    if action.state in CLOSED:
        raise GoneError(f"action {action.id} is {action.state}", hint="ask what is to be done now")
    if action.state not in (OFFERED, RUNNING):
        raise NotFoundError(f"action {action.id} is {action.state}, not on offer")
    return action


def get_in_state(session: Session, gateway: str, action_id: int, state: str) -> UpdateAction:
    """Return an action that is in this state. Raises NotFoundError."""
    action = get_action(session, gateway, action_id)
    if action.state != state:
        raise NotFoundError(f"action {action.id} is {action.state}")
    return action


def may_fetch(session: Session, gateway: str, artifact: Artifact) -> bool:
    """Tell whether a gateway was ever given this image."""
    given = sa.exists().where(
        UpdateAction.gateway == gateway,
        UpdateAction.kind == IMAGE,
        UpdateAction.version == artifact.version,
        UpdateAction.offered_ns.is_not(None),
    )
    return session.scalar(sa.select(given)) or False


def get_artifact(session: Session, action: UpdateAction, hardware: str) -> Artifact:
    """Return what an action installs on such a machine. Raises NotFoundError."""
    artifact = actions.find_artifact(session, IMAGE, action.version, hardware)
    if artifact is None:
        raise NotFoundError(f"there is no image {action.version} for {hardware or 'this gateway'}")
    return artifact


def take_feedback(session: Session, action: UpdateAction, feedback: Feedback, now_ns: int) -> None:
    """Take what a client says of an action. Raises GoneError if it is closed, InvalidError for an unknown word.

    That the image runs after all is taken of a closed one, too, as `fleet.rollouts.states.move` has it.
    """
    step = _read_step(feedback)
    if action.state in CLOSED and move(action.state, step, 0) == action.state:
        raise GoneError(f"action {action.id} is {action.state}", hint="ask what is to be done now")
    actions.note(session, action, step, find_detail(feedback), now_ns, attempt=action.attempt)


def _read_step(feedback: Feedback) -> str:
    step = find_step(feedback)
    if not step:
        raise InvalidError(f"'{feedback.status.execution[:40]}' is no execution", hint="see hawkBit's DDI API")
    return step


def take_cancel_feedback(session: Session, action: UpdateAction, feedback: Feedback, now_ns: int) -> None:
    """Take whether a client agrees to a cancellation; one that does not goes on. Raises GoneError."""
    if action.state != CANCELLING:
        raise GoneError(f"action {action.id} is {action.state}", hint="ask what is to be done now")
    _read_step(feedback)
    if feedback.status.execution == "rejected":
        detail = find_detail(feedback) or "the client goes on"
        actions.refuse_cancel(session, action, detail, now_ns)
    elif feedback.status.execution == "closed":
        actions.note(session, action, "cancelled", find_detail(feedback), now_ns)


def take_attributes(client: DdiClient, mode: str, data: dict[str, Any], now_ns: int) -> None:
    """Take what a client says it is. Raises InvalidError."""
    if mode not in MODES:
        raise InvalidError(f"'{mode[:40]}' is no mode", hint=f"one of: {', '.join(MODES)}")
    told = {str(name): str(value) for name, value in data.items()}
    if any(len(name) > NAME_MOST or len(value) > VALUE_MOST for name, value in told.items()):
        raise InvalidError("an attribute is too long", hint=f"{NAME_MOST} letters for its name, {VALUE_MOST} for it")
    before = {} if mode == "replace" else dict(client.attributes)
    after = {name: value for name, value in before.items() if name not in told} if mode == "remove" else before | told
    if len(after) > ATTRIBUTES_MOST:
        raise InvalidError(f"{len(after)} attributes", hint=f"at most {ATTRIBUTES_MOST}")
    client.attributes, client.told_ns = after, now_ns
