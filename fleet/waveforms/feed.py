"""What one SeedLink client gets: the packets behind its place, in the order of their numbers, a few at a time.

A client's wishes each have a place: the next number that it lacks. Every look at the database is bounded, so that a
client that begins months ago costs no more at once than one that is up to date, and nothing waits in memory for a
client that reads slowly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.readings.models import Record
from fleet.waveforms.models import WaveCounter, Waveform, WaveStream
from fleet.waveforms.numbering import count_numbers, number_records
from fleet.waveforms.packets import PACKET_MOST_NS
from fleet.waveforms.service import read_packet
from seismic import seedlink
from seismic.miniseed import Version, records
from seismic.packing import SAMPLES_MOST
from seismic.seedlink import DATA, FORMAT_2, FORMAT_3, Carried, Selector
from seismic.seedlink_server import Start, Wanted

log = logging.getLogger(__name__)

PACKETS_MOST = 200
"""Packets read for a client at once."""
NUMBERS_LOOKED_AT = 20_000
"""Numbers that one look passes by at most: other stations' packets lie between those that are wanted."""
ENCODED_KEPT = 4096
LATE_NS = PACKET_MOST_NS
"""A window has ended once its end is so long ago: until then packets of it may come."""
Row = sa.Row[int, int, int, int, int, bytes]
VERSIONS: Mapping[str, Version] = {FORMAT_2: 2, FORMAT_3: 3}


class Known(msgspec.Struct, frozen=True):
    """A stream by the ids of SeedLink: its row, station ``NET_STA`` and stream ``LOC_B_S_SS``."""

    row_id: int
    station: str
    stream: str


class Place(msgspec.Struct):
    """A wish and how far it is: ``next_seq`` is the first number that the client lacks."""

    wanted: Wanted
    next_seq: int


class Feed:
    """The places of one client. Made when it starts to stream."""

    def __init__(self, session: Session, start: Start) -> None:
        self._start = start
        next_seq = read_next(session)
        known = list_known(session)
        self._places = []
        for index, wanted in enumerate(start.wanted):
            streams = _own(known, start.wanted, index)
            seq = find_place(session, wanted, start.version, next_seq, streams)
            self._places.append(Place(_read(wanted, start), seq))
        self._until_seq = next_seq

    def read(self, session: Session, next_seq: int) -> list[bytes]:
        """Return the next packets as they go over the wire; none if nothing is there for it yet."""
        known = list_known(session)
        sent: list[bytes] = []
        for index, place in enumerate(self._places):
            if place.next_seq < next_seq:
                sent += self._advance(session, place, _own(known, self._start.wanted, index), next_seq)
        return sent

    def is_behind(self, next_seq: int) -> bool:
        """Tell whether there may be more for it already."""
        return any(place.next_seq < next_seq for place in self._places)

    def has_ended(self, now_ns: int) -> bool:
        """Tell whether all that was asked for has been read: what was there at the start, or a window that is over."""
        if self._start.is_fetch:
            return all(place.next_seq >= self._until_seq for place in self._places)
        ends = [place.wanted.end_ns for place in self._places]
        return all(end_ns is not None and end_ns + LATE_NS < now_ns for end_ns in ends)

    def _advance(self, session: Session, place: Place, streams: Mapping[int, Known], next_seq: int) -> list[bytes]:
        """Move a place on, past what nobody wants, and return what lies in between."""
        base = session.scalar(sa.select(sa.func.min(Waveform.seq)).where(Waveform.seq > place.next_seq - NUMBERS_MOST))
        wanted = _select(streams.values(), place.wanted.selectors, self._start.version)
        if base is None or not wanted:
            place.next_seq = next_seq
            return []
        end = min(max(base, place.next_seq) + NUMBERS_LOOKED_AT, next_seq)
        query = (
            sa.select(
                Waveform.seq, Waveform.numbers, Waveform.stream_id, Waveform.start_ns, Waveform.end_ns, Record.body
            )
            .join(Record, Record.id == Waveform.record_id)
            .where(Waveform.seq >= base, Waveform.seq < end, Waveform.stream_id.in_(wanted))
            .where(Waveform.seq + Waveform.numbers > place.next_seq)
            .order_by(Waveform.seq)
            .limit(PACKETS_MOST)
        )
        rows = session.execute(query).all()
        sent: list[bytes] = []
        for row in rows:
            if _is_within(place.wanted, row.start_ns, row.end_ns):
                known, version = wanted[row.stream_id]
                sent += self._write(row, known, version, place.next_seq)
        place.next_seq = rows[-1].seq + rows[-1].numbers if len(rows) == PACKETS_MOST else max(end, place.next_seq)
        return sent

    def _write(self, row: Row, known: Known, version: Version, from_seq: int) -> list[bytes]:
        encoded = encode(row.body, row.start_ns, version)
        numbered = zip(number_records(row.seq, row.numbers, len(encoded)), encoded, strict=True)
        wanted = [(seq, octets) for seq, octets in numbered if seq >= from_seq]
        if self._start.version == 3:
            return [seedlink.format_packet_3(seq, octets) for seq, octets in wanted]
        form = FORMAT_2 if version == 2 else FORMAT_3
        return [seedlink.format_packet(Carried(known.station, seq, octets, form, DATA)) for seq, octets in wanted]


