import asyncio
import os
import pty
import tty
from datetime import UTC, datetime, timedelta

import pynmea2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Group, find
from drivers.errors import FrameError, LinkError, LinkTimeoutError, SettingsError
from drivers.nmea.fields import NUMBERS, TEXTS
from drivers.nmea.fields import number as read_number
from drivers.nmea.sentence import Sentence, Splitter, parse
from tests.drivers.lines import Answering

KIND = find("nmea")
HUNDREDTH = timedelta(milliseconds=10)


def group(*fields: dict, name: str = "mast.wind", talker: str = "") -> Group:
    return Group(
        name=name,
        device_name=name.partition(".")[0],
        device=KIND.device(talker=talker),
        tags=tuple(f"mast.t{number}" for number in range(len(fields))),
        sources=tuple(KIND.source(**field) for field in fields),
    )


def framed(body: str) -> bytes:
    return f"${body}*{pynmea2.NMEASentence.checksum(body):02X}".encode()


def sentence(talker: str, name: str, *fields: str) -> str:
    """Let another library write the sentence."""
    return str(getattr(pynmea2, name)(talker, name, fields))


numbers = st.decimals(0, 359, places=1).map(str)


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Times of these years, in UTC and hundredths of a second."""
    start, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first, last))
    return st.integers(start * 100, end * 100).map(lambda n: datetime.fromtimestamp(0, UTC) + n * HUNDREDTH)


@given(
    st.sampled_from(["WI", "II", "YX"]),
    numbers,
    st.sampled_from("RT"),
    numbers,
    st.sampled_from("MNKS"),
    st.sampled_from("AV"),
)
def test_wind_that_pynmea2_wrote_is_read_as_pynmea2_reads_it(talker, angle, reference, speed, unit, status):
    text = sentence(talker, "MWV", angle, reference, speed, unit, status)
    theirs, ours = pynmea2.parse(text), parse(text.encode())
    assert (ours.talker, ours.name) == (theirs.talker, theirs.sentence_type)
    read = NUMBERS["MWV"]
    if status == "V":
        assert read["angle"](ours) is None
        assert read["speed"](ours) is None
    else:
        metres = float(theirs.wind_speed) * {"M": 1, "N": 1852 / 3600, "K": 1 / 3.6, "S": 1609.344 / 3600}[unit]
        assert read["angle"](ours) == float(theirs.wind_angle)
        assert read["speed"](ours) == pytest.approx(metres, abs=1e-6)


@given(st.sampled_from(["WI", "II"]), st.lists(numbers, min_size=8, max_size=8))
def test_meteorological_composite_that_pynmea2_wrote_is_read_as_pynmea2_reads_it(talker, n):
    fields = (
        n[0],
        "I",
        "0.9824",
        "B",
        n[1],
        "C",
        n[2],
        "C",
        n[3],
        n[4],
        n[5],
        "C",
        n[6],
        "T",
        "",
        "M",
        "",
        "N",
        n[7],
        "M",
    )
    text = sentence(talker, "MDA", *fields)
    theirs, ours = pynmea2.parse(text), parse(text.encode())
    read = NUMBERS["MDA"]
    assert read["pressure"](ours) == 982.4
    assert read["air_temperature"](ours) == float(theirs.air_temp)
    assert read["water_temperature"](ours) == float(theirs.water_temp)
    assert read["humidity"](ours) == float(theirs.rel_humidity)
    assert read["dew_point"](ours) == float(theirs.dew_point)
    assert read["wind_direction"](ours) == float(theirs.direction_true)
    assert read["wind_speed"](ours) == float(theirs.wind_speed_meters)
    assert read["wind_direction_magnetic"](ours) is None


@given(
    moments(1980, 2068),
    st.tuples(st.integers(0, 89), st.decimals(0, 59, places=4), st.sampled_from("NS")),
    st.tuples(st.integers(0, 179), st.decimals(0, 59, places=4), st.sampled_from("EW")),
    numbers,
)
def test_position_that_pynmea2_wrote_is_read_as_pynmea2_reads_it(moment, latitude, longitude, speed):
    clock, day = f"{moment:%H%M%S}.{moment.microsecond // 10_000:02}", f"{moment:%d%m%y}"
    north = f"{latitude[0]:02}{latitude[1]:07.4f}"
    east = f"{longitude[0]:03}{longitude[1]:07.4f}"
    text = sentence("GP", "RMC", clock, "A", north, latitude[2], east, longitude[2], speed, "84.4", day, "003.1", "W")
    theirs, ours = pynmea2.parse(text), parse(text.encode())
    read = NUMBERS["RMC"]
    assert read["latitude"](ours) == pytest.approx(theirs.latitude, abs=1e-8)
    assert read["longitude"](ours) == pytest.approx(theirs.longitude, abs=1e-8)
    assert read["sog"](ours) == pytest.approx(float(speed) * 1852 / 3600, abs=1e-6)
    assert datetime.fromisoformat(TEXTS["RMC"]["utc"](ours)) == theirs.datetime == moment


@given(moments(1980, 2100))
def test_time_that_pynmea2_wrote_is_read_as_pynmea2_reads_it(moment):
    moment = moment.replace(microsecond=0)
    text = sentence("GP", "ZDA", f"{moment:%H%M%S.00}", f"{moment:%d}", f"{moment:%m}", f"{moment:%Y}", "08", "00")
    theirs, ours = pynmea2.parse(text), parse(text.encode())
    assert datetime.fromisoformat(TEXTS["ZDA"]["utc"](ours)) == theirs.datetime == moment


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "123"), (1, "246000"), (1, ""), (1, "²³0000"), (9, "310294"), (9, "1a0294"), (9, ""), (12, "N"), (12, "E")],
)
def test_time_that_does_not_exist_or_was_not_measured_is_none(number, text):
    fields = ["123519", "A", "4807.038", "N", "01131.000", "E", "1", "2", "230394", "", "", "A"]
    assert TEXTS["RMC"]["utc"](Sentence("GP", "RMC", tuple(fields))) is not None
    fields[number - 1] = text
    assert TEXTS["RMC"]["utc"](Sentence("GP", "RMC", tuple(fields))) is None


@pytest.mark.parametrize("year", ["0002", "1979", "79", "2002a", ""])
def test_year_before_there_was_gps_is_no_time(year):
    assert TEXTS["ZDA"]["utc"](Sentence("GP", "ZDA", ("201530.00", "04", "07", "2002"))) == "2002-07-04T20:15:30Z"
    assert TEXTS["ZDA"]["utc"](Sentence("GP", "ZDA", ("201530.00", "04", "07", year))) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "4860.0"), (3, "9000.1"), (3, "48"), (3, "-4807.0"), (4, "E"), (4, ""), (2, "V"), (12, "S")],
)
def test_place_that_does_not_exist_or_was_not_measured_is_none(number, text):
    fields = ["123519", "A", "4807.038", "N", "01131.000", "E", "1", "2", "230394", "", "", "A"]
    assert NUMBERS["RMC"]["latitude"](Sentence("GP", "RMC", tuple(fields))) == pytest.approx(48.1173)
    fields[number - 1] = text
    assert NUMBERS["RMC"]["latitude"](Sentence("GP", "RMC", tuple(fields))) is None


@pytest.mark.parametrize("text", ["1_0", " 1", "1e3", "inf", "nan", "²", "", "+", "."])
def test_number_that_the_standard_does_not_write_is_none(text):
    assert read_number(text) is None


def test_composite_without_metric_fields_uses_the_others():
    ours = parse(sentence("WI", "MDA", "29.92", "I", *[""] * 14, "10.0", "N").encode())
    assert NUMBERS["MDA"]["pressure"](ours) == pytest.approx(1013.2, abs=0.05)
    assert NUMBERS["MDA"]["wind_speed"](ours) == pytest.approx(5.144, abs=0.001)


def test_proprietary_sentence_keeps_its_whole_address():
    assert parse(framed("PASHR,1,2")).name == "PASHR"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"$WIMWV,214.8,R,5.1,M,A",
        b"$WIMWV,214.8,R,5.1,M,A*2C",
        b"$WIMWV,214.8,R,5.1,M,A*ZZ",
        b"WIMWV,214.8,R,5.1,M,A*2B",
        b"$WIMWV,214.9,R,5.1,M,A*2B",
        b"$WIMWV,214.8,R,5.1,M,A*+B",
        b"$\xff\xfeMWV,214.8,R*2B",
    ],
)
def test_line_that_is_no_sentence_is_refused(line):
    with pytest.raises(FrameError):
        parse(line)


@pytest.mark.parametrize(
    "body",
    [
        "WIMWV,214.8,R,5.1,M,A*2B$WIMWV,215.0,R,5.2,M,A",
        "WIMWV,21$WIMWV,214.8,R,5.1,M,A",
        "WIMWV,214.8,R,5!AIVDM,M,A",
        "WIMWV,214.8,R,5.1\x00,M,A",
        "WIMWV,214.8,R,5.1,M\\A",
    ],
)
def test_what_ran_together_is_no_sentence_though_its_checksum_is_right(body):
    with pytest.raises(FrameError, match="no sentence"):
        parse(framed(body))


@given(st.binary(max_size=400))
def test_any_octets_are_sentences_or_faults(octets):
    splitter = Splitter()
    splitter.feed(octets)
    splitter.feed(b"\n")
    sentences = splitter.feed(b"$WIMWV,214.8,R,5.1,M,A*2B\r\n")
    assert [each.fields[0] for each in sentences] == ["214.8"]


@given(st.lists(st.integers(0, 200), max_size=12))
def test_pieces_in_which_octets_come_do_not_matter(cuts):
    good = [framed(body) for body in ("WIMWV,214.8,R,5.1,M,A", "YXMTW,16.5,C", "WIMWV,,R,,M,A")]
    overlong = framed("WIXDR" + ",C,17.2,C,TEMP" * 30)
    stream = b"\r\n".join([b"4.8,R*00", good[0], b"", overlong, good[1], good[2], b""])
    whole, pieces = Splitter(), Splitter()
    at, got = 0, []
    for cut in cuts:
        got += pieces.feed(stream[at : at + cut])
        at += cut
    got += pieces.feed(stream[at:])
    assert got == whole.feed(stream)
    assert len(got) == 3
    assert pieces.faults == whole.faults == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([{"sentence": "MWV", "field": "speed"}, {"sentence": "MDA", "field": "pressure"}], "mixes sentences"),
        ([{"sentence": "MWV", "field": "gust"}], "no field 'gust'"),
        ([{"sentence": "HDT", "field": "heading"}], "no field 'heading'"),
        ([{"sentence": "HDT", "field": 0}], "no field '0'"),
        ([{"sentence": "MDA", "field": "pressure", "reference": "R"}], "only MWV"),
        ([{"sentence": "RMC", "field": "utc", "scale": 2.0}], "is a text"),
        ([{"sentence": "HDT", "field": "²"}], "no field '²'"),
        ([{"sentence": "MWV", "field": "speed", "scale": 0.0}], "scale"),
        ([], "no tags"),
    ],
)
def test_group_that_cannot_be_read_is_refused_when_the_driver_is_made(fields, says):
    with pytest.raises(SettingsError, match=says):
        KIND.build(KIND.settings(url="serial:///dev/ttyS0"), [group(*fields)])


async def test_talker_that_falls_silent_is_a_time_out():
    one = group({"sentence": "MWV", "field": "speed"})
    driver = KIND.build(
        KIND.settings(url="serial:///dev/ttyS0", timeout_s=0.02), [one], line=Answering(lambda _: (b"", 0))
    )
    await driver.open()
    with pytest.raises(LinkTimeoutError, match="no valid frame"):
        await anext(driver.scans())
    await driver.close()


async def test_port_that_vanishes_is_a_link_error():
    one = group({"sentence": "MWV", "field": "speed"})
    master, slave = pty.openpty()
    tty.setraw(slave)
    driver = KIND.build(KIND.settings(url=f"serial://{os.ttyname(slave)}"), [one])
    os.close(slave)
    await driver.open()
    scans = driver.scans()
    os.write(master, sentence("WI", "MWV", "10", "R", "3.5", "M", "A").encode() + b"\r\n")
    assert (await asyncio.wait_for(anext(scans), 2)).values == (3.5,)
    os.close(master)
    with pytest.raises(LinkError, match="gone") as caught:
        await asyncio.wait_for(anext(scans), 2)
    assert not isinstance(caught.value, LinkTimeoutError)
    await driver.close()
