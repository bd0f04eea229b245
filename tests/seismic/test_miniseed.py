"""miniSEED against programs that we did not write: obspy reads ours, we read what it writes and its own cases."""

from __future__ import annotations

import io
import struct
from array import array
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from crc import Calculator, Configuration
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic import miniseed
from seismic.errors import SeismicError
from seismic.packet import Packet
from tests.seismic.conftest import obspy
from tests.seismic.recordings import START_NS, STREAMS, packets, ridgecrest
from wire.record import WaveFlag

CASES = Path(obspy.__file__).parent / "io/mseed/tests/data"
CRC_32C = Calculator(Configuration(32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, reverse_input=True, reverse_output=True))
ALL_FLAGS = 0x7F


def _obspy(octets: bytes):
    return obspy.read(io.BytesIO(octets), format="MSEED")


def test_obspy_reads_our_miniseed_2_bit_exactly():
    stream = _obspy(miniseed.write(packets(), 2))
    assert [trace.id for trace in stream] == list(STREAMS)
    for trace, counts in zip(stream, ridgecrest(), strict=True):
        assert trace.stats.mseed.encoding == "STEIM2"
        assert trace.stats.mseed.record_length == 512
        assert trace.stats.starttime.ns == START_NS
        assert trace.stats.sampling_rate == 100.0
        assert array("i", trace.data.astype(np.int32)) == counts


def _as_version_2(record: bytes) -> bytes:
    """Put the samples of a miniSEED 3 record into a record of version 2 made by hand, for obspy knows no version 3."""
    sid, extra = record[33], struct.unpack_from("<H", record, 34)[0]
    encoding, samples = record[15], struct.unpack_from("<I", record, 24)[0]
    rate = struct.unpack_from("<d", record, 16)[0]
    year, day, hour, minute, second = struct.unpack_from("<HHBBB", record, 8)
    ns = struct.unpack_from("<I", record, 4)[0]
    (length,) = struct.unpack_from("<I", record, 36)
    data = record[40 + sid + extra : 40 + sid + extra + length]
    head = b"000001D CCC    HNECI" + struct.pack(
        ">HHBBBBHHhhBBBBlHH",
        year,
        day,
        hour,
        minute,
        second,
        0,
        ns // 100_000,
        samples,
        round(rate),
        1,
        0,
        0,
        0,
        1,
        0,
        64,
        48,
    )
    blockette = struct.pack(">HHBBBB", 1000, 0, encoding, 1 if encoding == 11 else 0, 12, 0)
    return (head + blockette + bytes(8) + data).ljust(4096, b"\0")


@pytest.mark.parametrize("samples", [100, 200])
def test_the_samples_of_our_miniseed_3_are_decoded_by_obspy(samples):
    for packet in packets(samples)[::15]:
        (record,) = miniseed.records(packet, 3)
        (trace,) = _obspy(_as_version_2(record))
        assert array("i", trace.data.astype(np.int32)) == packet.counts
        assert trace.stats.starttime.ns == packet.start_ns


def test_the_head_of_our_miniseed_3_is_as_specified():
    packet = packets(timing=90, flags=int(WaveFlag.CLOCK_LOCKED | WaveFlag.TIME_QUESTIONABLE))[0]
    late = Packet(packet.stream, START_NS + 123_456_789, 0, 100.0, packet.counts, packet.timing, packet.flags)
    (record,) = miniseed.records(late, 3)
    assert record[:4] == b"MS\x03\x06"
    assert struct.unpack_from("<IHHBBB", record, 4) == (123_456_789, 2019, 187, 3, 19, 37)
    assert record[15] == 11
    assert struct.unpack_from("<dI", record, 16) == (100.0, 100)
    assert struct.unpack_from("<I", record, 28)[0] == CRC_32C.checksum(record[:28] + bytes(4) + record[32:])
    assert record[40 : 40 + record[33]] == b"FDSN:CI_CCC__H_N_E"


@pytest.mark.parametrize("version", [2, 3])
def test_what_is_written_is_read_back(version):
    cut = packets(timing=73)
    found = [packet for each in cut for record in miniseed.records(each, version) for packet in miniseed.read(record)]
    joined = {stream: array("i") for stream in STREAMS}
    for packet in found:
        joined[packet.stream] += packet.counts
    assert tuple(joined.values()) == ridgecrest()
    assert {(packet.timing, packet.flags, packet.rate_hz) for packet in found} == {(73, 0, 100.0)}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("flags", range(ALL_FLAGS + 1))
def test_every_flag_is_read_back(version, flags):
    packet = Packet(STREAMS[0], START_NS, 0, 100.0, array("i", range(100)), 55, flags)
    assert miniseed.read(miniseed.write([packet], version)) == [packet]


def test_the_quality_of_the_times_stands_where_obspy_looks():
    octets = miniseed.write(packets(timing=88, flags=int(WaveFlag.CLOCK_LOCKED | WaveFlag.CLIPPED)), 2)
    found = obspy.io.mseed.util.get_flags(io.BytesIO(octets))
    assert found["timing_quality"]["max"] == found["timing_quality"]["min"] == 88
    assert found["io_and_clock_flags_counts"]["clock_locked"] == found["record_count"]
    assert found["data_quality_flags_counts"]["digitizer_clipping"] == found["record_count"]


