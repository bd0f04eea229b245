from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find, taken
from drivers.errors import FrameError, SettingsError
from drivers.framing.splitter import NO, WAIT, Splitter
from drivers.gb26875 import tally
from drivers.gb26875.objects import KINDS, QUANTITIES, STATES, read_objects
from drivers.gb26875.packet import CONFIRM, DENY, HEAD, answer, measure, parse
from tests.drivers.lines import Answering
from wire.sample import Quality

KIND = find("gb26875")
SOURCE, CENTRE = bytes.fromhex("0D8000000000"), bytes.fromhex("010000000000")
NOON = datetime(2026, 5, 1, 4, 0, 0, tzinfo=UTC).timestamp()
"""Twelve o'clock in Beijing."""

PUBLISHED = bytes.fromhex(
    "40400000010118 0D11160A14000000000000060504030201300002"
    "02010103 00D900060002 00A3C1C7F8A3B1B2E3DFC8B2B8D7DFC0C8000000000000000000000000000000"
    "301213010814 68 2323"
)
"""The example in the tests of dgiot, apps/dgiot_gb26875."""


def time(hour: int = 12, minute: int = 0, second: int = 0) -> bytes:
    return bytes((second, minute, hour, 1, 5, 26))


def packet(application: bytes, *, command: int = 2, source: bytes = SOURCE, sent: bytes = b"") -> bytes:
    body = b"\x07\x00\x01\x00" + (sent or time()) + source + CENTRE
    body += len(application).to_bytes(2, "little") + bytes((command,)) + application
    return HEAD + body + bytes((sum(body) % 256,)) + b"##"


def objects(kind: int, *contents: bytes) -> bytes:
    return bytes((kind, len(contents))) + b"".join(contents)


def component(state: int, address: int = 7, since: bytes = b"", description: bytes = b"") -> bytes:
    contents = bytes((1, 1, 40)) + address.to_bytes(4, "little") + state.to_bytes(2, "little")
    return contents + description.ljust(31, b"\0") + (since or time())


def group(*fields: dict, name: str = "hall.smoke", **device) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(**device),
        tags=tuple(f"hall.t{number}" for number in range(len(fields))),
        sources=tuple(KIND.source(**field) for field in fields),
    )


async def read(data: bytes, *groups: Group, count: int = 1, kept=taken) -> tuple[list, list, int]:
    line = Answering(lambda _: (b"", 0.0))
    settings = KIND.settings(url="listen://127.0.0.1:9002", timeout_s=0.02)
    driver = KIND.build(settings, groups, line=line, wall=lambda: NOON)
    driver.kept = kept
    await driver.open()
    line.arrive(data)
    scans = driver.scans()
    result = [await anext(scans) for _ in range(count)]
    await scans.aclose()
    await driver.close()
    return result, list(line.sent), driver.faults


FIRE = {"what": "component", "system_type": 1, "system": 1, "component_type": 40, "component": 7, "value": "fire"}


def test_published_example_is_read_in_all_its_parts():
    assert measure(PUBLISHED, 0) == len(PUBLISHED)
    read_packet = parse(PUBLISHED, 3)
    assert (read_packet.source, read_packet.command, read_packet.mono_ns) == ("000000000000", 2, 3)
    assert str(read_packet.sent) == "2020-10-22 17:13:24"
    (one,) = read_objects(read_packet.application)
    assert one.what == "component"
    assert one.fields == {"system_type": 1, "system": 3, "component_type": 0, "component": 0x000600D9, "state": 2}
    assert one.description == "Ａ区１层呷哺走廊"
    assert str(one.since) == "2020-08-01 19:18:48"


def test_answer_changes_the_addresses_over_and_keeps_serial_version_and_time():
    octets = answer(parse(packet(objects(2, component(2))), 0), CONFIRM)
    assert octets == HEAD + octets[2:-3] + bytes((sum(octets[2:-3]) % 256,)) + b"##"
    assert octets[2:12] == packet(b"")[2:12]
    assert (octets[12:18], octets[18:24]) == (CENTRE, SOURCE)
    assert octets[24:27] == b"\0\0\x03"
    assert len(octets) == 30


@given(st.lists(st.sampled_from([PUBLISHED, packet(b""), b"@@", b"@", b"##", bytes(30)]), max_size=6))
def test_pieces_in_which_octets_come_do_not_matter(chunks):
    whole, pieces = Splitter(HEAD, measure, int), Splitter(HEAD, measure, int)
    got = [each for chunk in chunks for octet in chunk for each in pieces.feed(bytes((octet,)))]
    assert got == whole.feed(b"".join(chunks))
    assert pieces.faults == whole.faults


