"""Configuration templates: one TOML document for many gateways, with variables for what differs.

A document has the tables of a gateway's own file that the fleet may set, ``[variable.NAME]`` for each variable, and
``${NAME}`` in texts:

    [variable.plc]
    title = "controller's address"

    [[bus]]
    name = "plc"
    kind = "modbus"
    url = "tcp://${plc}:502"

A text that is nothing but ``${NAME}`` becomes the variable's value with its kind; ``$$`` is a ``$``. A new version of a
template changes no gateway by itself.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from fleet.configs import service
from fleet.configs.models import ConfigTemplate, DesiredConfig
from fleet.errors import InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DOCUMENT_MOST = 1_000_000
"""Letters."""
TEXT_MOST = 1000
VARIABLE = "variable"
WHOLE = re.compile(r"\$\{(\w+)\}")
Value = str | int | float


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway gives to its template. Without a ``default`` it has to."""

    title: str = ""
    kind: Literal["text", "integer", "number"] = "text"
    default: Value | None = None


def list_newest(session: Session) -> Sequence[ConfigTemplate]:
    """Return the newest version of each template, by key."""
    newest = (
        sa.select(ConfigTemplate.key, sa.func.max(ConfigTemplate.version).label("version"))
        .group_by(ConfigTemplate.key)
        .subquery()
    )
    is_newest = sa.and_(ConfigTemplate.key == newest.c.key, ConfigTemplate.version == newest.c.version)
    return session.scalars(sa.select(ConfigTemplate).join(newest, is_newest).order_by(ConfigTemplate.key)).all()


def get(session: Session, key: str) -> ConfigTemplate:
    """Return the newest version of a template. Raises NotFoundError."""
    query = sa.select(ConfigTemplate).where(ConfigTemplate.key == key)
    template = session.scalar(query.order_by(ConfigTemplate.version.desc()).limit(1))
    if template is None:
        raise NotFoundError(f"there is no configuration template '{key}'", hint="run: fengsui-fleet template list")
    return template


def list_versions(session: Session, key: str) -> Sequence[ConfigTemplate]:
    """Return all versions of a template, newest first. Raises NotFoundError."""
    get(session, key)
    query = sa.select(ConfigTemplate).where(ConfigTemplate.key == key)
    return session.scalars(query.order_by(ConfigTemplate.version.desc())).all()


def list_runs(session: Session, key: str) -> list[tuple[Gateway, DesiredConfig | None]]:
    """Return each gateway of a template with its newest desired configuration, which may be of something else."""
    newest = (
        sa.select(DesiredConfig.gateway, sa.func.max(DesiredConfig.version).label("version"))
        .group_by(DesiredConfig.gateway)
        .subquery()
    )
    query = (
        sa.select(Gateway, DesiredConfig)
        .outerjoin(newest, newest.c.gateway == Gateway.name)
        .outerjoin(
            DesiredConfig,
            sa.and_(DesiredConfig.gateway == Gateway.name, DesiredConfig.version == newest.c.version),
        )
        .where(Gateway.template == key)
        .order_by(Gateway.name)
    )
    rows = session.execute(query.options(defer(Gateway.reported), defer(DesiredConfig.config)))
    return [(gateway, desired) for gateway, desired in rows]


def add(session: Session, key: str, document: str, title: str, sector: str, author: str, now_ns: int) -> ConfigTemplate:
    """Add a template, or its next version. Raises InvalidError that says what is wrong with the document."""
    if not KEY_PATTERN.fullmatch(key):
        raise InvalidError(f"'{key}' is not a template's key", hint="use up to 63 of a-z, 0-9 and '-', not '-' first")
    declared, tables = _read(document)
    for where, name in _names_in(tables, ""):
        if name not in declared:
            raise InvalidError(f"{where}: nothing declares ${{{name}}}", hint=f"add [variable.{name}], or write $$")
    query = sa.select(sa.func.max(ConfigTemplate.version)).where(ConfigTemplate.key == key)
    version = (session.scalar(query) or 0) + 1
    template = ConfigTemplate(
        key=key, version=version, title=title or key, sector=sector, document=document, author=author, at_ns=now_ns
    )
    session.add(template)
    session.flush()
    return template


