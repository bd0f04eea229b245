"""The API of the updates of one gateway."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range
from sqlalchemy.orm import Session

from fleet.api import changing, find_account, find_services, make_blueprint, reading
from fleet.errors import ConflictError, NotFoundError
from fleet.gateways import service as gateways
from fleet.releases.models import KINDS
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.plan import RANGES
from fleet.rollouts.service import WHY_MOST
from fleet.rollouts.states import CLOSED
from fleet.rollouts.views import UpdateActionOut, show_action

blueprint = make_blueprint("updates")


def _within(name: str) -> Range:
    return Range(*RANGES[name])


class UpdateIn(Schema):
    """A release for one gateway, offered at once and without a maintenance window."""

    kind = String(load_default="agent", validate=OneOf(KINDS))
    version = String(required=True, validate=Length(1, 200))
    timeout_s = Integer(load_default=actions.TIMEOUT_S, strict=True, validate=_within("timeout_s"))
    attempts = Integer(load_default=actions.ATTEMPTS_MOST, strict=True, validate=_within("attempts"))
    budget_bytes_per_s = Integer(load_default=0, strict=True, validate=_within("budget_bytes_per_s"))


class UpdateCancelIn(Schema):
    """Why, if there is something to say."""

    reason = String(load_default="", validate=Length(max=WHY_MOST))


class UpdatesQuery(Schema):
    """How many of the newest."""

    limit = Integer(load_default=20, validate=Range(1, 500))


class UpdatesOut(Schema):
    """The newest updates of a gateway."""

    updates = List(Nested(UpdateActionOut))


class UpdateEventOut(Schema):
    """A line of the story of an update."""

    at_ns = Integer()
    attempt = Integer()
    step = String()
    detail = String()


class UpdateDetail(UpdateActionOut):
    """An update, and its story from the begin."""

    events = List(Nested(UpdateEventOut))


class UpdateCreated(UpdateActionOut):
    """The update that was made."""


@blueprint.get("/gateways/<name>/updates")
@blueprint.input(UpdatesQuery, location="query")
@blueprint.output(UpdatesOut)
def list_updates(name: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """List the newest updates of a gateway, those that are planned among them."""
    with reading() as session:
        gateways.get(session, name)
        return {"updates": [show_action(row) for row in actions.list_newest(session, name, query_data["limit"])]}


@blueprint.get("/gateways/<name>/updates/<int:number>")
@blueprint.output(UpdateDetail)
def get_update(name: str, number: int) -> dict[str, Any]:
    """Show one update and what the gateway said of it."""
    with reading() as session:
        return _show(session, find(session, name, number))


@blueprint.post("/gateways/<name>/updates")
@blueprint.input(UpdateIn)
@blueprint.output(UpdateCreated, status_code=201)
def update_gateway(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Have one gateway take a release. Answers 409 while it has another of the kind to take."""
    with changing("update.create", name, **json_data) as session:
        action = actions.assign(
            session,
            name,
            json_data["kind"],
            json_data["version"],
            find_account().name,
            find_services().clock(),
            timeout_s=json_data["timeout_s"],
            attempts_most=json_data["attempts"],
            budget_bytes_per_s=json_data["budget_bytes_per_s"],
        )
        return show_action(action)


@blueprint.post("/gateways/<name>/updates/<int:number>/cancel")
@blueprint.input(UpdateCancelIn)
@blueprint.output(UpdateDetail)
def cancel_update(name: str, number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Call an update off: at once, or when the gateway agrees that has heard of it. Answers 409 if it is over."""
    with changing("update.cancel", name, update=number, reason=json_data["reason"]) as session:
        action = find(session, name, number)
        if action.state in CLOSED:
            raise ConflictError(f"update {number} is over: {action.state}")
        actions.cancel(session, action, find_account().name, json_data["reason"], find_services().clock())
        return _show(session, action)


def find(session: Session, name: str, number: int) -> UpdateAction:
    """Return an action of a gateway. Raises NotFoundError."""
    gateways.get(session, name)
    action = actions.get(session, number)
    if action.gateway != name:
        raise NotFoundError(f"'{name}' has no update {number}")
    return action


def _show(session: Session, action: UpdateAction) -> dict[str, Any]:
    names = UpdateEventOut._declared_fields
    told = [{name: getattr(event, name) for name in names} for event in actions.events(session, action.id)]
    return {**show_action(action), "events": told}
