"""Where in a TOML text a value stands, so that a mistake can name its line."""

from __future__ import annotations

import re
from collections.abc import Mapping

Place = tuple[str | int, ...]
"""A path into the document: ("device", 2, "group", 0, "poll_s")."""

_TABLE = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\- \"]+?)\s*\]\]?\s*(#.*)?$")
_PART = r"([A-Za-z0-9_\-]+|\"[^\"]+\")"
_KEY = re.compile(rf"\s*({_PART}(\s*\.\s*{_PART})*)\s*=")
_PARTS = re.compile(_PART)


def find_places(text: str) -> Mapping[Place, int]:
    """Map each table and key of a TOML text to its line, counted from 1.

    Reads headers and ``key =`` lines only, which is all that a position needs: the syntax was checked by tomllib.
    """
    lines: dict[Place, int] = {(): 1}
    counts: dict[Place, int] = {}
    here: Place = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if table := _TABLE.match(line):
            here = _enter(table[2], array=table[1] == "[[", counts=counts)
            lines.setdefault(here, number)
        elif key := _KEY.match(line):
            _note_key(here, [part.strip('"') for part in _PARTS.findall(key[1])], number, lines)
    return lines


def _note_key(here: Place, parts: list[str], number: int, lines: dict[Place, int]) -> None:
    """Note a key; one with dots (``check.low = 0``) also begins the table that it stands in."""
    for depth in range(1, len(parts) + 1):
        lines.setdefault((*here, *parts[:depth]), number)


def _enter(name: str, *, array: bool, counts: dict[Place, int]) -> Place:
    place: Place = ()
    parts = [part.strip().strip('"') for part in name.split(".")]
    for depth, part in enumerate(parts):
        place = (*place, part)
        if array and depth == len(parts) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def line_of(place: Place, lines: Mapping[Place, int]) -> int:
    """Give the line of a place, or of the nearest table around it. A list stands where its first table does."""
    while place and place not in lines:
        if (*place, 0) in lines:
            return lines[*place, 0]
        place = place[:-1]
    return lines.get(place, 1)


def format_place(place: Place) -> str:
    """Write a place for people: ``device[2].group[0].poll_s``, counted from 1 as they would."""
    words = ""
    for part in place:
        words += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if words else part
    return words or "the file"
