"""The waveforms of an earthquake at its stations, as the envelope that a drawing needs.

A packet never changes, so what it folds to is remembered: while an event grows only what is new is unpacked.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways.models import Gateway
from fleet.quakes.models import StationQuake
from fleet.quakes.positions import find_entry
from fleet.quakes.summary import counts, strongest_of_stations
from fleet.readings.models import Record
from fleet.waveforms.export import Wanted
from fleet.waveforms.index import INT_MAX
from fleet.waveforms.models import Waveform, WaveStream
from fleet.waveforms.packets import PACKET_MOST_NS
from fleet.waveforms.places import ChannelEntry
from fleet.waveforms.service import list_spans, read_packet
from fleet.waveforms.stationxml import UNITS

NS = 1_000_000_000
FOLD_NS = NS // 10
"""The finest step of a drawing: three minutes of it fill a page."""
REMEMBERED = 8192
BEFORE_NS, AFTER_NS, LENGTH_MOST_NS = 10 * NS, 10 * NS, 300 * NS
FILE_BEFORE_NS, FILE_AFTER_NS, FILE_MOST_NS = 120 * NS, 600 * NS, 3600 * NS
"""What a file has before the first onset and after the end: the most that a gateway sends of itself."""
STATIONS_MOST = 8
"""Stations whose waveforms are drawn, the strongest."""
CENTI = {"m/s**2": "gal", "m/s": "cm/s"}
"""What a hundredth of a unit of StationXML is called."""
Step = tuple[int, int, int, int]
"""From, to (ns), least and largest count."""


class Trace(msgspec.Struct, frozen=True):
    """One stream: its steps by the time, and what a count is worth in ``unit``; "" as long as nobody said."""

    stream: str
    steps: tuple[Step, ...]
    per_count: float
    unit: str

    @property
    def code(self) -> str:
        """The channel's."""
        return code_of(self.stream)

    @property
    def middle(self) -> float:
        """Where the trace rests, in counts: its median, which a quake hardly moves."""
        return statistics.median((least + most) / 2 for _, _, least, most in self.steps)

    @property
    def swing(self) -> float:
        """How far it goes from there, in its unit."""
        middle = self.middle
        return max(max(most - middle, middle - least) for _, _, least, most in self.steps) * self.per_count


class StationWaves(msgspec.Struct, frozen=True):
    """What is drawn of one station: its report, and its channels by code; none while no packet has come."""

    report: StationQuake
    traces: tuple[Trace, ...]


class Waves(msgspec.Struct, frozen=True):
    """All stations on one axis of time, UTC in ns. ``left_off`` is how many stations are not drawn."""

    start_ns: int
    end_ns: int
    stations: tuple[StationWaves, ...]
    left_off: int


def find_waves(session: Session, reports: Sequence[StationQuake]) -> Waves | None:
    """Find the waveforms of an event's stations, those of the first onset first; None without a report that counts."""
    stations = strongest_of_stations(report for report in reports if counts(report))
    if not stations:
        return None
    drawn = sorted(sorted(stations, key=lambda one: -one.intensity_gb)[:STATIONS_MOST], key=lambda one: one.onset_ns)
    start_ns = min(one.onset_ns for one in drawn) - BEFORE_NS
    ends_ns = max(one.onset_ns + int(one.duration_s * NS) for one in drawn) + AFTER_NS
    end_ns = min(ends_ns, start_ns + LENGTH_MOST_NS)
    found = tuple(StationWaves(one, _find_traces(session, one, start_ns, end_ns)) for one in drawn)
    return Waves(start_ns, end_ns, found, len(stations) - len(drawn))


def find_reach(session: Session, reports: Sequence[StationQuake]) -> tuple[int, ...]:
    """How far the waveforms of an event's stations have come, channel by channel, no further than they are drawn."""
    if not reports:
        return ()
    end_ns = max(one.onset_ns + int(one.duration_s * NS) for one in reports) + AFTER_NS
    query = sa.select(WaveStream.newest_ns).where(
        WaveStream.gateway.in_({one.gateway for one in reports}),
        WaveStream.station.in_({one.station for one in reports}),
    )
    return tuple(min(newest_ns, end_ns) for newest_ns in session.scalars(query.order_by(WaveStream.id)))


