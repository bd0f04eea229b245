"""The API of relay: how far each destination is."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Integer, List, Nested, String

from fleet.api import dump, make_blueprint, reading
from fleet.relay import service

blueprint = make_blueprint("relay")


class LaneOut(Schema):
    """One destination and lane. ``behind`` counts waiting records, 100000 at most."""

    destination = String()
    lane = String()
    position = Integer()
    relayed = Integer()
    behind = Integer()
    failures = Integer()
    last_error = String()
    last_try_ns = Integer(allow_none=True)
    last_ok_ns = Integer(allow_none=True)


class RelayOut(Schema):
    """All enabled destinations."""

    relay = List(Nested(LaneOut))


@blueprint.get("/relay")
@blueprint.output(RelayOut)
def get_status() -> dict[str, Any]:
    """Show how far each destination is, lane by lane."""
    with reading() as session:
        return {"relay": dump(service.status(session))}
