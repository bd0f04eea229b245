"""Delivered records stay for their time, whatever the machine's clock does meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.spool import Spool
from tests.edge.records import CLOCK, LAYOUT, LAYOUT_ID, scan
from wire.record import Lane

M = Lane.MEASUREMENTS
HOUR_S = 3600
YEAR_S = 365 * 86_400
KEEP_S = 72 * HOUR_S


class Uptime:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


def begin(path: Path, uptime: Uptime) -> Spool:
    return Spool(path / "spool.sqlite3", max_bytes=10**7, boot="boot", clock=CLOCK, mono_s=uptime)


def store(spool: Spool, n: int) -> None:
    spool.append([(M, scan(n))], {LAYOUT_ID: LAYOUT})
    spool.set_committed([(spool.epoch, M, n)])


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S, -1.7e9, 200 * HOUR_S])
def test_jump_of_the_clock_neither_forgets_early_nor_keeps_for_ever(
    tmp_path: Path, uptime: Uptime, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    now_s = time.time()
    spool = begin(tmp_path, uptime)
    store(spool, 1)
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    store(spool, 2)
    uptime.s += 71 * HOUR_S
    assert spool.prune(KEEP_S) == 0
    monkeypatch.setattr(time, "time", lambda: now_s)
    uptime.s += 2 * HOUR_S
    assert spool.prune(KEEP_S) == 2
    spool.close()


def test_records_stored_while_the_clock_was_at_1970_are_kept_when_it_is_set(
    tmp_path: Path, uptime: Uptime, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: 30.0)
    spool = begin(tmp_path, uptime)
    store(spool, 1)
    monkeypatch.setattr(time, "time", lambda: now_s)
    assert spool.prune(KEEP_S) == 0
    spool.close()


@pytest.mark.parametrize("jump_s", [0, YEAR_S, -YEAR_S])
def test_age_goes_on_over_a_restart_without_the_time_between(
    tmp_path: Path, uptime: Uptime, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    now_s = time.time()
    spool = begin(tmp_path, uptime)
    store(spool, 1)
    uptime.s += 40 * HOUR_S
    store(spool, 2)
    spool.close()
    uptime.s = 3.0  # the machine was started anew
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    spool = begin(tmp_path, uptime)
    uptime.s += 31 * HOUR_S
    assert spool.prune(KEEP_S) == 0
    uptime.s += 2 * HOUR_S
    assert spool.prune(KEEP_S) == 1
    uptime.s += 40 * HOUR_S
    assert spool.prune(KEEP_S) == 1
    spool.close()
