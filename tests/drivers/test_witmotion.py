import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find
from drivers.errors import LinkTimeoutError, SettingsError
from drivers.replay import Replay, Step
from drivers.witmotion import Splitter
from tests.drivers.lines import Answering

KIND = find("witmotion")


def frame(*words: int, kind: int = 0x51) -> bytes:
    body = struct.pack("<BB4h", 0x55, kind, *words)
    return body + bytes((sum(body) & 0xFF,))


def group(*channels: str, device: str = "imu", **source) -> Group:
    return Group(
        name=f"{device}.motion",
        device_name=device,
        device=KIND.device(),
        tags=tuple(f"{device}.{channel}" for channel in channels),
        sources=tuple(KIND.source(channel=channel, **source) for channel in channels),
    )


words = st.tuples(*[st.integers(-32768, 32767)] * 4)
streams = st.lists(words.map(lambda w: frame(*w)) | st.binary(min_size=1, max_size=30), max_size=12)


@given(streams, st.lists(st.integers(0, 40), max_size=20))
def test_pieces_in_which_octets_come_do_not_matter(stream, cuts):
    data = b"".join(stream)
    whole, pieces = Splitter(), Splitter()
    at, got = 0, []
    for cut in cuts:
        got += pieces.feed(data[at : at + cut])
        at += cut
    got += pieces.feed(data[at:])
    assert got == whole.feed(data)
    assert pieces.faults == whole.faults


@given(st.lists(words, min_size=1, max_size=20))
def test_clean_stream_gives_every_frame_and_no_fault(contents):
    splitter = Splitter()
    frames = splitter.feed(b"".join(frame(*each) for each in contents))
    assert [struct.unpack_from("<4h", each, 2) for each in frames] == contents
    assert splitter.faults == 0


@given(st.binary(max_size=60).filter(lambda data: b"\x55" not in data), words)
def test_garbage_costs_one_fault_and_no_frame_after_it(garbage, content):
    splitter = Splitter()
    frames = splitter.feed(garbage + frame(*content) * 2)
    assert frames == [frame(*content)] * 2
    assert splitter.faults == bool(garbage)


async def read(data: bytes, one: Group, count: int, clock) -> list:
    driver = KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [one], clock=clock, line=Replay((Step(False, data),)))
    await driver.open()
    scans = driver.scans()
    result = [await anext(scans) for _ in range(count)]
    await scans.aclose()
    await driver.close()
    return result


async def test_full_scale_is_sixteen_g():
    (scan,) = await read(frame(-32768, 32767, 2048, 0), group("ax", "ay", "az"), 1, lambda: 1)
    assert scan.values == (-16.0, pytest.approx(15.9995, abs=1e-4), 1.0)


async def test_scale_gives_gal():
    (scan,) = await read(frame(2048, 0, 0, 0), group("ax", scale=980.665), 1, lambda: 1)
    assert scan.values == (980.665,)


async def test_frames_that_arrive_together_are_dated_a_period_apart_and_never_backwards():
    scans = await read(frame(0, 0, 0, 1) * 4, group("temperature_raw"), 4, lambda: 10_000_000_000)
    assert [scan.mono_ns for scan in scans] == [9_970_000_000, 9_980_000_000, 9_990_000_000, 10_000_000_000]


async def test_pieces_that_follow_closely_do_not_overlap():
    times = iter([1_000_000_000, 1_005_000_000])
    line = Answering(lambda _: (b"", 0.0))
    driver = KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group("ax")], clock=lambda: next(times), line=line)
    await driver.open()
    scans = driver.scans()
    stamps = []
    for count in (2, 3):
        line.arrive(frame(0, 0, 0, 0) * count)
        stamps += [(await anext(scans)).mono_ns for _ in range(count)]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] == 1_005_000_000
    await scans.aclose()


async def test_frames_of_other_contents_only_are_silence():
    line = Replay((Step(False, frame(1, 2, 3, 4, kind=0x52) * 3),))
    driver = KIND.build(KIND.settings(url="serial:///dev/ttyS0", timeout_s=0.02), [group("ax")], line=line)
    await driver.open()
    with pytest.raises(LinkTimeoutError, match="no valid frame"):
        await anext(driver.scans())
    assert driver.faults == 0


async def test_angular_rates_and_angles_have_frames_of_their_own():
    data = frame(16384, -32768, 1, 0, kind=0x52) + frame(0, 0, 2048, 0) + frame(16384, -8192, 0, 0, kind=0x53)
    groups = [group("wx", "wy"), group("az"), group("roll", "pitch")]
    line = Replay((Step(False, data * 2),))
    driver = KIND.build(KIND.settings(url="serial:///dev/ttyS0"), groups, clock=lambda: 10**9, line=line)
    await driver.open()
    scans = driver.scans()
    got = [await anext(scans) for _ in range(6)]
    assert [scan.values for scan in got] == [(1000.0, -2000.0), (1.0,), (90.0, -45.0)] * 2
    assert [scan.mono_ns for scan in got] == [990_000_000] * 3 + [1_000_000_000] * 3
    await scans.aclose()


def test_group_that_mixes_frames_is_refused():
    with pytest.raises(SettingsError, match="mixes"):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group("ax", "wx")])


def test_line_with_two_sensors_is_refused():
    with pytest.raises(SettingsError, match="one sensor"):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group("ax"), group("ax", device="other")])


def test_group_without_tags_is_refused():
    with pytest.raises(SettingsError, match="no tags"):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group()])
