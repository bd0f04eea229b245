"""Recordings of each format against obspy, and what is no recording."""

from __future__ import annotations

import io

import numpy as np
import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic.errors import SeismicError
from seismic.measuring import measure
from seismic.recording import GRAVITY, Recording, join, read_recording
from seismic.settings import AnalyserSettings
from tests.seismic.records import KNET, OBSPY, RIDGECREST, knet, ridgecrest, rows

MSEED = OBSPY / "io/mseed/tests/data"


def test_a_csv_is_read_by_its_comments() -> None:
    recording = ridgecrest()
    assert recording.rate_hz == 100
    assert obspy.UTCDateTime(ns=recording.start_ns) == obspy.UTCDateTime("2019-07-06T03:19:37.0Z")
    assert [(each.azimuth_deg, each.dip_deg) for each in recording.components] == [(90, 0), (360, 0), (0, -90)]
    assert rows(recording)[0] == pytest.approx([27e-6 * GRAVITY, 286e-6 * GRAVITY, 3e-6 * GRAVITY])
    assert len(recording.values[0]) == 12000


def test_a_knet_file_is_read_as_obspy_does() -> None:
    recording, trace = knet(), obspy.read(str(KNET))[0]
    assert recording.rate_hz == trace.stats.sampling_rate
    assert obspy.UTCDateTime(ns=recording.start_ns) == trace.stats.starttime
    assert np.allclose(recording.values[0], trace.data * trace.stats.calib)
    assert recording.components[0].azimuth_deg == 90


@pytest.mark.parametrize("encoding", ["STEIM2", "STEIM1", "INT32", "FLOAT64"])
def test_miniseed_is_read_as_obspy_wrote_it(encoding) -> None:
    stream = obspy.read()
    data = io.BytesIO()
    for trace in stream:
        trace.data = trace.data.astype("float64" if encoding == "FLOAT64" else "int32")
    stream.write(data, format="MSEED", encoding=encoding)
    recording = read_recording("rjob.mseed", data.getvalue(), gain=1000.0, quantity="velocity")
    assert recording.rate_hz == 100
    assert obspy.UTCDateTime(ns=recording.start_ns) == stream[0].stats.starttime
    by_name = {
        component.name[-1]: values for component, values in zip(recording.components, recording.values, strict=True)
    }
    for trace in stream:
        assert np.allclose(by_name[trace.stats.channel[-1]], trace.data / 1000.0)
    assert sum(component.is_vertical for component in recording.components) == 1


def test_gaps_of_miniseed_are_explicit() -> None:
    recording = read_recording("gaps.mseed", (MSEED / "gaps.mseed").read_bytes(), gain=1.0)
    stream = obspy.read(str(MSEED / "gaps.mseed")).merge()
    assert len(recording.values[0]) == len(stream[0].data)
    assert [value is None for value in recording.values[0]] == np.ma.getmaskarray(stream[0].data).tolist()


@pytest.mark.parametrize("name", ["gaps", "timingquality", "qualityflags"])
def test_miniseed_with_gaps_and_flags_is_measured(name) -> None:
    recording = read_recording(name, (MSEED / f"{name}.mseed").read_bytes(), gain=1e6)
    found = measure(recording, AnalyserSettings())
    assert found.triggered_at is None
    assert 0 < found.pga_gal < 1


def test_a_recording_with_a_gap_is_measured_by_the_recursive_form() -> None:
    recording = ridgecrest()
    columns = [list(values) for values in recording.values]
    for column in columns:
        column[9000:9100] = [None] * 100
    holed = Recording(
        rate_hz=100, start_ns=0, components=recording.components, values=tuple(tuple(column) for column in columns)
    )
    found = measure(holed, AnalyserSettings())
    assert found.pga_gal == pytest.approx(509.79, rel=0.001)
    assert found.intensity_jma == pytest.approx(5.775, abs=0.05)
    assert found.quality == "uncertain"


def test_files_of_one_station_are_joined() -> None:
    one = knet()
    three = join([one, one, one])
    assert len(three.values) == len(three.components) == 3
    with pytest.raises(SeismicError, match="begin at the same time"):
        join([one, ridgecrest()])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MZ\x90",
        b"# hello\n1,2,3\n",
        b"# 100 samples/s acceleration in micro-g channels: 90 Deg, Up\n1,2,3\n",
        b"# 100 samples/s acceleration in parsec channels: Up\n1\n",
        b"# 100 samples/s acceleration in gal channels: Up\nx\n",
        b"# 100 samples/s acceleration in gal channels: Up\n",
        KNET.read_bytes()[:400],
        KNET.read_bytes().replace(b"2000(gal)/8388608", b"2000(gal)/0000000"),
        KNET.read_bytes().replace(b"-18205", b"-18x05"),
        b"MS\x03" + b"\x00" * 100,
        b"000001D " + b"\xff" * 504,
        b"\xff\xfe\x00#",
    ],
)
def test_what_is_no_recording_is_refused_in_words(data) -> None:
    with pytest.raises(SeismicError):
        read_recording("file", data, gain=1.0)


def test_miniseed_without_a_gain_is_refused() -> None:
    with pytest.raises(SeismicError, match="counts"):
        read_recording("gaps.mseed", (MSEED / "gaps.mseed").read_bytes())


_SOURCES = [KNET.read_bytes()[:3000], RIDGECREST.read_bytes()[:2000], (MSEED / "gaps.mseed").read_bytes()[:1024]]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_SOURCES), st.lists(st.tuples(st.integers(0, 2999), st.binary(max_size=4)), max_size=8))
def test_a_damaged_recording_is_read_or_refused(data, damages) -> None:
    damaged = bytearray(data)
    for at, octets in damages:
        damaged[at : at + len(octets)] = octets
    try:
        recording = read_recording("file", bytes(damaged), gain=1.0)
    except SeismicError:
        return
    assert recording.values
