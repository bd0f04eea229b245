"""Note the packets that a transaction commits: one row each, their envelopes, and the stretches that they make.

Called within the transaction that stores the records, after it took its turn (`fleet.db.take_turn`): numbers become
visible in their order, and no other writer changes what is read here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.waveforms.models import WaveCounter, Waveform, WaveHour, WaveMinute, WaveRun, WaveStream
from fleet.waveforms.numbering import count_numbers, place
from fleet.waveforms.packets import station_of
from fleet.waveforms.spans import NS, SLACK, Span, join
from seismic.packet import spell_ns
from wire.record import WaveformRecord

MINUTE_NS, HOUR_NS = 60 * NS, 3600 * NS
COUNTER = 1
INT_MAX = 2**63 - 1
Envelopes = type[WaveMinute] | type[WaveHour]
WIDTHS: Mapping[Envelopes, int] = {WaveMinute: MINUTE_NS, WaveHour: HOUR_NS}


class Noted(msgspec.Struct, frozen=True):
    """A packet with its place: the record that brought it, and its first and last moment in UTC."""

    gateway: str
    record: WaveformRecord
    record_id: int
    start_ns: int
    least: int
    most: int

    @property
    def end_ns(self) -> int:
        """When the next sample is due."""
        return self.start_ns + spell_ns(self.record.samples, self.record.rate_hz)


class Envelope(msgspec.Struct):
    """What is to be added to a row of envelopes."""

    samples: int
    least: int
    most: int
    timing: int
    flags: int

    def add(self, other: Envelope | WaveMinute | WaveHour) -> None:
        """Take in what another holds."""
        self.samples += other.samples
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.timing = worst_timing(self.timing, other.timing)
        self.flags |= other.flags


def worst_timing(one: int, other: int) -> int:
    """Return the lower of two timing qualities, of which -1 says nothing."""
    return max(one, other) if min(one, other) < 0 else min(one, other)


class Packets:
    """The packets of one transaction."""

    def __init__(self) -> None:
        self._noted: list[Noted] = []
        self._untimed: dict[tuple[str, str], int] = defaultdict(int)

    def add(
        self, gateway: str, record_id: int, record: WaveformRecord, counts: Sequence[int], start_ns: int | None
    ) -> None:
        """Take a packet. Without a time, or with one that no column holds, it is only counted."""
        if start_ns is None or start_ns + spell_ns(record.samples, record.rate_hz) > INT_MAX:
            self._untimed[gateway, record.stream] += 1
            return
        self._noted.append(Noted(gateway, record, record_id, start_ns, min(counts), max(counts)))

    def insert(self, session: Session) -> None:
        """Write all of them down. Raises SQLAlchemyError."""
        if not self._noted and not self._untimed:
            return
        streams = _find_streams(session, {*((one.gateway, one.record.stream) for one in self._noted), *self._untimed})
        for key, count in self._untimed.items():
            streams[key].untimed += count
        by_stream: dict[int, list[Noted]] = defaultdict(list)
        rows = []
        counter = _find_counter(session)
        for one in self._noted:
            stream = streams[one.gateway, one.record.stream]
            by_stream[stream.id].append(one)
            numbers = count_numbers(one.record.samples)
            seq = place(counter.next_seq, numbers)
            counter.next_seq = seq + numbers
            rows.append(_write(one, stream.id, seq, numbers))
            _note_newest(stream, one)
        if rows:
            session.execute(sa.insert(Waveform), rows)
        for table, width_ns in WIDTHS.items():
            _add_envelopes(session, table, _fold(by_stream, width_ns))
        _add_runs(session, by_stream)
        session.flush()


def _find_streams(session: Session, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], WaveStream]:
    """Return the rows of streams, made where there is none yet."""
    wanted = set(keys)
    names = sorted({name for _, name in wanted})
    found = {
        (row.gateway, row.name): row
        for row in session.scalars(sa.select(WaveStream).where(WaveStream.name.in_(names)))
        if (row.gateway, row.name) in wanted
    }
    for gateway, name in sorted(wanted - found.keys()):
        row = WaveStream(gateway=gateway, name=name, station=station_of(name), newest_ns=0, rate_hz=0.0)
        row.timing, row.flags, row.untimed = -1, 0, 0
        session.add(row)
        found[gateway, name] = row
    session.flush()
    return found


def _find_counter(session: Session) -> WaveCounter:
    """Return the next number, which nobody else moves until the end."""
    counter = session.get(WaveCounter, COUNTER, with_for_update=True)
    if counter is None:
        counter = WaveCounter(id=COUNTER, next_seq=1)
        session.add(counter)
    return counter


def _write(one: Noted, stream_id: int, seq: int, numbers: int) -> dict[str, Any]:
    record = one.record
    return {
        "seq": seq,
        "numbers": numbers,
        "record_id": one.record_id,
        "stream_id": stream_id,
        "start_ns": one.start_ns,
        "end_ns": one.end_ns,
        "rate_hz": record.rate_hz,
        "samples": record.samples,
        "least": one.least,
        "most": one.most,
        "timing": record.timing,
        "flags": record.flags,
    }


def _note_newest(stream: WaveStream, one: Noted) -> None:
    if one.end_ns >= stream.newest_ns:
        stream.newest_ns, stream.rate_hz = one.end_ns, one.record.rate_hz
        stream.timing, stream.flags = one.record.timing, one.record.flags


def _fold(by_stream: Mapping[int, Iterable[Noted]], width_ns: int) -> dict[tuple[int, int], Envelope]:
    """Put packets of a stream together that begin in the same stretch of time: {(stream's row, begin): envelope}."""
    folded: dict[tuple[int, int], Envelope] = {}
    for stream_id, noted in by_stream.items():
        for one in noted:
            key = stream_id, one.start_ns - one.start_ns % width_ns
            more = Envelope(one.record.samples, one.least, one.most, one.record.timing, one.record.flags)
            if key in folded:
                folded[key].add(more)
            else:
                folded[key] = more
    return folded


def _add_envelopes(session: Session, table: Envelopes, folded: Mapping[tuple[int, int], Envelope]) -> None:
    query: sa.Select[Any] = sa.select(table).where(sa.tuple_(table.stream_id, table.at_ns).in_(sorted(folded)))
    there = {(row.stream_id, row.at_ns): row for row in session.scalars(query)}
    new = []
    for (stream_id, at_ns), more in folded.items():
        row = there.get((stream_id, at_ns))
        if row is None:
            new.append({"stream_id": stream_id, "at_ns": at_ns, **msgspec.structs.asdict(more)})
            continue
        more.add(row)
        for name, figure in msgspec.structs.asdict(more).items():
            setattr(row, name, figure)
    if new:
        session.execute(sa.insert(table), new)


def _add_runs(session: Session, by_stream: Mapping[int, Sequence[Noted]]) -> None:
    """Join new stretches to those that touch them."""
    if not by_stream:
        return
    every = [one for noted in by_stream.values() for one in noted]
    slack_ns = max(round(SLACK * NS / one.record.rate_hz) for one in every) + 1
    query = sa.select(WaveRun).where(
        WaveRun.stream_id.in_(sorted(by_stream)),
        WaveRun.end_ns >= min(one.start_ns for one in every) - slack_ns,
        WaveRun.start_ns <= max(one.end_ns for one in every) + slack_ns,
    )
    known: dict[int, dict[Span, WaveRun]] = defaultdict(dict)
    for row in session.scalars(query):
        known[row.stream_id][Span(row.start_ns, row.end_ns, row.rate_hz)] = row
    for stream_id, noted in by_stream.items():
        there = known[stream_id]
        new = join(Span(one.start_ns, one.end_ns, one.record.rate_hz) for one in noted)
        _replace_runs(session, stream_id, there, set(join([*there, *new])))


def _replace_runs(session: Session, stream_id: int, there: Mapping[Span, WaveRun], wanted: set[Span]) -> None:
    """Make the rows of a stream those that are wanted: one that grew stays, with another end."""
    free = [row for span, row in there.items() if span not in wanted]
    for span in sorted(wanted - there.keys()):
        if free:
            row = free.pop()
            row.start_ns, row.end_ns, row.rate_hz = span.start_ns, span.end_ns, span.rate_hz
        else:
            session.add(WaveRun(stream_id=stream_id, start_ns=span.start_ns, end_ns=span.end_ns, rate_hz=span.rate_hz))
    for row in free:
        session.delete(row)
