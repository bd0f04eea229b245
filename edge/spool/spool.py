"""The spool itself: it gives records their numbers, keeps them, and reads them in order.

One SQLite file, one connection, one thread (`edge.store` owns it). A record exists once a ``synchronous=FULL`` commit
holds it. Identity is (epoch, lane, seq): an epoch per agent start, seq dense from 1 per epoch and lane, allocated in
the transaction that stores the record. A row ("chunk") holds consecutive records of one commit:

    chunk      lane, epoch, first..last, body = zstd(msgpack([record octets, ...])), ids of the layouts used
    tombstone  lane, epoch, first..last of records that are no longer held, and why
    mark       lane, epoch: head (last seq assigned) and committed (last seq the fleet has)
    epoch      its text identity, its boot and that boot's last known clock
    raised, standing   how alarms stand, so that a restart neither raises nor forgets them (`edge.spool.standings`)
    folded     events that found no room each, one row per rule

Every seq above ``committed`` is in a chunk or under a tombstone, so that assigned = delivered + pending + tombstoned.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from edge.errors import SpoolCorruptError, SpoolFullError
from edge.spool.age import Age
from edge.spool.file import SpoolFile, lane_of, octets, pack, split_ids, unpack, whole
from edge.spool.folding import Fold, fold, join, rule_of, unfold
from edge.spool.layouts import Layouts
from edge.spool.room import Room
from edge.spool.salvage import Salvaged, resume, salvage
from edge.spool.standings import Remembered, Standings
from edge.spool.tombstones import Gone, Tombstones, times
from wire.conversation import BATCH_ITEMS_MOST, Clock, Span, Tombstone
from wire.health import LaneHealth
from wire.record import LANES, AlarmRecord, Lane, Layout, Record, ScanRecord, StandingRecord, encode_record

log = logging.getLogger(__name__)

FULL_PART = 0.9
"""Above this part of the quota, delivered records go before their time."""
EPOCHS_KEPT = 64
"""Newest starts whose epochs stay though nothing is held of them any more: as many as one hello names."""
Event = Record | Gone | Fold
Entry = tuple[Lane, Event]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one epoch and lane, or what stands in the place of some, ready to go into a batch."""

    epoch: str
    lane: Lane
    first: int
    items: tuple[bytes, ...]
    layouts: dict[bytes, Layout]
    boot: str
    clock: Clock
    tombstone: Tombstone | None = None

    @property
    def last(self) -> int:
        """The seq of the last record."""
        return self.tombstone.last if self.tombstone is not None else self.first + len(self.items) - 1


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where an epoch's lane stands: the last seq assigned and the last one the fleet has."""

    epoch: str
    lane: Lane
    first: int
    head: int
    committed: int