def _find_traces(session: Session, report: StationQuake, start_ns: int, end_ns: int) -> tuple[Trace, ...]:
    query = sa.select(WaveStream).where(WaveStream.gateway == report.gateway, WaveStream.station == report.station)
    gateway = session.get(Gateway, report.gateway)
    worth = _read_worth(find_entry(gateway.reported if gateway else None, report.station).get("channels"))
    found = []
    for stream in session.scalars(query.order_by(WaveStream.name)).all():
        steps = tuple(_read_steps(session, stream.id, start_ns, end_ns))
        if steps:
            per_count, unit = worth.get(code_of(stream.name), (1.0, ""))
            found.append(Trace(stream.name, steps, per_count, unit))
    return tuple(found)


def code_of(stream: str) -> str:
    """The channel of a stream."""
    return stream.rpartition(".")[2]


def find_wanted(session: Session, reports: Sequence[StationQuake]) -> list[Wanted]:
    """Find what a file of an event's waveforms has: every stream of its stations, each from before the first onset till
    after the end; of an event that was taken back those of the reports that were. Empty as long as none has come."""
    told = [report for report in reports if counts(report)] or list(reports)
    start_ns = max(min(one.onset_ns for one in told) - FILE_BEFORE_NS, 0)
    ends_ns = max(one.onset_ns + int(one.duration_s * NS) for one in told) + FILE_AFTER_NS
    end_ns = min(ends_ns, start_ns + FILE_MOST_NS, INT_MAX)
    stations = sorted({(one.gateway, one.station) for one in told})
    query = sa.select(WaveStream.name).where(sa.tuple_(WaveStream.gateway, WaveStream.station).in_(stations))
    names = session.scalars(query.distinct().order_by(WaveStream.name)).all()
    return [(name, start_ns, end_ns) for name in names if list_spans(session, name, start_ns, end_ns)]


def _read_worth(channels: object) -> dict[str, tuple[float, str]]:
    """{code: what a count is worth, and in which unit} of a configuration's channels."""
    found = {}
    for channel in channels if isinstance(channels, list) else ():
        try:
            entry = msgspec.convert(channel, ChannelEntry)
        except msgspec.ValidationError:
            continue  # of a release that describes it otherwise
        quantity, factor = UNITS[entry.unit]
        found[entry.code] = (100.0 * factor / entry.sensitivity, CENTI[quantity])
    return found


def _read_steps(session: Session, stream_id: int, start_ns: int, end_ns: int) -> Iterable[Step]:
    query = (
        sa.select(Waveform.start_ns, Waveform.end_ns, Record.body)
        .join(Record, Record.id == Waveform.record_id)
        .where(
            Waveform.stream_id == stream_id,
            Waveform.start_ns >= start_ns - PACKET_MOST_NS,
            Waveform.start_ns < end_ns,
            Waveform.end_ns > start_ns,
        )
        .order_by(Waveform.start_ns, Waveform.seq)
    )
    for begin_ns, until_ns, body in session.execute(query):
        parts = _fold(body, begin_ns)
        step_ns = (until_ns - begin_ns) / len(parts)
        for index, (least, most) in enumerate(parts):
            yield begin_ns + int(index * step_ns), begin_ns + int((index + 1) * step_ns), least, most


@lru_cache(maxsize=REMEMBERED)
def _fold(body: bytes, start_ns: int) -> tuple[tuple[int, int], ...]:
    """The least and largest count of the equal parts of a packet, each of about `FOLD_NS`."""
    packet = read_packet(body, start_ns)
    samples = len(packet.counts)
    parts = min(max(round(samples / packet.rate_hz * NS / FOLD_NS), 1), samples)
    borders = [index * samples // parts for index in range(parts + 1)]
    pieces = (packet.counts[first:last] for first, last in pairwise(borders))
    return tuple((min(piece), max(piece)) for piece in pieces)
