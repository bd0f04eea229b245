"""Samples into packets: each in exactly one, dated within half a sample, whatever clocks and lines do to them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic.packet import Channel, Packet, Packetiser, TimeQuality
from tests.seismic.recordings import RATE_HZ, STREAMS, ridgecrest
from wire.record import WaveFlag

NS = 10**9
UTC_NS = 1_562_383_177 * NS
HELD = TimeQuality(UTC_NS, 100, int(WaveFlag.CLOCK_LOCKED))
ONE = "CI.CCC..HNZ"

Arrivals = list[tuple[float, float]]
"""For each sample when it was taken and when it arrived, in s of the monotonic clock."""


def run(arrivals: Arrivals, rate_hz: float = RATE_HZ, packet_s: float = 1.0, clock: TimeQuality = HELD) -> list[Packet]:
    """Let samples arrive whose counts are their numbers."""
    packetiser = Packetiser([Channel(ONE)], rate_hz, packet_s)
    packets = packetiser.tell(clock)
    for number, (_, arrival_s) in enumerate(arrivals):
        packets += packetiser.take(round(arrival_s * NS), (number,))
    return packets + packetiser.flush()


def check(packets: Iterable[Packet], arrivals: Arrivals, *, after_s: float = 0.0) -> None:
    """Every sample once, in its order, dated within half a period of when it was taken."""
    numbers: list[int] = []
    for packet in packets:
        numbers += packet.counts
        assert packet.start_ns is not None
        for index, number in enumerate(packet.counts):
            taken_s = arrivals[number][0]
            off_s = (packet.start_ns - UTC_NS) / NS + index / packet.rate_hz - taken_s
            assert taken_s < after_s or abs(off_s) <= 0.5 / packet.rate_hz + 1e-6, (number, off_s, packet.rate_hz)
        assert packet.mono_ns == packet.start_ns - UTC_NS
    assert numbers == list(range(len(arrivals)))


def steady(count: int, rate_hz: float = RATE_HZ, start_s: float = 100.0) -> Arrivals:
    return [(start_s + n / rate_hz, start_s + n / rate_hz) for n in range(count)]


def lengths(packets: Sequence[Packet]) -> list[int]:
    return [len(packet.counts) for packet in packets]


def gaps(packets: Sequence[Packet]) -> list[int]:
    """Numbers of the first samples of packets that say that something is missing before them."""
    return [packet.counts[0] for packet in packets if packet.flags & WaveFlag.GAP_BEFORE]


def test_steady_samples_give_packets_of_a_second():
    arrivals = steady(1050)
    packets = run(arrivals)
    check(packets, arrivals)
    assert lengths(packets) == [100] * 10 + [50]
    assert gaps(packets) == [0]
    assert {packet.rate_hz for packet in packets} == {100.0}


def test_packets_may_have_two_seconds_and_no_more():
    assert lengths(run(steady(500), packet_s=5.0)) == [200, 200, 100]


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0])
@pytest.mark.parametrize("seed", range(5))
def test_bursts_of_a_serial_adapter_do_not_move_the_times(rate_hz, seed):
    """16 ms of samples at a time, and some milliseconds of the program's own."""
    source = random.Random(seed)
    arrivals = []
    for taken_s, _ in steady(3000, rate_hz):
        arrivals.append((taken_s, -(-taken_s // 0.016) * 0.016 + source.random() * 0.002))
    arrivals = [
        (taken_s, max(arrival_s, arrivals[n - 1][1] if n else 0)) for n, (taken_s, arrival_s) in enumerate(arrivals)
    ]
    packets = run(arrivals, rate_hz)
    check(packets, [(taken_s + 0.001, arrival_s) for taken_s, arrival_s in arrivals])
    assert gaps(packets) == [0]


def test_a_program_that_is_held_up_makes_no_gap():
    arrivals = [
        (taken_s, max(arrival_s, 103.9) if taken_s > 103.0 else arrival_s) for taken_s, arrival_s in steady(1000)
    ]
    packets = run(arrivals)
    check(packets, arrivals)
    assert gaps(packets) == [0]


@pytest.mark.parametrize("missing", [1, 2, 25, 1000])
@pytest.mark.parametrize("at", [1, 60, 99, 100, 101, 350])
def test_missing_samples_are_a_gap_where_they_are(missing, at):
    arrivals = steady(at) + steady(500, start_s=100.0 + (at + missing) / RATE_HZ)
    packets = run(arrivals)
    check(packets, arrivals)
    assert gaps(packets) == [0, at]


@pytest.mark.parametrize("ppm", [-200, -50, 50, 200, 2000, -2000])
def test_a_crystal_that_drifts_is_followed_without_gaps(ppm):
    arrivals = steady(6000, RATE_HZ * (1 + ppm / 1e6))
    packets = run(arrivals)
    check(packets, arrivals)
    assert gaps(packets) == [0]


@pytest.mark.parametrize("rate_hz", [97.0, 99.0, 101.0, 103.0, 50.0, 125.0, 200.0])
def test_an_instrument_with_another_rate_than_said_is_dated_right(rate_hz):
    arrivals = steady(2000, rate_hz)
    packets = run(arrivals)
    check(packets, arrivals, after_s=103.0)
    assert packets[-1].rate_hz == pytest.approx(rate_hz, rel=0.005)
    assert len(gaps(packets)) <= 4


@pytest.mark.parametrize("rate_hz", [50.0, 200.0])
def test_a_change_of_rate_begins_another_packet(rate_hz):
    arrivals = steady(350) + steady(2000, rate_hz, 103.5)
    packets = run(arrivals)
    check(packets, arrivals)
    assert packets[0].rate_hz == 100.0
    assert packets[-1].rate_hz == rate_hz
    assert len(gaps(packets)) == 2


def test_two_gaps_within_a_fifth_of_a_second_are_two():
    arrivals = steady(150) + steady(12, start_s=102.0) + steady(500, start_s=103.0)
    packets = run(arrivals)
    check(packets, arrivals)
    assert gaps(packets) == [0, 150, 162]


def test_a_gap_while_the_program_is_held_up_is_found_when_it_goes_on():
    """Where in between it was nobody can tell: it is said where the holding up began."""
    taken = steady(150) + steady(500, start_s=101.7)
    arrivals = [(taken_s, max(arrival_s, 102.4) if taken_s > 101.2 else arrival_s) for taken_s, arrival_s in taken]
    packets = run(arrivals)
    check(packets, arrivals, after_s=101.7)
    assert gaps(packets) == [0, 121]


def datagrams(order: Sequence[int], samples: int = 25) -> Arrivals:
    """Samples stamped by their source, in the order in which its datagrams came."""
    return [
        (100 + (number * samples + n) / RATE_HZ, 100 + (number * samples + n) / RATE_HZ)
        for number in order
        for n in range(samples)
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 1, 2, 3, 4, 5, 6], [0, 50]),
        ([0, 1, 3, 2, 4, 5, 6, 7], [0, 50, 75, 100]),
        ([0, 2, 3, 4, 5, 6, 1, 7, 8, 9], [0, 25, 150, 175]),
        ([5, 4, 3, 2, 1, 0], [0, 25, 50, 75, 100, 125]),
        ([0, 1, 2, 3, 2, 3, 4, 5, 6], [0, 100]),
    ],
    ids=["doubled", "swapped", "late", "reversed", "repeated"],
)
def test_datagrams_out_of_order_are_dated_as_they_were_taken(order, expected):
    arrivals = datagrams(order)
    packets = run(arrivals)
    check(packets, arrivals)
    assert gaps(packets) == expected