class Spool:
    """See the module. Every method may raise SpoolError; none is safe to call from two threads."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        boot: str,
        clock: Clock,
        min_free_bytes: int = 0,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._boot = boot
        self._unpacked: tuple[tuple[str, Lane, int], list[bytes]] = (("", Lane.MEASUREMENTS, 0), [])
        self._file = SpoolFile(path)
        self._tombstones = Tombstones(self._file)
        self._layouts = Layouts(self._file)
        self._standings = Standings(self._file)
        self._room = Room(
            self._file, self._tombstones, self._layouts, max_bytes=max_bytes, min_free_bytes=min_free_bytes
        )
        try:
            self._age = Age(self._newest_s(), mono_s)
            self._check_coverage()
            with self._file.transaction():
                self._begin_epoch(clock)
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        max_bytes: int,
        boot: str,
        clock: Clock,
        min_free_bytes: int = 0,
        is_damaged: bool = False,
    ) -> tuple[Spool, Salvaged | None]:
        """Open the spool. A damaged file is moved aside, and what can be read of it is put into a new one.

        ``is_damaged`` says that it was found to be so while in use. What came of salvaging comes too.
        """
        resume(path)
        found = salvage(path) if is_damaged and path.exists() else None
        try:
            spool = cls(path, max_bytes=max_bytes, boot=boot, clock=clock, min_free_bytes=min_free_bytes)
        except SpoolCorruptError:
            found = salvage(path)
            spool = cls(path, max_bytes=max_bytes, boot=boot, clock=clock, min_free_bytes=min_free_bytes)
        return spool, found

    def _newest_s(self) -> int | None:
        rows = self._file.query("SELECT stored_s FROM chunk ORDER BY id DESC LIMIT 1")
        return whole(rows[0][0]) if rows else None

    def _check_coverage(self) -> None:
        """Hold that every seq above a cursor has its place: an index that is damaged hides records in silence."""
        for lane, n, committed, head in self._file.query("SELECT lane, n, committed, head FROM mark"):
            hole = self._tombstones.find_hole(lane_of(lane), whole(n), whole(committed), whole(head))
            if hole is not None:
                raise SpoolCorruptError(f"spool {self._file.path} does not show records {hole[0]} to {hole[1]}")

    def _begin_epoch(self, clock: Clock) -> None:
        self._n = self._file.number("SELECT MAX(n) FROM epoch") + 1
        self.epoch = f"{self._n:08d}-{secrets.token_hex(16)}"
        self._heads = dict.fromkeys(LANES, 0)
        self._file.execute(
            "INSERT INTO epoch (n, id, boot, offset_ns, quality) VALUES (?, ?, ?, ?, ?)",
            (self._n, self.epoch, self._boot, clock.offset_ns, clock.quality),
        )
        for lane in LANES:
            self._file.execute("INSERT INTO mark VALUES (?, ?, 0, 0)", (lane, self._n))

    def append(self, entries: Sequence[Entry], layouts: Mapping[bytes, Layout], clock: Clock | None = None) -> None:
        """Store records in one durable commit: when this returns, they exist, or are declared.

        ``layouts`` holds the columns of the scans among them; ``clock`` is this boot's clock as known now. When there
        is no room, `Room` makes some; where only events are left to give up, measurements become a tombstone and
        events are folded, one row per rule. Raises SpoolFullError when the disk itself takes nothing; then nothing was
        stored and no seq was used.
        """
        try:
            self._append(entries, layouts, clock)
        except SpoolFullError:
            self._file.restart_log()
            self._append(entries, layouts, clock)

    def _append(self, entries: Sequence[Entry], layouts: Mapping[bytes, Layout], clock: Clock | None) -> None:
        has_room = self._room.make()
        used = dict.fromkeys(entry.layout for _, entry in entries if isinstance(entry, ScanRecord))
        heads = dict(self._heads)
        with self._file.transaction():
            self._layouts.keep(used, layouts)
            for lane in LANES:
                chosen = [entry for entry_lane, entry in entries if entry_lane is lane]
                if lane is Lane.ALARMS:
                    chosen = self._unfold(chosen) if has_room else self._fold(chosen)
                heads[lane] = self._store(lane, heads[lane], chosen, has_room=has_room)
            if clock is not None:
                self._file.execute(
                    "UPDATE epoch SET offset_ns = ?, quality = ? WHERE n = ?", (clock.offset_ns, clock.quality, self._n)
                )
        self._heads = heads
        self._layouts.remember(used, layouts)

    def _store(self, lane: Lane, head: int, entries: Sequence[Event], *, has_room: bool) -> int:
        for _, run in groupby(entries, key=lambda entry: isinstance(entry, Gone)):
            together = list(run)
            records = [entry for entry in together if not isinstance(entry, Gone | Fold)]
            for entry in together:
                if isinstance(entry, Gone):
                    head = self._bury(lane, head, entry)
            if records and has_room:
                head = self._insert(lane, head, records)
            elif records:
                head = self._bury(lane, head, Gone(len(records), "quota", *times(records)))
        self._file.execute("UPDATE mark SET head = ? WHERE lane = ? AND n = ?", (head, lane, self._n))
        return head

    def _bury(self, lane: Lane, head: int, gone: Gone) -> int:
        last = head + gone.count
        tombstone = Tombstone(last=last, reason=gone.reason, from_ns=gone.from_ns, to_ns=gone.to_ns)
        self._tombstones.add(lane, self._n, head + 1, tombstone)
        return last

    def _insert(self, lane: Lane, head: int, records: Sequence[Record]) -> int:
        used = dict.fromkeys(record.layout for record in records if isinstance(record, ScanRecord))
        for record in records:
            if isinstance(record, AlarmRecord | StandingRecord):
                self._standings.note(record)
        last = head + len(records)
        self._file.execute(
            "INSERT INTO chunk (lane, n, first, last, stored_s, layouts, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                lane,
                self._n,
                head + 1,
                last,
                self._age.now_s(),
                b"".join(used),
                pack([encode_record(record) for record in records]),
            ),
        )
        return last

    def _fold(self, events: Sequence[Event]) -> list[Event]:
        """Add events to the rows of their rules. Returns what is no event."""
        for event in events:
            if isinstance(event, Gone):
                continue
            entry = event if isinstance(event, Fold) else fold(event)
            if isinstance(entry.last, AlarmRecord | StandingRecord):
                self._standings.note(entry.last)
            rule = rule_of(entry.last)
            whole_entry = join(self._folds(rule).get(rule), entry)
            self._file.execute(
                "INSERT OR REPLACE INTO folded VALUES (?, ?)", (rule, msgspec.msgpack.encode(whole_entry))
            )
        return [event for event in events if isinstance(event, Gone)]

    def _unfold(self, events: Sequence[Event]) -> list[Event]:
        """Put what was folded earlier, as records, before the events; its rows go."""
        folds = self._folds().values()
        if folds:
            self._file.execute("DELETE FROM folded")
        return [
            record
            for event in (*folds, *events)
            for record in (unfold(rule_of(event.last), event) if isinstance(event, Fold) else [event])
        ]

    def _folds(self, rule: str | None = None) -> dict[str, Fold]:
        """Read what is folded, of a rule or of all. What was added to last comes last, whatever boot its time is of."""
        found: dict[str, Fold] = {}
        for name, body in self._file.query(
            "SELECT rule, body FROM folded WHERE rule = ? OR ? IS NULL ORDER BY rowid", (rule, rule)
        ):
            try:
                found[str(name)] = msgspec.msgpack.decode(octets(body), type=Fold)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.error("what was folded of %s cannot be read from %s: %s", name, self._file.path, error)
        return found

    def standings(self) -> dict[str, Remembered]:
        """The alarms that are not normal, by name."""
        return self._standings.read()

    def marks(self) -> list[Mark]:
        """Where every epoch and lane held stands, oldest epoch first."""
        first = "(SELECT first FROM {0} WHERE {0}.lane = mark.lane AND {0}.n = mark.n ORDER BY last LIMIT 1)"
        rows = self._file.query(
            f"SELECT epoch.id, mark.lane, mark.head, mark.committed, {first.format('chunk')},"  # noqa: S608 - ours
            f" {first.format('tombstone')} FROM mark JOIN epoch ON epoch.n = mark.n ORDER BY epoch.n, mark.lane"
        )
        return [
            Mark(
                epoch=str(epoch),
                lane=lane_of(lane),
                first=min((whole(first) for first in firsts if first is not None), default=whole(head) + 1),
                head=whole(head),
                committed=whole(committed),
            )
            for epoch, lane, head, committed, *firsts in rows
        ]

    def read(self, epoch: str, lane: Lane, after: int, max_bytes: int) -> Slice | None:
        """Return the records after seq ``after``: at least one, about ``max_bytes`` at most; None if there are none.

        Where they are no longer held, the tombstone in their place comes, whole. Those that cannot be read become one.
        What the fleet has had is told as ``forgotten`` to one that asks for it again before it said so in a welcome.
        Raises SpoolCorruptError if neither is where it should be.
        """
        n = self._number_of(epoch)
        while n is not None and after < self._file.number("SELECT head FROM mark WHERE lane = ? AND n = ?", (lane, n)):
            grave = self._tombstones.next(lane, n, after)
            if grave is not None and grave.first <= after + 1:
                return self._slice(epoch, lane, grave.first, [], grave.layouts, grave.tombstone)
            forgotten = self._find_forgotten(lane, n, after)
            if forgotten is not None:
                return self._slice(epoch, lane, after + 1, [], (), forgotten)
            try:
                return self._read_records(epoch, n, lane, after, max_bytes)
            except _UnreadableError as error:
                log.error("records %d to %d of %s, lane %s, are damaged", error.first, error.last, epoch, lane)
                self._declare_damage(n, lane, error)
        return None

    def _find_forgotten(self, lane: Lane, n: int, after: int) -> Tombstone | None:
        committed = self._file.number("SELECT committed FROM mark WHERE lane = ? AND n = ?", (lane, n))
        hole = self._tombstones.find_hole(lane, n, after, committed) if after < committed else None
        return Tombstone(last=hole[1], reason="forgotten") if hole is not None and hole[0] == after + 1 else None

    def _read_records(self, epoch: str, n: int, lane: Lane, after: int, max_bytes: int) -> Slice:
        items: list[bytes] = []
        layout_ids: dict[bytes, None] = {}
        first = size = 0
        for row in self._file.rows(
            "SELECT id, first, last, layouts FROM chunk WHERE lane = ? AND n = ? AND last > ? ORDER BY last",
            (lane, n, after),
        ):
            chunk, chunk_first, chunk_last = whole(row[0]), whole(row[1]), whole(row[2])
            if items and chunk_first != first + len(items):
                break  # a tombstone: it goes into another slice
            if not items and chunk_first > after + 1:
                break
            start = max(after + 1, chunk_first)
            try:
                records = self._unpack((epoch, lane, chunk_last), chunk, chunk_first)
            except _UnreadableError:
                if items:
                    break
                raise
            first = first or start
            chosen = records[start - chunk_first :]
            room = min(_fit(chosen, max_bytes - size, at_least=0 if items else 1), BATCH_ITEMS_MOST - len(items))
            items += chosen[:room]
            size += sum(map(len, chosen[:room]))
            layout_ids.update(dict.fromkeys(split_ids(row[3])))
            if room < len(chosen) or size >= max_bytes:
                break
        if not items:
            raise SpoolCorruptError(f"spool {self._file.path} does not show record {after + 1} of {epoch}, lane {lane}")
        return self._slice(epoch, lane, first, items, layout_ids)

    def _unpack(self, place: tuple[str, Lane, int], chunk: int, first: int) -> list[bytes]:
        """Return a chunk's records; the last one's are remembered, for a chunk may go out in several slices."""
        if self._unpacked[0] != place:
            ((body,),) = self._file.query("SELECT body FROM chunk WHERE id = ?", (chunk,))
            items = unpack(body, list[bytes])
            if items is None or len(items) != place[2] - first + 1:
                raise _UnreadableError(chunk, first, place[2])
            self._unpacked = (place, items)
        return self._unpacked[1]

    def _declare_damage(self, n: int, lane: Lane, damage: _UnreadableError) -> None:
        with self._file.transaction():
            self._file.execute("DELETE FROM chunk WHERE id = ?", (damage.chunk,))
            grave = Tombstone(last=damage.last, reason="corrupt")
            self._tombstones.add(lane, n, damage.first, grave, joins=False)

    def _number_of(self, epoch: str) -> int | None:
        rows = self._file.query("SELECT n FROM epoch WHERE id = ?", (epoch,))
        return whole(rows[0][0]) if rows else None

    def _slice(
        self,
        epoch: str,
        lane: Lane,
        first: int,
        items: Sequence[bytes],
        layout_ids: Iterable[bytes],
        tombstone: Tombstone | None = None,
    ) -> Slice:
        ((boot, offset_ns, quality),) = self._file.query(
            "SELECT boot, offset_ns, quality FROM epoch WHERE id = ?", (epoch,)
        )
        return Slice(
            epoch=epoch,
            lane=lane,
            first=first,
            items=tuple(items),
            layouts={key: layout for key in layout_ids if (layout := self._layouts.find(key)) is not None},
            boot=str(boot),
            clock=Clock(offset_ns=None if offset_ns is None else whole(offset_ns), quality=str(quality)),
            tombstone=tombstone,
        )

    def set_committed(self, cursors: Iterable[tuple[str, Lane, int]]) -> None:
        """Take over the fleet's cursors. They are absolute, and go back when the fleet was restored.

        What it then lacks and is no longer held, because it had it once, is declared as ``forgotten``.
        """
        with self._file.transaction():
            for epoch, lane, asked in cursors:
                n = self._number_of(epoch)
                rows = self._file.query("SELECT head, committed FROM mark WHERE lane = ? AND n = ?", (lane, n))
                for head, before in rows:
                    committed = max(0, min(asked, whole(head)))
                    self._file.execute("UPDATE mark SET committed = ? WHERE lane = ? AND n = ?", (committed, lane, n))
                    if n is not None and committed < whole(before):
                        self._tombstones.cover(lane, n, committed, whole(head), "forgotten")

    def prune(self, keep_s: float) -> int:
        """Forget records that the fleet has and that are ``keep_s`` seconds old (`Age`), or sooner when room is short.

        Returns rows.
        """
        removed = self._room.forget_delivered(int(self._age.now_s() - keep_s))
        if self._room.is_short(FULL_PART):
            removed += self._room.forget_delivered()
        with self._file.transaction():
            self._retire_epochs()
        return removed

    def _retire_epochs(self) -> None:
        """Drop epochs that are delivered and forgotten; their sums stay in the accounts.

        Not those of the newest starts: their heads are all that tells a fleet restored to before them what it lacks.
        """
        rows = self._file.query(
            "SELECT epoch.n FROM epoch WHERE epoch.n <= ?"
            " AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.n = epoch.n)"
            " AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.n = epoch.n AND mark.committed < mark.head)",
            (self._n - EPOCHS_KEPT,),
        )
        for (n,) in rows:
            self._file.execute(
                "INSERT INTO retired SELECT lane, head, (SELECT COALESCE(SUM(last - first + 1), 0) FROM tombstone"
                " WHERE tombstone.lane = mark.lane AND tombstone.n = mark.n) FROM mark WHERE n = ?"
                " ON CONFLICT (lane) DO UPDATE SET assigned = assigned + excluded.assigned,"
                " tombstoned = tombstoned + excluded.tombstoned",
                (n,),
            )
            for table in ("mark", "tombstone", "epoch"):
                self._file.execute(f"DELETE FROM {table} WHERE n = ?", (n,))  # noqa: S608 - ours

    def accounts(self) -> dict[Lane, LaneHealth]:
        """Account for every record ever assigned here. Each figure is counted where it stands, none from the others:
        that assigned = delivered + pending + tombstoned says that nothing is missing."""
        return {lane: self._account(lane) for lane in LANES}

    def _account(self, lane: Lane) -> LaneHealth:
        assigned, delivered, tombstoned = 0, 0, 0
        for retired_assigned, retired_tombstoned in self._file.query(
            "SELECT assigned, tombstoned FROM retired WHERE lane = ?", (lane,)
        ):
            assigned += whole(retired_assigned)
            delivered += whole(retired_assigned) - whole(retired_tombstoned)
            tombstoned += whole(retired_tombstoned)
        assigned += self._file.number("SELECT SUM(head) FROM mark WHERE lane = ?", (lane,))
        delivered += self._file.number(
            "SELECT SUM(committed - (SELECT COALESCE(SUM(MAX(0, MIN(last, mark.committed) - first + 1)), 0)"
            " FROM tombstone WHERE tombstone.lane = mark.lane AND tombstone.n = mark.n)) FROM mark WHERE lane = ?",
            (lane,),
        )
        tombstoned += self._file.number("SELECT SUM(last - first + 1) FROM tombstone WHERE lane = ?", (lane,))
        pending = self._file.number(
            "SELECT SUM(chunk.last - MAX(chunk.first - 1, mark.committed)) FROM mark JOIN chunk"
            " ON chunk.lane = mark.lane AND chunk.n = mark.n AND chunk.last > mark.committed WHERE mark.lane = ?",
            (lane,),
        )
        return LaneHealth(assigned=assigned, delivered=delivered, pending=pending, tombstoned=tombstoned)

    def lost(self) -> int:
        """Records given up of the epochs held though the fleet may lack them; not those that it had once."""
        return self._file.number("SELECT SUM(last - first + 1) FROM tombstone WHERE reason <> 'forgotten'")

    def size_bytes(self) -> int:
        """Octets in use in the file, free pages not counted."""
        return self._file.used_bytes()

    @property
    def quota_bytes(self) -> int:
        """Octets that it may use now: its own quota, or what the disk leaves."""
        return self._room.quota_bytes

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _UnreadableError(Exception):
    """A chunk's body is damaged. `Spool.read` puts a tombstone in its place."""

    def __init__(self, chunk: int, first: int, last: int) -> None:
        super().__init__(f"chunk {chunk}")
        self.chunk, self.first, self.last = chunk, first, last


def spans(marks: Iterable[Mark]) -> dict[str, dict[Lane, Span]]:
    """Tell the fleet what is held: for `Hello.epochs`. Lanes with nothing assigned are left out."""
    held: dict[str, dict[Lane, Span]] = {}
    for mark in marks:
        if mark.head:
            held.setdefault(mark.epoch, {})[mark.lane] = Span(first=mark.first, head=mark.head)
    return held


def _fit(items: Sequence[bytes], max_bytes: int, *, at_least: int) -> int:
    size = 0
    for count, item in enumerate(items):
        size += len(item)
        if size > max_bytes and count >= at_least:
            return count
    return len(items)
