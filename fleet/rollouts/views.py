"""The API of rollouts."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Float, Integer, List, Nested, String
from apiflask.validators import Length, OneOf, Range

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.releases.models import KINDS
from fleet.rollouts import counting, service
from fleet.rollouts.counting import Shown, StateCounts
from fleet.rollouts.models import Rollout, UpdateAction
from fleet.rollouts.plan import explain, read_plan
from fleet.rollouts.service import WHY_MOST
from fleet.rollouts.states import STANDINGS

blueprint = make_blueprint("rollouts")

NAMES_MOST = 10_000
LISTED_MOST = 1000


def _names() -> List[Any]:
    return List(String(validate=Length(1, 256)), validate=Length(max=NAMES_MOST))


class RolloutTargetIn(Schema):
    """Which gateways: those that every list names; all of the fleet without any list."""

    sites = _names()
    sectors = _names()
    gateways = _names()
    releases = _names()
    hardware = _names()


class WaveIn(Schema):
    """A wave: either gateways and sites, or ``percent`` of those that no wave before has taken."""

    gateways = _names()
    sites = _names()
    percent = Float(allow_none=True)


class WindowIn(Schema):
    """Hours in which versions change, HH:MM in ``zone``, on these days: 1 Monday to 7 Sunday."""

    weekdays = List(Integer(strict=True, validate=Range(1, 7)), validate=Length(1, 7))
    begin = String(required=True)
    end = String(required=True)
    zone = String()


class RolloutRulesIn(Schema):
    """Under which conditions a rollout goes on; what is left out is as docs/operate/rollouts.md says."""

    error_percent = Float()
    executed_least = Integer(strict=True)
    success_percent = Float()
    timeout_s = Integer(strict=True)
    attempts = Integer(strict=True)
    rate_per_minute = Integer(strict=True)
    window = Nested(WindowIn, allow_none=True)
    budget_bytes_per_s = Integer(strict=True)
    is_forced = Boolean()


class PlanIn(Schema):
    """A rollout as its author writes it. What no wave takes is a last one."""

    name = String(required=True, validate=Length(1, 200))
    kind = String(validate=OneOf(KINDS))
    version = String(required=True, validate=Length(1, 200))
    target = Nested(RolloutTargetIn)
    waves = List(Nested(WaveIn), validate=Length(max=50))
    rules = Nested(RolloutRulesIn)


class RolloutReasonIn(Schema):
    """Why."""

    reason = String(required=True, validate=Length(1, WHY_MOST))


class RolloutPauseIn(Schema):
    """Why, if there is something to say."""

    reason = String(load_default="", validate=Length(max=WHY_MOST))


class AgainIn(Schema):
    """The gateways that shall try again; all that failed if none is named."""

    gateways = List(String(), load_default=list, validate=Length(max=NAMES_MOST))


class RolloutsQuery(Schema):
    """Which part of the rollouts, newest first."""

    before = Integer(load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only smaller ids"})
    limit = Integer(load_default=50, validate=Range(1, 500))


class ActionsQuery(Schema):
    """Which actions of a rollout, by wave and gateway."""

    standing = String(load_default="", validate=OneOf(["", *STANDINGS]))
    wave = Integer(load_default=None, validate=Range(0, 1000))
    q = String(load_default="", validate=Length(max=64), metadata={"description": "Part of the gateway's name"})
    skip = Integer(load_default=0, validate=Range(0, 1_000_000))
    limit = Integer(load_default=100, validate=Range(1, LISTED_MOST))


class UpdateActionOut(Schema):
    """One release for one gateway. ``step`` is the last word of the gateway, ``detail`` why."""

    id = Integer()
    gateway = String()
    rollout_id = Integer(allow_none=True)
    wave = Integer()
    kind = String()
    version = String()
    state = String()
    step = String()
    detail = String()
    done = Integer()
    of = Integer()
    attempt = Integer()
    attempts_most = Integer()
    is_excused = Boolean()
    author = String()
    created_ns = Integer()
    offered_ns = Integer(allow_none=True)
    deadline_ns = Integer(allow_none=True)
    until_ns = Integer(allow_none=True)
    changed_ns = Integer()
    closed_ns = Integer(allow_none=True)


class UpdateActionsOut(Schema):
    """Actions, and how many there are in all parts."""

    total = Integer()
    actions = List(Nested(UpdateActionOut))


class RolloutWaveOut(Schema):
    """A wave: how many gateways it has in each state of an action."""

    size = Integer()
    states = Dict(keys=String(), values=Integer())


class RolloutOut(Schema):
    """A rollout and how it stands. ``wave`` is the one that runs, from 0; ``reason`` says why it is not running."""

    id = Integer()
    name = String()
    kind = String()
    version = String()
    state = String()
    reason = String()
    wave = Integer(allow_none=True)
    author = String()
    approvals = List(String())
    created_ns = Integer()
    started_ns = Integer(allow_none=True)
    ended_ns = Integer(allow_none=True)
    waves = List(Nested(RolloutWaveOut))


class RolloutDetail(RolloutOut):
    """A rollout with its plan, and in figures why it paused by itself."""

    cause = Dict()
    target = Dict()
    plan = List(Dict())
    rules = Dict()


class CreatedOut(RolloutDetail):
    """The rollout that was made."""


class RolloutsOut(Schema):
    """Rollouts, newest first."""

    rollouts = List(Nested(RolloutOut))


class LeftOutOut(Schema):
    """A gateway that takes no part, and why."""

    gateway = String()
    obstacle = String()
    reason = String()


class RolloutPreviewOut(Schema):
    """What a plan comes to. ``needs_approval``: another account has to approve it."""

    size = Integer()
    needs_approval = Boolean()
    waves = List(List(String()))
    left_out = List(Nested(LeftOutOut))


class AgainOut(Schema):
    """How many gateways try again."""

    offered = Integer()


@blueprint.get("/rollouts")
@blueprint.input(RolloutsQuery, location="query")
@blueprint.output(RolloutsOut)
def list_rollouts(query_data: dict[str, Any]) -> dict[str, Any]:
    """List rollouts, newest first."""
    with reading() as session:
        rows = service.list_newest(session, query_data["before"], query_data["limit"])
        counts = counting.count_states(session, [row.id for row in rows])
        return {"rollouts": [_summary(row, counts[row.id]) for row in rows]}


@blueprint.post("/rollouts")
@blueprint.input(PlanIn)
@blueprint.output(CreatedOut, status_code=201)
def create_rollout(json_data: dict[str, Any]) -> dict[str, Any]:
    """Make a rollout. Nothing is offered before it is started; a large one waits for approval first."""
    services, plan = find_services(), read_plan(json_data)
    with changing("rollout.create", plan.name, version=plan.version, plan=json_data) as session:
        approval_from = services.settings.rollout_approval_from
        rollout = service.create(session, plan, find_account().name, services.clock(), approval_from)
        return _detail(rollout, counting.count_states(session, [rollout.id])[rollout.id])


@blueprint.post("/rollouts/preview")
@blueprint.input(PlanIn)
@blueprint.output(RolloutPreviewOut)
def preview_rollout(json_data: dict[str, Any]) -> dict[str, Any]:
    """Tell which gateways a plan would update in which wave, and which take no part and why. Nothing is made."""
    plan = read_plan(json_data)
    with reading() as session:
        seen = service.preview(session, plan, find_services().settings.rollout_approval_from)
    return {
        "size": seen.size,
        "needs_approval": seen.needs_approval,
        "waves": seen.waves,
        "left_out": [
            {
                "gateway": one.gateway.name,
                "obstacle": one.obstacle,
                "reason": explain(one.obstacle, one.gateway, plan.kind, plan.version),
            }
            for one in seen.left_out
        ],
    }


@blueprint.get("/rollouts/<int:number>")
@blueprint.output(RolloutDetail)
def get_rollout(number: int) -> dict[str, Any]:
    """Show one rollout."""
    with reading() as session:
        rollout = service.get(session, number)
        return _detail(rollout, counting.count_states(session, [number])[number])


@blueprint.get("/rollouts/<int:number>/actions")
@blueprint.input(ActionsQuery, location="query")
@blueprint.output(UpdateActionsOut)
def list_actions(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List how the gateways of a rollout stand, with the reason of each failure."""
    shown = Shown(query_data["standing"], query_data["wave"], query_data["q"])
    with reading() as session:
        service.get(session, number)
        rows, total = counting.list_actions(session, number, shown, query_data["limit"], query_data["skip"])
        return {"total": total, "actions": [show_action(row) for row in rows]}


