"""What drivers with declared frames are made of: checksums, patterns, splitters."""

import binascii
import re

import pytest
from crc import Calculator, Configuration
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.errors import SettingsError
from drivers.framing.checksum import CRCS, checker, compute, width
from drivers.framing.model import Check
from drivers.framing.pattern import compile_pattern
from drivers.framing.splitter import NO, WAIT, Lines, Splitter

octets = st.binary(max_size=64)


@pytest.mark.parametrize("name", CRCS)
def test_crc_has_its_published_check_value(name):
    assert compute(name)(b"123456789") == CRCS[name].check


@pytest.mark.peer
@pytest.mark.parametrize("name", CRCS)
@given(data=octets)
def test_crc_is_that_of_another_library(name, data):
    crc = CRCS[name]
    theirs = Calculator(
        Configuration(crc.bits, crc.poly, crc.init, crc.xorout, crc.is_reflected, crc.is_reflected), optimized=True
    )
    assert compute(name)(data) == theirs.checksum(data)


@given(octets)
def test_crcs_of_the_standard_library_agree(data):
    assert compute("crc32")(data) == binascii.crc32(data)
    assert compute("crc16-xmodem")(data) == binascii.crc_hqx(data, 0)
    assert compute("crc16-ccitt-false")(data) == binascii.crc_hqx(data, 0xFFFF)


@given(octets)
def test_sums_add_up(data):
    assert compute("sum16")(data) % 256 == compute("sum8")(data)
    assert (compute("sum8")(data) + compute("sum8-twos")(data)) % 256 == 0
    assert compute("xor8")(data + data) == 0


@given(octets, st.sampled_from([*CRCS, "sum8", "sum16", "xor8"]), st.booleans(), st.booleans(), st.integers(0, 2))
def test_checksum_is_found_where_it_is_declared(data, kind, is_hex, is_little, gap):
    order = "little" if is_little else "big"
    check = Check(kind=kind, first=1, gap=gap, after=1, order=order, form="hex" if is_hex else "raw")
    stated = compute(kind)(data).to_bytes(width(kind), order)
    frame = b"$" + data + b"*" * gap + (stated.hex().encode() if is_hex else stated) + b"\x03"
    is_right = checker(check)
    assert is_right(frame)
    at = len(frame) - 2
    assert not is_right(frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :])
    assert not is_right(frame[: 1 + gap])


PLAIN = [
    r"T=(?P<t>[-+]?\d+(?:\.\d+)?),H=(?P<h>\d{1,3})",
    r"\x02[A-Z],(?P<d>\d{0,3}),(?P<s>\d+\.\d*),(?P<u>[MNPKF]),(?P<x>\d\d),\x03[0-9A-F]{2}",
    r"(?P<a>a)?b*|c(?P<d>[^]x]+)",
    r"#.*|(?P<v>\d+)",
]


@pytest.mark.parametrize("pattern", PLAIN)
@given(data=st.data())
def test_pattern_without_ambiguity_matches_as_ever(pattern, data):
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True) | st.text("T=H.,1a\x02", max_size=9))
    theirs, ours = re.fullmatch(pattern, text, re.ASCII), compile_pattern(pattern).fullmatch(text)
    assert (theirs is None) == (ours is None)
    assert theirs is None or theirs.groupdict() == ours.groupdict()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\d*\d*\d*\d*\d*\d*\d*\d*x", "1" * 1000),
        (r"(?:a|a)(?:a|a)" * 30 + "x", "a" * 1000),
        ("(?:a?)?" * 100 + "a" * 100 + "x", "a" * 1000),
        (r"[^,]*,[^,]*,[^,]*,[^,]*,x", "," * 1000),
        ("a{0,500}" * 50 + "x", "a" * 1000),
    ],
)
def test_pattern_that_would_run_away_ends_at_once(pattern, text):
    assert compile_pattern(pattern).fullmatch(text) is None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"(\d+)*", "repeats a group"),
        (r"(?:a|b){2}", "repeats a group"),
        (r"\d+?x", "repeats with"),
        (r"\d++", "repeats with"),
        (r"*x", "none"),
        (r"a|{,3}b", "none"),
        (r".*,(?P<t>\d+)", "goes on after"),
        (r"(?=a)a", r"has '\(\?=a"),
        (r"(?i)a", r"has '\(\?i\)"),
        (r"(a)\1", r"has '\\1'"),
        (r"(?P<a>x)(?P=a)", "has"),
        ("(a", "none"),
        ("a)", "none"),
        ("[a", "none"),
        ("a" * 1001, "longer"),
        ("a{99999999999}", "none"),
    ],
)
def test_pattern_that_is_refused_says_why(pattern, says):
    with pytest.raises(SettingsError, match=says):
        compile_pattern(pattern)


