"""Mistakes in a configuration: collected all at once, each with its place and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from drivers.errors import DriverError
from edge.places import Place

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
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    for key in table:
        if key not in fields and key not in also_known:
            mistakes.add((*place, key), f"unknown key '{key}'", suggest(key, sorted({*fields, *also_known})))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in table:
            if field.required:
                mistakes.add(place, f"'{name}' is missing", f"add: {name} = {example(field.type)}")
            continue
        try:
            values[field.name] = msgspec.convert(table[name], field.type)
        except msgspec.ValidationError as error:
            mistakes.add((*place, name), f"'{name}' is wrong: {error}", f"write: {name} = {example(field.type)}")
    return _build(model, values, place, mistakes) if len(mistakes.found) == before else None


def _build(model: type[S], values: dict[str, Any], place: Place, mistakes: Mistakes) -> S | None:
    try:
        return model(**values)
    except DriverError as error:
        mistakes.add(place, str(error), error.hint)
    except (ValueError, TypeError) as error:
        mistakes.add(place, str(error))
    return None


def suggest(word: str, known: Collection[str]) -> str:
    """Say which known word was probably meant, or list them."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"use one of: {', '.join(sorted(known))}" if known else "none is defined"


_EXAMPLES: Mapping[object, str] = {str: '"..."', int: "1", float: "1.0", bool: "true"}


def example(kind: Any) -> str:
    """Show what a value of a type looks like in TOML."""
    info = msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.LiteralType(values=values) | msgspec.inspect.EnumType(cls=values):
            return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)
        case msgspec.inspect.StrType():
            return '"..."'
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return _example_number(info)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() | msgspec.inspect.TupleType():
            return '["..."]'
        case msgspec.inspect.UnionType(types=types):
            shown = [example_of for part in types if (example_of := _EXAMPLES.get(_plain(part)))]
            return " or ".join(dict.fromkeys(shown)) or "..."
        case _:
            return "..."


def _example_number(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    least = info.ge if info.ge is not None else info.gt
    most = info.le if info.le is not None else info.lt
    number = "a whole number" if isinstance(info, msgspec.inspect.IntType) else "a number"
    if least is None and most is None:
        return number
    if most is None:
        return f"{number} {'of at least' if info.ge is not None else 'above'} {least:g}"
    return f"{number} from {least if least is not None else '...'} to {most:g}"


def _plain(info: msgspec.inspect.Type) -> object:
    kinds = {
        msgspec.inspect.StrType: str,
        msgspec.inspect.IntType: int,
        msgspec.inspect.FloatType: float,
        msgspec.inspect.BoolType: bool,
    }
    return kinds.get(type(info))
