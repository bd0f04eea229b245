"""The real spool against a model of a few lists, in any order of events: hypothesis looks for one that breaks it."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.spool import Gone, Spool, spans
from tests.edge.records import CLOCK, LAYOUT_ID, LAYOUTS, event, number_of, scan
from wire.record import LANES, Lane, Record, ScanRecord, WaveformRecord

A, M, W = Lane
QUOTAS = (300_000, 300_000, 600_000, 10**8)
BULK_OCTETS = 20_000
"""Of records that fill a quota in a few steps. Events are small: none of these quotas is ever full of them alone."""

MEMORY = Path("/dev/shm")
"""Thousands of commits are made here, and none has to outlive the machine."""


def packet(number: int, octets: int = 3) -> WaveformRecord:
    return WaveformRecord("XX.RS001.00.EHZ", number, None, 100.0, 1, "noise", random.Random(number).randbytes(octets))


def bulk(number: int, lane: Lane) -> tuple[Lane, Record]:
    if lane is W:
        return W, packet(number, BULK_OCTETS)
    return M, ScanRecord(LAYOUT_ID, number, None, (random.Random(number).randbytes(BULK_OCTETS).hex(),))


def small(number: int, lane: Lane) -> tuple[Lane, Record]:
    return {A: event(number), M: scan(number), W: (W, packet(number))}[lane]


class SpoolMachine(RuleBasedStateMachine):
    """What the model knows: which number each record got, and how far the fleet has each epoch and lane.

    None stands for a record that never reached the spool whole. What was given up only the spool knows: the model asks
    that it is declared, that no event is among it, and that nothing else is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-model-", dir=MEMORY if MEMORY.is_dir() else None))
        self.copies = itertools.count()
        self.numbers = itertools.count(1)
        self.records: dict[tuple[str, Lane], list[int | None]] = {}
        self.committed: dict[tuple[str, Lane], int] = {}
        self.had: dict[tuple[str, Lane], int] = {}
        """The highest cursor ever: what is below it may have been forgotten."""
        self.epochs: list[str] = []
        self.spool: Spool | None = None

    def teardown(self) -> None:
        if self.spool is not None:
            self.spool.close()
        shutil.rmtree(self.folder)

    def _begin(self, path: Path, quota: int) -> None:
        self.spool, salvaged = Spool.open(path, max_bytes=quota, boot="boot", clock=CLOCK)
        assert salvaged is None
        assert self.spool.epoch not in self.epochs
        self.epochs.append(self.spool.epoch)
        for lane in LANES:
            key = (self.spool.epoch, lane)
            self.records[key], self.committed[key], self.had[key] = [], 0, 0

    @initialize(quota=st.sampled_from(QUOTAS))
    def start(self, quota: int) -> None:
        self._begin(self.folder / "spool.sqlite3", quota)

    @rule(lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=6))
    def append(self, lanes: list[Lane]) -> None:
        entries = [small(number, lane) for lane, number in zip(lanes, self.numbers, strict=False)]
        self._store(entries)

    @rule(lanes=st.lists(st.sampled_from([M, W]), min_size=3, max_size=12))
    def append_much(self, lanes: list[Lane]) -> None:
        for lane, number in zip(lanes, self.numbers, strict=False):
            self._store([bulk(number, lane)])

    def _store(self, entries: list[tuple[Lane, Record]]) -> None:
        assert self.spool is not None
        before = {lane: self._given_up(lane) for lane in LANES}
        self.spool.append(entries, LAYOUTS)
        for lane, record in entries:
            self.records[self.spool.epoch, lane].append(record.mono_ns)
        new = {lane for lane, _ in entries}
        if self._given_up(W) > before[W] or self._given_up(M) > before[M]:
            assert self._count("chunk JOIN mark USING (lane, n) WHERE chunk.last <= mark.committed") == 0
        if self._given_up(M) > before[M] and W not in new:
            assert self._count("chunk WHERE lane = 'W'") == 0, "a scan went before a packet"
        assert self.spool.size_bytes() <= self.spool.quota_bytes + 3 * BULK_OCTETS

    def _given_up(self, lane: Lane) -> int:
        assert self.spool is not None
        return self.spool._file.number(
            "SELECT SUM(last - first + 1) FROM tombstone WHERE lane = ? AND reason = 'quota'", (lane,)
        )

    def _count(self, what: str) -> int:
        assert self.spool is not None
        return self.spool._file.number(f"SELECT COUNT(*) FROM {what}")

    @rule(lane=st.sampled_from(LANES), count=st.integers(1, 5))
    def append_what_memory_dropped(self, lane: Lane, count: int) -> None:
        assert self.spool is not None
        self.spool.append([(lane, Gone(count, "memory"))], {})
        self.records[self.spool.epoch, lane] += [None] * count

    @precondition(lambda self: any(self.records.values()))
    @rule(back=st.integers(0, 3), part=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.0, -0.1, 1.2]))
    def commit(self, back: int, part: float) -> None:
        """The fleet's cursor goes forward, or back after a restore, or somewhere that cannot be."""
        assert self.spool is not None
        used = [key for key, numbers in self.records.items() if numbers]
        key = epoch, lane = used[-1 - back % len(used)]
        head = len(self.records[key])
        asked = round(part * head)
        self.spool.set_committed([(epoch, lane, asked)])
        if epoch in {mark.epoch for mark in self.spool.marks()}:
            self.committed[key] = max(0, min(asked, head))
            self.had[key] = max(self.had[key], self.committed[key])

    @rule()
    def prune(self) -> None:
        assert self.spool is not None
        self.spool.prune(keep_s=-10)

    @rule(quota=st.sampled_from(QUOTAS), torn=st.none() | st.binary(max_size=5000))
    def restart(self, quota: int, torn: bytes | None) -> None:
        """In order, or after a power cut: what was synced is all there is, and behind it a write that never ended."""
        assert self.spool is not None
        path = self.spool._file.path
        if torn is not None:
            copy = self.folder / f"spool-{next(self.copies)}.sqlite3"
            shutil.copyfile(path, copy)
            log = Path(f"{path}-wal")
            Path(f"{copy}-wal").write_bytes((log.read_bytes() if log.exists() else b"") + torn)
            path = copy
        self.spool.close()
        self._begin(path, quota)

    @invariant()
    def accounts_balance(self) -> None:
        if self.spool is None:
            return
        for lane, account in self.spool.accounts().items():
            assert account.difference == 0
            assert account.assigned == sum(len(numbers) for (_, of), numbers in self.records.items() if of is lane)
            assert min(account.delivered, account.pending, account.tombstoned) >= 0

    @invariant()
    def no_number_stands_twice(self) -> None:
        if self.spool is None:
            return
        rows = self.spool._file.query(
            "SELECT lane, n, first, last FROM chunk UNION ALL SELECT lane, n, first, last FROM tombstone"
            " ORDER BY 1, 2, 3"
        )
        for (lane, n, _, last), (next_lane, next_n, next_first, _) in itertools.pairwise(rows):
            assert (lane, n) != (next_lane, next_n) or next_first > last

    @invariant()
    def everything_above_the_cursor_is_there_or_declared(self) -> None:
        if self.spool is None:
            return
        held = spans(self.spool.marks())
        for (epoch, lane), numbers in self.records.items():
            if len(numbers) > self.committed[epoch, lane]:
                assert held[epoch][lane].head == len(numbers)
            self._read((epoch, lane), numbers)

    def _read(self, key: tuple[str, Lane], numbers: list[int | None]) -> None:
        assert self.spool is not None
        after = self.committed[key]
        while (part := self.spool.read(*key, after, 30_000)) is not None:
            if part.tombstone is None:
                assert part.first == after + 1
                assert [*map(number_of, part.items)] == numbers[after : part.last]
            else:
                assert part.first <= after + 1 <= part.last
                self._judge(key, part.tombstone.reason, range(after + 1, part.last + 1))
            after = part.last
        assert after == len(numbers)

    def _judge(self, key: tuple[str, Lane], reason: str, seqs: range) -> None:
        given_up = [seq for seq in seqs if self.records[key][seq - 1] is not None]
        if reason == "memory":
            assert not given_up
        elif reason == "forgotten":
            assert seqs[-1] <= self.had[key]
        else:
            assert reason == "quota"
            assert key[1] is not A, "an event was given up"


SpoolMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestSpoolAgainstAModel = SpoolMachine.TestCase
