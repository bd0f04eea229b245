"""Checks a configuration against the JSON Schema of the release that its gateway runs, and explains what is wrong.

Fleets run mixed releases: never today's drivers judge, but what each release published. A schema cannot follow a device
to its bus; this does, so that a mistake is one of that driver's device and not of all of them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

Schema = Mapping[str, Any]
RELEASE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")
MISTAKES_MOST = 50
"""More are not told: the first ones explain the rest."""
FOLDER = "schemas"
"""In the data directory: schemas of releases that this fleet did not come with."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake: where, what, and what to write instead."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """In one line."""
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def find_schema(release: str, data_dir: Path) -> Schema | None:
    """Return what a release takes as a configuration: by a file of the data directory, else as this fleet came with it.

    None for a release that neither knows: then the gateway alone judges.
    """
    if not RELEASE.fullmatch(release):
        return None
    own = data_dir / FOLDER / f"{release}.json"
    if own.is_file():
        return _read(str(own), own.stat().st_mtime_ns)
    installed = resources.files("fleet.configs.schemas") / f"{release}.json"
    return _read(str(installed), 0) if installed.is_file() else None


@lru_cache(maxsize=8)
def _read(path: str, _changed_ns: int) -> Schema | None:
    try:
        schema = json.loads(Path(path).read_text("utf-8"))
        schema["$defs"]["desired"]["properties"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(schema)


def check(config: Mapping[str, Any], schema: Schema) -> list[Fault]:
    """Find what is wrong with a configuration."""
    faults = []
    for fault in _check(config, schema):
        faults.append(fault)
        if len(faults) == MISTAKES_MOST:
            break
    return faults


def _check(config: Mapping[str, Any], schema: Schema) -> Iterator[Fault]:
    tables: Schema = schema["$defs"]["desired"]["properties"]
    validator = Draft202012Validator(dict(schema))
    kinds = {row.get("name"): row.get("kind") for row in _rows(config.get("bus"))}
    for table, rows in config.items():
        if table not in tables:
            yield Fault(place=table, message="there is no such table", hint=_guess(table, tables))
            continue
        if not isinstance(rows, list):
            yield Fault(place=table, message="must be a list of tables", hint=f"write [[{table}]]")
            continue
        for index, row in enumerate(rows):
            part = _choose(table, tables[table]["items"], row, kinds)
            if isinstance(part, Fault):
                yield msgspec.structs.replace(part, place=_format(config, [table, index]) + part.place)
                continue
            for error in validator.evolve(schema=part).iter_errors(row):
                yield _explain(error, config, [table, index])


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _choose(table: str, items: Schema, row: Any, kinds: Mapping[Any, Any]) -> Schema | Fault:
    """Choose a row's schema: of a bus by its kind, of a device by the kind of its bus and whether it has a profile."""
    if table not in ("bus", "device") or not isinstance(row, Mapping):
        return items
    parts = items.get("oneOf") or items.get("anyOf") or ()
    return _choose_bus(parts, row) if table == "bus" else _choose_device(parts, row, kinds)


def _choose_bus(parts: Sequence[Schema], row: Mapping[str, Any]) -> Schema | Fault:
    known = {part["properties"]["kind"]["const"]: part for part in parts}
    kind = row.get("kind")
    if isinstance(kind, str) and kind in known:
        return known[kind]
    message = f"'{kind}' is no driver of that release" if kind else "'kind' is missing"
    return Fault(place=".kind", message=message, hint=_guess(str(kind), known))


def _choose_device(parts: Sequence[Schema], row: Mapping[str, Any], kinds: Mapping[Any, Any]) -> Schema | Fault:
    bus = row.get("bus")
    if not isinstance(bus, str) or bus not in kinds:
        message = f"there is no bus '{bus}'" if bus else "'bus' is missing"
        return Fault(place=".bus", message=message, hint=_guess(str(bus), [name for name in kinds if name]))
    title = f"Device on a bus of kind {kinds[bus]}" + (", with a profile" if row.get("profile") else "")
    # Nothing is asked of a device on a bus of an unknown kind: that mistake is told once, at the bus.
    return next((part for part in parts if part.get("title") == title), {})


def _explain(error: ValidationError, config: Mapping[str, Any], base: list[str | int]) -> Fault:
    best = best_match([error]) or error
    message, hint = _say(best)
    return Fault(place=_format(config, [*base, *best.absolute_path]), message=message, hint=hint)


def _say(error: ValidationError) -> tuple[str, str]:
    """Put an error into words, and what to write."""
    described = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    given, wanted = json.dumps(error.instance, ensure_ascii=False, default=str)[:80], error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            extra = [key for key in error.instance if key not in known]
            return f"unknown: {', '.join(extra)}", _guess(extra[0] if extra else "", known)
        case "required":
            return _say_missing(error)
        case "type":
            kinds = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return f"{given} is no {kinds}", described
        case "enum" | "const":
            options = wanted if isinstance(wanted, list) else [wanted]
            return f"{given} is none of: {', '.join(map(str, options))}", described
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            side = "at least" if "inimum" in error.validator else "at most"
            return f"{given} must be {side} {wanted}", described
        case _:
            return error.message[:200], described


def _say_missing(error: ValidationError) -> tuple[str, str]:
    missing = [key for key in error.validator_value if key not in error.instance]
    parts = error.schema.get("properties", {})
    about = [f"{key}: {parts[key]['description']}" for key in missing if parts.get(key, {}).get("description")]
    return f"missing: {', '.join(missing)}", "; ".join(about)


def _guess(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"write one of: {', '.join(names[:30])}" if names else ""


def _format(config: Mapping[str, Any], path: list[str | int]) -> str:
    """Write a place as people find it: lists by the names of what they hold, else counted from 1."""
    node: Any = config
    words = ""
    for step in path:
        node = node[step]
        if isinstance(step, int):
            name = node.get("name") if isinstance(node, Mapping) else None
            words += f"[{name}]" if isinstance(name, str) and name else f"[{step + 1}]"
        else:
            words += f".{step}" if words else step
    return words