@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, -0.02, 0.02, 1.0, 3600.0])
def test_a_clock_that_is_set_begins_another_packet(jump_s):
    packetiser = Packetiser([Channel(ONE)], RATE_HZ)
    packets = packetiser.tell(HELD)
    for number, (taken_s, _) in enumerate(steady(1000)):
        if number == 450:
            packets += packetiser.tell(TimeQuality(UTC_NS + round(jump_s * NS), 50))
        packets += packetiser.take(round(taken_s * NS), (number,))
    packets += packetiser.flush()
    numbers = [number for packet in packets for number in packet.counts]
    assert numbers == list(range(1000))
    assert gaps(packets) == [0, 450]
    for packet in packets:
        shift_ns = round(jump_s * NS) if packet.counts[0] >= 450 else 0
        assert abs(packet.start_ns - UTC_NS - shift_ns - 100 * NS - packet.counts[0] * NS // 100) < NS // 200
        assert abs(packet.mono_ns - 100 * NS - packet.counts[0] * NS // 100) < NS // 200


def test_packets_from_before_the_clock_was_set_have_no_utc():
    packetiser = Packetiser([Channel(ONE)], RATE_HZ)
    packets = []
    for number, (taken_s, _) in enumerate(steady(300)):
        if number == 130:
            packets += packetiser.tell(HELD)
        packets += packetiser.take(round(taken_s * NS), (number,))
    packets += packetiser.flush()
    assert [(packet.start_ns is None, len(packet.counts)) for packet in packets] == [
        (True, 100),
        (True, 30),
        (False, 100),
        (False, 70),
    ]
    assert packets[1].mono_ns == 101 * NS


def test_the_quality_of_a_packet_is_the_worst_of_its_samples():
    packetiser = Packetiser([Channel(ONE)], RATE_HZ)
    packets = packetiser.tell(HELD)
    for number, (taken_s, _) in enumerate(steady(300)):
        if number == 150:
            packets += packetiser.tell(TimeQuality(UTC_NS, 40, int(WaveFlag.TIME_QUESTIONABLE)))
        packets += packetiser.take(round(taken_s * NS), (number,))
    quality = [(packet.timing, packet.flags & ~WaveFlag.GAP_BEFORE) for packet in packets]
    assert quality == [(100, WaveFlag.CLOCK_LOCKED), (40, WaveFlag.TIME_QUESTIONABLE), (40, WaveFlag.TIME_QUESTIONABLE)]


def test_a_channel_without_values_has_a_gap_and_the_others_have_none():
    packetiser = Packetiser([Channel(stream) for stream in STREAMS], RATE_HZ)
    packets = packetiser.tell(HELD)
    for number, (taken_s, _) in enumerate(steady(300)):
        packets += packetiser.take(round(taken_s * NS), (number, None if 120 <= number < 220 else number, number))
    north = [packet for packet in packets if packet.stream == STREAMS[1]]
    assert [(packet.counts[0], len(packet.counts)) for packet in north] == [(0, 100), (100, 20), (220, 80)]
    assert [packet.start_ns - UTC_NS for packet in north] == [100 * NS, 101 * NS, 102 * NS + NS // 5]
    assert gaps(north) == [0, 220]
    for stream in (STREAMS[0], STREAMS[2]):
        assert lengths([packet for packet in packets if packet.stream == stream]) == [100, 100, 100]


def test_an_instrument_that_falls_silent_gives_out_what_was_held():
    packetiser = Packetiser([Channel(ONE)], RATE_HZ)
    packetiser.tell(HELD)
    for number, (taken_s, _) in enumerate(steady(30)):
        assert packetiser.take(round(taken_s * NS), (number,)) == []
    (packet,) = packetiser.take(103 * NS, (None,))
    assert len(packet.counts) == 30
    assert packetiser.take(104 * NS, (None,)) == []


def look(counts: Sequence[int], clips_at: int | None = None) -> list[WaveFlag]:
    packetiser = Packetiser([Channel(ONE, clips_at)], RATE_HZ)
    packets = []
    for number, count in enumerate(counts):
        packets += packetiser.take(number * NS // 100, (count,))
    packets += packetiser.flush()
    return [WaveFlag(packet.flags) & ~WaveFlag.GAP_BEFORE for packet in packets]


def test_a_strong_earthquake_has_no_spikes_and_nothing_dead():
    assert {flag for counts in ridgecrest() for flag in look(counts)} == {WaveFlag(0)}


def test_a_spike_is_seen_and_one_at_a_packets_end_with_the_next():
    source = random.Random(1)
    counts = [source.randrange(-5, 6) for _ in range(400)]
    counts[150] += 3000
    counts[299] -= 3000
    assert look(counts) == [WaveFlag(0), WaveFlag.SPIKES, WaveFlag(0), WaveFlag.SPIKES]


def test_clipping_is_seen_at_either_end():
    counts = [0] * 100 + [32767] * 100 + [-32768] * 100 + [32766] * 100
    assert look(counts, 32767) == [WaveFlag(0), WaveFlag.CLIPPED, WaveFlag.CLIPPED, WaveFlag(0)]


def test_a_component_that_never_moves_is_dead_after_ten_seconds():
    assert look([7] * 1200) == [WaveFlag(0)] * 9 + [WaveFlag.DEAD] * 3


@st.composite
def troubles(draw) -> Arrivals:
    """Stretches of samples, each after a gap or a step back, arriving up to some milliseconds late, in order."""
    arrivals: Arrivals = []
    at_s = 100.0
    for _ in range(draw(st.integers(1, 5))):
        at_s += draw(st.sampled_from([0.0, 0.01, 0.05, 0.5, 7.0, -0.03, -0.5, -20.0]))
        for _ in range(draw(st.integers(60, 260))):
            arrivals.append((at_s, at_s))
            at_s += 1 / RATE_HZ
    return arrivals


@settings(max_examples=60, deadline=None)
@given(troubles())
def test_every_sample_is_in_exactly_one_packet_dated_right(arrivals):
    check(run(arrivals), arrivals)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=600), st.booleans())
def test_arrivals_that_make_no_sense_lose_no_sample(stamps, is_sorted):
    packetiser = Packetiser([Channel(ONE)], RATE_HZ)
    packets = packetiser.tell(HELD)
    for number, stamp in enumerate(sorted(stamps) if is_sorted else stamps):
        packets += packetiser.take(stamp, (number,))
        assert len(packetiser._held) <= 10 * RATE_HZ
    packets += packetiser.flush()
    assert [number for packet in packets for number in packet.counts] == list(range(len(stamps)))
