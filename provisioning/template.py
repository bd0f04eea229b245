"""Templates of configurations as documents: what they declare, and what they become with a gateway's values. Pure.

`fleet.configs.templates` tells their form. The fleet keeps and applies them; a laptop carries them to the site.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from provisioning.errors import ProvisioningError

DOCUMENT_MOST = 1_000_000
"""Letters."""
TEXT_MOST = 1000
VARIABLE = "variable"
WHOLE = re.compile(r"\$\{(\w+)\}")
Value = str | int | float


class TemplateError(ProvisioningError):
    """A template's document is wrong, or the values are that a gateway gives to it. The text names each."""


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway gives to its template. Without a ``default`` it has to."""

    title: str = ""
    kind: Literal["text", "integer", "number"] = "text"
    default: Value | None = None


def check(document: str) -> None:
    """Check what a document says and names. Raises TemplateError."""
    declared, tables = read(document)
    for where, name in _names_in(tables, ""):
        if name not in declared:
            raise TemplateError(f"{where}: nothing declares ${{{name}}}", hint=f"add [variable.{name}], or write $$")


def render(key: str, document: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a configuration. Raises TemplateError that names each variable missing, unknown or of another kind."""
    declared, tables = read(document)
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
        raise TemplateError("; ".join(mistakes), hint=f"template '{key}' takes: {', '.join(declared) or '-'}")
    filled: dict[str, Any] = _fill(tables, values)
    return filled


def read(document: str) -> tuple[dict[str, Variable], dict[str, Any]]:
    """Return what a document declares, in its order, and its other tables. Raises TemplateError."""
    if len(document) > DOCUMENT_MOST:
        raise TemplateError(f"the template has more than {DOCUMENT_MOST} letters", hint="split it")
    try:
        tables = tomllib.loads(document)
        declared = msgspec.convert(tables.pop(VARIABLE, {}), dict[str, Variable])
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"the template is not TOML: {error}", hint="correct that line") from error
    except msgspec.ValidationError as error:
        raise TemplateError(f"[variable]: {error}", hint="a variable has title, kind and default") from error
    for name, variable in declared.items():
        if not name.isidentifier() or not name.isascii():
            raise TemplateError(f"'{name}' is no variable's name", hint="use a-z, 0-9 and '_'")
        if variable.default is not None:
            try:
                _read_value(name, variable, variable.default)
            except ValueError as error:
                raise TemplateError(f"[variable.{name}] default: {error}", hint="correct it") from error
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
    """(place, name) of every variable that the texts below a node name. Raises TemplateError for a lone ``$``."""
    if isinstance(node, str):
        template = string.Template(node)
        if not template.is_valid():
            raise TemplateError(f"{where}: a '$' that names no variable in '{node[:60]}'", hint="write $$ for a '$'")
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
