"""Requests and replies as octets, in all three framings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bits import crc16_modbus
from drivers.errors import DeviceError, FrameError, LinkError, LinkTimeoutError
from drivers.modbus.frame import ASCII_CHARACTERS_MAX, Ascii, Mbap, Rtu
from drivers.modbus.place import Span
from drivers.modbus.request import (
    PDU_OCTETS_MAX,
    check_exception,
    identification,
    mask_write,
    read_request,
    read_write,
    write_coils,
    write_registers,
)


def read(unit: int, function: int, address: int, count: int):
    return read_request(unit, Span(function, address, count))


UNITS = st.integers(1, 247)
READS = st.builds(read, UNITS, st.sampled_from([1, 2, 3, 4]), st.integers(0, 65000), st.integers(1, 100))
REQUESTS = (
    READS
    | st.builds(lambda u, a, n: write_registers(u, a, [n], single=True), UNITS, st.integers(0, 999), st.integers(0, 99))
    | st.builds(
        lambda u, a, n: write_registers(u, a, [n, 1], single=False), UNITS, st.integers(0, 9), st.integers(0, 9)
    )
    | st.builds(lambda u, a, n: read_write(u, a, [n, n]), UNITS, st.integers(0, 999), st.integers(0, 99))
    | st.builds(identification, UNITS, st.sampled_from([1, 2]), st.integers(0, 6))
)


def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + crc16_modbus(frame).to_bytes(2, "little")


def ascii_(unit: int, pdu: bytes) -> bytes:
    octets = bytes((unit,)) + pdu
    return b":" + (octets + bytes((-sum(octets) & 0xFF,))).hex().upper().encode() + b"\r\n"


FRAMED = ((Rtu, rtu), (Ascii, ascii_))
framings = pytest.mark.parametrize(("framing", "framed"), FRAMED, ids=["rtu", "ascii"])


def answer(request, fill: int = 0x5A) -> bytes:
    if request.size == 0:
        return request.begins + bytes((0x82, 0, 0, 2, 0, 3)) + b"abc" + bytes((1, 0))
    return request.begins + bytes([fill]) * (request.size - len(request.begins))


def test_requests_are_those_of_the_specification():
    """The examples of the Modbus application protocol 1.1b3, 6.1 to 6.21."""
    assert read(1, 1, 0x13, 0x13).pdu.hex() == "0100130013"
    assert read(1, 2, 0xC4, 0x16).pdu.hex() == "0200c40016"
    assert read(1, 3, 0x6B, 3).pdu.hex() == "03006b0003"
    assert read(1, 4, 8, 1).pdu.hex() == "0400080001"
    assert write_coils(1, 0xAC, [True], single=True).pdu.hex() == "0500acff00"
    assert write_registers(1, 1, [3], single=True).pdu.hex() == "0600010003"
    coils = [bool(0x1CD >> (9 - at) & 1) for at in (2, 3, 4, 5, 6, 7, 8, 9)]
    assert write_coils(1, 0x13, coils, single=False).pdu[:6].hex() == "0f0013000801"
    assert write_registers(1, 1, [10, 258], single=False).pdu.hex() == "100001000204000a0102"
    assert mask_write(1, 4, 0xF2, 0x25).pdu.hex() == "16000400f20025"
    assert read_write(1, 0x0E, [255, 255, 255]).pdu.hex() == "17000e0003000e00030600ff00ff00ff"
    assert identification(1, 1, 0).pdu.hex() == "2b0e0100"


def test_one_coil_is_set_by_function_15_where_5_is_not_known():
    assert write_coils(1, 3, [True], single=False).pdu.hex() == "0f000300010101"
    assert write_registers(1, 3, [7], single=False).pdu.hex() == "1000030001020007"


def test_frames_of_one_request():
    request = read(5, 1, 3, 1)
    assert Rtu().encode(request, 0).hex(" ") == "05 01 00 03 00 01 0c 4e"
    assert Ascii().encode(request, 0) == b":050100030001F6\r\n"
    assert Mbap().encode(request, 0x1234).hex(" ") == "12 34 00 00 00 06 05 01 00 03 00 01"


@given(REQUESTS, st.integers(1, 65535), st.integers(0, 255))
def test_mbap_finds_the_answer_in_any_pieces(request, number, cut):
    pdu = answer(request)
    frame = Mbap().encode(request, number)[:4] + (len(pdu) + 1).to_bytes(2, "big") + bytes((request.unit,)) + pdu
    buffer, framing = bytearray(frame[:cut]), Mbap()
    got = framing.decode(buffer, request, number)
    if got is None:
        buffer += frame[cut:]
        got = framing.decode(buffer, request, number)
    assert got == pdu


@framings
@given(REQUESTS, st.binary(max_size=12), st.integers(0, 60))
def test_answer_is_found_behind_noise_in_any_pieces(framing, framed, request, noise, cut):
    pdu = answer(request)
    line = noise + framed(request.unit, pdu)
    buffer, framing = bytearray(line[:cut]), framing()
    got = framing.decode(buffer, request, 0)
    if got is None:
        buffer += line[cut:]
        got = framing.decode(buffer, request, 0)
    assert got == pdu


@framings
@given(REQUESTS, REQUESTS)
def test_no_answer_is_taken_that_looks_different(framing, framed, request, other):
    if (request.unit, request.begins) != (other.unit, other.begins):
        buffer = bytearray(framed(other.unit, answer(other, fill=0)))
        assert framing().decode(buffer, request, 0) is None


@framings
def test_echo_of_our_own_request_is_no_answer(framing, framed):
    """Bits 0x0300 to 0x0317: the high octet of the address stands where the answer has its length."""
    request = read(1, 1, 0x0300, 24)
    echo = framing().encode(request, 0)
    assert framing().decode(bytearray(echo), request, 0) is None
    pdu = b"\x01\x03\xaa\xbb\xcc"
    assert framing().decode(bytearray(echo + framed(1, pdu)), request, 0) == pdu


@given(st.binary(max_size=300) | st.text(":0123456789ABCDEF\r\n", max_size=600).map(str.encode), REQUESTS)
def test_any_octets_are_refused_or_wait(octets, request):
    for framing in (Rtu(), Ascii()):
        pdu = framing.decode(bytearray(octets), request, 1)
        assert pdu is None or len(pdu) in {request.size, 2} or pdu.startswith(b"\x2b\x0e")
    try:
        pdu = Mbap().decode(bytearray(octets), request, 1)
    except (FrameError, LinkError):
        return
    assert pdu is None or len(pdu) in {request.size, 2} or pdu.startswith(b"\x2b\x0e")


@given(st.lists(st.binary(max_size=400) | st.just(b":" * 50) | st.just(b"\x01\x03\xc8"), max_size=30), READS)
def test_what_waits_for_its_end_is_never_longer_than_a_frame(pieces, request):
    for framing, most in ((Rtu(), PDU_OCTETS_MAX + 3), (Ascii(), ASCII_CHARACTERS_MAX)):
        buffer = bytearray()
        for piece in pieces:
            buffer += piece
            framing.decode(buffer, request, 0)
            assert len(buffer) <= most


@framings
def test_exception_is_an_answer(framing, framed):
    assert framing().decode(bytearray(framed(1, b"\x83\x02")), read(1, 3, 0, 1), 0) == b"\x83\x02"


def test_rtu_exception_as_the_specification_has_it():
    assert Rtu().decode(bytearray.fromhex("01 83 02 c0 f1"), read(1, 3, 0, 1), 0) == b"\x83\x02"


@pytest.mark.parametrize(
    "line",
    [b":0103020063 97\r\n", b":010302006396\r\n", b":01030200639\r\n", b"010302006397\r\n", b":01030200\xb6396\r\n"],
    ids=["blank", "checksum", "half an octet", "no colon", "parity"],
)
def test_ascii_frame_that_is_none_is_dropped(line):
    buffer = bytearray(line)
    assert Ascii().decode(buffer, read(1, 3, 0, 1), 0) is None
    assert buffer == b""


def test_ascii_frame_that_was_broken_off_ends_where_the_next_begins():
    buffer = bytearray(b":0103" + ascii_(1, b"\x03\x02\x00\x63") + b":01")
    assert Ascii().decode(buffer, read(1, 3, 0, 1), 0) == b"\x03\x02\x00\x63"
    assert buffer == b":01"


def test_mbap_drops_frames_of_other_numbers_and_keeps_what_follows():
    buffer = bytearray.fromhex("0001 0000 0005 01 03 02 0063  0002 0000 0005 01 03 02 02de  0003")
    assert Mbap().decode(buffer, read(1, 3, 0, 1), 2) == bytes.fromhex("03 02 02de")
    assert buffer == b"\x00\x03"


@pytest.mark.parametrize("octets", ["0001 0001 0005 01 03 02", "0001 0000 0000 01 03", "0001 0000 ffff 01 03"])
def test_stream_that_is_no_modbus_is_a_link_error(octets):
    with pytest.raises(LinkError, match="not Modbus TCP"):
        Mbap().decode(bytearray.fromhex(octets), read(1, 3, 0, 1), 1)


@pytest.mark.parametrize("octets", ["0001 0000 0005 01 04 02 02de", "0001 0000 0007 01 03 04 02de 0000"])
def test_answer_of_another_function_or_length_is_a_frame_error(octets):
    with pytest.raises(FrameError, match="something else"):
        Mbap().decode(bytearray.fromhex(octets), read(1, 3, 0, 1), 1)


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (2, DeviceError, "nothing at this address"),
        (5, DeviceError, "needs more time"),
        (6, DeviceError, "is busy"),
        (10, LinkTimeoutError, "cannot reach unit 1"),
        (11, LinkTimeoutError, "cannot reach unit 1"),
        (99, DeviceError, "refuses"),
    ],
)
def test_exception_means_what_its_code_says(code, error, says):
    with pytest.raises(error, match=says):
        check_exception(read(1, 3, 0, 1), bytes((0x83, code)))
