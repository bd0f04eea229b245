"""Packing of samples for lane W: lossless, small, and safe against octets that are none of ours."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic import packing
from seismic.errors import SeismicError
from seismic.packet import Packet, from_record, to_record
from tests.seismic.recordings import packets

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
ANY = st.one_of(
    st.lists(INT32, min_size=1, max_size=300),
    st.lists(st.integers(-40, 40), min_size=1, max_size=300),
    st.lists(st.sampled_from([-(1 << 31), (1 << 31) - 1, 0, -1]), min_size=1, max_size=60),
)


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_what_is_packed_is_unpacked_exactly(counts):
    payload = packing.pack(counts)
    assert list(packing.unpack(payload, len(counts))) == counts
    assert len(payload) <= 1 + -(-len(counts) * 58 // 8)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(-1, 400))
def test_octets_that_are_none_are_refused_or_give_as_many_samples(payload, samples):
    try:
        counts = packing.unpack(payload, samples)
    except SeismicError:
        return
    assert len(counts) == samples


@settings(max_examples=100, deadline=None)
@given(ANY, st.data())
def test_a_packet_cut_short_or_long_is_refused(counts, data):
    payload = packing.pack(counts)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(SeismicError):
        packing.unpack(payload[:cut], len(counts))
    with pytest.raises(SeismicError):
        packing.unpack(payload + b"\0", len(counts))


def test_a_claim_of_many_samples_takes_no_memory_for_them():
    tracemalloc.start()
    for payload, samples in ((b"\x00\x01", 1 << 40), (b"\x1f" + bytes(100), packing.SAMPLES_MOST), (bytes(1 << 20), 5)):
        with pytest.raises(SeismicError):
            packing.unpack(payload, samples)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 << 20


@pytest.mark.parametrize("counts", [[], [1 << 31], [-(1 << 31) - 1], [0] * (packing.SAMPLES_MOST + 1)])
def test_what_cannot_be_packed_is_refused(counts):
    with pytest.raises(SeismicError):
        packing.pack(counts)


def test_the_octets_of_a_packet_stay_as_they_are():
    """Records of years ago must be readable: these octets were made by the first release."""
    assert list(packing.unpack(bytes.fromhex("019642000000001e848004"), 7)) == [0, 1, -1, 2, 3, 1_000_000, 5]
    assert list(packing.unpack(bytes.fromhex("3e1fffffffe000000080"), 2)) == [-(1 << 31), (1 << 31) - 1]
    assert list(packing.unpack(bytes.fromhex("41045500"), 5)) == [5, 7, 9, 11, 13]
    assert packing.pack([5, 7, 9, 11, 13]).hex() == "41045500"


def test_ridgecrest_takes_at_most_1_7_octets_a_sample():
    cut = packets()
    octets = sum(len(packing.pack(packet.counts)) for packet in cut)
    assert octets / sum(len(packet.counts) for packet in cut) <= 1.7


def test_a_packet_is_a_record_of_lane_w_and_back():
    packet = packets(timing=80, flags=6)[7]
    assert from_record(to_record(packet)) == packet
    untimed = Packet(packet.stream, None, 17, 200.0, packet.counts)
    assert from_record(to_record(untimed)) == untimed


@pytest.mark.parametrize(
    ("field", "value"), [("encoding", "steim2"), ("rate_hz", 0.0), ("rate_hz", float("nan")), ("samples", 99)]
)
def test_a_record_of_lane_w_that_is_wrong_is_refused(field, value):
    record = to_record(packets()[0])
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    with pytest.raises(SeismicError):
        from_record(type(record)(**fields | {field: value}))
