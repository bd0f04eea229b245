"""Read waveforms back: what streams there are and how far they reach, the packets of a window, a chart's columns.

A session shows what its account may see (`fleet.accounts.scope`), so every function here does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError, NotFoundError
from fleet.readings.models import Record
from fleet.waveforms.index import HOUR_NS, MINUTE_NS
from fleet.waveforms.models import Waveform, WaveHour, WaveMinute, WaveRun, WaveStream
from fleet.waveforms.packets import PACKET_MOST_NS
from fleet.waveforms.spans import Span, find_gaps, join
from seismic.packet import Packet, from_record, spell_ns
from wire.record import WaveformRecord, decode_record

PAGE_PACKETS = 500
"""Packets read from the database at once."""
WINDOW_MOST = 2_000_000
"""Samples that one window holds: three components for about an hour at 200 samples/s."""
COLUMNS_MOST = 4000
SAMPLES_BELOW_NS = 10 * MINUTE_NS
PACKETS_BELOW_NS = 3 * HOUR_NS
MINUTES_BELOW_NS = 3 * 24 * HOUR_NS
"""A chart is drawn from samples, packets, minutes or hours, so that it has no more than some thousand parts."""
GAPS_SHOWN = 200


class Reach(msgspec.Struct, frozen=True):
    """A stream and how far it reaches. ``gaps`` counts the stretches without data in between."""

    stream: str
    station: str
    gateways: tuple[str, ...]
    first_ns: int | None
    newest_ns: int | None
    rate_hz: float
    timing: int
    flags: int
    gaps: int
    gap_ns: int
    untimed: int


class Column(msgspec.Struct, frozen=True):
    """A part of a chart: the least and the largest count from ``start_ns`` up to ``end_ns``."""

    start_ns: int
    end_ns: int
    least: int
    most: int
    timing: int
    flags: int


class Chart(msgspec.Struct, frozen=True):
    """A stream between two times. ``gaps`` are (from, to), the newest `GAPS_SHOWN` of ``gaps_count``."""

    stream: str
    start_ns: int
    end_ns: int
    source: str
    columns: tuple[Column, ...]
    gaps: tuple[tuple[int, int], ...]
    gaps_count: int


def find_streams(session: Session, name: str) -> Sequence[WaveStream]:
    """Return the rows of a stream: more than one where a gateway took another's place. Raises NotFoundError."""
    rows = session.scalars(sa.select(WaveStream).where(WaveStream.name == name).order_by(WaveStream.id)).all()
    if not rows:
        raise NotFoundError(f"there are no waveforms of '{name}'")
    return rows


def list_streams(session: Session, gateway: str = "", station: str = "") -> list[Reach]:
    """Return the streams by name, of one gateway or station (``NET.STA``) if it is given."""
    query = sa.select(WaveStream).order_by(WaveStream.name, WaveStream.id)
    if gateway:
        query = query.where(WaveStream.gateway == gateway)
    if station:
        query = query.where(WaveStream.station == station)
    by_name: dict[str, list[WaveStream]] = {}
    for row in session.scalars(query):
        by_name.setdefault(row.name, []).append(row)
    return [_describe(session, name, rows) for name, rows in by_name.items()]


def get_stream(session: Session, name: str) -> Reach:
    """Return a stream and how far it reaches. Raises NotFoundError."""
    return _describe(session, name, find_streams(session, name))


def _describe(session: Session, name: str, rows: Sequence[WaveStream]) -> Reach:
    newest = max(rows, key=lambda row: row.newest_ns)
    spans = list_spans(session, name)
    gaps: list[tuple[int, int]] = []
    if spans:
        gaps = find_gaps(spans, spans[0].start_ns, max(span.end_ns for span in spans))
    return Reach(
        stream=name,
        station=newest.station,
        gateways=tuple(row.gateway for row in rows),
        first_ns=spans[0].start_ns if spans else None,
        newest_ns=max(span.end_ns for span in spans) if spans else None,
        rate_hz=newest.rate_hz,
        timing=newest.timing,
        flags=newest.flags,
        gaps=len(gaps),
        gap_ns=sum(end_ns - start_ns for start_ns, end_ns in gaps),
        untimed=sum(row.untimed for row in rows),
    )


def list_spans(session: Session, name: str, start_ns: int | None = None, end_ns: int | None = None) -> list[Span]:
    """Return the stretches without a gap that a stream has between two times, oldest first."""
    ids = sa.select(WaveStream.id).where(WaveStream.name == name)
    query = sa.select(WaveRun.start_ns, WaveRun.end_ns, WaveRun.rate_hz).where(WaveRun.stream_id.in_(ids))
    if start_ns is not None:
        query = query.where(WaveRun.end_ns > start_ns)
    if end_ns is not None:
        query = query.where(WaveRun.start_ns < end_ns)
    return join(Span(*row) for row in session.execute(query))


def window(session: Session, name: str, start_ns: int, end_ns: int) -> list[Packet]:
    """Return the packets of a stream that have samples between two times (UTC in ns), oldest first.

    None for a stream that there is not. Raises InvalidError for more than `WINDOW_MOST` samples.
    """
    packets, samples = [], 0
    for packet in iterate(session, name, start_ns, end_ns):
        samples += len(packet.counts)
        if samples > WINDOW_MOST:
            raise InvalidError(f"more than {WINDOW_MOST} samples were asked for at once", hint="ask for a shorter time")
        packets.append(packet)
    return packets


