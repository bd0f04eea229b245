import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find
from drivers.errors import LinkTimeoutError, SettingsError
from drivers.framing.splitter import Splitter
from drivers.raspberry_shake import CLIPPED, HEAD, OCTETS_MOST, Order, Packet, Timeline, measure, parse
from tests.drivers.lines import Answering
from wire.sample import Quality

KIND = find("raspberry_shake")
PERIOD_NS = 10_000_000
START = 1_700_000_000


def datagram(channel: str, start: float, counts: list[int]) -> bytes:
    return "{{'{}', {:.3f}, {}}}".format(channel, start, ", ".join(map(str, counts))).encode()


def group(*channels: str, name: str = "ground.motion", **source) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(),
        tags=tuple(f"ground.{channel.lower()}" for channel in channels),
        sources=tuple(KIND.source(channel=channel, **source) for channel in channels),
    )


def split(data: bytes) -> list[bytes]:
    return [frame.octets for frame in Splitter(HEAD, measure, int).feed(data)]


@given(st.lists(st.integers(-(1 << 23), (1 << 23) - 1), min_size=1, max_size=50), st.integers(0, 999))
def test_datagram_is_read_in_all_its_parts(counts, milliseconds):
    octets = datagram("EHZ", START + milliseconds / 1000, counts)
    assert split(octets) == [octets]
    assert parse(octets) == Packet("EHZ", START * 1_000_000_000 + milliseconds * 1_000_000, tuple(counts))


def test_datagram_without_spaces_or_fraction_is_read():
    assert parse(b"{'ENZ',1700000000,1,-2}") == Packet("ENZ", START * 1_000_000_000, (1, -2))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"{'EHZ', 1700000000.000}",
        b"{'EHZ', 1700000000.000, 1.5}",
        b"{'EHZ', 1700000000.000, 1, }",
        b"{'EHZ', 1700000000.000, 1,, 2}",
        b"{'EHZ', 17e8, 1}",
        b"{'EHZ', 1700000000.000, 1",
        b'{"EHZ", 1700000000.000, 1}',
        b"{'ehz', 1700000000.000, 1}",
        b"{'EHZ', nan, 1}",
        b"{'EHZ', 1700000000.000, 99999999999}",
        b"['EHZ', 1700000000.000, 1]",
    ],
)
def test_datagram_that_is_none_is_passed_over_and_hides_no_other(octets):
    good = datagram("EHZ", START, [1, 2])
    assert split(octets + good) == [good]


@given(
    st.lists(st.sampled_from([b"{'", b"{'EHZ', 1700000000", b"}", b"\xff", datagram("EHZ", START, [1])]), max_size=8)
)
def test_pieces_in_which_octets_come_do_not_matter(chunks):
    whole, pieces = Splitter(HEAD, measure, int), Splitter(HEAD, measure, int)
    got = [each for chunk in chunks for octet in chunk for each in pieces.feed(bytes((octet,)))]
    assert got == whole.feed(b"".join(chunks))
    assert pieces.faults == whole.faults


def test_datagram_without_end_is_not_held():
    splitter = Splitter(HEAD, measure, int)
    splitter.feed(b"{'EHZ', 1700000000.000")
    for _ in range(OCTETS_MOST):
        assert splitter.feed(b", 1") == []
        assert len(splitter._rest) <= OCTETS_MOST
    assert splitter.faults == 1


@pytest.mark.parametrize(
    ("starts_ms", "taken", "faults"),
    [
        ([0, 20, 40], 3, 0),
        ([0, 22, 41], 3, 0),
        ([0, 0, 20], 2, 1),
        ([0, 40, 60], 3, 1),
        ([20, 0, 40], 2, 1),
        ([0, 10, 20], 2, 1),
        ([60_000, 0, 20], 3, 1),
    ],
)
def test_gaps_and_doubles_are_counted_and_doubles_are_dropped(starts_ms, taken, faults):
    order = Order(PERIOD_NS)
    packets = [Packet("EHZ", START * 1_000_000_000 + ms * 1_000_000, (1, 2)) for ms in starts_ms]
    assert sum(order.follows(packet) for packet in packets) == taken
    assert order.faults == faults


def test_packets_that_were_held_up_together_keep_their_distances():
    timeline = Timeline()
    assert timeline.place(1_000_000_000, 5_000_000_000) == 5_000_000_000
    held_up = 6_000_000_000
    placed = [timeline.place(1_000_000_000 + number * 250_000_000, held_up) for number in range(1, 5)]
    assert placed == pytest.approx([5_250_000_000, 5_500_000_000, 5_750_000_000, 6_000_000_000], abs=2_000_000)
    assert max(placed) <= held_up


