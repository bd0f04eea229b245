import asyncio
import binascii
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyvantagepro.parser import LoopDataParserRevB

from drivers.base import Group, find
from drivers.davis.driver import HEARD_OCTETS_MAX
from drivers.davis.packet import FIELDS, PACKET_OCTETS, find_packet, read_cell
from drivers.errors import FrameError, LinkTimeoutError, SettingsError
from drivers.replay import parse_capture
from tests.drivers.cases import FOLDER
from tests.drivers.lines import Answering

KIND = find("davis")
URL = "serial:///dev/ttyS0"
ACK = b"\x06"


def captured(case: str) -> bytes:
    """Return the packet of a case."""
    steps = parse_capture((FOLDER / "davis" / case / "line.txt").read_text("utf-8"))
    return b"".join(step.data for step in steps if not step.sent).partition(ACK)[2]


LOOP, LOOP2 = captured("basic"), captured("loop2")


def signed(packet: bytes, at: int, form: str, number: int) -> bytes:
    """Put a number into a packet and sign it anew."""
    changed = bytearray(packet[:-2])
    struct.pack_into("<" + form, changed, at, number)
    return bytes(changed) + binascii.crc_hqx(changed, 0).to_bytes(2, "big")


def group(*names: str, packet: str = "LOOP", **device: float) -> Group:
    return Group(
        name="roof.weather",
        device_name="roof",
        device=KIND.device(**device),
        tags=tuple(f"roof.{name}" for name in names),
        sources=tuple(KIND.source(field=name, packet=packet) for name in names),
    )


PEER = {
    # Our field: theirs, and the way from their unit to ours (NIST SP 811).
    "barometer": ("Barometer", lambda x: x * 33.86389),
    "inside_temperature": ("TempIn", lambda x: (x - 32) * 5 / 9),
    "inside_humidity": ("HumIn", float),
    "outside_temperature": ("TempOut", lambda x: (x - 32) * 5 / 9),
    "wind_speed": ("WindSpeed", lambda x: x * 0.44704),
    "wind_speed_10min": ("WindSpeed10Min", lambda x: x * 0.44704),
    "wind_direction": ("WindDir", float),
    "outside_humidity": ("HumOut", float),
    "rain_rate": ("RainRate", lambda x: x * 100 * 0.2),
    "uv_index": ("UV", float),
    "solar_radiation": ("SolarRad", float),
    "storm_rain": ("RainStorm", lambda x: x * 100 * 0.2),
    "day_rain": ("RainDay", lambda x: x * 100 * 0.2),
    "month_rain": ("RainMonth", lambda x: x * 100 * 0.2),
    "year_rain": ("RainYear", lambda x: x * 100 * 0.2),
    "day_evaporation": ("ETDay", lambda x: x * 25.4),
    "month_evaporation": ("ETMonth", lambda x: x * 25.4),
    "year_evaporation": ("ETYear", lambda x: x * 25.4),
    "console_battery": ("BatteryVolts", float),
    "transmitter_battery": ("BatteryStatus", float),
    "soil_moisture_2": ("SoilMoist02", float),
    "extra_humidity_7": ("HumExtra07", float),
    "leaf_wetness_2": ("LeafWetness02", float),
}


@given(st.binary(min_size=65, max_size=65), st.binary(min_size=3, max_size=3))
def test_packet_is_read_as_pyvantagepro_reads_it(numbers, batteries):
    # It fails on alarm bits that are set, so they stay clear; what follows the batteries is forecast and sun.
    body = LOOP[:5] + numbers + bytes(16) + batteries + LOOP[89:-2]
    packet = body + binascii.crc_hqx(body, 0).to_bytes(2, "big")
    theirs = LoopDataParserRevB(packet, datetime.now(UTC))
    assert not theirs.crc_error
    for name, (their_name, to_ours) in PEER.items():
        ours = read_cell(packet, FIELDS["LOOP"], name, 0.2)
        # They hand out dash values as if they were measured; ours are none.
        assert ours is None or ours == pytest.approx(to_ours(theirs[their_name]), rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize(
    ("name", "at", "form", "dash"),
    [
        ("outside_temperature", 12, "h", 0x7FFF),
        ("barometer", 7, "H", 0),
        ("wind_direction", 16, "H", 0),
        ("outside_humidity", 33, "B", 255),
        ("extra_temperature_7", 24, "B", 255),
        ("soil_temperature_1", 25, "B", 255),
        ("leaf_temperature_4", 32, "B", 255),
        ("extra_humidity_1", 34, "B", 255),
        ("rain_rate", 41, "H", 0xFFFF),
        ("uv_index", 43, "B", 255),
        ("solar_radiation", 44, "H", 0x7FFF),
        ("soil_moisture_1", 62, "B", 255),
        ("leaf_wetness_2", 67, "B", 255),
    ],
)
def test_dash_is_no_value_and_a_number_in_its_place_is_one(name, at, form, dash):
    assert read_cell(signed(LOOP, at, form, dash), FIELDS["LOOP"], name, 0.2) is None
    assert read_cell(signed(LOOP, at, form, 100), FIELDS["LOOP"], name, 0.2) is not None


def test_extra_temperatures_are_offset_by_ninety():
    assert read_cell(signed(LOOP, 18, "B", 169), FIELDS["LOOP"], "extra_temperature_1", 0.2) == pytest.approx(26.111111)


def test_speed_of_an_anemometer_that_is_not_heard_is_no_calm():
    lost = signed(signed(LOOP, 14, "B", 0), 16, "H", 0)
    assert read_cell(lost, FIELDS["LOOP"], "wind_speed", 0.2) is None
    calm = signed(LOOP, 14, "B", 0)
    assert read_cell(calm, FIELDS["LOOP"], "wind_speed", 0.2) == 0


def test_packet_is_found_among_noise_and_only_that_of_the_type():
    noise = b"LOOLOO\n\r\x06" + LOOP[:50]
    found, used = find_packet(noise + LOOP2 + b"tail", "LOOP2")
    assert found == LOOP2
    assert used == len(noise) + PACKET_OCTETS
    assert find_packet(LOOP2 + LOOP, "LOOP") == (LOOP, 2 * PACKET_OCTETS)
    assert find_packet(LOOP2, "LOOP")[0] is None


@given(st.integers(0, PACKET_OCTETS * 8 - 16), st.integers(1, 0xFFFF))
def test_burst_of_up_to_sixteen_bits_is_never_a_packet(first, bits):
    """What a CRC of 16 bits is sure to find."""
    flipped = int.from_bytes(LOOP, "big") ^ bits << first
    assert find_packet(flipped.to_bytes(PACKET_OCTETS, "big"), "LOOP")[0] is None


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"LOO", LOOP[:60], LOOP[60:], LOOP, LOOP2]), max_size=8))
def test_any_octets_are_packets_or_not_and_little_is_held(pieces):
    rest = b""
    for piece in pieces:
        rest += piece
        found, used = find_packet(rest, "LOOP")
        assert found in {None, LOOP}
        rest = rest[used:]
        assert found is not None or len(rest) < PACKET_OCTETS


