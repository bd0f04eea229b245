from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find, taken
from drivers.errors import FrameError, LinkTimeoutError, SettingsError
from drivers.framing.splitter import Splitter
from drivers.hj212.intake import PARTS_MOST, Intake
from drivers.hj212.packet import HEAD, answer, crc16, frame, measure, parse
from tests.drivers.lines import Answering
from wire.sample import Quality

KIND = find("hj212")
MN = "010000A8900016F000169DC0"
NOON = datetime(2026, 5, 1, 4, 0, 0, tzinfo=UTC).timestamp()
"""Twelve o'clock in Beijing."""

VECTOR = f"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN={MN};Flag=5;CP=&&RtdInterval=30&&"


def upload(
    cp: str, *, cn: str = "2011", flag: int = 4, qn: str = "20260501120000123", mn: str = MN, parts: str = ""
) -> bytes:
    return frame(f"QN={qn};ST=32;CN={cn};PW=123456;MN={mn};Flag={flag};{parts}CP=&&{cp}&&")


def group(*fields: dict, name: str = "outfall.present", **device) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(**{"mn": MN} | device),
        tags=tuple(f"outfall.t{number}" for number in range(len(fields))),
        sources=tuple(KIND.source(**field) for field in fields),
    )


def intake(**device) -> Intake:
    return Intake({MN: KIND.device(mn=MN, **device)}, int, lambda: NOON)


def at(time: str, value: str = "7.1") -> str:
    return f"DataTime={time};w01001-Rtd={value},w01001-Flag=N"


def test_crc_is_that_of_the_published_vector():
    assert frame(VECTOR) == f"##0101{VECTOR}1C80\r\n".encode()
    assert crc16(VECTOR.encode()) == 0x1C80


def test_packet_is_read_in_all_its_parts():
    packet = parse(frame(VECTOR), 7)
    assert (packet.qn, packet.st, packet.cn, packet.pw, packet.mn) == ("20160801085857223", "32", "1062", "100000", MN)
    assert (packet.flag, packet.parts, packet.part, packet.mono_ns) == (5, 1, 1, 7)
    assert packet.items == {"RtdInterval": "30"}
    assert packet.needs_answer


@pytest.mark.parametrize(("flag", "answered"), [(5, 4), (7, 4), (1, 0), (9, 8)])
def test_answer_keeps_the_version_and_wants_none_itself(flag, answered):
    packet = parse(upload("", flag=flag, parts="PNUM=1;PNO=1;"), 0)
    back = parse(answer(packet), 0)
    assert (back.qn, back.st, back.cn, back.mn, back.flag) == (packet.qn, "91", "9014", MN, answered)
    assert back.items == {}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "CP=&&&&",
        "Flag=x;CP=&&&&",
        "Flag=256;CP=&&&&",
        "Flag=7;CP=&&&&",
        "Flag=7;PNUM=2;PNO=3;CP=&&&&",
        "Flag=7;PNUM=0;PNO=0;CP=&&&&",
        "Flag=4;CP=&&a",
        "Flag=4;a=1&&",
        "Flag=4;MN=1;MN=2;CP=&&&&",
        "Flag=4;CP=&&w01001-Rtd=1,w01001-Rtd=2&&",
        "Flag=4;CP=&&w01001-Rtd&&",
    ],
)
def test_data_segment_that_is_none_is_refused(data):
    octets = frame(data)
    assert measure(octets, 0) == len(octets)
    with pytest.raises(FrameError):
        parse(octets, 0)


@given(st.text(alphabet="QNSTCPWMFlag=;,&-0123456789", max_size=60))
def test_any_data_segment_is_read_or_refused(data):
    octets = frame(data)
    try:
        packet = parse(octets, 0)
    except FrameError:
        return
    assert measure(answer(packet), 0) == len(answer(packet))


@given(
    st.lists(
        st.sampled_from([upload(at("20260501120000")), upload("", flag=5), b"##", b"##0101QN", b"\r\n", b"#"]),
        max_size=8,
    )
)
def test_pieces_in_which_octets_come_do_not_matter(chunks):
    whole, pieces = Splitter(HEAD, measure, int), Splitter(HEAD, measure, int)
    got = [each for chunk in chunks for octet in chunk for each in pieces.feed(bytes((octet,)))]
    assert got == whole.feed(b"".join(chunks))
    assert pieces.faults == whole.faults