@given(st.text(alphabet="ab.*+?|()[]{}^$\\d,0P<>=!", max_size=12), st.text("ab0,.", max_size=12))
def test_any_pattern_is_compiled_or_refused(pattern, text):
    try:
        compiled = compile_pattern(pattern)
    except SettingsError:
        return
    compiled.fullmatch(text)


def measure(data: bytes, at: int) -> int:
    """7E, length of the whole, contents, sum."""
    if len(data) - at < 2:
        return WAIT
    size = data[at + 1]
    if size < 3:
        return NO
    if len(data) - at < size:
        return WAIT
    return size if sum(data[at : at + size - 1]) & 0xFF == data[at + size - 1] else NO


def framed(contents: bytes) -> bytes:
    body = bytes((0x7E, len(contents) + 3)) + contents
    return body + bytes((sum(body) & 0xFF,))


contents = st.binary(max_size=8)
streams = st.lists(contents.map(framed) | st.binary(min_size=1, max_size=20), max_size=12).map(b"".join)


@given(streams, st.lists(st.integers(0, 30), max_size=20))
def test_pieces_in_which_octets_come_do_not_matter(data, cuts):
    whole, pieces = Splitter(b"\x7e", measure, int), Splitter(b"\x7e", measure, int)
    at, got = 0, []
    for cut in cuts:
        got += pieces.feed(data[at : at + cut])
        at += cut
    got += pieces.feed(data[at:])
    assert got == whole.feed(data)
    assert pieces.faults == whole.faults


@given(st.lists(st.sampled_from(b"\x7e\x05\x14\x00\xff"), max_size=40).map(bytes), contents)
def test_valid_frame_that_begins_inside_garbage_is_not_skipped(garbage, content):
    data = garbage + framed(content) + bytes(255)
    assume(not any(data[at] == 0x7E and measure(data, at) > 0 for at in range(len(garbage))))
    frames = Splitter(b"\x7e", measure, int).feed(data)
    assert [frame.octets for frame in frames] == [framed(content)]


@given(st.lists(contents, min_size=1, max_size=10))
def test_clean_stream_gives_every_frame_and_no_fault(all_contents):
    splitter = Splitter(b"\x7e", measure, int)
    frames = splitter.feed(b"".join(framed(each) for each in all_contents))
    assert [frame.octets for frame in frames] == [framed(each) for each in all_contents]
    assert splitter.faults == 0


def test_frame_that_a_false_head_held_back_comes_with_the_time_at_which_it_arrived():
    times = iter([100, 200, 300])
    splitter = Splitter(b"\x7e", measure, lambda: next(times))
    assert splitter.feed(b"\x7e\x14\x00") == []
    assert splitter.feed(framed(b"ab")) == []
    frames = splitter.feed(framed(b"cd") + bytes(20))
    assert [(frame.mono_ns, frame.octets) for frame in frames] == [(200, framed(b"ab")), (300, framed(b"cd"))]


def test_head_of_two_octets_may_come_in_two_pieces():
    splitter = Splitter(b"\xaa\x55", lambda data, at: 3 if len(data) - at >= 3 else WAIT, int)
    assert splitter.feed(b"\x00\xaa") == []
    assert [frame.octets for frame in splitter.feed(b"\x55\x01\xaa")] == [b"\xaa\x55\x01"]
    assert splitter.faults == 1


@given(st.binary(max_size=300), st.sampled_from([b"\n", b"\r\n", b"END"]), st.lists(st.integers(1, 40), max_size=12))
def test_lines_are_cut_alike_whatever_the_pieces(data, terminator, cuts):
    data = data.replace(b"\x00", terminator)
    whole, pieces = Lines(terminator, 20), Lines(terminator, 20)
    at, got = 0, []
    for cut in cuts:
        got += pieces.feed(data[at : at + cut])
        at += cut
    got += pieces.feed(data[at:])
    expected = [line for line in data.split(terminator)[:-1] if line]
    assert got == whole.feed(data) == [line for line in expected if len(line) <= 20]
    assert pieces.faults == whole.faults == len([line for line in expected if len(line) > 20])


def test_endless_line_is_not_held():
    lines = Lines(b"\r\n", 20)
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == []
    assert len(lines._rest) < 1100
    assert lines.feed(b"\r\nok\r\n") == [b"ok"]
    assert lines.faults == 1
