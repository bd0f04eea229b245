"""A configuration on its way to a gateway: what it changes, what is wrong with it, and only then the next version."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli_w
from sqlalchemy.orm import Session

from fleet.configs import service, templates
from fleet.configs.checking import Fault, check, find_schema
from fleet.configs.diff import Change, compare
from fleet.configs.models import DesiredConfig
from fleet.errors import InvalidError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway

TEXT_MOST = 4_000_000
"""Letters of a configuration as TOML."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What sending a configuration would do. ``version`` is the newest one now, 0 for none.

    ``checked_by`` is the release whose schema it was checked against; empty where none is known, so that the gateway
    alone judges.
    """

    gateway: str
    version: int
    changes: tuple[Change, ...]
    faults: tuple[Fault, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    checked_by: str = ""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration to be sent, and the template with its version and variables if it was made of one."""

    config: dict[str, Any]
    template: str = ""
    template_version: int | None = None
    variables: Mapping[str, Any] = {}


def preview(session: Session, gateway: str, config: dict[str, Any], data_dir: Path) -> Preview:
    """Tell what a configuration would change and what is wrong with it. Raises NotFoundError, InvalidError."""
    service.require_plain(config)
    row = gateways.get(session, gateway)
    newest = service.latest(session, gateway)
    before = newest.config if newest else read_reported(row)
    schema = find_schema(row.release, data_dir)
    return Preview(
        gateway=gateway,
        version=newest.version if newest else 0,
        changes=compare(before, config),
        faults=() if schema is None else tuple(check(config, schema)),
        before=before,
        after=config,
        checked_by="" if schema is None else row.release,
    )


def send(
    session: Session, gateway: str, chosen: Chosen, expected: int, author: str, now_ns: int, data_dir: Path
) -> DesiredConfig:
    """Write the version after ``expected`` if nothing is wrong with it.

    Raises NotFoundError, ConflictError if somebody else has written since, InvalidError with every mistake.
    """
    row = gateways.get(session, gateway)
    schema = find_schema(row.release, data_dir)
    faults = [] if schema is None else check(chosen.config, schema)
    if faults:
        raise InvalidError(
            "; ".join(map(str, faults[:5])) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else ""),
            hint=f"release {row.release} of '{gateway}' would refuse it: correct it and send it again",
        )
    made_of = (chosen.template, chosen.template_version or 0) if chosen.template else None
    desired = service.put(session, gateway, chosen.config, expected, author, now_ns, made_of)
    if chosen.template:
        row.template, row.variables = chosen.template, dict(chosen.variables)
    return desired


def choose_template(session: Session, key: str, given: Mapping[str, Any]) -> Chosen:
    """Make a configuration of the newest version of a template. Raises NotFoundError or InvalidError."""
    template = templates.get(session, key)
    config = templates.render(template, given)
    return Chosen(config=config, template=key, template_version=template.version, variables=given)


def choose_earlier(session: Session, gateway: str, version: int) -> Chosen:
    """Take an earlier version to be sent once more. Raises NotFoundError."""
    earlier = service.get(session, gateway, version)
    return Chosen(config=earlier.config)


def read_reported(row: Gateway) -> dict[str, Any]:
    """Return the configuration that a gateway last said it runs; empty if it has said nothing."""
    config = (row.reported or {}).get("config")
    return config if isinstance(config, dict) else {}


def read_toml(text: str) -> dict[str, Any]:
    """Read a configuration. Raises InvalidError that names the line."""
    if len(text) > TEXT_MOST:
        raise InvalidError(
            f"the configuration has more than {TEXT_MOST} letters", hint="leave out what it does not need"
        )
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidError(f"this is not TOML: {error}", hint="correct that line") from error


def write_toml(config: Mapping[str, Any]) -> str:
    """Write a configuration as its author would; what TOML has no word for is left out."""
    return tomli_w.dumps(_without_null(config), multiline_strings=False)


def _without_null(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _without_null(value) for key, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_without_null(value) for value in node if value is not None]
    return node