def variables_of(template: ConfigTemplate) -> dict[str, Variable]:
    """Return a template's variables by name, in the order in which it declares them."""
    return _read(template.document)[0]


def render(template: ConfigTemplate, given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a configuration. Raises InvalidError that names each variable missing, unknown or of another kind."""
    declared, tables = _read(template.document)
    mistakes = [f"there is no variable '{name}'" for name in given if name not in declared]
    values: dict[str, Value] = {}
    for name, variable in declared.items():
        value = given.get(name, variable.default)
        if value is None or value == "":
            value = variable.default
        try:
            values[name] = _read_value(name, variable, value)
        except ValueError as error:
            mistakes.append(str(error))
    if mistakes:
        raise InvalidError("; ".join(mistakes), hint=f"template '{template.key}' takes: {', '.join(declared) or '-'}")
    filled: dict[str, Any] = _fill(tables, values)
    return filled


def apply(
    session: Session, gateway: str, key: str, given: Mapping[str, Any], author: str, now_ns: int
) -> DesiredConfig:
    """Write a gateway's next desired configuration from a template, and keep what it was made of.

    Raises NotFoundError or InvalidError.
    """
    row, template = gateways.get(session, gateway), get(session, key)
    config = render(template, given)
    newest = service.latest(session, gateway)
    expected = newest.version if newest else 0
    desired = service.put(session, gateway, config, expected, author, now_ns, (key, template.version))
    row.template, row.variables = key, dict(given)
    return desired


def _read(document: str) -> tuple[dict[str, Variable], dict[str, Any]]:
    """Return what a document declares, and its other tables."""
    if len(document) > DOCUMENT_MOST:
        raise InvalidError(f"the template has more than {DOCUMENT_MOST} letters", hint="split it")
    try:
        tables = tomllib.loads(document)
        declared = msgspec.convert(tables.pop(VARIABLE, {}), dict[str, Variable])
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"the template is not TOML: {error}", hint="correct that line") from error
    except msgspec.ValidationError as error:
        raise InvalidError(f"[variable]: {error}", hint="a variable has title, kind and default") from error
    for name, variable in declared.items():
        if not name.isidentifier() or not name.isascii():
            raise InvalidError(f"'{name}' is no variable's name", hint="use a-z, 0-9 and '_'")
        if variable.default is not None:
            try:
                _read_value(name, variable, variable.default)
            except ValueError as error:
                raise InvalidError(f"[variable.{name}] default: {error}", hint="correct it") from error
    return declared, tables


def _read_value(name: str, variable: Variable, value: Any) -> Value:
    """Take a value as the variable's kind. Raises ValueError with words for people."""
    if value is None:
        raise ValueError(f"variable '{name}' ({variable.title or name}) is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > TEXT_MOST:
        raise ValueError(f"variable '{name}' is no {variable.kind}")
    if variable.kind == "text":
        return str(value)
    try:
        number: int | float = int(value) if variable.kind == "integer" else float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"variable '{name}': '{value}' is no {variable.kind}") from error
    if number != float(value) or not abs(number) < float("inf"):
        raise ValueError(f"variable '{name}': '{value}' is no {variable.kind}")
    return number


def _names_in(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """(place, name) of every variable that the texts below a node name. Raises InvalidError for a lone ``$``."""
    if isinstance(node, str):
        template = string.Template(node)
        if not template.is_valid():
            raise InvalidError(f"{where}: a '$' that names no variable in '{node[:60]}'", hint="write $$ for a '$'")
        yield from ((where, name) for name in template.get_identifiers())
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _names_in(value, f"{where}.{key}" if where else key)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _names_in(value, f"{where}[{number}]")


def _fill(node: Any, values: Mapping[str, Value]) -> Any:
    if isinstance(node, str):
        whole = WHOLE.fullmatch(node)
        return values[whole[1]] if whole else string.Template(node).substitute({k: str(v) for k, v in values.items()})
    if isinstance(node, dict):
        return {key: _fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values) for value in node]
    return node
