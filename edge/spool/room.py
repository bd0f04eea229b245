"""What is given up when there is no room: records that the fleet has, oldest first; then waveforms; then the oldest
measurements. Of what the fleet lacks a tombstone stays, in the same transaction. Events are never given up."""

from __future__ import annotations

import time
from collections.abc import Sequence

from edge.spool.file import Row, SpoolFile, unpack, whole
from edge.spool.layouts import Layouts
from edge.spool.minutes import Sums
from edge.spool.tombstones import Tombstones, times
from wire.conversation import Tombstone
from wire.errors import DecodeError
from wire.record import Lane, Record, ScanRecord, decode_record

MAKE_MOST_S = 0.25
"""A commit gives up things for this long at most, where there is much to give up: after the quota was lowered, say. The
next ones go on; an alarm is not to wait for it."""
DELIVERED_ROWS = 500
BURIED_ROWS = 64
BURIED_OCTETS = 65_536
"""Rows are given up together until they take this much: to sum up their minutes takes time."""
TOLD_SHARE = 8
"""One part in this many of the quota may go to what tombstones tell; then the oldest keep only their numbers."""

RESERVE_SHARE = 10
"""Of a small disk no more than one part in this many stays free for others."""


class Room:
    """Keeps the file within ``max_bytes``, and ``min_free_bytes`` of the disk free for others and for its log."""

    def __init__(
        self,
        file: SpoolFile,
        tombstones: Tombstones,
        layouts: Layouts,
        *,
        max_bytes: int,
        min_free_bytes: int,
    ) -> None:
        self._file = file
        self._tombstones = tombstones
        self._layouts = layouts
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes

    @property
    def quota_bytes(self) -> int:
        """Octets that the file may use now."""
        free, total = self._file.disk_bytes()
        reserve = min(self._min_free_bytes, total // RESERVE_SHARE)
        return min(self._max_bytes, self._file.size_bytes() + max(0, free - reserve))

    def is_short(self, part: float = 1.0) -> bool:
        """Tell whether that part of the quota is used."""
        return self._file.used_bytes() >= self.quota_bytes * part

    def make(self) -> bool:
        """Give things up until there is room, or some at least. False if all that is left are events."""
        deadline = time.monotonic() + MAKE_MOST_S
        while self.is_short():
            if not (self.forget_delivered() or self._bury_oldest() or self._shorten()):
                return False
            if time.monotonic() > deadline:
                break
        return True

    def forget_delivered(self, before_s: int | None = None) -> int:
        """Delete records that the fleet has, the oldest first, those stored before ``before_s`` only. Returns rows."""
        when = "" if before_s is None else f"AND chunk.stored_s < {before_s}"
        with self._file.transaction():
            return self._file.execute(
                "DELETE FROM chunk WHERE id IN (SELECT chunk.id FROM chunk JOIN mark ON mark.lane = chunk.lane"  # noqa: S608 - the condition is ours
                f" AND mark.n = chunk.n WHERE chunk.last <= mark.committed {when}"
                f" ORDER BY chunk.id LIMIT {DELIVERED_ROWS})"
            )

    def _bury_oldest(self) -> int:
        return self._bury(Lane.WAVEFORMS) or self._bury(Lane.MEASUREMENTS)

    def _bury(self, lane: Lane) -> int:
        rows = self._file.query(
            "SELECT chunk.id, chunk.n, chunk.first, chunk.last, LENGTH(chunk.body), mark.committed, epoch.offset_ns"
            " FROM chunk JOIN mark ON mark.lane = chunk.lane AND mark.n = chunk.n JOIN epoch ON epoch.n = chunk.n"
            " WHERE chunk.lane = ? ORDER BY chunk.n, chunk.last LIMIT ?",
            (lane, BURIED_ROWS),
        )
        run = _run(rows)
        if run:
            with self._file.transaction():
                self._replace(lane, run)
                if self._tombstones.told_bytes() > self._max_bytes // TOLD_SHARE:
                    self._tombstones.shorten()
        return len(run)

    def _replace(self, lane: Lane, run: Sequence[Row]) -> None:
        _, n, first, _, _, committed, offset_ns = run[0]
        lacking = max(whole(first), whole(committed) + 1)
        sums = Sums(self._layouts.find, None if offset_ns is None else whole(offset_ns))
        records: list[Record] = []
        for chunk, _, chunk_first, *_ in run:
            ((body,),) = self._file.query("SELECT body FROM chunk WHERE id = ?", (chunk,))
            items = unpack(body, list[bytes]) or []
            records += _decode(items[max(0, lacking - whole(chunk_first)) :])
            self._file.execute("DELETE FROM chunk WHERE id = ?", (chunk,))
        for record in records:
            if isinstance(record, ScanRecord):
                sums.add(record)
        from_ns, to_ns = times(records)
        tombstone = Tombstone(
            last=whole(run[-1][3]), reason="quota", from_ns=from_ns, to_ns=to_ns, minutes=tuple(sums.minutes())
        )
        self._tombstones.add(lane, whole(n), lacking, tombstone)

    def _shorten(self) -> bool:
        with self._file.transaction():
            return self._tombstones.shorten()


def _run(rows: Sequence[Row]) -> list[Row]:
    """Take the rows that follow each other without a hole in one epoch, as many as are given up together."""
    run = list(rows[:1])
    size = sum(whole(row[4]) for row in run)
    for row in rows[1:]:
        size += whole(row[4])
        if row[1] != run[-1][1] or whole(row[2]) != whole(run[-1][3]) + 1 or size > BURIED_OCTETS:
            break
        run.append(row)
    return run


def _decode(items: Sequence[bytes]) -> list[Record]:
    records = []
    for item in items:
        try:
            records.append(decode_record(item))
        except DecodeError:
            continue  # it tells nothing; its number is counted all the same
    return records
