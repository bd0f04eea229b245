"""Records that wait in memory, and the alarm that says that data are being lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.losing import CALM_NS, LosingData
from edge.spool import Fold, Gone
from edge.waiting import Waiting
from tests.edge.records import alarm, scan
from wire.record import AlarmRecord, Lane, QuakeRecord, Record, ScanRecord, StandingRecord, WaveformRecord

A, M, W = Lane
PUTS = st.lists(st.sampled_from([M, M, M, A]), max_size=60)


@given(PUTS, st.integers(1, 12), st.integers(1, 3))
def test_every_measurement_keeps_its_place_and_every_event_is_counted_once(lanes, most, rules) -> None:
    waiting = Waiting(most)
    for number, lane in enumerate(lanes):
        waiting.put(*(scan(number) if lane is M else alarm(number, "raised", f"a:{number % rules}")))
    taken = waiting.take()
    places: list[int] = []
    for entry in [entry for lane, entry in taken if lane is M]:
        if isinstance(entry, Gone):
            assert entry.from_ns is not None
            assert entry.to_ns is not None
            expected = [n for n, lane in enumerate(lanes) if lane is M and entry.from_ns <= n <= entry.to_ns]
            assert entry.count == len(expected)
            places += expected
        else:
            assert isinstance(entry, ScanRecord)
            places.append(entry.mono_ns)
    assert places == [number for number, lane in enumerate(lanes) if lane is M]
    whole = [entry.mono_ns for _, entry in taken if isinstance(entry, AlarmRecord)]
    folded = sum(entry.count for _, entry in taken if isinstance(entry, Fold))
    assert len(whole) + folded == lanes.count(A)
    assert whole == sorted(whole)
    assert sum(not isinstance(entry, Gone | Fold) for _, entry in taken) <= most
    assert waiting.dropped == len(lanes) - sum(not isinstance(entry, Gone | Fold) for _, entry in taken)
    assert waiting.take() == []


@given(st.lists(PUTS, min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 3))
def test_failed_attempts_neither_lose_nor_grow_whatever_comes_meanwhile(attempts, most, rules) -> None:
    waiting = Waiting(most)
    number = measurements = events = 0
    for lanes in attempts:
        taken = waiting.take()
        for lane in lanes:
            number += 1
            measurements += lane is M
            events += lane is A
            waiting.put(*(scan(number) if lane is M else alarm(number, "raised", f"a:{number % rules}")))
        waiting.put_back(taken)
        assert len(waiting) <= most + rules + 2  # the places of what was dropped, and an entry for each rule
    taken = waiting.take()
    kept = [entry for lane, entry in taken if lane is M]
    assert sum(entry.count if isinstance(entry, Gone) else 1 for entry in kept) == measurements
    told = [entry.from_ns if isinstance(entry, Gone) else entry.mono_ns for entry in kept]
    assert told == sorted(told)
    told_events = [entry for lane, entry in taken if lane is A]
    counted = [(entry.count, entry.last) if isinstance(entry, Fold) else (1, entry) for entry in told_events]
    assert sum(count for count, _ in counted) == events
    for rule in range(rules):
        of_rule = [last.mono_ns for _, last in counted if last.alarm == f"a:{rule}"]
        assert of_rule == sorted(of_rule)
    assert waiting.dropped == number - sum(not isinstance(entry, Gone | Fold) for _, entry in taken)


@given(PUTS, st.integers(1, 12))
def test_last_event_of_each_rule_is_there_whatever_was_folded(lanes, most) -> None:
    waiting = Waiting(most)
    last: dict[str, int] = {}
    for number, lane in enumerate(lanes):
        name = f"a:{number % 3}"
        waiting.put(*(scan(number) if lane is M else alarm(number, "raised", name)))
        if lane is A:
            last[name] = number
    told: dict[str, int] = {}
    for _, entry in waiting.take():
        event = entry.last if isinstance(entry, Fold) else entry
        if isinstance(event, AlarmRecord):
            told[event.alarm] = event.mono_ns
    assert told == last


def operated(number: int) -> tuple[Lane, Record]:
    return A, StandingRecord(number, None, "a:0", "a", "high", "acknowledged", 2, 1, by="Li")


@given(st.lists(st.lists(st.sampled_from(["M", "A", "by Li", "fails"]), max_size=20), max_size=6), st.integers(1, 6))
def test_newest_of_an_alarm_comes_last_whoever_it_is_from_and_what_somebody_did_is_whole(rounds, most) -> None:
    waiting, number, newest, done = Waiting(most), 0, 0, 0
    for round_ in rounds:
        taken = waiting.take()
        for happens in round_:
            number += 1
            newest = number if happens in ("A", "by Li") else newest
            done += happens == "by Li"
            if happens == "fails":
                waiting.put_back(waiting.take())
            else:
                waiting.put(*{"M": scan, "A": lambda n: alarm(n, "raised", "a:0"), "by Li": operated}[happens](number))
        waiting.put_back(taken)
    told = [entry.last if isinstance(entry, Fold) else entry for lane, entry in waiting.take() if lane is A]
    assert not told or told[-1].mono_ns == newest  # type: ignore[union-attr]
    assert sum(isinstance(record, StandingRecord) for record in told) == done


def test_what_is_put_back_comes_first_again() -> None:
    waiting = Waiting(10)
    waiting.put(*scan(1))
    taken = waiting.take()
    waiting.put(*scan(2))
    waiting.put_back(taken)
    assert waiting.take() == [scan(1), scan(2)]


@given(st.lists(st.lists(st.sampled_from([A, M, W]), max_size=30), max_size=6), st.integers(1, 8))
def test_commits_that_fail_make_it_no_longer_and_forget_nothing(rounds, most) -> None:
    """Between each failed commit and the next records go on coming; each is whole, or has its place, or is folded."""
    waiting = Waiting(most)
    counts = Counter[Lane]()
    number = 0
    for lanes in rounds:
        taken = waiting.take()
        for lane in lanes:
            number += 1
            waiting.put(*some(number, lane))
            counts[lane] += 1
        waiting.put_back(taken)
        whole = [entry for _, entry in waiting._entries if not isinstance(entry, Gone)]
        assert len(whole) <= most
    taken = waiting.take()
    held = Counter[Lane]()
    for lane, entry in taken:
        held[lane] += entry.count if isinstance(entry, Gone | Fold) else 1
    assert held == counts
    assert sum(isinstance(entry, Fold) for _, entry in taken) <= 3
    for lane in (M, W):
        times = [entry.mono_ns for of, entry in taken if of is lane and isinstance(entry, ScanRecord | WaveformRecord)]
        assert times == sorted(times)
    assert waiting.dropped == number - sum(not isinstance(entry, Gone | Fold) for _, entry in taken)


def some(number: int, lane: Lane) -> tuple[Lane, Record]:
    if lane is W:
        return W, WaveformRecord("XX.A..EHZ", number, None, 100.0, 1, "int8", b"0")
    return scan(number) if lane is M else alarm(number, "raised", f"a:{number % 3}")


@given(st.lists(st.sampled_from([M, W, A]), max_size=40), st.integers(1, 10))
def test_no_measurement_goes_while_there_is_a_waveform_and_no_event_while_there_is_either(lanes, most) -> None:
    waiting = Waiting(most)
    for number, lane in enumerate(lanes):
        waiting.put(*some(number, lane))
    taken = waiting.take()
    whole = {lane for lane, entry in taken if not isinstance(entry, Gone | Fold)}
    lost = {lane for lane, entry in taken if isinstance(entry, Gone | Fold)}
    if M in lost:
        assert W not in whole
    if A in lost:
        assert not whole & {M, W}


@pytest.mark.parametrize("before", [0, 40])
def test_losing_data_is_one_alarm_from_the_first_loss_to_the_calm_after_the_last(before) -> None:
    losing = LosingData(before)
    assert losing.update(before, 0) is None
    assert losing.update(before + 1, 1) == "raised"
    assert losing.update(before + 9, CALM_NS) is None
    assert losing.update(before + 9, 2 * CALM_NS - 1) is None
    assert losing.update(before + 9, 2 * CALM_NS) == "cleared"
    assert losing.update(before + 9, 9 * CALM_NS) is None
    assert losing.update(before + 10, 9 * CALM_NS) == "raised"


def test_alarm_that_was_up_before_a_restart_is_cleared_and_not_raised_again() -> None:
    losing = LosingData(5, is_raised=True)
    assert losing.update(6, 0) is None
    assert losing.update(6, CALM_NS) == "cleared"


def test_losses_that_the_fleet_was_told_of_and_the_spool_forgot_are_no_new_ones() -> None:
    losing = LosingData(5)
    assert losing.update(0, 1) is None
    assert losing.update(2, 2) == "raised"


def quake(number: int, at: int, state: str) -> QuakeRecord:
    return QuakeRecord("CQ.YF1", at, None, number, state, None, None, 1.0, 1.0, 1.0, 1.0, 5.0, 4.0, 5)


def test_last_word_of_each_quake_is_kept_and_what_was_rejected_is_counted() -> None:
    waiting = Waiting(0)
    for at, number in enumerate((1, 1, 2, 2)):
        waiting.put(A, quake(number, at, "closed" if at % 2 else "grown"))
    for at in range(4, 9):
        waiting.put(A, quake(at, at, "rejected"))
    folds = [entry for _, entry in waiting.take() if isinstance(entry, Fold)]
    assert [(fold.count, fold.last.mono_ns) for fold in folds] == [(2, 1), (2, 3), (5, 8)]
