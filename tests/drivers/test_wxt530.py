import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import wxt530
from drivers.base import Group, find
from drivers.bits import crc16_text
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from tests.drivers.lines import Answering

KIND = find("wxt530")
URL = "serial:///dev/ttyS0"


def group(*parameters: str, name: str = "mast.weather", device: dict | None = None, **more: float) -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(**(device or {})),
        tags=tuple(f"mast.{parameter}" for parameter in parameters),
        sources=tuple(KIND.source(parameter=parameter, **more) for parameter in parameters),
    )


def with_crc(text: str) -> bytes:
    return text.encode() + crc16_text(text.encode())


async def read(answer, *groups: Group, timeout_s: float = 0.02):
    line = Answering(answer)
    driver = KIND.build(KIND.settings(url=URL, timeout_s=timeout_s), groups, line=line)
    await driver.open()
    try:
        return [await driver.read(one) for one in groups], line.sent
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("message", "command"), [("1", b"0r1Goe"), ("2", b"0r2Gje"), ("3", b"0r3Kid"), ("5", b"0r5Kcd"), ("0", b"0r0Kld")]
)
def test_queries_carry_the_crc_that_the_manual_prints(message, command):
    assert wxt530.request("0", message, crc=True) == command + b"\r\n"


def test_plain_query_has_no_crc():
    assert wxt530.request("B", "1", crc=False) == b"BR1\r\n"


# Factors from NIST SP 811, appendix B.8, not from the driver.
@pytest.mark.parametrize(
    ("parameter", "sent", "value"),
    [
        ("Sm", "10.0M", 10.0),
        ("Sm", "36.0K", 10.0),
        ("Sm", "10.0S", 4.4704),
        ("Sm", "10.0N", 5.144444),
        ("Ta", "-40.0F", -40.0),
        ("Ta", "212.0F", 100.0),
        ("Pa", "1013.2H", 1013.2),
        ("Pa", "101325.0P", 1013.25),
        ("Pa", "0.9824B", 982.4),
        ("Pa", "760.0M", 1013.25),
        ("Pa", "29.92I", 1013.207),
        ("Rc", "1.00I", 25.4),
        ("Ri", "2.0M", 2.0),
        ("Hc", "6.4516I", 1.0),
        ("Rd", "2380s", 2380.0),
        ("Dm", "027D", 27.0),
        ("Vh", "11.5W", 11.5),
    ],
)
async def test_any_unit_becomes_ours(parameter, sent, value):
    message = wxt530.PARAMETERS[parameter][0]
    scans, _ = await read(lambda _: (with_crc(f"0r{message},{parameter}={sent}") + b"\r\n", 0), group(parameter))
    assert scans[0].values[0] == pytest.approx(value, abs=5e-4)
    assert scans[0].quality == (0,)


@pytest.mark.parametrize(("sent", "quality"), [("1.0#", 0x85), ("1.0Q", 0x84)])
async def test_value_that_is_invalid_or_in_an_unknown_unit_is_bad(sent, quality):
    scans, _ = await read(lambda _: (with_crc(f"0r1,Sm={sent}") + b"\r\n", 0), group("Sm"))
    assert (scans[0].values, scans[0].quality) == ((None,), (quality,))


def test_parameter_unknown_to_us_does_not_spoil_the_others():
    readings = wxt530.parse(with_crc("0r0,Sm=1.0M,Sr=0.01V"), "0", "0", crc=True)
    assert readings["Sm"].number == 1.0


@pytest.mark.parametrize(
    "line", [b"1r1,Sm=1.0M", b"0r2,Ta=1.0C", b"0R1,Sm=1.0M", b"0rx", b"0", b"0xU,A=0,M=P", b"0r11,Sm=1.0M"]
)
def test_reply_of_another_transmitter_or_message_is_none_of_ours(line):
    assert wxt530.parse(with_crc(line.decode()), "0", "1", crc=True) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"0r1,Sm=1.0MXYZ",
        b"0r1,Sn=0.2M,Sm=0.1M,Sx=0.1MGOG",
        with_crc("0r1"),
        with_crc("0r1,Sm"),
        with_crc("0r1,Sm=1.0"),
        with_crc("0r1,Sm=1_0M"),
        with_crc("0r1,Sm=M"),
        with_crc("0r1,Sm=1.0M,"),
        with_crc("0r1,Sm=1.0M,Sm=2.0M"),
        with_crc("0r1,Sm=1.0M,Id"),
        with_crc("0r1,Sm=1.0M,Id=HEL\r0r1"),
        b"\xff\xfe\xfd" + crc16_text(b"\xff\xfe\xfd"),
    ],
)
def test_garbled_reply_is_refused(line):
    with pytest.raises(FrameError):
        wxt530.parse(line, "0", "1", crc=True)


