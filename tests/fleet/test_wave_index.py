"""The index over waveforms: written with the records, read back as windows and charts, gaps shown."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from fleet.bootstrap import Services
from fleet.errors import InvalidError, NotFoundError
from fleet.readings.models import Quarantined, Record
from fleet.waveforms import numbering, service
from fleet.waveforms.models import Waveform, WaveHour, WaveMinute, WaveRun, WaveStream
from seismic import miniseed, seedlink
from tests.fleet import edge
from tests.fleet.conftest import START_NS, both_databases
from tests.fleet.waves import NS, STREAM, Station, counts, packet, record
from wire.record import WaveFlag


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


@pytest.fixture
def station(services: Services) -> Station:
    return Station(services)


def test_packets_are_indexed_with_their_records_and_come_back_bit_by_bit(services: Services, station: Station) -> None:
    station.send(*(record(n) for n in range(5)))
    with services.database.reading() as session:
        rows = session.scalars(sa.select(Waveform).order_by(Waveform.seq)).all()
        assert [(row.start_ns, row.end_ns) for row in rows] == [
            (START_NS + n * NS, START_NS + (n + 1) * NS) for n in range(5)
        ]
        assert [(row.least, row.most) for row in rows] == [(min(counts(n)), max(counts(n))) for n in range(5)]
        assert session.scalars(sa.select(Record.id).order_by(Record.id)).all() == [row.record_id for row in rows]
        found = service.window(session, STREAM, START_NS + NS, START_NS + 3 * NS)
        assert [piece.counts for piece in found] == [counts(1), counts(2)]
        assert [piece.start_ns for piece in found] == [START_NS + NS, START_NS + 2 * NS]
        assert service.window(session, "XX.NONE.00.HNZ", 0, 2**62) == []


def test_a_window_of_more_pages_than_one_loses_and_doubles_nothing(
    services: Services, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE_PACKETS", 3)
    numbers = list(range(20))
    random.Random(1).shuffle(numbers)
    station.send(*(record(n) for n in numbers))
    with services.database.reading() as session:
        found = service.window(session, STREAM, START_NS, START_NS + 20 * NS)
    assert [piece.counts for piece in found] == [counts(n) for n in range(20)]


def test_numbers_are_unique_rise_and_stand_apart_by_the_records_of_a_packet(
    services: Services, station: Station
) -> None:
    station.send(record(1), record(2, samples=400), record(3))
    Station(services, "gw-yufu-0002").send(record(4))
    with services.database.reading() as session:
        rows = session.execute(sa.select(Waveform.seq, Waveform.numbers).order_by(Waveform.record_id)).all()
    assert [tuple(row) for row in rows] == [(1, 2), (3, 7), (10, 2), (12, 2)]


@pytest.mark.parametrize("version", [2, 3])
def test_no_packet_becomes_more_records_than_it_has_numbers(version: miniseed.Version) -> None:
    noise = random.Random(7)
    loud = sum(WaveFlag)
    for samples in (1, 57, 58, 59, 100, 174, 175, 200, 400, 1000):
        for reach in (1, 2**14, 2**29 - 1, 2**31 - 1):
            for rate_hz in (100.0, 99.987654321):
                made = packet(
                    1, samples=samples, rate_hz=rate_hz, flags=loud,
                    counts=[noise.randrange(-reach, reach + 1) for _ in range(samples)],
                )  # fmt: skip
                records = miniseed.records(made, version)
                numbers = numbering.count_numbers(samples)
                assert len(records) <= numbers, (samples, reach)
                given = numbering.number_records(50, numbers, len(records))
                assert list(given) == sorted(set(given))
                assert given[-1] == 50 + numbers - 1


@pytest.mark.parametrize("numbers", [1, 2, 7])
def test_no_packet_ends_before_a_number_that_24_bits_write_as_0(numbers: int) -> None:
    for next_seq in range(numbering.SHORT - 10, numbering.SHORT + 3):
        begin = numbering.place(next_seq, numbers)
        assert begin == next_seq or begin == numbering.SHORT
        assert (begin + numbers) % numbering.SHORT != 0
        assert begin // numbering.SHORT == (begin + numbers - 1) // numbering.SHORT


def test_after_a_restore_a_client_of_24_bits_gets_all_that_came_since() -> None:
    backed_up, seen = 3000, 5000
    next_seq = backed_up + numbering.RESTORED
    for later in (0, 10, 5000):
        wide = seedlink.widen((seen + 1) % numbering.SHORT, next_seq + later - 1)
        assert wide <= next_seq


def test_envelopes_are_kept_by_minute_and_hour_with_every_commit(services: Services, station: Station) -> None:
    first, second = (record(n) for n in (0, 1))
    for one in (first, second, record(61, timing=40, flags=int(WaveFlag.CLIPPED))):
        station.send(one)
    with services.database.reading() as session:
        minutes = session.scalars(sa.select(WaveMinute).order_by(WaveMinute.at_ns)).all()
        hours = session.scalars(sa.select(WaveHour)).all()
    both = [*counts(0), *counts(1)]
    assert [(row.samples, row.least, row.most, row.timing, row.flags) for row in minutes] == [
        (200, min(both), max(both), 100, 0),
        (100, min(counts(61)), max(counts(61)), 40, 8),
    ]
    assert [(row.samples, row.timing, row.flags) for row in hours] == [(300, 40, 8)]
    assert minutes[0].at_ns == START_NS - START_NS % (60 * NS)


def test_stretches_grow_join_and_stay_apart_at_gaps_and_overlaps(services: Services, station: Station) -> None:
    def runs() -> list[tuple[float, float]]:
        with services.database.reading() as session:
            rows = session.execute(sa.select(WaveRun.start_ns, WaveRun.end_ns).order_by(WaveRun.start_ns)).all()
        return [((start - START_NS) / NS, (end - START_NS) / NS) for start, end in rows]

    station.send(record(0), record(1))
    station.send(record(2))
    assert runs() == [(0, 3)]
    station.send(record(5), record(4))
    assert runs() == [(0, 3), (4, 6)]
    station.send(record(3))
    assert runs() == [(0, 6)]
    station.send(record(6, start_ns=START_NS + 6 * NS + 4_000_000), record(7, start_ns=START_NS + 7 * NS + 4_000_000))
    assert runs() == [(0, 8.004)], "within half a sample"
    station.send(record(8, start_ns=START_NS + 8 * NS + 20_000_000))
    assert runs() == [(0, 8.004), (8.02, 9.02)], "one sample is missing"
    station.send(record(9, start_ns=START_NS + 5 * NS + 500_000_000))
    assert runs() == [(0, 8.004), (5.5, 6.5), (8.02, 9.02)], "an overlap"


def test_streams_tell_how_far_they_reach_and_what_is_missing(services: Services, station: Station) -> None:
    station.send(record(0), record(1), record(10, timing=97), record(3, stream="XX.RS001.00.HNN"))
    with services.database.reading() as session:
        north, up = service.list_streams(session)
        assert service.list_streams(session, station="XX.RS002") == []
        assert service.list_streams(session, gateway=edge.GATEWAY) == [north, up]
        assert service.get_stream(session, STREAM) == up
        with pytest.raises(NotFoundError):
            service.get_stream(session, "XX.NONE.00.HNZ")
    assert (up.stream, up.station, up.gateways, up.timing) == (STREAM, "XX.RS001", (edge.GATEWAY,), 97)
    assert (up.first_ns, up.newest_ns, up.gaps, up.gap_ns) == (START_NS, START_NS + 11 * NS, 1, 8 * NS)


def test_a_packet_without_a_time_is_kept_and_counted(services: Services, station: Station) -> None:
    from wire.conversation import Clock

    batch = edge.batch(station._session, 1, record(0, start_ns=None), lane=edge.Lane.WAVEFORMS, clock=Clock())
    station.committer.commit([edge.up(edge.Up.BATCH, batch)])
    with services.database.reading() as session:
        assert session.scalars(sa.select(Waveform)).all() == []
        assert session.scalars(sa.select(WaveStream.untimed)).all() == [1]
        assert session.scalars(sa.select(Record.kind)).all() == ["waveform"]
        (reach,) = service.list_streams(session)
    assert (reach.first_ns, reach.newest_ns, reach.untimed) == (None, None, 1)


def test_a_packet_that_begins_before_the_end_of_time_and_ends_after_it_is_only_counted(
    services: Services, station: Station
) -> None:
    station.send(record(0, start_ns=2**63 - 5))
    with services.database.reading() as session:
        assert session.scalars(sa.select(WaveStream.untimed)).all() == [1]


@pytest.mark.parametrize(
    ("span_s", "source"), [(30, "samples"), (3600, "packets"), (86_400, "minutes"), (30 * 86_400, "hours")]
)
def test_a_chart_holds_the_extremes_whatever_it_is_drawn_from(
    services: Services, station: Station, span_s: int, source: str
) -> None:
    station.send(*(record(n) for n in range(25)))
    begin = START_NS - START_NS % (3600 * NS)
    begin = START_NS if span_s == 30 else begin
    with services.database.reading() as session:
        drawn = service.chart(session, STREAM, begin, begin + span_s * NS, 200)
    every = [value for n in range(25) for value in counts(n)]
    assert drawn.source == source
    assert len(drawn.columns) <= 200
    assert (min(c.least for c in drawn.columns), max(c.most for c in drawn.columns)) == (min(every), max(every))
    assert drawn.gaps[-1] == (START_NS + 25 * NS, begin + span_s * NS)
    with services.database.reading() as session, pytest.raises(InvalidError):
        service.chart(session, STREAM, 5, 5)


def test_a_gateway_that_takes_anothers_place_goes_on_with_its_stream(services: Services, station: Station) -> None:
    station.send(record(0), record(1))
    Station(services, "gw-yufu-0002").send(record(2), record(3))
    with services.database.reading() as session:
        (reach,) = service.list_streams(session)
        assert reach.gateways == (edge.GATEWAY, "gw-yufu-0002")
        assert (reach.first_ns, reach.newest_ns, reach.gaps) == (START_NS, START_NS + 4 * NS, 0)
        assert len(service.window(session, STREAM, START_NS, START_NS + 4 * NS)) == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stream": "one.two"}, "names no stream"),
        ({"stream": "xx.rs001.00.hnz"}, "names no stream"),
        ({"encoding": "steim9"}, "which this release does not know"),
        ({"payload": b"\x00"}, "cannot be read"),
        ({"samples": 99}, "cannot be read"),
        ({"rate_hz": 1.0}, "lasts longer than 60 s"),
        ({"timing": 101}, "timing quality of 101"),
    ],
)
def test_a_packet_that_cannot_be_read_is_quarantined_alone(
    services: Services, station: Station, changes: dict[str, object], reason: str
) -> None:
    import msgspec

    station.send(msgspec.structs.replace(record(0), **changes), record(1))
    with services.database.reading() as session:
        (bad,) = session.scalars(sa.select(Quarantined)).all()
        assert reason in bad.reason
        assert session.scalars(sa.select(Waveform.start_ns)).all() == [START_NS + NS]


def test_more_samples_than_a_batch_may_bring_are_refused_unread(
    services: Services, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.readings.items.BATCH_COUNTS_MOST", 250)
    station.send(record(0), record(1), record(2))
    with services.database.reading() as session:
        (bad,) = session.scalars(sa.select(Quarantined)).all()
        assert bad.reason == "more than 250 samples of waveforms in one batch"
        assert len(session.scalars(sa.select(Waveform.seq)).all()) == 2