@pytest.mark.parametrize("at", [2, 10, 24, 26, 40, -3, -1])
def test_frame_with_a_wrong_octet_is_none(at):
    octets = bytearray(PUBLISHED)
    octets[at] ^= 0x10
    assert measure(bytes(octets), 0) in {NO, WAIT}


@given(st.binary(max_size=120))
def test_any_application_data_are_read_or_refused(data):
    try:
        found = read_objects(data)
    except FrameError:
        return
    assert len(found) <= 255
    assert all(one.description.isprintable() for one in found)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_without_a_time_are_read_too(kind):
    (one,) = read_objects(objects(kind, bytes(KINDS[kind].octets)))
    assert one.since is None
    assert one.what == KINDS[kind].what


@pytest.mark.parametrize("data", [b"\x02", b"\x02\x00", b"\x02\x01" + bytes(45), b"\x02\x02" + bytes(46), b"\x15\x01"])
def test_objects_that_do_not_add_up_are_refused(data):
    with pytest.raises(FrameError, match="do not fit"):
        read_objects(data)


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, names in STATES.items() for name in names])
async def test_each_state_is_its_own_bit(what, name):
    kind = next(number for number, kind in KINDS.items() if kind.what == what)
    at, size = KINDS[kind].fields["state"]
    bit = STATES[what].index(name)
    contents = bytearray(KINDS[kind].octets)
    contents[at : at + size] = (1 << bit).to_bytes(size, "little")
    one = group(*({"what": what, "value": each} for each in STATES[what]))
    ((scan,), _, _) = await read(packet(objects(kind, bytes(contents) + time())), one)
    assert scan.values == tuple(each == name for each in STATES[what])
    assert all(quality == 0 for quality in scan.quality)


@pytest.mark.parametrize(
    ("value", "raw", "expected"),
    [
        ("events", 12, 12),
        ("height", 250, 2.5),
        ("temperature", -105, -10.5),
        ("pressure_mpa", 8, 0.8),
        ("pressure_kpa", 3200, 320.0),
        ("gas", 255, 25.5),
        ("seconds", 60, 60),
        ("voltage", 2204, 220.4),
        ("current", 15, 1.5),
        ("flow", 333, 33.3),
        ("air_flow", 7, 0.7),
        ("wind_speed", 5, 5),
    ],
)
async def test_quantity_has_the_step_of_the_standard(value, raw, expected):
    contents = bytes((12, 2, 99, 7, 0, 0, 0, QUANTITIES[value][0])) + raw.to_bytes(2, "little", signed=True) + time()
    ((scan,), _, _) = await read(packet(objects(3, contents)), group({"what": "analogue", "value": value}))
    assert (scan.values, scan.quality) == ((expected,), (0,))


async def test_state_told_late_is_kept_and_uncertain():
    ((scan,), _, _) = await read(packet(objects(2, component(2, since=time(11, 30)))), group(FIRE))
    assert (scan.values, scan.quality) == ((True,), (Quality.UNCERTAIN_STATUS,))


async def test_age_can_be_that_of_the_transmitters_own_clock():
    data = packet(objects(2, component(2, since=time(3, 0))), sent=time(3, 5))
    ((scan,), _, _) = await read(data, group(FIRE, age_by="instrument"))
    assert (scan.values, scan.quality) == ((True,), (0,))


async def test_clock_that_was_never_set_makes_nothing_old():
    data = packet(objects(2, component(2, since=bytes(6))), sent=bytes(6))
    ((scan,), _, _) = await read(data, group(FIRE))
    assert scan.quality == (0,)


async def test_older_state_of_one_component_is_dropped_and_of_another_is_not():
    data = packet(
        objects(
            2,
            component(1, since=time(11, 59, 30)),
            component(2, since=time(11, 59, 10)),
            component(2, address=8, since=time(11, 59, 0)),
        )
    )
    eighth = group(FIRE | {"component": 8}, name="hall.eighth")
    scans, _, faults = await read(data, group(FIRE), eighth, count=2)
    assert [(scan.group, scan.values) for scan in scans] == [("hall.smoke", (False,)), ("hall.eighth", (True,))]
    assert faults == 1


async def test_group_of_any_component_tells_which_one_it_was():
    one = group(*({"what": "component", "value": value} for value in ("fire", "component", "description")))
    data = packet(objects(2, component(2, 9, description="三楼".encode("gb18030")), component(1, 10)))
    scans, _, _ = await read(data, one, count=2)
    assert [scan.values for scan in scans] == [(True, 9, "三楼"), (False, 10, "")]


async def test_packet_is_answered_only_after_its_scans_were_taken():
    data = packet(objects(2, component(2), component(1, since=time(12, 0, 1))))
    _, answered, _ = await read(data, group(FIRE), count=2)
    assert answered == []
    _, answered, _ = await read(data + packet(objects(2, component(2, since=time(12, 0, 2)))), group(FIRE), count=3)
    assert [parse(octets, 0).command for octets in answered] == [CONFIRM]


