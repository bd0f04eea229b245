"""Records on their way to the spool: a bounded list in memory. Pure.

When it is full a waveform keeps only its place; a measurement takes the place of the oldest waveform, an event that of
the oldest waveform or measurement. Where there is none, a measurement keeps only its place too, and an event is folded
with others of its rule. So nothing that is dropped here is dropped silently: see `Gone`, `Fold`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge.spool import Entry, Event, Fold, Gone, fold, join, rule_of
from wire.record import Lane, Record


class Waiting:
    """Keep at most ``most`` records. ``dropped`` counts those that were handed over and did not stay whole."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: list[Entry] = []
        self._folds: dict[str, Fold] = {}
        self._whole: Counter[Lane] = Counter()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._folds)

    def put(self, lane: Lane, record: Record) -> None:
        """Add a record."""
        if lane is Lane.ALARMS:
            self._put_event(record)
        elif len(self._entries) < self._most or (lane is Lane.MEASUREMENTS and self._displace(Lane.WAVEFORMS)):
            self._add(lane, record)
        else:
            self.dropped += 1
            self._add_gone(lane, make_gone(record, "memory"))

    def _put_event(self, event: Record) -> None:
        rule = rule_of(event)
        if rule not in self._folds and (
            len(self._entries) < self._most or self._displace(Lane.WAVEFORMS) or self._displace(Lane.MEASUREMENTS)
        ):
            self._add(Lane.ALARMS, event)
            return
        self.dropped += 1
        self._fold(fold(event))

    def _add_gone(self, lane: Lane, gone: Gone) -> None:
        self._entries.append((lane, gone))
        self._join_before(len(self._entries) - 1)

    def _add(self, lane: Lane, record: Record) -> None:
        self._entries.append((lane, record))
        self._whole[lane] += 1

    def _displace(self, lane: Lane) -> bool:
        """Let the oldest record of a lane go, keeping its place. False if there is none."""
        if not self._whole[lane]:
            return False
        index = next(i for i, (of, entry) in enumerate(self._entries) if of is lane and not isinstance(entry, Gone))
        self.dropped += 1
        self._whole[lane] -= 1
        self._entries[index] = (lane, make_gone(self._entries[index][1], "memory"))
        behind = next((i for i in range(index + 1, len(self._entries)) if self._entries[i][0] is lane), None)
        if behind is not None:
            self._join_before(behind)
        self._join_before(index)
        return True

    def _join_before(self, index: int) -> None:
        """Make one of two places of a lane that follow each other, so that a long fault takes no memory."""
        lane, last = self._entries[index]
        earlier = next((i for i in range(index - 1, -1, -1) if self._entries[i][0] is lane), None)
        first = self._entries[earlier][1] if earlier is not None else None
        if earlier is not None and isinstance(first, Gone) and isinstance(last, Gone) and first.reason == last.reason:
            self._entries[earlier] = lane, Gone(first.count + last.count, first.reason, first.from_ns, last.to_ns)
            del self._entries[index]

    def take(self) -> list[Entry]:
        """Take everything, in order within each lane."""
        taken = self._entries + [(Lane.ALARMS, entry) for entry in self._folds.values()]
        self._entries, self._folds = [], {}
        self._whole.clear()
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put what was taken before everything else again. What came meanwhile finds the room that is left."""
        newer = self.take()
        for lane, entry in entries:
            if isinstance(entry, Fold):
                self._fold(entry)
            elif isinstance(entry, Gone):
                self._entries.append((lane, entry))
            else:
                self._add(lane, entry)
        for lane, entry in newer:
            if isinstance(entry, Fold):
                self._fold(entry)
            elif isinstance(entry, Gone):
                self._add_gone(lane, entry)
            else:
                self.put(lane, entry)

    def _fold(self, entry: Fold) -> None:
        rule = rule_of(entry.last)
        self._folds[rule] = join(self._folds.pop(rule, None), entry)  # what was added to last comes last


def make_gone(entry: Event, reason: str) -> Gone:
    """Give what keeps the place of a record that cannot be kept."""
    at_ns = None if isinstance(entry, Gone | Fold) else entry.mono_ns
    return Gone(1, reason, at_ns, at_ns)
