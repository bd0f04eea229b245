from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge.places import Place, find_places, format_place, line_of

CASES = Path(__file__).parents[1] / "cases" / "edge"

TEXT = """\
title = "top"
[gateway]
id = "x"  # why
  "quoted key" = 1

[[device]]
name = "a"
[[device.group]]
name = "one"
[[ device . group ]]   # spaces are allowed
poll_s = 1
[[device]]
name = "b"
[[device.group]]
name = "three"
[[device.group.tag]]
bits = { from = 1, to = 2 }
check.low = 1
check . "high" = 2
[device.extra]
key = 1
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 1),
        (("gateway",), 2),
        (("gateway", "id"), 3),
        (("gateway", "quoted key"), 4),
        (("device", 0), 6),
        (("device", 0, "name"), 7),
        (("device", 0, "group", 0), 8),
        (("device", 0, "group", 1), 10),
        (("device", 0, "group", 1, "poll_s"), 11),
        (("device", 1), 12),
        (("device", 1, "group", 0), 14),
        (("device", 1, "group", 0, "tag", 0, "bits"), 17),
        (("device", 1, "group", 0, "tag", 0, "check"), 18),
        (("device", 1, "group", 0, "tag", 0, "check", "low"), 18),
        (("device", 1, "group", 0, "tag", 0, "check", "high"), 19),
        (("device", 1, "group", 0, "tag", 0, "check", "step"), 18),
        (("device", 1, "extra", "key"), 21),
        ((), 1),
        (("device",), 6),
        (("device", 0, "group", 1, "missing"), 10),
        (("device", 1, "group", 0, "tag", 0, "bits", "from"), 17),
        (("device", 7, "name"), 6),
        (("nowhere",), 1),
    ],
)
def test_line_of_a_place(place, line) -> None:
    assert line_of(place, find_places(TEXT)) == line


def leaves(part: Any, place: Place = ()) -> list[Place]:
    if isinstance(part, dict):
        return [found for key, value in part.items() for found in leaves(value, (*place, key))]
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return [found for n, value in enumerate(part) for found in leaves(value, (*place, n))]
    return [place]


READABLE = [case for case in sorted(CASES.glob("*.toml")) if case.stem != "syntax"]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.stem)
def test_every_key_of_a_file_is_found_on_a_line_that_sets_it(case) -> None:
    text = case.read_text("utf-8")
    document = tomllib.loads(text)
    lines = find_places(text)
    found = {place: line_of(place, lines) for place in leaves(document)}
    for place, number in found.items():
        assert re.search(rf"\b{place[-1]} =", text.split("\n")[number - 1]), place
    own = [lines[place] for place in found if place in lines]  # the others stand in a table on one line
    assert len(set(own)) == len(own), "two keys on one line"


def test_places_are_written_as_people_count() -> None:
    assert format_place(("device", 2, "group", 0, "poll_s")) == "device[3].group[1].poll_s"
    assert format_place(()) == "the file"