def test_head_in_garbage_holds_back_no_packet():
    splitter = Splitter(HEAD, measure, int)
    assert len(splitter.feed(b"##1000QN=2026" + upload(at("20260501120000")))) == 1


def test_reading_of_now_is_taken():
    (packet,) = intake().feed(upload(at("20260501115959")))
    assert packet.items["w01001-Rtd"] == "7.1"


@pytest.mark.parametrize(
    ("cn", "time", "is_taken"),
    [
        ("2011", "20260501115001", True),
        ("2011", "20260501114959", False),
        ("2051", "20260501114001", True),
        ("2051", "20260501113959", False),
        ("2061", "20260501110000", True),
        ("2061", "20260501090000", False),
        ("2031", "20260430000000", False),
        ("2031", "20260430120000", True),
    ],
)
def test_record_of_a_period_may_be_as_old_as_its_period_and_no_older(cn, time, is_taken):
    taken = intake(max_age_s=600.0, minute_s=600.0)
    assert [bool(packet.items) for packet in taken.feed(upload(at(time), cn=cn))] == ([True] if is_taken else [])
    assert taken.faults == (not is_taken)


def test_history_after_a_present_reading_is_dropped_though_it_is_young():
    taken = intake()
    assert taken.feed(upload(at("20260501115930")))
    assert taken.feed(upload(at("20260501115900"))) == []
    assert taken.faults == 1


def test_clock_that_was_put_back_is_believed_after_a_silence():
    taken = intake()
    assert taken.feed(upload(at("20260501130000")))
    assert taken.feed(upload(at("20260501115959"))) == []
    taken.forget()
    assert taken.feed(upload(at("20260501115959")))


def test_repeat_is_answered_and_not_read_and_more_values_of_the_same_time_are():
    taken = intake()
    first, repeat, more = (
        taken.feed(upload(f"DataTime=20260501115959;{item}", flag=5))
        for item in ("w01001-Rtd=7", "w01001-Rtd=7", "w01018-Rtd=31")
    )
    assert [len(packet.items) for packet in (*first, *repeat, *more)] == [2, 0, 2]
    assert taken.faults == 0


def test_history_is_answered_only_where_the_logger_needs_it():
    assert intake().feed(upload(at("20200101000000"), flag=5)) == []
    (packet,) = intake(answers_history=True).feed(upload(at("20200101000000"), flag=5))
    assert packet.items == {}


def test_data_without_a_time_are_dropped():
    taken = intake()
    assert taken.feed(upload("w01001-Rtd=7")) == taken.feed(upload(at("20260230120000"))) == []
    assert taken.faults == 2


@given(st.permutations([1, 2, 3]))
def test_split_packet_is_whole_when_its_last_part_has_come_in_any_order(order):
    taken = intake()
    parts = [
        upload(f"DataTime=20260501115959;w0100{part}-Rtd={part}", flag=7, parts=f"PNUM=3;PNO={part};") for part in order
    ]
    packets = [packet for part in parts for packet in taken.feed(part)]
    assert [bool(packet.items) for packet in packets] == [False, False, True]
    assert len(packets[-1].items) == 4


def test_split_packet_that_is_not_completed_is_counted_when_another_begins():
    taken = intake()
    taken.feed(upload(at("20260501115959"), flag=7, parts="PNUM=2;PNO=1;"))
    taken.feed(upload(at("20260501115959"), flag=7, parts="PNUM=2;PNO=1;", qn="20260501120001123"))
    assert taken.faults == 1


def test_packet_of_too_many_parts_is_not_held():
    taken = intake()
    assert taken.feed(upload("", flag=7, parts=f"PNUM={PARTS_MOST + 1};PNO=1;")) == []
    assert taken.faults == 1


def test_parts_that_contradict_each_other_make_no_packet():
    taken = intake()
    taken.feed(upload("DataTime=20260501115959;w01001-Rtd=1", flag=7, parts="PNUM=2;PNO=1;"))
    assert taken.feed(upload("DataTime=20260501115959;w01001-Rtd=2", flag=7, parts="PNUM=2;PNO=2;")) == []
    assert taken.faults == 1


