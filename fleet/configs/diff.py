"""What a new configuration changes, thing by thing: devices, tags, limits. Pure.

Things of a list are matched by their names, so that one that was put in between changes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

Kind = Literal["added", "removed", "changed"]
Config = Mapping[str, Any]
TEXT_MOST = 200
"""Letters of a value that are shown."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. ``place`` leads from the table to the thing, ("device tank", "group fast").

    ``key`` is its setting that has changed, empty where all of it was added or removed. Values are texts, "" for none.
    """

    kind: Kind
    place: tuple[str, ...]
    key: str = ""
    before: str = ""
    after: str = ""

    @property
    def table(self) -> str:
        """What it is about: bus, device, alarm, output, ..."""
        return self.place[0].partition(" ")[0] if self.place else ""


def compare(before: Config, after: Config) -> tuple[Change, ...]:
    """Tell what leads from one configuration to another, in the order of the tables."""
    return tuple(_compare_tables(before, after, ()))


def _compare_tables(before: Config, after: Config, place: tuple[str, ...]) -> Iterator[Change]:
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if _is_same(old, new):
            continue
        if _is_rows(old) and _is_rows(new):
            yield from _compare_rows(key, old or [], new or [], place)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _compare_tables(old, new, (*place, key))
        else:
            kind: Kind = "added" if key not in before else "removed" if key not in after else "changed"
            yield Change(kind=kind, place=place, key=key, before=_say(old), after=_say(new))


def _compare_rows(table: str, before: list[Config], after: list[Config], place: tuple[str, ...]) -> Iterator[Change]:
    old, new = _by_name(table, before), _by_name(table, after)
    for name in dict.fromkeys([*old, *new]):
        where = (*place, name)
        if name not in new:
            yield Change(kind="removed", place=where, before=_sum_up(old[name]))
        elif name not in old:
            yield Change(kind="added", place=where, after=_sum_up(new[name]))
        else:
            yield from _compare_tables(old[name], new[name], where)


def _by_name(table: str, rows: list[Config]) -> dict[str, Config]:
    found: dict[str, Config] = {}
    for row in rows:
        name = base = f"{table} {_name(row)}".strip()
        number = 1
        while name in found:
            number += 1
            name = f"{base} ({number})"
        found[name] = row
    return found


def _name(row: Config) -> str:
    """What a row is called: its name, or what its rule watches and how."""
    if "level" in row:
        return ":".join(str(row[key]) for key in ("tag", "level", "label") if row.get(key))
    of = row.get("of")
    names = f" of {', '.join(map(str, of))}" if isinstance(of, list) and "formula" not in row else ""
    return f"{row.get('name', '')}{names}"


def _is_rows(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value))


def _is_same(old: Any, new: Any) -> bool:
    """Equal, and not merely as true equals 1."""
    return bool(old == new) and isinstance(old, bool) is isinstance(new, bool)


def _sum_up(row: Config) -> str:
    """The settings of a thing in one line; of what it holds, how many there are."""
    parts = []
    for key, value in row.items():
        if key != "name":
            is_rows = isinstance(value, list) and _is_rows(value)
            parts.append(f"{len(value)} {key}" if is_rows else f"{key} = {_say(value)}")
    return _shorten(", ".join(parts))


def _say(value: Any) -> str:
    return "" if value is None else _shorten(json.dumps(value, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= TEXT_MOST else text[: TEXT_MOST - 1] + "…"