def test_every_field_lies_in_its_packet():
    for name, fields in FIELDS.items():
        for field in fields:
            read_cell(LOOP if name == "LOOP" else LOOP2, fields, field, 0.2)


class Bench:
    """A driver and a console that answers as told: for each command a list of replies and their delays."""

    def __init__(self, one: Group, replies: dict[bytes, list[tuple[bytes, float]]]) -> None:
        self.line = Answering(lambda command: replies[command].pop(0) if replies.get(command) else (b"", 0.0))
        self.driver = KIND.build(KIND.settings(url=URL, timeout_s=0.05, wake_s=0.02), [one], line=self.line)

    async def __aenter__(self):
        await self.driver.open()
        return self

    async def __aexit__(self, *_):
        await self.driver.close()


async def test_console_that_sleeps_is_woken_three_times():
    one = group("inside_humidity")
    replies = {b"\n": [(b"", 0), (b"\x00\xff", 0), (b"\n\r", 0)], b"LOOP 1\n": [(ACK + LOOP, 0)]}
    async with Bench(one, replies) as bench:
        assert (await bench.driver.read(one)).values == (57,)
        with pytest.raises(LinkTimeoutError):
            await bench.driver.read(one)
        assert bench.line.sent == [b"\n", b"\n", b"\n", b"LOOP 1\n", b"\n", b"\n", b"\n"]


async def test_late_packet_never_answers_another_request():
    one = group("inside_humidity")
    late = signed(LOOP, 11, "B", 99)
    replies = {b"\n": [(b"\n\r", 0)] * 2, b"LOOP 1\n": [(ACK + late, 0.06), (ACK + LOOP, 0)]}
    async with Bench(one, replies) as bench:
        with pytest.raises(LinkTimeoutError):
            await bench.driver.read(one)
        assert (await bench.driver.read(one)).values == (57,)


async def test_noise_without_end_is_a_bad_frame_and_little_of_it_is_kept():
    one = group("inside_humidity")
    replies = {b"\n": [(b"\n\r", 0)], b"LOOP 1\n": [(ACK + LOOP[:-1], 0)]}
    async with Bench(one, replies) as bench:
        reading = asyncio.create_task(bench.driver.read(one))
        for _ in range(20):
            await asyncio.sleep(0)
            bench.line.arrive(b"LOO" * HEARD_OCTETS_MAX)
        with pytest.raises(FrameError):
            await reading


async def test_clicks_of_the_collector_are_those_of_the_device():
    one = group("day_rain", click_mm=0.254)
    replies = {b"\n": [(b"\n\r", 0)], b"LOOP 1\n": [(ACK + signed(LOOP, 50, "H", 100), 0)]}
    async with Bench(one, replies) as bench:
        assert (await bench.driver.read(one)).values == (25.4,)


async def test_scan_tells_the_console():
    which = b"WRD\x12\x4d\n"
    for reply, told in ((b"\x11", "Vantage Vue"), (b"\x10", "Vantage Pro"), (b"\x05", "type 5")):
        async with Bench(group("barometer"), {b"\n": [(b"\n\r", 0)], which: [(ACK + reply, 0)]}) as bench:
            (console,) = bench.driver.candidates()
            assert await bench.driver.identify(console) == {"vendor": "Davis Instruments", "model": told}
    async with Bench(group("barometer"), {}) as bench:
        assert await bench.driver.identify(console) is None


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (group("dew_point"), "LOOP has no field 'dew_point'"),
        (group("month_rain", packet="LOOP2"), "LOOP2 has no field"),
        (group(), "no tags"),
    ],
)
def test_group_that_cannot_be_read_is_refused_when_the_driver_is_made(one, says):
    with pytest.raises(SettingsError, match=says) as caught:
        KIND.build(KIND.settings(url=URL), [one])
    assert caught.value.hint
