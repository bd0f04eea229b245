"""The harness itself: it finds what it is to break, says when that is not there, and its verdict can fail."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.district import District
from lab.errors import LabError
from tests.faults.disk import Disk
from tests.faults.planted import BUGS, ROOT, Bug, plant
from tests.faults.scene import PROGRAMS, Scene
from tests.faults.trials import find_kinds, spread
from tests.faults.verdict import find_undeclared, length, subtract

SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda span: (span[0], sum(span))), max_size=5)


def scene(folder: Path) -> Scene:
    return Scene(District(folder, lambda _text: None), random.Random(1), Disk(folder / "image", folder / "data"))


async def test_programs_that_do_not_run_cannot_be_broken(tmp_path: Path) -> None:
    faults = find_kinds(scene(tmp_path))
    for name in PROGRAMS:
        with pytest.raises(LabError, match=f"{name} does not run"):
            await faults[f"stop-{name}"]()


def test_there_are_enough_kinds_for_forty_trials_to_cover_twenty_five(tmp_path: Path) -> None:
    kinds = list(find_kinds(scene(tmp_path)))
    assert len(set(spread(kinds, 40, random.Random(1)))) >= 25


def test_every_kind_comes_before_any_comes_twice() -> None:
    kinds = [f"k{n}" for n in range(5)]
    chosen = spread(list(kinds), 12, random.Random(1))
    assert sorted(chosen[:5]) == kinds
    assert sorted(chosen[5:10]) == kinds
    assert len(chosen) == 12


def test_same_seed_gives_the_same_trials() -> None:
    kinds = [f"k{n}" for n in range(5)]
    assert spread(list(kinds), 12, random.Random(7)) == spread(list(kinds), 12, random.Random(7))


def numbers(spans: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}


@given(SPANS, SPANS)
def test_subtracting_ranges_is_subtracting_their_numbers(ranges, taken) -> None:
    assert numbers(subtract(ranges, taken)) == numbers(ranges) - numbers(taken)


def test_gap_is_undeclared_unless_the_ledger_has_all_of_it() -> None:
    lane, other = ("gw", "e1", "M"), ("gw", "e2", "M")
    gaps = {lane: [(3, 9)], other: [(1, 2)]}
    assert find_undeclared(gaps, {lane: [(1, 7)], other: [(1, 5)]}) == {lane: [(8, 9)]}
    assert length([(3, 9), (12, 12)]) == 8


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_place_of_every_planted_bug_is_there_exactly_once(bug: Bug, tmp_path: Path) -> None:
    copy = tmp_path / bug.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes((ROOT / bug.file).read_bytes())
    plant(bug, tmp_path)
    compile(copy.read_text("utf-8"), bug.file, "exec")
    assert copy.read_bytes() != (ROOT / bug.file).read_bytes()


def test_every_planted_bug_is_shown_by_a_fault_that_there_is(tmp_path: Path) -> None:
    assert len(BUGS) >= 20
    assert {bug.kind for bug in BUGS} <= set(find_kinds(scene(tmp_path)))
