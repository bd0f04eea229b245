"""A short run of the harness: one fault of each family on one district. `make faults` runs them all, for longer.

Times are not judged here: how soon an alarm came or a district recovered says more of the machine than of the code.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.trials import find_names, run

KINDS = ("kill-ingest", "kill-agent", "answers-lost", "write-fails", "platform-forgets")


@pytest.mark.timeout(300)
async def test_a_short_run_loses_duplicates_and_hides_nothing(tmp_path: Path) -> None:
    there = [kind for kind in KINDS if kind in find_names(tmp_path, has_disks=True)]
    counts = await run(tmp_path, len(there), 1, ",".join(there))
    assert counts.trials == len(there)
    assert counts.alarms > 0
    assert (counts.lost, counts.duplicated, counts.undeclared, counts.misdeclared) == (0, 0, 0, 0)
    assert counts.missed_alarms == counts.late_alarms
    assert counts.unbounded == 0
