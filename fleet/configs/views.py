"""The API of desired configurations: versions, previews, drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Integer, List, Nested, String
from apiflask.validators import Range
from sqlalchemy.orm import Session

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.configs import drift, sending, service
from fleet.configs.sending import Chosen, Preview, write_toml
from fleet.errors import NotFoundError
from fleet.gateways import service as gateways

blueprint = make_blueprint("configs")


class ConfigIn(Schema):
    """A configuration that might be sent."""

    config = Dict(required=True, keys=String())


class DesiredIn(ConfigIn):
    """A new configuration. ``version`` is the newest one its author has seen, 0 for none."""

    version = Integer(required=True, strict=True, validate=Range(0, INT_MAX))


class RestoreIn(Schema):
    """An earlier version to be sent again. ``version`` is the newest one that was seen."""

    version = Integer(required=True, strict=True, validate=Range(0, INT_MAX))
    restore = Integer(required=True, strict=True, validate=Range(1, INT_MAX))


class VersionOut(Schema):
    """A version without its document. ``template`` is what it was made of, empty if of none."""

    gateway = String()
    version = Integer()
    author = String()
    at_ns = Integer()
    template = String()
    template_version = Integer(allow_none=True)


class DesiredOut(VersionOut):
    """A configuration as the fleet wants it."""

    config = Dict()


class VersionsOut(Schema):
    """Versions, newest first."""

    versions = List(Nested(VersionOut))


class VersionsQuery(Schema):
    """Which part of the versions."""

    before = Integer(load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only smaller numbers"})
    limit = Integer(load_default=50, validate=Range(1, 500))


class ChangeOut(Schema):
    """One difference: ``place`` leads to a thing, ``key`` is its setting that has changed, empty for all of it."""

    kind = String()
    place = List(String())
    key = String()
    before = String()
    after = String()


class FaultOut(Schema):
    """One mistake: where, what, and what to write instead."""

    place = String()
    message = String()
    hint = String()


class PreviewOut(Schema):
    """What sending would do. ``checked_by`` is the release whose schema it was checked against, empty for none."""

    gateway = String()
    version = Integer()
    changes = List(Nested(ChangeOut))
    faults = List(Nested(FaultOut))
    before_toml = String()
    after_toml = String()
    checked_by = String()


class DriftOut(Schema):
    """A gateway that does not run what the fleet wants; versions are null where there is none."""

    gateway = String()
    title = String()
    state = String()
    wants_action = Boolean()
    since_ns = Integer(allow_none=True)
    desired = Integer(allow_none=True)
    reported = Integer(allow_none=True)
    reason = String()


class DriftsOut(Schema):
    """Drift, what wants action first."""

    gateways = List(Nested(DriftOut))


@blueprint.get("/gateways/<name>/desired")
@blueprint.output(DesiredOut)
def get_desired(name: str) -> Any:
    """Show the newest configuration that the fleet wants."""
    with reading() as session:
        gateways.get(session, name)
        desired = service.latest(session, name)
        if desired is None:
            raise NotFoundError(f"no configuration was ever written for '{name}'", hint="it runs its own: version 0")
        return desired


@blueprint.put("/gateways/<name>/desired")
@blueprint.input(DesiredIn)
@blueprint.output(DesiredOut)
def put_desired(name: str, json_data: dict[str, Any]) -> Any:
    """Write the next configuration. Answers 409 if somebody else has written since, 422 with every mistake in it."""
    return _send("config.put", name, json_data["version"], lambda _session: Chosen(config=json_data["config"]))


@blueprint.get("/gateways/<name>/desired/versions")
@blueprint.input(VersionsQuery, location="query")
@blueprint.output(VersionsOut)
def list_versions(name: str, query_data: dict[str, Any]) -> Any:
    """List the versions of a gateway's configuration: who wrote each, and when."""
    with reading() as session:
        gateways.get(session, name)
        return {"versions": service.history(session, name, query_data["before"], query_data["limit"])}


@blueprint.get("/gateways/<name>/desired/versions/<int:number>")
@blueprint.output(DesiredOut)
def get_version(name: str, number: int) -> Any:
    """Show one version."""
    with reading() as session:
        gateways.get(session, name)
        return service.get(session, name, min(number, INT_MAX))


@blueprint.post("/gateways/<name>/desired/preview")
@blueprint.input(ConfigIn)
@blueprint.output(PreviewOut)
def preview_desired(name: str, json_data: dict[str, Any]) -> Any:
    """Tell what a configuration would change and what is wrong with it. Nothing is sent."""
    with reading() as session:
        return show_preview(sending.preview(session, name, json_data["config"], find_services().settings.data_dir))


@blueprint.post("/gateways/<name>/desired/restore")
@blueprint.input(RestoreIn)
@blueprint.output(DesiredOut)
def restore_desired(name: str, json_data: dict[str, Any]) -> Any:
    """Send an earlier version again, as the next one. Answers 409 if somebody else has written since."""
    earlier = json_data["restore"]
    return _send(
        "config.restore", name, json_data["version"], lambda session: sending.choose_earlier(session, name, earlier)
    )


@blueprint.get("/configurations/drift")
@blueprint.output(DriftsOut)
def list_drift() -> Any:
    """List the gateways that do not run what the fleet wants, with the reason and since when."""
    with reading() as session:
        return {"gateways": drift.find(session, find_services().clock())}


def _send(action: str, name: str, expected: int, choose: Callable[[Session], Chosen]) -> Any:
    services, account = find_services(), find_account()
    with changing(action, name, after=expected) as session:
        chosen = choose(session)
        data_dir = services.settings.data_dir
        return sending.send(session, name, chosen, expected, account.name, services.clock(), data_dir)


def show_preview(seen: Preview) -> dict[str, Any]:
    """Show a preview, with both configurations as texts."""
    return {
        "gateway": seen.gateway,
        "version": seen.version,
        "changes": seen.changes,
        "faults": seen.faults,
        "before_toml": write_toml(seen.before),
        "after_toml": write_toml(seen.after),
        "checked_by": seen.checked_by,
    }