NUMBERS_MOST = count_numbers(SAMPLES_MOST)
"""Numbers that one packet has at most: a packet that begins so far before a number may still own it."""


def read_next(session: Session) -> int:
    """Return the number that the next packet will get."""
    return session.scalar(sa.select(WaveCounter.next_seq)) or 1


def list_known(session: Session) -> list[Known]:
    """Return the streams that the session may see."""
    rows = session.execute(sa.select(WaveStream.id, WaveStream.name).order_by(WaveStream.id))
    return [Known(row_id, *seedlink.ids(name)) for row_id, name in rows]


def find_place(session: Session, wanted: Wanted, version: int, next_seq: int, streams: Mapping[int, Known]) -> int:
    """Return the first number that a wish asks for. One that was not given out yet means the next one."""
    if wanted.sequence is None and wanted.start_ns is None:
        return next_seq
    if wanted.sequence:
        asked = wanted.sequence if version == 4 else max(seedlink.widen(wanted.sequence, next_seq - 1), 0)
        if asked > next_seq:
            log.warning("a client asks for number %d of %s, the next is %d", asked, wanted.station, next_seq)
        return min(asked, next_seq)
    return 0 if wanted.start_ns is None else _find_time(session, wanted.start_ns, next_seq, streams)


def _find_time(session: Session, start_ns: int, next_seq: int, streams: Iterable[int]) -> int:
    """Return the least number of the packets that are the first of their streams from a time on."""
    found = [
        session.scalar(
            sa.select(Waveform.seq)
            .where(Waveform.stream_id == row_id, Waveform.start_ns >= start_ns - PACKET_MOST_NS)
            .order_by(Waveform.start_ns)
            .limit(1)
        )
        for row_id in streams
    ]
    return min((seq for seq in found if seq is not None), default=next_seq)


def _own(known: Iterable[Known], wanted: Sequence[Wanted], index: int) -> dict[int, Known]:
    """Return the streams that belong to a wish: a station belongs to the first that its name fits."""
    own = {}
    for each in known:
        fits = (number for number, wish in enumerate(wanted) if fnmatchcase(each.station, wish.station))
        if next(fits, None) == index:
            own[each.row_id] = each
    return own


def _read(wanted: Wanted, start: Start) -> Wanted:
    """Leave out the time that SeedLink 3 tells beside a number: it helps to find the place, and is no window."""
    return msgspec.structs.replace(wanted, start_ns=None) if start.version == 3 and wanted.sequence else wanted


def _select(streams: Iterable[Known], selectors: Sequence[Selector], protocol: int) -> dict[int, tuple[Known, Version]]:
    """Return the streams that are selected, each with the version of miniSEED that it is asked for in."""
    chosen: dict[int, tuple[Known, Version]] = {}
    for each in streams:
        filters = [one.filter for one in selectors if not one.is_excluding and fnmatchcase(each.stream, one.stream)]
        version: Version = 2 if protocol == 3 else next((VERSIONS[name] for name in filters if name in VERSIONS), 3)
        if seedlink.is_selected(selectors, each.stream, f"{version}{DATA}"):
            chosen[each.row_id] = each, version
    return chosen


def _is_within(wanted: Wanted, start_ns: int, end_ns: int) -> bool:
    return (wanted.start_ns is None or end_ns > wanted.start_ns) and (wanted.end_ns is None or start_ns < wanted.end_ns)


@lru_cache(maxsize=ENCODED_KEPT)
def encode(body: bytes, start_ns: int, version: Version) -> tuple[bytes, ...]:
    """Write a packet as miniSEED. Clients that are up to date ask for the same one after another."""
    return tuple(records(read_packet(body, start_ns), version))
