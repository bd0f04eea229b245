"""The grammar of SeedLink 3 and 4, and the server's session, by the specification and by what clients get wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seismic import seedlink, seedlink_info
from seismic.errors import SeismicError
from seismic.seedlink import Carried, Command, Hello, Selector
from seismic.seedlink_info import StationInfo, StreamInfo
from seismic.seedlink_server import (
    ALL_SELECTORS_MOST,
    FAILURES_MOST,
    SELECTORS_MOST,
    STATIONS_MOST,
    Ask,
    Catalogue,
    Close,
    Say,
    Session,
    Start,
    Wanted,
)

HELLO = Hello("Fengsui 0.1", "Liangjiang New Area")
NOW_NS = 1_562_383_177 * 10**9
OK = Say(b"OK\r\n")
STATIONS = (
    StationInfo("CI_CCC", "Ridgecrest", 5, 900, (StreamInfo("CI.CCC..HNZ", NOW_NS, NOW_NS + 10**9),)),
    StationInfo("CQ_YB01", "Yubei", 1, 2, (StreamInfo("CQ.YB01.00.HNZ", NOW_NS, NOW_NS),)),
)


def session(**more) -> Session:
    return Session(HELLO, lambda pattern: any(Selector(pattern).matches(one.station, "") for one in STATIONS), **more)


def say(text: str, one: Session | None = None) -> list:
    """Say lines, separated by /, and return all steps."""
    one = session() if one is None else one
    return [step for line in text.split("/") for step in one.feed(line.encode() + b"\r\n")]


def errors(steps: list) -> list[str]:
    return [step.octets.split()[1].decode() for step in steps if isinstance(step, Say) and step.octets[:5] == b"ERROR"]


# --- packets


@given(
    st.builds(
        Carried,
        st.from_regex(r"[A-Z0-9]{1,8}_[A-Z0-9]{1,8}", fullmatch=True),
        st.integers(0, seedlink.SEQUENCE_MOST),
        st.binary(max_size=600),
        st.sampled_from("23JX"),
        st.sampled_from("DEIL"),
    ),
    st.binary(max_size=30),
)
def test_a_packet_of_version_4_is_read_back(packet, rest):
    octets = seedlink.format_packet(packet)
    assert seedlink.parse_packet(octets + rest) == (packet, len(octets))
    for cut in range(len(octets)):
        assert seedlink.parse_packet(octets[:cut]) is None


def test_a_packet_of_version_4_is_laid_out_as_specified():
    octets = seedlink.format_packet(Carried("GE_WLF", 0x0102030405060708, b"payload"))
    assert octets == b"SE3D\x07\x00\x00\x00\x08\x07\x06\x05\x04\x03\x02\x01\x06GE_WLFpayload"


def test_a_packet_of_version_3_is_laid_out_as_servers_do():
    record = bytes(range(256)) * 2
    octets = seedlink.format_packet_3(0x1_00AB_CDEF, record)
    assert octets == b"SLABCDEF" + record
    assert seedlink.parse_packet_3(octets) == (Carried("", 0xABCDEF, record, "2"), 520)
    assert seedlink.parse_packet_3(octets[:519]) is None
    with pytest.raises(SeismicError, match="512"):
        seedlink.format_packet_3(1, record[:-1])


@pytest.mark.parametrize(
    "octets", [b"XX", b"SE\x00D" + bytes(20), b"SE3D\xff\xff\xff\x7f" + bytes(20), b"SX", b"ERROR UNSUPPORTED\r\n"]
)
def test_what_starts_no_packet_is_refused(octets):
    with pytest.raises(SeismicError):
        seedlink.parse_packet(octets)


@pytest.mark.parametrize("octets", [b"SLXYZXYZ" + bytes(512), b"SE", b"HE"])
def test_what_starts_no_packet_of_version_3_is_refused(octets):
    with pytest.raises(SeismicError):
        seedlink.parse_packet_3(octets)


def test_records_of_one_packet_carry_the_sequence_before_but_for_the_last():
    octets = seedlink.format_packets_3(7, [bytes(512), b"\1" * 512])
    assert octets[:8] == b"SL000006"
    assert octets[520:528] == b"SL000007"


@given(st.integers(0, 1 << 60), st.integers(-1, (1 << 24) - 2))
def test_24_bits_mean_the_newest_sequence_that_ends_in_them(newest, behind):
    sequence = newest - behind
    if sequence >= 0:
        assert seedlink.widen(sequence & seedlink.SEQUENCE_3_MOST, newest) == sequence


# --- words


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"HELLO", Command("HELLO")),
        (b"station  CCC\tCI ", Command("STATION", ("CCC", "CI"))),
        (b"Data 12", Command("DATA", ("12",))),
    ],
)
def test_commands_are_read_in_any_case_and_spacing(line, command):
    assert seedlink.parse_command(line) == command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*_B_H_?.2D", Selector("*_B_H_?", "2D")),
        ("!00_*", Selector("00_*", "", True)),
        ("_H_N_Z:native", Selector("_H_N_Z", "", False, "native")),
        ("*.*O:3", Selector("*", "*O", False, "3")),
    ],
)
def test_selectors_of_version_4(text, expected):
    assert seedlink.parse_selector(text) == expected


@pytest.mark.parametrize(
    ("text", "stream", "is_wanted"),
    [
        ("BHZ", "00_B_H_Z", True),
        ("BH?", "_B_H_N", True),
        ("00BHZ", "00_B_H_Z", True),
        ("--BHZ", "_B_H_Z", True),
        ("--BHZ", "00_B_H_Z", False),
        ("00", "00_H_N_Z", True),
        ("BHZ.D", "_B_H_Z", True),
        ("BHZ.L", "_B_H_Z", False),
    ],
)
def test_selectors_of_version_3(text, stream, is_wanted):
    assert seedlink.is_selected([seedlink.parse_selector_3(text)], stream, "2D") is is_wanted


@pytest.mark.parametrize("text", ["", "!", "B", "B H Z", "é", "BHZ.DD", "(*)"])
def test_what_selects_nothing_is_refused(text):
    for parse in (seedlink.parse_selector_3, seedlink.parse_selector):
        if parse is seedlink.parse_selector and text in ("B", "BHZ.DD"):
            continue
        with pytest.raises(SeismicError):
            parse(text)


def test_excluding_selectors_go_before_and_alone_leave_all_others():
    none = [seedlink.parse_selector("!*_Z")]
    assert seedlink.is_selected(none, "_H_N_E", "3D")
    assert not seedlink.is_selected(none, "_H_N_Z", "3D")
    assert not seedlink.is_selected([*none, seedlink.parse_selector("*")], "_H_N_Z", "3D")
    assert seedlink.is_selected([], "_H_N_Z", "3D")


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2019-07-06T03:19:37Z", NOW_NS),
        ("2019-07-06T03:19:37.25Z", NOW_NS + 250_000_000),
        ("2019,7,6,3,19,37", NOW_NS),
        ("2019,07,06,03,19,37", NOW_NS),
    ],
)
def test_times_of_both_versions(text, at_ns):
    assert seedlink.parse_time(text) == at_ns


@pytest.mark.parametrize(
    "text", ["now", "2019-07-06", "2019-13-06T03:19:37Z", "2019,2,30,0,0,0", "2019-07-06T03:19:37"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SeismicError, match="no time"):
        seedlink.parse_time(text)


def test_hello_is_two_lines_that_clients_find_the_versions_in():
    octets = seedlink.format_hello(HELLO)
    assert octets.startswith(b"SeedLink v4.0 (Fengsui 0.1) :: SLPROTO:3.1 SLPROTO:4.0 ")
    assert octets.endswith(b"\r\nLiangjiang New Area\r\n")
    first, second, _ = octets.split(b"\r\n")
    assert seedlink.parse_hello(first, second).versions == HELLO.versions
    assert seedlink.parse_hello(b"SeedLink v2.5 (1998)", b"old").versions == ("3.1",)


# --- the server's session


def test_the_server_says_nothing_first_and_nothing_to_empty_lines():
    assert session().feed(b"\r\n\r\n  \r\n\n") == []


def test_a_handshake_of_version_4():
    steps = say(
        "HELLO/SLPROTO 4.0/USERAGENT slinktool/STATION CI_CCC/SELECT _H_N_Z/SELECT !*E/DATA 12/"
        "STATION CQ_*/DATA ALL 2019-07-06T03:19:37Z 2019-07-06T03:20:00Z/STATION XX_LATER/DATA/END"
    )
    assert steps[0] == Say(seedlink.format_hello(HELLO))
    assert steps[1:-1] == [OK] * 10
    assert steps[-1] == Start(
        4,
        (
            Wanted("CI_CCC", (Selector("_H_N_Z"), Selector("*E", "", True)), 12),
            Wanted("CQ_*", (), 0, NOW_NS, NOW_NS + 23 * 10**9),
            Wanted("XX_LATER"),
        ),
    )


def test_a_handshake_of_version_3():
    steps = say("HELLO/STATION CCC CI/SELECT HN?.D/DATA 00001A 2019,7,6,3,19,37/STATION YB01 CQ/FETCH/END")
    assert steps[1:-1] == [OK] * 5
    assert steps[-1] == Start(
        3, (Wanted("CI_CCC", (Selector("*_H_N_?", "?D"),), 26, NOW_NS), Wanted("CQ_YB01")), is_fetch=True
    )


def test_version_3_without_a_station_means_all_and_starts_at_once():
    assert say("SELECT HNZ/DATA") == [OK, Start(3, (Wanted("*", (Selector("*_H_N_Z"),)),))]
    assert say("TIME 2019,7,6,3,19,37") == [Start(3, (Wanted("*", (), 0, NOW_NS),))]


def test_version_3_is_refused_a_station_that_is_not_there_and_all_that_belongs_to_it():
    steps = say("STATION NONE XX/SELECT HNZ/DATA/STATION CCC CI/DATA/END")
    assert [step.octets for step in steps[:3]] == [b"ERROR\r\n"] * 3
    assert steps[3:] == [OK, OK, Start(3, (Wanted("CI_CCC"),))]


def test_in_batch_mode_only_the_end_is_heard_of():
    assert say("BATCH/STATION CCC CI/SELECT HNZ/DATA/END")[1:] == [
        Start(3, (Wanted("CI_CCC", (Selector("*_H_N_Z"),)),))
    ]


def test_a_select_without_pattern_takes_back_those_of_version_3():
    assert say("STATION CCC CI/SELECT HNZ/SELECT/DATA/END")[-1] == Start(3, (Wanted("CI_CCC"),))


def test_the_end_of_a_fetch_of_version_4():
    assert say("SLPROTO 4.0/STATION CI_CCC/DATA ALL/ENDFETCH")[-1] == Start(4, (Wanted("CI_CCC", (), 0),), True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NONSENSE", "UNSUPPORTED"),
        ("CAT", "UNSUPPORTED"),
        ("FETCH 1", "UNSUPPORTED"),
        ("DATA 1", "UNEXPECTED"),
        ("SELECT *", "UNEXPECTED"),
        ("END", "UNEXPECTED"),
        ("STATION", "ARGUMENTS"),
        ("STATION A_B C_D", "ARGUMENTS"),
        ("STATION CI_CCC/SELECT", "ARGUMENTS"),
        ("STATION CI_CCC/SELECT (", "ARGUMENTS"),
        ("STATION CI_CCC/DATA one", "ARGUMENTS"),
        ("STATION CI_CCC/DATA -2", "ARGUMENTS"),
        ("STATION CI_CCC/DATA 99999999999999999999", "ARGUMENTS"),
        ("STATION CI_CCC/DATA 1 yesterday", "ARGUMENTS"),
        ("STATION CI_CCC/DATA 1 2 3 4", "ARGUMENTS"),
        ("STATION CI_CCC/SLPROTO 4.0", "UNEXPECTED"),
        ("SLPROTO 5.0", "ARGUMENTS"),
        ("SLPROTO", "ARGUMENTS"),
        ("AUTH USERPASS a b", "UNSUPPORTED"),
        ("STATION CI_CCC/END/STATION CI_CCC", "UNEXPECTED"),
        ("\xe9", "ARGUMENTS"),
    ],
)
def test_what_is_wrong_in_version_4_is_said_with_its_code(text, code):
    assert errors(say("SLPROTO 4.0/" + text)) == [code]


def test_passwords_go_over_tls_only_and_few_times():
    def admit(kind, words):
        return (kind, words) == ("USERPASS", ("li", "secret"))

    assert errors(say("SLPROTO 4.0/AUTH USERPASS li secret", session(admit=admit))) == ["UNEXPECTED"]
    private = session(admit=admit, is_private=True)
    assert say("SLPROTO 4.0/auth userpass li secret", private) == [OK, OK]
    steps = say("/".join(["AUTH USERPASS li wrong"] * FAILURES_MOST), private)
    assert errors(steps) == ["AUTH"] * FAILURES_MOST
    assert steps[-1] == Close()
    assert errors(say("SLPROTO 4.0/AUTH USERPASS", session(admit=admit, is_private=True))) == ["ARGUMENTS"]


def test_how_much_a_client_may_ask_for_is_bounded():
    many = "SLPROTO 4.0/" + "/".join(f"STATION XX_{number}" for number in range(STATIONS_MOST + 1))
    assert errors(say(many)) == ["LIMIT"]
    many = "SLPROTO 4.0/STATION CI_CCC/" + "/".join(["SELECT *"] * (SELECTORS_MOST + 1))
    assert errors(say(many)) == ["LIMIT"]
    few = "/".join(["SELECT *"] * SELECTORS_MOST)
    stations = ALL_SELECTORS_MOST // SELECTORS_MOST
    many = "SLPROTO 4.0/" + "/".join(f"STATION XX_{number}/{few}" for number in range(stations)) + "/SELECT *"
    assert errors(say(many)) == ["LIMIT"]
    steps = session().feed(b"A" * (seedlink.LINE_MOST + 1))
    assert steps[-1] == Close()


def test_info_and_bye_are_heard_at_any_time():
    one = session()
    steps = say("SLPROTO 4.0/INFO streams CI_* *_Z/STATION CI_CCC/DATA/END/INFO ID/BYE/INFO ID", one)
    assert [step for step in steps if isinstance(step, Ask)] == [
        Ask(4, "STREAMS", "CI_*", Selector("*_Z")),
        Ask(4, "ID"),
        Ask(4, "ID"),
    ]
    assert Close() in steps


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_octets_break_the_session(pieces):
    one = session()
    for piece in pieces:
        for step in one.feed(piece):
            assert isinstance(step, Say | Ask | Start | Close | Catalogue)


WORDS = [
    "HELLO",
    "SLPROTO 4.0",
    "STATION CI_CCC",
    "STATION CCC CI",
    "SELECT *",
    "SELECT HNZ",
    "DATA",
    "DATA 5",
    "FETCH",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*WORDS, "TIME", "END", "ENDFETCH", "INFO ID", "BATCH", "CAT", "BYE", "AUTH A B"])))
def test_commands_in_any_order_start_at_most_once(words):
    one, starts = session(), 0
    for word in words:
        starts += sum(isinstance(step, Start) for step in say(word, one))
    assert starts <= 1


# --- info


def _info(item: str, station: str = "*", stream: str = "*") -> tuple[Carried, dict]:
    octets = seedlink_info.answer(Ask(4, item, station, Selector(stream)), HELLO, STATIONS, NOW_NS)
    found = seedlink.parse_packet(octets)
    assert found is not None
    return found[0], json.loads(found[0].payload)


def test_streams_are_told_as_specified():
    packet, body = _info("STREAMS", "CI_*")
    assert (packet.format, packet.subformat) == ("J", "I")
    assert body["software"].startswith("SeedLink v4.0 (Fengsui 0.1) :: ")
    (station,) = body["station"]
    assert (station["id"], station["start_seq"], station["end_seq"]) == ("CI_CCC", 5, 900)
    (stream,) = station["stream"]
    assert stream["id"] == "_H_N_Z"
    assert stream["start_time"] == "2019-07-06T03:19:37.000000Z"


def test_stations_are_told_without_streams_and_an_unknown_item_is_an_error():
    assert all("stream" not in station for station in _info("STATIONS")[1]["station"])
    packet, body = _info("GAPS")
    assert packet.subformat == "E"
    assert body["error"]["code"] == "ARGUMENTS"
    assert set(_info("FORMATS")[1]["format"]) == {"2", "3", "J"}
    assert "SLPROTO:4.0" in _info("CAPABILITIES")[1]["capability"]


def test_the_catalogue_ends_with_end():
    assert seedlink_info.catalogue(STATIONS) == b"CCC CI Ridgecrest\r\nYB01 CQ Yubei\r\nEND\r\n"


def test_a_long_answer_of_version_3_is_several_packets_of_which_the_last_says_so():
    many = [StationInfo(f"XX_S{number}", "station", 1, 2) for number in range(50)]
    octets = seedlink_info.answer(Ask(3, "STATIONS"), HELLO, many, NOW_NS)
    heads = [octets[at : at + 8] for at in range(0, len(octets), 520)]
    assert heads == [b"SLINFO *"] * (len(heads) - 1) + [b"SLINFO  "]
    assert len(heads) > 5
