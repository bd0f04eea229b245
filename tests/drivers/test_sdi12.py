"""The SDI-12 driver. There is no independent sensor or recorder to test against: replies are those of manuals."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import sdi12
from drivers.base import Group, find
from drivers.bits import crc16_text
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from tests.drivers.lines import Answering

KIND = find("sdi12")
URL = "serial:///dev/ttyS0"
TIMEOUT_S = 0.03


def group(*values: int, measurement: str = "M", crc: bool = False, address: str = "0") -> Group:
    return Group(
        name=f"g{address}.{measurement.lower()}",
        device_name=f"g{address}",
        device=KIND.device(address=address, crc=crc),
        tags=tuple(f"g.v{value}" for value in values),
        sources=tuple(KIND.source(measurement=measurement, value=value) for value in values),
    )


def with_crc(text: str) -> bytes:
    return text.encode() + crc16_text(text.encode())


class Bench:
    """A driver, and a bus on which each command has the replies told: what, and after how long."""

    def __init__(self, *groups: Group, replies: dict[bytes, list[tuple[bytes, float]]], wait_max_s: float = 20) -> None:
        self.line = Answering(lambda command: replies[command].pop(0) if replies.get(command) else (b"", 0.0))
        settings = KIND.settings(url=URL, timeout_s=TIMEOUT_S, wait_max_s=wait_max_s)
        self.driver = KIND.build(settings, groups, line=self.line)

    async def __aenter__(self):
        await self.driver.open()
        return self

    async def __aexit__(self, *_):
        await self.driver.close()


@pytest.mark.parametrize(
    ("measurement", "crc", "command"),
    [
        ("M", False, b"0M!"),
        ("M", True, b"0MC!"),
        ("M1", True, b"0MC1!"),
        ("C9", False, b"0C9!"),
        ("C", True, b"0CC!"),
        ("R0", True, b"0RC0!"),
    ],
)
def test_crc_is_asked_for_in_the_command(measurement, crc, command):
    assert sdi12.command("0", measurement, crc=crc) == command


@pytest.mark.parametrize(
    ("text", "values"),
    [("0+3.14", (3.14,)), ("0+1-2.5+.5-7.", (1.0, -2.5, 0.5, -7.0)), ("0", ()), ("0+1234567", (1234567.0,))],
)
def test_values_are_read_with_and_without_crc(text, values):
    assert sdi12.parse_values(text.encode(), "0", crc=False) == values
    assert sdi12.parse_values(with_crc(text), "0", crc=True) == values


def test_crc_is_the_one_that_a_maker_prints():
    assert sdi12.parse_values(b"1+2.7+85.2-0.2-2.7+770.5CAH", "1", crc=True) == (2.7, 85.2, -0.2, -2.7, 770.5)


@pytest.mark.parametrize(
    "text",
    [
        "0+",
        "0+.",
        "01.5",
        "0+1.2.3",
        "0++1",
        "0+1 ",
        "0+1e5",
        "0+12345678.5",
        "0+1,5",
        "0+nan",
        "00013",
        "0+1\n",
        "0+²",
    ],
)
def test_values_that_the_standard_does_not_write_are_refused(text):
    with pytest.raises(FrameError):
        sdi12.parse_values(text.encode(), "0", crc=False)


@pytest.mark.parametrize("line", [b"0+3.15OqZ", b"0+3.14OqY", b"0+3.14", b"0", b""])
def test_values_with_a_wrong_crc_are_refused(line):
    with pytest.raises(FrameError):
        sdi12.parse_values(line, "0", crc=True)


@pytest.mark.parametrize("line", [b"1+3.14", b"1", b"", b"!"])
def test_reply_of_another_sensor_is_none_of_ours(line):
    assert sdi12.parse_values(line, "0", crc=False) is None
    assert sdi12.parse_announcement(line, "0", digits=1) is None


@pytest.mark.parametrize(
    ("line", "digits"), [(b"0001", 1), (b"000133", 1), (b"00013", 2), (b"0+1.5", 1), (b"00 13", 1)]
)
def test_start_that_is_none_is_refused(line, digits):
    with pytest.raises(FrameError):
        sdi12.parse_announcement(line, "0", digits=digits)


@given(st.binary(max_size=100), st.booleans(), st.booleans(), st.integers(1, 2))
def test_any_octets_are_values_or_a_bad_frame(octets, crc, mends, digits):
    line = octets + crc16_text(octets) if mends else octets
    for parse in (
        lambda: sdi12.parse_values(line, "0", crc=crc),
        lambda: sdi12.parse_announcement(line, "0", digits=digits),
    ):
        try:
            read = parse()
        except FrameError:
            continue
        assert read is None or line.startswith(b"0")


@given(st.lists(st.decimals(-9999, 9999, places=2).map(lambda number: f"{number:+}"), max_size=9))
def test_values_that_were_written_are_read_again(texts):
    assert sdi12.parse_values(with_crc("z" + "".join(texts)), "z", crc=True) == tuple(map(float, texts))


async def test_values_are_fetched_when_the_sensor_says_so_and_bear_that_time():
    one = group(1, 2)
    ready_s = 0.1
    replies = {b"0M!": [(b"00202\r\n", 0)], b"0D0!": [(b"0+1.5+2\r\n", 0)]}
    async with Bench(one, replies=replies) as bench:
        loop = asyncio.get_running_loop()
        before_ns = asyncio.get_running_loop().time() * 1e9
        loop.call_later(ready_s, bench.line.arrive, b"0\r\n")
        scan = await bench.driver.read(one)
    assert scan.values == (1.5, 2.0)
    assert scan.mono_ns - before_ns >= ready_s * 0.9e9


async def test_sensor_without_a_service_request_is_given_its_time():
    one = group(1)
    replies = {b"0M!": [(b"00011\r\n", 0)], b"0D0!": [(b"0+1.5\r\n", 0)]}
    async with Bench(one, replies=replies) as bench:
        before = asyncio.get_running_loop().time()
        assert (await bench.driver.read(one)).values == (1.5,)
        assert asyncio.get_running_loop().time() - before >= 0.9


async def test_service_request_of_another_sensor_does_not_end_the_wait():
    one = group(1)
    replies = {b"0M!": [(b"00011\r\n1\r\n", 0)], b"0D0!": [(b"0+1.5\r\n", 0)]}
    async with Bench(one, replies=replies) as bench:
        reading = asyncio.create_task(bench.driver.read(one))
        await asyncio.sleep(0.05)
        assert bench.line.sent == [b"0M!"]
        bench.line.arrive(b"0\r\n")
        assert (await reading).values == (1.5,)


async def test_measurement_that_takes_too_long_is_refused():
    one = group(1)
    async with Bench(one, replies={b"0M!": [(b"09991\r\n", 0)]}, wait_max_s=5) as bench:
        with pytest.raises(DeviceError, match="999 s"):
            await bench.driver.read(one)


@pytest.mark.parametrize("data", [[b"0+1\r\n", b"0\r\n"], [b"0+1+2+3+4\r\n"], [b"0\r\n", b"0\r\n"]])
async def test_more_or_fewer_values_than_announced_are_a_bad_frame(data):
    one = group(1)
    replies = {b"0M!": [(b"00003\r\n", 0)]} | {f"0D{n}!".encode(): [(text, 0)] for n, text in enumerate(data)}
    async with Bench(one, replies=replies) as bench:
        with pytest.raises(FrameError, match="3 values were announced"):
            await bench.driver.read(one)


async def test_service_request_that_comes_late_is_no_data_and_shifts_none():
    one = group(1, 2)
    replies = {b"0M!": [(b"00004\r\n", 0)], b"0D0!": [(b"0\r\n", 0)], b"0D1!": [(b"0+1+2+3+4\r\n", 0)]}
    async with Bench(one, replies=replies) as bench:
        with pytest.raises(FrameError, match="4 values were announced, 0 came"):
            await bench.driver.read(one)
        assert bench.line.sent == [b"0M!", b"0D0!"]


async def test_late_data_never_answers_another_request():
    one = group(1)
    replies = {
        b"0M!": [(b"00001\r\n", 0)] * 2,
        b"0D0!": [(b"0+1.0\r\n", 1.5 * TIMEOUT_S), (b"0+2.0\r\n", 0)],
        b"0!": [(b"0\r\n", 0)],
    }
    async with Bench(one, replies=replies) as bench:
        with pytest.raises(LinkTimeoutError):
            await bench.driver.read(one)
        assert (await bench.driver.read(one)).values == (2.0,)
        assert bench.line.sent == [b"0M!", b"0D0!", b"0!", b"0M!", b"0D0!"]


async def test_silent_sensor_costs_its_neighbour_nothing():
    silent, other = group(1, address="3"), group(1, measurement="R0")
    async with Bench(silent, other, replies={b"0R0!": [(b"0+7\r\n", 0)]}) as bench:
        with pytest.raises(LinkTimeoutError, match="address 3"):
            await bench.driver.read(silent)
        assert (await bench.driver.read(other)).values == (7.0,)


async def test_echo_and_break_before_a_reply_are_dropped():
    one = group(1, measurement="R0", crc=True)
    async with Bench(one, replies={b"0RC0!": [(b"0RC0!\x00\x000+3.14OqZ\r\n", 0)]}) as bench:
        assert (await bench.driver.read(one)).values == (3.14,)


async def test_scan_tells_who_answers():
    replies = {b"1I!": [(b"113VAISALA_WXT530103Y2630000\r\n", 0)], b"2I!": [(b"213CSI451\r\n", 0)]}
    async with Bench(replies=replies) as bench:
        candidates = bench.driver.candidates()
        told = [await bench.driver.identify(device) for device in candidates[:4]]
    assert len(candidates) == 62
    assert told == [
        None,
        {"sdi12": "1.3", "vendor": "VAISALA", "model": "WXT530", "version": "103", "serial": "Y2630000"},
        {"sdi12": "1.3", "vendor": "CSI451"},
        None,
    ]


def test_group_that_mixes_measurements_is_refused_when_the_driver_is_made():
    one = group(1)
    mixed = Group(
        name="g.m",
        device_name="g",
        device=one.device,
        tags=("g.a", "g.b"),
        sources=(KIND.source(measurement="M"), KIND.source(measurement="M1")),
    )
    empty = Group(name="g.m", device_name="g", device=one.device, tags=(), sources=())
    for bad, says in ((mixed, "M, M1"), (empty, "no tags")):
        with pytest.raises(SettingsError, match=says) as caught:
            KIND.build(KIND.settings(url=URL), [bad])
        assert caught.value.hint