@pytest.mark.parametrize("text", ["0tX,Unable to measure error", "0tX,Use chksum Goe"])
def test_text_message_is_a_refusal(text):
    with pytest.raises(DeviceError, match=text[4:]):
        wxt530.parse(with_crc(text), "0", "1", crc=True)


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_any_octets_are_readings_or_a_drivers_error(octets, crc, mends):
    line = octets + crc16_text(octets) if mends else octets
    try:
        readings = wxt530.parse(line, "0", "1", crc=crc)
    except (FrameError, DeviceError):
        return
    assert readings is None or line.startswith(b"0r1," if crc else b"0R1,")


async def test_group_over_several_messages_asks_for_each_once_and_lives_with_a_refusal():
    def answer(request: bytes) -> tuple[bytes, float]:
        replies = {b"0r1": "0r1,Sm=1.0M", b"0r2": "0r2,Ta=20.0C", b"0r5": "0tX,Unable to measure error"}
        return with_crc(replies[request[:3]]) + b"\r\n", 0

    scans, sent = await read(answer, group("Vs", "Sm", "Ta", "Sx"))
    assert [request[:3] for request in sent] == [b"0r1", b"0r2", b"0r5"]
    assert scans[0].values == (None, 1.0, 20.0, None)
    assert scans[0].quality == (0x84, 0, 0, 0x84)


async def test_value_is_taken_from_its_own_message_only():
    def answer(request: bytes) -> tuple[bytes, float]:
        replies = {b"0r1": "0r1,Sm=1.0M", b"0r5": "0r5,Vs=12.0V,Sm=9.0M"}
        return with_crc(replies[request[:3]]) + b"\r\n", 0

    scans, _ = await read(answer, group("Sm", "Vs"))
    assert scans[0].values == (1.0, 12.0)


async def test_late_reply_never_answers_another_request():
    replies = [(b"0R1,Sm=1.0M\r\n", 0.03), (b"0\r\n", 0), (b"0R1,Sm=9.0M\r\n", 0)]
    one = group("Sm", device={"crc": False})
    line = Answering(lambda _: replies.pop(0))
    driver = KIND.build(KIND.settings(url=URL, timeout_s=0.02), [one], line=line)
    await driver.open()
    with pytest.raises(LinkTimeoutError):
        await driver.read(one)
    assert (await driver.read(one)).values == (9.0,)
    assert line.sent[1] == b"0\r\n"
    await driver.close()


async def test_reply_of_the_neighbour_is_not_taken():
    first, second = group("Sm", name="a.wind"), group("Sm", name="b.wind", device={"address": "1"})

    def answer(request: bytes) -> tuple[bytes, float]:
        ours = with_crc(f"{request[:1].decode()}r1,Sm={request[:1].decode()}.5M")
        return with_crc("2r1,Sm=7.0M") + b"\r\n" + ours + b"\r\n", 0

    scans, _ = await read(answer, first, second)
    assert [scan.values for scan in scans] == [(0.5,), (1.5,)]


async def test_scan_finds_the_transmitter_that_answers():
    def answer(request: bytes) -> tuple[bytes, float]:
        found = request == b"3xU" + crc16_text(b"3xU") + b"\r\n"
        return (with_crc("3xU,A=3,M=P,T=0,C=2,I=0,B=19200,N=WXT536,V=1.10") + b"\r\n" if found else b""), 0

    driver = KIND.build(KIND.settings(url=URL, timeout_s=0.005), [], line=Answering(answer))
    await driver.open()
    candidates = driver.candidates()
    told = [await driver.identify(device) for device in candidates[:5]]
    assert (len(candidates), candidates[0].address) == (62, "0")
    assert told == [None, None, None, {"vendor": "Vaisala", "model": "WXT536", "version": "1.10"}, None]
    await driver.close()


@pytest.mark.parametrize(
    ("parameters", "more", "says"),
    [
        (["Xy"], {}, "no parameter 'Xy'"),
        (["Id"], {"scale": 2.0}, "is a text"),
        (["Sm"], {"scale": 0.0}, "scale"),
        ([], {}, "no tags"),
    ],
)
def test_group_that_cannot_be_read_is_refused_when_the_driver_is_made(parameters, more, says):
    with pytest.raises(SettingsError, match=says) as caught:
        KIND.build(KIND.settings(url=URL), [group(*parameters, **more)])
    assert caught.value.hint


async def test_endless_line_is_given_up_without_being_kept():
    line = Answering(lambda _: (b"", 0))
    driver = KIND.build(KIND.settings(url=URL, timeout_s=0.05), [group("Sm")], line=line)
    await driver.open()
    reading = asyncio.create_task(driver.read(group("Sm")))
    for _ in range(50):
        line.arrive(b"x" * 1000)
        await asyncio.sleep(0)
    with pytest.raises(FrameError):
        await reading
    await driver.close()
