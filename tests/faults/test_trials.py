"""The harness itself: it finds what it is to break, says when that is not there, and its verdict can fail."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SpoolCorruptError
from edge.spool.file import SpoolFile
from lab.district import District
from lab.errors import LabError
from lab.platform import Book, RaisedAlarm
from lab.truth import Rule, Truth
from tests.faults import larger
from tests.faults.acl import ACL
from tests.faults.calls import Write, read_unsynced, scatter
from tests.faults.disk import Disk
from tests.faults.names import answer
from tests.faults.planted import BUGS, ROOT, Bug, plant
from tests.faults.scene import PROGRAMS, Scene
from tests.faults.storage import PAGE, TREES, find_head
from tests.faults.storms import STORMS
from tests.faults.trials import ALARM, find_kinds, spread
from tests.faults.verdict import (
    Healthy,
    count_misdeclared,
    count_stored_twice,
    find_late,
    find_undeclared,
    length,
    subtract,
)

SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda span: (span[0], sum(span))), max_size=5)


def scene(folder: Path) -> Scene:
    return Scene(
        District(folder, lambda _text: None), random.Random(1), {"any": Disk(folder / "image", folder / "data")}
    )


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
    files = {file for file, _, _ in bug.changes}
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    plant(bug, tmp_path)
    for file in files:
        compile((tmp_path / file).read_text("utf-8"), file, "exec")
        assert (tmp_path / file).read_bytes() != (ROOT / file).read_bytes()


def test_every_planted_bug_is_shown_by_a_fault_that_there_is(tmp_path: Path) -> None:
    assert len(BUGS) >= 28
    assert {bug.kind for bug in BUGS} <= {*find_kinds(scene(tmp_path)), *larger.NAMES, *STORMS, ALARM, ACL}


def journal(*entries: tuple[int, int, int, bytes, bytes]) -> bytes:
    return b"".join(
        struct.pack("=5q", kind, file, offset, len(before), len(after)) + before + after
        for kind, file, offset, before, after in entries
    )


def test_only_writes_after_a_files_last_sync_can_be_lost() -> None:
    octets = journal(
        (0, 1, 0, b"a", b"b"), (1, 1, 0, b"", b""), (0, 1, 4, b"", b"new"), (0, 0, 0, b"x", b"y"), (1, 0, 0, b"", b"")
    )
    assert read_unsynced(octets, 1) == [Write(4, b"", b"new")]
    assert read_unsynced(octets, 0) == []
    assert read_unsynced(octets[:-1], 0) == [Write(0, b"x", b"y")]


def test_a_scattered_disk_has_each_sector_as_it_was_or_as_it_was_to_be() -> None:
    before, after = bytes(2048), b"\1" * 2048
    seen = set()
    for seed in range(40):
        disk = scatter(after, [Write(0, before, after)], random.Random(seed))
        sectors = [disk[at : at + 512] for at in range(0, 2048, 512)]
        assert all(sector in (before[:512], after[:512]) for sector in sectors)
        seen |= set(sectors)
    assert len(seen) == 2


def test_what_made_a_file_longer_and_was_not_written_is_zero() -> None:
    assert scatter(b"abcd", [Write(2, b"", b"cd")], random.Random(0)) in (b"ab\0\0", b"abcd")


def test_declared_losses_that_came_or_are_declared_twice_are_counted() -> None:
    book = Book(":memory:", [])
    record = {"gateway": "g", "epoch": "e", "lane": "M", "kind": "event", "key": "k5", "seq": 5}
    book.receive([record], 0)
    lane = ("g", "e", "M")
    assert count_misdeclared(book, {lane: [(1, 4)]}) == 0
    assert count_misdeclared(book, {lane: [(1, 5)]}) == 1
    assert count_misdeclared(book, {lane: [(1, 3), (2, 4)]}) == 2


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "fleet.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE record (gateway TEXT, epoch TEXT, lane TEXT, seq INTEGER)")
        database.execute("CREATE TABLE tally (records INTEGER)")
        yield database


@pytest.mark.parametrize(
    ("seqs", "counted", "twice"),
    [((1, 2, 3), 3, 0), ((1, 2, 2, 2), 2, 2), ((1, 2), 3, 1), ((), 0, 0), ((1, 2, 2), 3, 1)],
    ids=["once", "stored three times", "counted twice", "nothing", "stored and counted twice"],
)
def test_what_the_fleet_stored_or_counted_twice_is_found(fleet, tmp_path, seqs, counted, twice) -> None:
    fleet.executemany("INSERT INTO record VALUES ('g', 'e', 'M', ?)", [(seq,) for seq in seqs])
    fleet.execute("INSERT INTO tally VALUES (?)", (counted,))
    assert count_stored_twice(f"sqlite:///{tmp_path / 'fleet.db'}") == twice


@pytest.mark.parametrize("tree", TREES)
def test_a_bit_in_the_head_of_a_page_makes_a_spool_unreadable_as_it_stands(tree: str, tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    SpoolFile(path).close()
    octets = bytearray(path.read_bytes())
    head = find_head(path, tree)
    assert head % PAGE == 0
    octets[head] ^= 1
    path.write_bytes(octets)
    with pytest.raises(SpoolCorruptError):
        SpoolFile(path)


def test_an_alarm_is_late_only_where_nothing_was_in_its_way() -> None:
    truth = Truth([Rule(gateway="g", tag="t", level="high", limit=1.0)])
    truth.served("g", "t", 2.0, 1_000_000_000)
    truth.raised(RaisedAlarm("g", "t:high", 7_000_000_000))
    assert len(find_late(truth, [Healthy("g", 0, 20_000_000_000)])) == 1
    assert find_late(truth, [Healthy("g", 0, 5_000_000_000), Healthy("h", 0, 20_000_000_000)]) == []


def test_a_name_server_answers_with_the_address_it_was_given() -> None:
    asked = b"\x06broker\x05fleet\0\x00\x01\x00\x01"
    answered = answer(b"\x12\x34\x01\x00\x00\x01" + bytes(6) + asked, "127.0.0.9")
    assert answered[:2] == b"\x12\x34"
    assert answered.endswith(bytes((127, 0, 0, 9)))
