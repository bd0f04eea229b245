"""Tombstones: what stands in the place of records that are no longer held and that the fleet may lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from edge.spool.file import SpoolFile, lane_of, octets, pack, split_ids, unpack, whole
from edge.spool.minutes import merge
from wire.conversation import Minute, Tombstone
from wire.record import Lane

JOINED_OCTETS = 16_384
"""Neighbours are joined until what they tell takes this much; it goes out in one batch."""
EMPTY = pack([])


class Gone(msgspec.Struct, frozen=True):
    """``count`` records that never got to the disk. They use numbers all the same, so that the fleet is told."""

    count: int
    reason: str
    from_ns: int | None = None
    to_ns: int | None = None


class Found(msgspec.Struct, frozen=True):
    """A tombstone as it is stored, with its first number and the ids of the layouts that it names."""

    first: int
    tombstone: Tombstone
    layouts: tuple[bytes, ...]


class Tombstones:
    """The table of them. What changes it belongs into a transaction of the caller."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def add(self, lane: Lane, n: int, first: int, tombstone: Tombstone, *, joins: bool = True) -> None:
        """Put one up, joined with the one right before it where that has the same reason and stays small."""
        minutes = list(tombstone.minutes)
        for row, before, from_ns, old in self._file.query(
            "SELECT id, first, from_ns, minutes FROM tombstone WHERE lane = ? AND n = ? AND last = ? AND reason = ?",
            (lane, n, first - 1, tombstone.reason),
        ):
            if not joins or len(octets(old)) > JOINED_OCTETS:
                break
            minutes = merge([*(unpack(old, list[Minute]) or []), *minutes])
            first = whole(before)
            tombstone = msgspec.structs.replace(
                tombstone, from_ns=tombstone.from_ns if from_ns is None else whole(from_ns)
            )
            self._file.execute("DELETE FROM tombstone WHERE id = ?", (row,))
        self._file.execute(
            "INSERT INTO tombstone (lane, n, first, last, reason, from_ns, to_ns, layouts, minutes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                lane,
                n,
                first,
                tombstone.last,
                tombstone.reason,
                tombstone.from_ns,
                tombstone.to_ns,
                b"".join(dict.fromkeys(minute.layout for minute in minutes)),
                pack(minutes),
            ),
        )

    def next(self, lane: Lane, n: int, after: int) -> Found | None:
        """Return the one that holds ``after + 1`` or comes first behind it."""
        for first, last, reason, from_ns, to_ns, layouts, minutes in self._file.rows(
            "SELECT first, last, reason, from_ns, to_ns, layouts, minutes FROM tombstone"
            " WHERE lane = ? AND n = ? AND last > ? ORDER BY last LIMIT 1",
            (lane, n, after),
        ):
            tombstone = Tombstone(
                last=whole(last),
                reason=str(reason),
                from_ns=None if from_ns is None else whole(from_ns),
                to_ns=None if to_ns is None else whole(to_ns),
                minutes=tuple(unpack(minutes, list[Minute]) or ()),
            )
            return Found(whole(first), tombstone, tuple(split_ids(layouts)))
        return None

    def told_bytes(self) -> int:
        """Octets that all of them tell of minutes."""
        return self._file.number("SELECT SUM(LENGTH(minutes)) FROM tombstone")

    def shorten(self) -> bool:
        """Leave out what the oldest tell of minutes, and join them. False if none tells anything any more."""
        rows = self._file.query(
            "SELECT id, lane, n, first, last, reason, from_ns, to_ns FROM tombstone WHERE LENGTH(minutes) > ?"
            " ORDER BY n, last LIMIT 16",
            (len(EMPTY),),
        )
        for row, lane, n, first, last, reason, from_ns, to_ns in rows:
            self._file.execute("DELETE FROM tombstone WHERE id = ?", (row,))
            short = Tombstone(last=whole(last), reason=str(reason), from_ns=_time(from_ns), to_ns=_time(to_ns))
            self.add(lane_of(lane), whole(n), whole(first), short)
        return bool(rows)

    def cover(self, lane: Lane, n: int, after: int, head: int, reason: str) -> None:
        """Put tombstones wherever a number from ``after + 1`` to ``head`` has neither a record nor one of them."""
        for first, last in list(holes(self._held(lane, n, after), after, head)):
            self.add(lane, n, first, Tombstone(last=last, reason=reason), joins=False)

    def find_hole(self, lane: Lane, n: int, after: int, head: int) -> tuple[int, int] | None:
        """Return the first range of numbers from ``after + 1`` to ``head`` that nothing stands for."""
        return next(holes(self._held(lane, n, after), after, head), None)

    def _held(self, lane: Lane, n: int, after: int) -> Iterator[tuple[int, int]]:
        where = "WHERE lane = ? AND n = ? AND last > ?"
        rows = self._file.rows(
            f"SELECT first, last FROM chunk {where} UNION ALL SELECT first, last FROM tombstone {where} ORDER BY last",  # noqa: S608 - ours
            (lane, n, after, lane, n, after),
        )
        return ((whole(first), whole(last)) for first, last in rows)


def holes(held: Iterable[tuple[int, int]], after: int, head: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``after + 1`` to ``head`` that no range of ``held``, in order, covers. Pure."""
    expected = after + 1
    for first, last in held:
        if first > expected:
            yield expected, min(first - 1, head)
        expected = max(expected, last + 1)
    if expected <= head:
        yield expected, head


def times(records: Sequence[object]) -> tuple[int | None, int | None]:
    """Return the monotonic time of the first and of the last record, None where there is none."""
    found = [at for record in records if isinstance(at := getattr(record, "mono_ns", None), int)]
    return (found[0], found[-1]) if found else (None, None)


def _time(value: object) -> int | None:
    return None if value is None else whole(value)
