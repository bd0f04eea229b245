"""Mistakes in a configuration: collected all at once, each with its place and what to write instead."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from drivers.errors import DriverError
from edge.places import Place

INTEGER_LEAST, INTEGER_MOST = -(2**63), 2**64 - 1
"""What msgpack can carry."""

S = TypeVar("S", bound=msgspec.Struct)


class Mistake(msgspec.Struct, frozen=True):
    """One thing wrong. ``hint`` says what to write instead."""

    place: Place
    message: str
    hint: str = ""


class Mistakes:
    """A list to add to while reading goes on, so that one run shows everything."""

    def __init__(self) -> None:
        self.found: list[Mistake] = []

    def add(self, place: Place, message: str, hint: str = "") -> None:
        """Note a mistake, once: a key that two models share is read by both."""
        mistake = Mistake(place, message, hint)
        if mistake not in self.found:
            self.found.append(mistake)

    def __bool__(self) -> bool:
        return bool(self.found)


def read_struct(
    model: type[S], table: Any, place: Place, mistakes: Mistakes, *, also_known: Collection[str] = ()
) -> S | None:
    """Read a table as a model, field by field. Keys in ``also_known`` belong to another model and are passed over.

    Returns None if anything was wrong; what, is in ``mistakes``.
    """
    if not isinstance(table, Mapping):
        mistakes.add(place, "must be a table", f"write it as [{place[0] if place else 'name'}] with keys below")
        return None
    before = len(mistakes.found)
    fields = fields_of(model)
    for key in table:
        if key not in fields and key not in also_known:
            mistakes.add((*place, str(key)), f"unknown key '{key}'", suggest(str(key), sorted({*fields, *also_known})))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in table:
            if field.required:
                mistakes.add(place, f"'{name}' is missing", f"add: {name} = {example(field.type)}")
            continue
        if not _is_sendable(table[name]):
            mistakes.add(
                (*place, name), f"'{name}' is no number that can be used", f"write: {name} = {example(field.type)}"
            )
            continue
        try:
            values[field.name] = msgspec.convert(table[name], field.type)
        except msgspec.ValidationError as error:
            mistakes.add(
                (*place, name), f"'{name}' is wrong: {_explain(error)}", f"write: {name} = {example(field.type)}"
            )
    return _build(model, values, place, mistakes) if len(mistakes.found) == before else None


@functools.cache
def fields_of(model: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """List the fields of a model by their names in a table. Kept: to work them out takes longer than to read a tag."""
    return {field.encode_name: field for field in msgspec.structs.fields(model)}


def _is_sendable(value: Any) -> bool:
    """TOML knows nan, inf and numbers of any length; a limit, a period or a message to the fleet does not."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return INTEGER_LEAST <= value <= INTEGER_MOST
    return not isinstance(value, list) or not any(isinstance(part, int) and not _is_sendable(part) for part in value)


def _explain(error: msgspec.ValidationError) -> str:
    """Leave out what means nothing to the author of a TOML file."""
    return str(error).replace(" | null", "").replace("`object`", "a table").replace(r"(?!\\n)", "")


def _build(model: type[S], values: dict[str, Any], place: Place, mistakes: Mistakes) -> S | None:
    try:
        return model(**values)
    except DriverError as error:
        mistakes.add(place, str(error), error.hint)
    except (ValueError, TypeError) as error:  # a model's own check begins its sentence with the key, where it is one
        key = str(error).split(" ", 1)[0]
        mistakes.add((*place, key) if key in values else place, str(error))
    return None


def suggest(word: str, known: Collection[str]) -> str:
    """Say which known word was probably meant, or list them."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"use one of: {', '.join(sorted(known))}" if known else "none is defined"


def example(kind: Any) -> str:
    """Show what a value of a type looks like in TOML."""
    return _example(msgspec.inspect.type_info(kind))


def _example(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.Metadata(extra_json_schema={"examples": [str(first), *_]}):
            return f'"{first}"'
        case msgspec.inspect.Metadata(type=inner):
            return _example(inner)
        case msgspec.inspect.LiteralType(values=values) | msgspec.inspect.EnumType(cls=values):
            return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)
        case msgspec.inspect.StrType():
            return '"..."'
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return _example_number(info)
        case msgspec.inspect.DictType() | msgspec.inspect.StructType():
            return "{...}"
        case msgspec.inspect.ListType(item_type=item) | msgspec.inspect.VarTupleType(item_type=item):
            return f"[{_example(item)}]"
        case msgspec.inspect.UnionType(types=types):
            shown = [_example(part) for part in types if not isinstance(part, msgspec.inspect.NoneType)]
            return " or ".join(dict.fromkeys(shown)) or "..."
        case _:
            return "..."


def _example_number(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    number = "a whole number" if isinstance(info, msgspec.inspect.IntType) else "a number"
    least = "" if info.ge is None else f"from {_format_number(info.ge)}"
    above = "" if info.gt is None else f"above {_format_number(info.gt)}"
    most = "" if info.le is None else f"to {_format_number(info.le)}"
    below = "" if info.lt is None else f"below {_format_number(info.lt)}"
    if least and not (most or below):
        least = least.replace("from", "of at least")
    return " ".join(part for part in (number, least or above, most or below) if part)


def _format_number(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"
