"""The harness itself: it finds what it is to break, and says when that is not there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lab.district import District
from lab.errors import LabError
from tests.faults.__main__ import PROGRAMS, Trials, _spread


async def test_programs_that_do_not_run_cannot_be_broken(tmp_path: Path) -> None:
    trials = Trials(District(tmp_path, lambda _text: None), random.Random(1))
    for name in PROGRAMS:
        with pytest.raises(LabError, match=f"{name} does not run"):
            await trials.kinds[f"kill-{name}"]()


def test_every_kind_comes_before_any_comes_twice() -> None:
    kinds = [f"k{n}" for n in range(5)]
    chosen = _spread(list(kinds), 12, random.Random(1))
    assert sorted(chosen[:5]) == kinds
    assert sorted(chosen[5:10]) == kinds
    assert len(chosen) == 12


def test_same_seed_gives_the_same_trials() -> None:
    kinds = [f"k{n}" for n in range(5)]
    assert _spread(list(kinds), 12, random.Random(7)) == _spread(list(kinds), 12, random.Random(7))
