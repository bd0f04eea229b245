"""Which packets are sent: before, during and after a quake, each once."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from edge.stations.recording import Recording, Span
from seismic.packet import Packet
from tests.edge.readings import at
from wire.record import WaveFlag

S = 1_000_000_000


def recording(pre_s: int = 5, post_s: int = 4, hold_s: int = 0, *, is_continuous: bool = False) -> Recording:
    return Recording(Span(pre_s * S, post_s * S, hold_s * S), is_continuous=is_continuous)


def packet(second: int) -> Packet:
    return Packet("CQ.YF001.00.HNZ", None, at(second), 100.0, array("i", range(100)))


def feed(one: Recording, seconds: Iterable[int]) -> list[int]:
    return seconds_of(filter(None, (one.put(packet(second)) for second in seconds)))


def seconds_of(packets: Iterable[Packet]) -> list[int]:
    return [(found.mono_ns - at(0)) // S for found in packets]


def test_without_a_quake_nothing_is_sent() -> None:
    assert feed(recording(), range(100)) == []


def test_packets_before_during_and_after_a_quake_are_sent_each_once() -> None:
    one = recording()
    assert feed(one, range(20)) == []
    assert seconds_of(one.begin(at(19.3))) == [14, 15, 16, 17, 18, 19]
    assert feed(one, range(20, 30)) == list(range(20, 30))
    one.end(at(29.5))
    assert feed(one, range(30, 50)) == [30, 31, 32, 33]


def test_second_quake_in_the_time_after_the_first_sends_nothing_twice() -> None:
    one = recording()
    feed(one, range(10))
    one.begin(at(9))
    one.end(at(10))
    sent = feed(one, range(10, 16))
    sent += seconds_of(one.begin(at(15.5)))
    assert sent == list(range(10, 16))


def test_time_before_the_trigger_is_kept_until_another_instrument_has_decided() -> None:
    one = recording(hold_s=3)
    feed(one, range(20))
    assert seconds_of(one.begin(at(17)))[0] == 12


def test_packets_of_a_quake_say_so() -> None:
    one = recording()
    one.put(packet(1))
    assert all(found.flags & WaveFlag.EVENT for found in one.begin(at(2)))


def test_continuous_station_sends_all_at_once_and_marks_those_of_a_quake() -> None:
    one = recording(is_continuous=True)
    assert feed(one, range(10)) == list(range(10))
    assert one.begin(at(10)) == []
    sent = one.put(packet(10))
    assert sent is not None
    assert sent.flags & WaveFlag.EVENT


def test_memory_is_bounded_by_the_time_before() -> None:
    one = recording(pre_s=5, hold_s=3)
    feed(one, range(1000))
    assert len(one._waiting) <= 12


def test_time_that_goes_far_back_or_ahead_fills_no_memory_and_is_no_quake() -> None:
    one = recording()
    for seconds in (range(100), range(-(10**9), 100 - 10**9), range(10**9, 10**9 + 100), range(100, 200)):
        assert feed(one, seconds) == []
        assert len(one._waiting) <= 10