@blueprint.post("/rollouts/<int:number>/approve")
@blueprint.output(RolloutDetail)
def approve_rollout(number: int) -> dict[str, Any]:
    """Approve a rollout that another account made. Answers 403 to its author, 409 if it does not wait for that."""
    with changing("rollout.approve", str(number)) as session:
        service.approve(session, number, find_account().name)
    return _show(number)


@blueprint.post("/rollouts/<int:number>/deny")
@blueprint.input(RolloutReasonIn)
@blueprint.output(RolloutDetail)
def deny_rollout(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Turn a rollout down for good."""
    with changing("rollout.deny", str(number), reason=json_data["reason"]) as session:
        service.deny(session, number, find_account().name, json_data["reason"], find_services().clock())
    return _show(number)


@blueprint.post("/rollouts/<int:number>/start")
@blueprint.output(RolloutDetail)
def start_rollout(number: int) -> dict[str, Any]:
    """Begin with the first wave. Answers 409 unless it is ready."""
    with changing("rollout.start", str(number)) as session:
        service.start(session, number, find_services().clock())
    return _show(number)


@blueprint.post("/rollouts/<int:number>/pause")
@blueprint.input(RolloutPauseIn)
@blueprint.output(RolloutDetail)
def pause_rollout(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Offer nothing more until it is resumed; gateways that have begun go on."""
    with changing("rollout.pause", str(number), reason=json_data["reason"]) as session:
        service.pause(session, number, find_account().name, json_data["reason"])
    return _show(number)


@blueprint.post("/rollouts/<int:number>/resume")
@blueprint.output(RolloutDetail)
def resume_rollout(number: int) -> dict[str, Any]:
    """Go on; what has failed until now counts no more."""
    with changing("rollout.resume", str(number)) as session:
        service.resume(session, number)
    return _show(number)


@blueprint.post("/rollouts/<int:number>/stop")
@blueprint.input(RolloutReasonIn)
@blueprint.output(RolloutDetail)
def stop_rollout(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Call a rollout off: it is stopped once every gateway that has begun is at an end."""
    with changing("rollout.stop", str(number), reason=json_data["reason"]) as session:
        service.stop(session, number, find_account().name, json_data["reason"], find_services().clock())
    return _show(number)


@blueprint.post("/rollouts/<int:number>/again")
@blueprint.input(AgainIn)
@blueprint.output(AgainOut)
def offer_again(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Have gateways that failed try once more. Answers 409 where one of them has something else to take."""
    names = json_data["gateways"]
    with changing("rollout.again", str(number), gateways=names) as session:
        offered = service.offer_again(session, number, names, find_account().name, find_services().clock())
    return {"offered": offered}


def _show(number: int) -> dict[str, Any]:
    with reading() as session:
        return _detail(service.get(session, number), counting.count_states(session, [number])[number])


def _summary(rollout: Rollout, counts: dict[int, StateCounts]) -> dict[str, Any]:
    names = (
        "id", "name", "kind", "version", "state", "reason", "wave", "author", "approvals", "created_ns", "started_ns",
        "ended_ns",
    )  # fmt: skip
    waves = [counts.get(wave, {}) for wave in range(rollout.waves_count)]
    return {
        **{name: getattr(rollout, name) for name in names},
        "waves": [{"size": sum(states.values()), "states": dict(states)} for states in waves],
    }


def _detail(rollout: Rollout, counts: dict[int, StateCounts]) -> dict[str, Any]:
    return {
        **_summary(rollout, counts),
        "cause": rollout.cause,
        "target": rollout.target,
        "plan": rollout.waves,
        "rules": rollout.rules,
    }


def show_action(action: UpdateAction) -> dict[str, Any]:
    """Show an action as `UpdateActionOut` has it."""
    return {name: getattr(action, name) for name in UpdateActionOut._declared_fields}