def iterate(session: Session, name: str, start_ns: int, end_ns: int) -> Iterator[Packet]:
    """Yield the packets of a stream that have samples between two times, oldest first, a page of them at a time."""
    ids = list(session.scalars(sa.select(WaveStream.id).where(WaveStream.name == name)))
    query = (
        sa.select(Waveform.start_ns, Waveform.seq, Record.body)
        .join(Record, Record.id == Waveform.record_id)
        .where(Waveform.stream_id.in_(ids), Waveform.end_ns > start_ns, Waveform.start_ns < end_ns)
        .order_by(Waveform.start_ns, Waveform.seq)
        .limit(PAGE_PACKETS)
    )
    at: tuple[int, int] = (start_ns - PACKET_MOST_NS, 0)
    while ids:
        place = sa.tuple_(Waveform.start_ns, Waveform.seq) > at
        rows = session.execute(query.where(Waveform.start_ns >= at[0], place)).all()
        for row in rows:
            yield read_packet(row.body, row.start_ns)
        if len(rows) < PAGE_PACKETS:
            return
        at = (rows[-1].start_ns, rows[-1].seq)


def read_packet(body: bytes, start_ns: int) -> Packet:
    """Read a packet from its record, which could be read when it was committed. It began at ``start_ns`` (UTC)."""
    record = decode_record(body)
    assert isinstance(record, WaveformRecord)
    return msgspec.structs.replace(from_record(record), start_ns=start_ns)


def chart(session: Session, name: str, start_ns: int, end_ns: int, columns: int = 1000) -> Chart:
    """Return a stream between two times in ``columns`` equal parts, without those that are empty.

    Raises InvalidError for a time that cannot be.
    """
    if not 0 <= start_ns < end_ns < 2**63:
        raise InvalidError("'from' must lie before 'to'")
    if not 1 <= columns <= COLUMNS_MOST:
        raise InvalidError(f"ask for 1 to {COLUMNS_MOST} columns")
    spans = list_spans(session, name, start_ns, end_ns)
    gaps = find_gaps(spans, start_ns, end_ns)
    source, read = next((source, read) for below_ns, source, read in SOURCES if end_ns - start_ns < below_ns)
    parts = read(session, name, start_ns, end_ns)
    return Chart(
        stream=name,
        start_ns=start_ns,
        end_ns=end_ns,
        source=source,
        columns=tuple(_fold(parts, start_ns, end_ns, columns)),
        gaps=tuple(gaps[-GAPS_SHOWN:]),
        gaps_count=len(gaps),
    )


def _fold(parts: Iterable[Column], start_ns: int, end_ns: int, columns: int) -> Iterator[Column]:
    """Put parts together that begin in the same column; the part that began before the first counts to it."""
    width_ns = -(-(end_ns - start_ns) // columns)
    found: dict[int, Column] = {}
    for part in parts:
        index = max(part.start_ns - start_ns, 0) // width_ns
        before = found.get(index)
        found[index] = part if before is None else _join(before, part)
    return (found[index] for index in sorted(found))


def _join(first: Column, second: Column) -> Column:
    return Column(
        first.start_ns,
        max(first.end_ns, second.end_ns),
        min(first.least, second.least),
        max(first.most, second.most),
        min((timing for timing in (first.timing, second.timing) if timing >= 0), default=-1),
        first.flags | second.flags,
    )


def _read_samples(session: Session, name: str, start_ns: int, end_ns: int) -> Iterator[Column]:
    for packet in iterate(session, name, start_ns, end_ns):
        assert packet.start_ns is not None
        step_ns = spell_ns(1, packet.rate_hz)
        for index, count in enumerate(packet.counts):
            at_ns = packet.start_ns + spell_ns(index, packet.rate_hz)
            if start_ns <= at_ns < end_ns:
                yield Column(at_ns, at_ns + step_ns, count, count, packet.timing, packet.flags)


def _read_packets(session: Session, name: str, start_ns: int, end_ns: int) -> Iterator[Column]:
    query = sa.select(
        Waveform.start_ns, Waveform.end_ns, Waveform.least, Waveform.most, Waveform.timing, Waveform.flags
    ).where(
        Waveform.stream_id.in_(sa.select(WaveStream.id).where(WaveStream.name == name)),
        Waveform.start_ns >= start_ns - PACKET_MOST_NS,
        Waveform.start_ns < end_ns,
        Waveform.end_ns > start_ns,
    )
    return (Column(*row) for row in session.execute(query.order_by(Waveform.start_ns)))


def _read_envelopes(table: type[WaveMinute] | type[WaveHour], width_ns: int) -> Read:
    def read(session: Session, name: str, start_ns: int, end_ns: int) -> Iterator[Column]:
        query: sa.Select[Any] = sa.select(table.at_ns, table.least, table.most, table.timing, table.flags).where(
            table.stream_id.in_(sa.select(WaveStream.id).where(WaveStream.name == name)),
            table.at_ns > start_ns - width_ns,
            table.at_ns < end_ns,
        )
        for at_ns, *figures in session.execute(query.order_by(table.at_ns)):
            yield Column(at_ns, at_ns + width_ns, *figures)

    return read


Read = Callable[[Session, str, int, int], Iterator[Column]]
SOURCES: Sequence[tuple[float, str, Read]] = (
    (SAMPLES_BELOW_NS, "samples", _read_samples),
    (PACKETS_BELOW_NS, "packets", _read_packets),
    (MINUTES_BELOW_NS, "minutes", _read_envelopes(WaveMinute, MINUTE_NS)),
    (float("inf"), "hours", _read_envelopes(WaveHour, HOUR_NS)),
)
"""What a chart shorter than so many ns is drawn from."""