async def read(data: bytes, *groups: Group, count: int = 1, kept=taken, **settings) -> tuple[list, list]:
    line = Answering(lambda _: (b"", 0.0))
    driver = KIND.build(KIND.settings(url="listen://127.0.0.1:9001", **settings), groups, line=line, wall=lambda: NOON)
    driver.kept = kept
    await driver.open()
    line.arrive(data)
    scans = driver.scans()
    result = [await anext(scans) for _ in range(count)]
    answered = list(line.sent)
    await scans.aclose()
    await driver.close()
    return result, answered


@pytest.mark.parametrize(
    ("flag", "quality"),
    [
        (",w01001-Flag=N", Quality.GOOD),
        ("", Quality.GOOD),
        (",w01001-Flag=T", Quality.UNCERTAIN_RANGE),
        (",w01001-Flag=M", Quality.UNCERTAIN_STATUS),
        (",w01001-Flag=S", Quality.UNCERTAIN_STATUS),
        (",w01001-Flag=C", Quality.UNCERTAIN_STATUS),
        (",w01001-Flag=Z", Quality.UNCERTAIN_STATUS),
        (",w01001-Flag=D", Quality.BAD_SENSOR),
        (",w01001-Flag=F", Quality.BAD_DEVICE),
        (",w01001-Flag=B", Quality.BAD_LINK),
    ],
)
async def test_data_flag_is_the_quality(flag, quality):
    data = upload(f"DataTime=20260501115959;w01001-Rtd=7.1{flag}")
    ((scan,), _) = await read(data, group({"code": "w01001"}))
    assert scan.quality == (quality,)
    assert scan.values == ((7.1,) if quality < Quality.BAD else (None,))


@pytest.mark.parametrize("text", ["", "-", "nan", "1e5", "0x7", "+"])
async def test_value_that_is_no_number_is_bad(text):
    data = upload(f"DataTime=20260501115959;w01001-Rtd={text};w01018-Rtd=1")
    ((scan,), _) = await read(data, group({"code": "w01001"}, {"code": "w01018"}))
    assert (scan.values, scan.quality) == ((None, 1.0), (Quality.BAD_SENSOR, Quality.GOOD))


async def test_packet_is_answered_only_after_its_scan_was_taken():
    data = upload(at("20260501115958"), flag=5) + upload(at("20260501115959"), flag=5)
    _, answered = await read(data, group({"code": "w01001"}), count=1)
    assert answered == []
    _, answered = await read(data, group({"code": "w01001"}), count=2)
    assert len(answered) == 1
    assert parse(answered[0], 0).cn == "9014"


async def test_packet_whose_scan_cannot_be_stored_is_not_answered():
    async def refuse() -> bool:
        return False

    data = upload(at("20260501115958"), flag=5) + upload(at("20260501115959"), flag=5)
    scans, answered = await read(data, group({"code": "w01001"}), count=2, kept=refuse)
    assert len(scans) == 2
    assert answered == []


async def test_packet_is_only_for_the_groups_of_its_instrument_and_command():
    other = "010000A8900016F000169DC1"
    groups = (
        group({"code": "w01001"}),
        group({"code": "w01001", "cn": "2051", "field": "Avg"}, name="outfall.minute"),
        group({"code": "w01001"}, name="inlet.present", mn=other),
    )
    data = upload(at("20260501115959"), mn=other) + upload("DataTime=20260501115000;w01001-Avg=6.9", cn="2051")
    scans, _ = await read(data, *groups, count=2)
    assert [(scan.group, scan.values) for scan in scans] == [("inlet.present", (7.1,)), ("outfall.minute", (6.9,))]


async def test_history_only_is_silence():
    with pytest.raises(LinkTimeoutError):
        await read(upload(at("20200101000000")), group({"code": "w01001"}), timeout_s=0.02)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([group()], "no tags"),
        ([group({"code": "w01001"}, {"code": "w01001", "cn": "2051"})], "mixes commands"),
        ([group({"code": "w01001", "scale": 0.0})], "scale"),
        ([group({"code": "w01001"}), group({"code": "w01001"}, name="other.present")], "same MN"),
    ],
)
def test_groups_that_cannot_be_read_are_refused_when_the_driver_is_made(groups, says):
    with pytest.raises(SettingsError, match=says):
        KIND.build(KIND.settings(url="listen://127.0.0.1:9001"), groups)