def test_packets_that_continue_each_other_share_records_and_a_gap_parts_them():
    cut = [packet for packet in packets() if packet.stream == STREAMS[0]]
    assert len(list(miniseed.join(cut))) == 1
    assert [len(packet.counts) for packet in miniseed.join(cut[:5] + cut[6:])] == [500, 11_400]
    shifted = Packet(STREAMS[0], cut[5].start_ns + 6_000_000, 0, 100.0, cut[5].counts)
    assert len(list(miniseed.join([*cut[:5], shifted]))) == 2


def test_packets_that_slip_by_little_each_do_not_slip_away():
    """Each continues the one before within half a sample, but not the first: the times must not drift off."""
    slipping = [Packet(STREAMS[0], START_NS + at * 1_003_000_000, 0, 100.0, array("i", range(100))) for at in range(10)]
    for packet in miniseed.join(slipping):
        for index in range(0, len(packet.counts), 100):
            true = min(abs(packet.start_ns + index * 10_000_000 - each.start_ns) for each in slipping)
            assert true <= 5_000_000


@pytest.mark.parametrize("version", [2, 3])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1, max_size=300))
def test_any_int32_is_written_and_read_back(version, counts):
    packet = Packet(STREAMS[0], START_NS, 0, 100.0, counts)
    found = miniseed.read(b"".join(miniseed.records(packet, version)))
    assert [count for each in found for count in each.counts] == counts


def test_records_are_the_same_octets_each_time():
    assert miniseed.write(packets(), 3) == miniseed.write(packets(), 3)
    assert [len(record) for record in miniseed.records(packets()[0], 2)] == [512]


@pytest.mark.parametrize("encoding", ["STEIM1", "STEIM2", "INT32"])
def test_we_read_what_obspy_writes(encoding):
    trace = obspy.Trace(np.array(ridgecrest()[2], dtype=np.int32))
    trace.stats.update({"network": "CI", "station": "CCC", "channel": "HNZ", "sampling_rate": 100.0})
    trace.stats.starttime = obspy.UTCDateTime(ns=START_NS)
    octets = io.BytesIO()
    trace.write(octets, format="MSEED", encoding=encoding)
    (packet,) = miniseed.join(miniseed.each(octets.getvalue()))
    assert (packet.stream, packet.start_ns, packet.counts) == ("CI.CCC..HNZ", START_NS, ridgecrest()[2])


def test_a_recording_with_gaps_keeps_them():
    """obspy's gaps.mseed: its own reading is four traces."""
    expected = obspy.read(CASES / "gaps.mseed")
    found = list(miniseed.join(miniseed.each((CASES / "gaps.mseed").read_bytes())))
    assert len(expected) > 1
    assert [packet.start_ns for packet in found] == [trace.stats.starttime.ns for trace in expected]
    assert [list(packet.counts) for packet in found] == [trace.data.tolist() for trace in expected]


def test_timing_quality_is_read_as_obspy_reads_it():
    expected = obspy.io.mseed.util.get_record_information
    octets = (CASES / "timingquality.mseed").read_bytes()
    found = [packet.timing for packet in miniseed.each(octets)]
    at, qualities = 0, []
    while at < len(octets):
        info = expected(io.BytesIO(octets), offset=at)
        qualities.append(info["timing_quality"])
        at += info["record_length"]
    assert found == qualities
    assert len(set(found)) > 1


def test_quality_flags_are_read_as_obspy_counts_them():
    path = CASES / "qualityflags.mseed"
    found = [WaveFlag(packet.flags) for packet in miniseed.each(path.read_bytes())]
    counts = obspy.io.mseed.util.get_flags(str(path))["data_quality_flags_counts"]
    assert sum(WaveFlag.TIME_QUESTIONABLE in flags for flags in found) == counts["suspect_time_tag"] > 0
    assert sum(WaveFlag.CLIPPED in flags for flags in found) == counts["digitizer_clipping"] > 0
    assert sum(WaveFlag.SPIKES in flags for flags in found) == counts["spikes"] > 0
    assert sum(WaveFlag.DEAD in flags for flags in found) == counts["glitches"] > 0
    assert sum(WaveFlag.GAP_BEFORE in flags for flags in found) == counts["missing_padded_data"] > 0


@pytest.mark.parametrize("file", sorted(path.name for path in CASES.glob("*.mseed")))
def test_no_file_of_obspys_is_more_than_refused(file):
    try:
        for packet in miniseed.each((CASES / file).read_bytes()):
            assert packet.counts
    except SeismicError:
        return


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_garbled_records_are_read_or_refused(data):
    octets = bytearray(miniseed.write(packets()[:3], data.draw(st.sampled_from([2, 3]))))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SeismicError):
        list(miniseed.each(bytes(octets[: data.draw(st.integers(0, len(octets)))])))
    assert all(span.end <= len(octets) for span in miniseed.spans(bytes(octets)))


@pytest.mark.parametrize("octets", [b"", b"x", bytes(511), b"MS\x03" + bytes(60)])
def test_what_is_no_miniseed(octets):
    if octets:
        with pytest.raises(SeismicError):
            miniseed.read(octets)
    else:
        assert miniseed.read(octets) == []
    assert list(miniseed.spans(octets)) == []


@pytest.mark.parametrize("stream", ["", "A.B", "A.B.C.D.E", "CI.CCC"])
def test_a_stream_without_its_four_codes_is_refused(stream):
    with pytest.raises(SeismicError, match=r"NET\.STA\.LOC\.CHA"):
        miniseed.records(Packet(stream, START_NS, 0, 100.0, [1, 2]), 3)