@given(st.lists(st.integers(0, 400_000_000), min_size=1, max_size=60))
def test_no_sample_is_dated_after_its_packet_came(delays):
    timeline, now = Timeline(), 0
    for number, delay in enumerate(delays):
        now = max(now, number * 250_000_000 + delay)
        assert timeline.place(number * 250_000_000, now) <= now


def test_clock_that_was_set_is_followed_at_once():
    timeline = Timeline()
    timeline.place(1_000_000_000, 5_000_000_000)
    assert timeline.place(9_000_000_000, 5_250_000_000) == 5_250_000_000
    assert timeline.place(1_000_000_000, 5_500_000_000) == 5_500_000_000


async def read(datagrams: list[bytes], *groups: Group, count: int, clock=lambda: 10_000_000_000) -> tuple[list, int]:
    line = Answering(lambda _: (b"", 0.0))
    settings = KIND.settings(url="udp://127.0.0.1:8888", timeout_s=0.02)
    driver = KIND.build(settings, groups, clock=clock, line=line)
    await driver.open()
    scans = driver.scans()
    line.arrive(b"".join(datagrams))
    result = [await anext(scans) for _ in range(count)]
    await scans.aclose()
    await driver.close()
    return result, driver.faults


async def test_samples_of_a_datagram_are_a_period_apart_and_the_last_is_dated_now():
    scans, _ = await read([datagram("EHZ", START, [1, 2, 3])], group("EHZ"), count=3)
    assert [scan.mono_ns for scan in scans] == [9_980_000_000, 9_990_000_000, 10_000_000_000]


async def test_time_never_goes_back_where_the_shakes_clock_does():
    times = [datagram("EHZ", START, [1, 2]), datagram("EHZ", START - 100, [3, 4])]
    scans, faults = await read(times, group("EHZ"), count=4)
    stamps = [scan.mono_ns for scan in scans]
    assert stamps == sorted(set(stamps))
    assert faults == 1


async def test_scale_makes_physical_units_and_the_end_of_the_digitiser_is_uncertain():
    counts = [3845, -CLIPPED, CLIPPED + 1]
    scans, _ = await read([datagram("ENZ", START, counts)], group("ENZ", scale=1 / 384_500), count=3)
    assert scans[0].values == (0.01,)
    assert [scan.quality for scan in scans] == [(0,), (Quality.UNCERTAIN_RANGE,), (Quality.UNCERTAIN_RANGE,)]


async def test_axes_make_one_scan_when_all_have_come_and_one_that_lacks_is_a_bad_value_beside_the_others():
    axes = ("ENE", "ENN", "ENZ")
    first = [datagram(axis, START, [number]) for number, axis in enumerate(axes[:2])]
    second = [datagram(axis, START + 0.01, [number]) for number, axis in enumerate(axes)]
    scans, faults = await read(first + second, group(*axes), count=2)
    assert [scan.values for scan in scans] == [(0, 1, None), (0, 1, 2)]
    assert scans[0].quality == (0, 0, Quality.BAD_FRAME)
    assert scans[0].mono_ns < scans[1].mono_ns
    assert faults == 1


async def test_axis_that_is_never_sent_costs_no_sample_of_the_others():
    sent = [datagram(axis, START + number / 4, [number] * 25) for number in range(8) for axis in ("ENE", "ENZ")]
    scans, _ = await read(sent, group("ENE", "ENN", "ENZ"), count=7 * 25)
    assert [scan.values for scan in scans] == [(number, None, number) for number in range(7) for _ in range(25)]


async def test_axis_that_comes_after_its_time_is_dropped_and_time_goes_on():
    late = datagram("ENZ", START, [9])
    sent = [datagram("ENE", START, [0]), datagram("ENE", START + 0.01, [1]), late, datagram("ENZ", START + 0.01, [1])]
    scans, faults = await read(sent, group("ENE", "ENZ"), count=2)
    assert [scan.values for scan in scans] == [(0, None), (1, 1)]
    assert faults == 2


async def test_one_channel_may_serve_several_tags_and_groups():
    groups = group("EHZ", "EHZ"), group("EHZ", name="ground.raw")
    scans, _ = await read([datagram("EHZ", START, [7])], *groups, count=2)
    assert [(scan.group, scan.values) for scan in scans] == [("ground.motion", (7, 7)), ("ground.raw", (7,))]


async def test_channels_that_nobody_asked_for_give_nothing():
    with pytest.raises(LinkTimeoutError):
        await read([datagram("HDF", START, [7])], group("EHZ"), count=1)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([group()], "no channels"),
        ([group("EHZ", scale=0.0)], "scale"),
        ([group("EHZ"), group("EHZ", name="roof.motion")], "one Shake"),
    ],
)
def test_groups_that_cannot_be_read_are_refused_when_the_driver_is_made(groups, says):
    with pytest.raises(SettingsError, match=says):
        KIND.build(KIND.settings(url="udp://127.0.0.1:8888"), groups)
