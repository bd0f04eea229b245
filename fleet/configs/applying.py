"""A template on its way to many gateways: what it changes on each, then all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from fleet.configs import sending, templates
from fleet.configs.models import DesiredConfig
from fleet.configs.sending import Chosen, Preview
from fleet.errors import ConflictError, FleetError
from fleet.gateways import service as gateways


class Target(msgspec.Struct, frozen=True):
    """A gateway, what it gives to the template, and the newest version of its configuration that was seen."""

    gateway: str
    variables: Mapping[str, Any] = {}
    version: int = 0


def preview(session: Session, key: str, targets: Sequence[Target], data_dir: Path) -> list[Preview]:
    """Tell what the newest version of a template would change on each gateway. Raises NotFoundError, InvalidError."""
    return [
        sending.preview(session, target.gateway, _choose(session, key, target).config, data_dir) for target in targets
    ]


def apply(
    session: Session, key: str, version: int, targets: Sequence[Target], author: str, now_ns: int, data_dir: Path
) -> list[DesiredConfig]:
    """Send a template to gateways. Raises NotFoundError, InvalidError, and ConflictError if it or the configuration of
    one of them has a newer version than was seen; then none has got it once the transaction is undone."""
    newest = templates.get(session, key).version
    if newest != version:
        raise ConflictError(f"template '{key}' is at version {newest}, not {version}", hint="look at the preview again")
    return [
        sending.send(session, target.gateway, _choose(session, key, target), target.version, author, now_ns, data_dir)
        for target in targets
    ]


def _choose(session: Session, key: str, target: Target) -> Chosen:
    """Make a gateway's configuration: what is not given stays as the gateway had it for this template."""
    row, template = gateways.get(session, target.gateway), templates.get(session, key)
    declared = templates.variables_of(template)
    kept = {name: value for name, value in row.variables.items() if name in declared}
    try:
        return sending.choose_template(session, key, kept | dict(target.variables))
    except FleetError as error:
        raise type(error)(f"{target.gateway}: {error}", hint=error.hint) from error
