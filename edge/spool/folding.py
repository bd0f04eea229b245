"""Many events of one rule as one entry of constant size, so that a rule that chatters cannot silence another. Pure."""

from __future__ import annotations

import msgspec

from wire.record import ActionRecord, AlarmRecord, AuditRecord, FoldedRecord, QuakeRecord, Record, StandingRecord


class Fold(msgspec.Struct, frozen=True, array_like=True):
    """Events of one rule: how many, the first's time, and the last one whole."""

    count: int
    first_mono_ns: int
    first_wall_ns: int | None
    last: Record


def rule_of(event: Record) -> str:
    """Name what an event belongs to: its alarm, its output, the command it answers, the word of an audit event,
    or its quake."""
    match event:
        case StandingRecord() if event.by:
            return f"operator:{event.alarm}:{event.change}:{event.mono_ns}"  # what somebody did is told, not counted
        case AlarmRecord() | StandingRecord():
            return event.alarm
        case ActionRecord():
            return event.output
        case AuditRecord():
            return f"command:{event.command}" if event.command else event.event
        case QuakeRecord():  # of each quake the last word is told; what a slammed door was is not
            return f"quake:{event.station}:{'rejected' if event.state == 'rejected' else event.quake}"
        case FoldedRecord():
            return event.rule
        case _:
            raise TypeError(f"{type(event).__name__} is no event")


def fold(event: Record) -> Fold:
    """Make an entry of one event."""
    return Fold(1, event.mono_ns, event.wall_ns, event)


def join(earlier: Fold | None, later: Fold) -> Fold:
    """Put an entry behind another of the same rule."""
    if earlier is None:
        return later
    return Fold(earlier.count + later.count, earlier.first_mono_ns, earlier.first_wall_ns, later.last)


def unfold(rule: str, entry: Fold) -> list[Record]:
    """Turn an entry into records: one for all but the last, and the last as it was."""
    if entry.count == 1:
        return [entry.last]
    last = entry.last
    told = FoldedRecord(last.mono_ns, last.wall_ns, rule, entry.count - 1, entry.first_mono_ns, entry.first_wall_ns)
    return [told, last]