async def test_packet_whose_scans_cannot_be_stored_is_not_answered():
    async def refuse() -> bool:
        return False

    data = packet(objects(2, component(2))) + packet(objects(2, component(2, since=time(12, 0, 2))))
    scans, answered, _ = await read(data, group(FIRE), count=2, kept=refuse)
    assert len(scans) == 2
    assert answered == []


async def test_contents_that_do_not_add_up_are_denied():
    _, answered, faults = await read(packet(b"\x02\x01\x00") + packet(objects(2, component(2))), group(FIRE))
    assert [parse(octets, 0).command for octets in answered] == [DENY]
    assert faults == 1


async def test_packet_that_is_no_upload_is_not_answered():
    data = packet(b"", command=3) + packet(objects(2, component(1)), command=5) + packet(objects(2, component(2)))
    ((scan,), answered, _) = await read(data, group(FIRE))
    assert scan.values == (True,)
    assert answered == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([], "not of one object"),
        ([FIRE, FIRE | {"component": 8}], "not of one object"),
        ([FIRE, {"what": "system", "value": "fire"}], "not of one object"),
        ([FIRE | {"value": "smoke"}], "no value 'smoke'"),
        ([FIRE | {"value": "operator"}], "no value 'operator'"),
        ([FIRE | {"scale": 2.0}], "only quantities"),
        ([{"what": "analogue", "value": "127"}], "no value '127'"),
        ([FIRE, FIRE | {"value": "fire_count"}], "counts and something else"),
        ([FIRE | {"value": "smoke_count"}], "no value 'smoke_count'"),
        ([{"what": "transmitter", "value": "fire_count"}], "counts no systems"),
        ([{"what": "analogue", "value": "gas", "scale": 0.0}], "scale"),
    ],
)
def test_group_that_cannot_be_read_is_refused_when_the_driver_is_made(fields, says):
    with pytest.raises(SettingsError, match=says) as caught:
        KIND.build(KIND.settings(url="listen://127.0.0.1:9002"), [group(*fields)])
    assert caught.value.hint


COUNTS = tuple({"what": "component", "value": value} for value in ("fire_count", "fault_count"))
RESET = objects(4, bytes((1, 1, 1, 0)) + time(12, 0, 5))


async def test_all_clear_of_one_component_leaves_the_fire_of_another_counted():
    states = [component(2, 7), component(6, 8), component(1, 7, since=time(12, 0, 2))]
    scans, _, _ = await read(packet(objects(2, *states)), group(*COUNTS), count=3)
    assert [scan.values for scan in scans] == [(1, 0), (2, 1), (1, 1)]
    assert all(scan.quality == (0, 0) for scan in scans)


async def test_older_state_does_not_change_a_count():
    states = [component(2, 7, since=time(12, 0, 2)), component(1, 7, since=time(12, 0, 1))]
    scans, _, _ = await read(packet(objects(2, *states)), group(*COUNTS), count=2)
    assert [scan.values for scan in scans] == [(1, 0), (1, 0)]


async def test_reset_of_the_panel_forgets_what_its_system_told_before_and_nothing_else():
    later = component(2, 9, since=time(12, 0, 6))
    other = b"\x02" + component(2, 7)[1:]
    data = packet(objects(2, component(2, 7), later, other)) + packet(RESET)
    scans, _, _ = await read(data, group(*COUNTS), count=4)
    assert [scan.values for scan in scans] == [(1, 0), (2, 0), (3, 0), (2, 0)]


async def test_reset_of_another_system_or_an_operation_that_is_none_changes_no_count():
    mine = tuple(each | {"system_type": 1, "system": 1} for each in COUNTS)
    foreign = objects(4, bytes((1, 2, 1, 0)) + time(12, 0, 5))
    silenced = objects(4, bytes((1, 1, 2, 0)) + time(12, 0, 5))
    data = packet(objects(2, component(2, 7))) + packet(foreign) + packet(silenced) + packet(RESET)
    scans, _, _ = await read(data, group(*mine), count=2)
    assert [scan.values for scan in scans] == [(1, 0), (0, 0)]


def test_count_of_more_objects_than_are_held_is_uncertain(monkeypatch):
    monkeypatch.setattr(tally, "OBJECTS_MOST", 2)
    fires = tally.Tally(bit=1)
    judged = [fires.take(read_objects(objects(2, component(2, address)))[0]) for address in (1, 2, 3)]
    assert judged == [(1, 0), (2, 0), (2, Quality.UNCERTAIN)]
