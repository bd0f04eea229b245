"""The API of desired configurations."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Dict, Integer, String
from apiflask.validators import Range

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.configs import service
from fleet.errors import NotFoundError
from fleet.gateways import service as gateways

blueprint = make_blueprint("configs")


class DesiredIn(Schema):
    """A new configuration. ``version`` is the newest one its author has seen, 0 for none."""

    version = Integer(required=True, strict=True, validate=Range(0, INT_MAX))
    config = Dict(required=True, keys=String())


class DesiredOut(Schema):
    """A configuration as the fleet wants it."""

    gateway = String()
    version = Integer()
    config = Dict()
    author = String()
    at_ns = Integer()


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
    """Write the next configuration. Answers 409 if somebody else has written since."""
    services, account = find_services(), find_account()
    with changing("config.put", name, after=json_data["version"]) as session:
        return service.put(session, name, json_data["config"], json_data["version"], account.name, services.clock())
