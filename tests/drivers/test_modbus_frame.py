import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bits import crc16_modbus
from drivers.errors import FrameError, LinkError
from drivers.modbus.frame import Mbap, Rtu, read_request, write_request

UNITS = st.integers(1, 247)
READS = st.tuples(UNITS, st.sampled_from([1, 2, 3, 4]), st.integers(0, 65000), st.integers(1, 100))


def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + crc16_modbus(frame).to_bytes(2, "little")


def answer(request, fill: int = 0x5A) -> bytes:
    return request.begins + bytes([fill]) * (request.size - len(request.begins))


def test_requests_are_those_of_the_specification():
    """The examples of the Modbus application protocol, 6.1 to 6.6 and 6.12."""
    assert read_request(1, 1, 0x13, 0x13).pdu.hex() == "0100130013"
    assert read_request(1, 3, 0x6B, 3).pdu.hex() == "03006b0003"
    assert read_request(1, 4, 8, 1).pdu.hex() == "0400080001"
    assert write_request(1, 1, 0xAC, (1,)).pdu.hex() == "0500acff00"
    assert write_request(1, 3, 1, (3,)).pdu.hex() == "0600010003"
    assert write_request(1, 3, 1, (10, 258)).pdu.hex() == "100001000204000a0102"


def test_rtu_request_ends_in_its_checksum_low_octet_first():
    assert Rtu().encode(read_request(5, 1, 3, 1), 0).hex(" ") == "05 01 00 03 00 01 0c 4e"


@given(READS, st.integers(1, 65535), st.integers(0, 255))
def test_mbap_finds_the_answer_in_any_pieces(read, number, cut):
    request = read_request(*read)
    frame = Mbap().encode(request, number)[:4]
    pdu = answer(request)
    frame += (len(pdu) + 1).to_bytes(2, "big") + bytes((request.unit,)) + pdu
    buffer, framing = bytearray(), Mbap()
    buffer += frame[:cut]
    got = framing.decode(buffer, request, number)
    if got is None:
        buffer += frame[cut:]
        got = framing.decode(buffer, request, number)
    assert got == pdu


@given(READS, st.binary(max_size=12), st.integers(0, 40))
def test_rtu_finds_the_answer_behind_noise_in_any_pieces(read, noise, cut):
    request = read_request(*read)
    pdu = answer(request)
    line = noise + rtu(request.unit, pdu)
    buffer, framing = bytearray(line[:cut]), Rtu()
    got = framing.decode(buffer, request, 0)
    if got is None:
        buffer += line[cut:]
        got = framing.decode(buffer, request, 0)
    assert got == pdu


@given(READS, READS)
def test_rtu_takes_no_answer_that_looks_different(asked, late):
    request, other = read_request(*asked), read_request(*late)
    if (request.unit, request.begins) == (other.unit, other.begins):
        return
    buffer = bytearray(rtu(other.unit, answer(other, fill=0)))
    assert Rtu().decode(buffer, request, 0) is None


@given(st.binary(max_size=300), READS)
def test_any_octets_are_refused_or_wait(octets, read):
    request = read_request(*read)
    pdu = Rtu().decode(bytearray(octets), request, 1)
    assert pdu is None or len(pdu) in {request.size, 2}
    try:
        pdu = Mbap().decode(bytearray(octets), request, 1)
    except (FrameError, LinkError):
        return
    assert pdu is None or len(pdu) in {request.size, 2}


def test_rtu_exception_is_an_answer():
    assert Rtu().decode(bytearray.fromhex("01 83 02 c0 f1"), read_request(1, 3, 0, 1), 0) == b"\x83\x02"


def test_mbap_drops_frames_of_other_numbers_and_keeps_what_follows():
    buffer = bytearray.fromhex("0001 0000 0005 01 03 02 0063  0002 0000 0005 01 03 02 02de  0003")
    assert Mbap().decode(buffer, read_request(1, 3, 0, 1), 2) == bytes.fromhex("03 02 02de")
    assert buffer == b"\x00\x03"


@pytest.mark.parametrize("octets", ["0001 0001 0005 01 03 02", "0001 0000 0000 01 03", "0001 0000 ffff 01 03"])
def test_stream_that_is_no_modbus_is_a_link_error(octets):
    with pytest.raises(LinkError, match="not Modbus TCP"):
        Mbap().decode(bytearray.fromhex(octets), read_request(1, 3, 0, 1), 1)


@pytest.mark.parametrize("octets", ["0001 0000 0005 01 04 02 02de", "0001 0000 0007 01 03 04 02de 0000"])
def test_answer_of_another_function_or_length_is_a_frame_error(octets):
    with pytest.raises(FrameError, match="something else"):
        Mbap().decode(bytearray.fromhex(octets), read_request(1, 3, 0, 1), 1)
