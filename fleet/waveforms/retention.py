"""Let old packets go: their records, their rows in the index, and what the envelopes and stretches say of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.models import Record
from fleet.readings.retention import ROWS
from fleet.waveforms.index import COUNTER, WIDTHS, Envelopes
from fleet.waveforms.models import WaveCounter, Waveform, WaveRun
from fleet.waveforms.numbering import RESTORED
from fleet.waveforms.packets import PACKET_MOST_NS
from fleet.waveforms.spans import Span, cut, join
from wire.record import Lane


def prune(session: Session, before_ns: int) -> int:
    """Delete the oldest records of lane W that were received before ``before_ns``. Returns how many.

    Numbers are not given again: the next one stands in a row of its own.
    """
    oldest = (
        sa.select(Record.id)
        .where(Record.lane == Lane.WAVEFORMS.value, Record.received_ns < before_ns)
        .order_by(Record.id)
        .limit(ROWS)
    )
    ids = session.scalars(oldest).all()
    if ids:
        _forget(session, ids)
        session.execute(sa.delete(Record).where(Record.id.in_(ids)))
    return len(ids)


def _forget(session: Session, record_ids: Sequence[int]) -> None:
    gone: dict[int, list[Span]] = defaultdict(list)
    deleted = sa.delete(Waveform).where(Waveform.record_id.in_(record_ids))
    columns = (Waveform.stream_id, Waveform.start_ns, Waveform.end_ns, Waveform.rate_hz)
    for stream_id, *span in session.execute(deleted.returning(*columns)).all():
        gone[stream_id].append(Span(*span))
    for stream_id, spans in gone.items():
        from_ns, to_ns = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
        _cut_runs(session, stream_id, join(spans), from_ns, to_ns)
        for table, width_ns in WIDTHS.items():
            _drop_empty(session, table, width_ns, stream_id, from_ns, to_ns)


def _cut_runs(session: Session, stream_id: int, gone: Sequence[Span], from_ns: int, to_ns: int) -> None:
    touched = sa.select(WaveRun).where(
        WaveRun.stream_id == stream_id, WaveRun.end_ns > from_ns, WaveRun.start_ns < to_ns
    )
    for row in session.scalars(touched).all():
        session.delete(row)
        for span in cut(Span(row.start_ns, row.end_ns, row.rate_hz), gone):
            session.add(WaveRun(stream_id=stream_id, start_ns=span.start_ns, end_ns=span.end_ns, rate_hz=span.rate_hz))
    session.flush()


def _drop_empty(session: Session, table: Envelopes, width_ns: int, stream_id: int, from_ns: int, to_ns: int) -> None:
    """Delete the envelopes of which no packet is left; one that has lost a part keeps its extremes until then."""
    inside = (
        sa.select(Waveform.seq)
        .where(
            Waveform.stream_id == stream_id,
            Waveform.start_ns >= table.at_ns,
            Waveform.start_ns < table.at_ns + width_ns,
        )
        .correlate(table)
    )
    session.execute(
        sa.delete(table)
        .where(
            table.stream_id == stream_id,
            table.at_ns > from_ns - width_ns,
            table.at_ns < to_ns + PACKET_MOST_NS,
            ~inside.exists(),
        )
        .execution_options(synchronize_session=False)
    )


def skip_numbers(session: Session) -> None:
    """Raise the next number above all that may have been given out since this database was backed up."""
    raised = sa.update(WaveCounter).where(WaveCounter.id == COUNTER)
    session.execute(raised.values(next_seq=WaveCounter.next_seq + RESTORED))
