"""How Modbus PDUs lie on a line: MBAP, RTU, ASCII. Pure: a reply is believed only if it answers the request.

pymodbus frames what is sent. Replies are matched here, because its framers check neither unit nor function nor length
against the request and drop whatever follows a frame, which lets a late reply pass for another.
"""

from __future__ import annotations

import struct
from typing import Protocol

from pymodbus.framer import FramerAscii, FramerRTU
from pymodbus.pdu import DecodePDU

from drivers.bits import crc16_modbus, sum8
from drivers.errors import FrameError, LinkError
from drivers.modbus.request import PDU_OCTETS_MAX, Request, answer_size, is_answer

_MBAP = struct.Struct(">HHH")
ASCII_CHARACTERS_MAX = 2 * (PDU_OCTETS_MAX + 2) + 3
"""Characters of the longest ASCII frame: unit, PDU and checksum in hexadecimal, colon and line end."""


class Framing(Protocol):
    """How PDUs lie on a line."""

    resynchronises: bool
    """Whether a late reply can be told from a timely one by its frame alone."""

    def encode(self, request: Request, number: int) -> bytes:
        """Frame a request; ``number`` tells requests apart where the framing carries it."""
        ...

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:
        """Take the answer to this request out of the buffer, as a PDU, dropping what is none; None: not yet there."""
        ...


class Mbap:
    """Modbus TCP, with or without TLS: frames carry the number of the request and their length."""

    resynchronises = True

    def encode(self, request: Request, number: int) -> bytes:
        """Put the MBAP header before the PDU: number, 0, length, unit."""
        return b"%b%c%b" % (_MBAP.pack(number, 0, len(request.pdu) + 1), request.unit, request.pdu)

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:
        """Take the frame of this number. Raises LinkError if the stream is no Modbus, FrameError for a wrong answer."""
        while len(buffer) >= _MBAP.size:
            got, protocol, size = _MBAP.unpack_from(buffer)
            if protocol or not 3 <= size <= PDU_OCTETS_MAX + 1:
                raise LinkError("what arrives is not Modbus TCP", hint="for RTU frames over TCP write rtu+tcp://")
            end = 6 + size
            if len(buffer) < end:
                return None
            unit, pdu = buffer[6], bytes(buffer[7:end])
            del buffer[:end]
            if got != number:
                continue
            if unit != request.unit:
                raise FrameError(f"asked unit {request.unit}, unit {unit} answered")
            if not is_answer(request, pdu):
                raise FrameError(f"unit {unit} answered something else: {pdu[:8].hex(' ')}")
            return pdu
        return None


class Rtu:
    """Modbus RTU: frames carry a checksum, but neither a length nor a number.

    A frame is found by the length that its answer must have, not by the silence behind it: adapters and the system
    hand octets over in pieces whose gaps say nothing of the 1.5 characters that the instrument kept on the wire.
    """

    resynchronises = False

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(False))

    def encode(self, request: Request, number: int) -> bytes:
        """Put the unit before and the checksum behind the PDU."""
        return self._framer.encode(request.pdu, request.unit, number)

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:  # noqa: ARG002 - part of Framing
        """Find the frame that answers, wherever noise, an echo or a late reply before it ends."""
        data = bytes(buffer)
        start = data.find(request.unit)
        keep = len(data)
        while start >= 0:
            size = answer_size(request, data[start + 1 : start + 1 + PDU_OCTETS_MAX])
            end = start + (size or 0) + 3
            if size is None or (size and end > len(data)):
                keep = min(keep, start)
            elif size and crc16_modbus(data[start:end]) == 0:
                pdu = data[start + 1 : end - 2]
                if not is_echo(request, pdu):
                    del buffer[:end]
                    return pdu
            start = data.find(request.unit, start + 1)
        del buffer[:keep]
        return None


class Ascii:
    """Modbus ASCII: a colon, hexadecimal digits, a checksum, CR LF. No number, and a checksum of one octet only."""

    resynchronises = False

    def __init__(self) -> None:
        self._framer = FramerAscii(DecodePDU(False))

    def encode(self, request: Request, number: int) -> bytes:
        """Write the unit, the PDU and the checksum as characters."""
        return self._framer.encode(request.pdu, request.unit, number)

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:  # noqa: ARG002 - part of Framing
        """Find the frame that answers; a colon always begins a new one."""
        while (end := buffer.find(b"\r\n")) >= 0:
            start = buffer.rfind(b":", 0, end)
            characters = bytes(buffer[start + 1 : end])
            del buffer[: end + 2]
            octets = _from_ascii(characters) if start >= 0 else b""
            if octets[:1] == bytes((request.unit,)) and sum8(octets) == 0:
                pdu = octets[1:-1]
                if is_answer(request, pdu) and not is_echo(request, pdu):
                    return pdu
        start = buffer.rfind(b":")
        del buffer[: start if 0 <= start >= len(buffer) - ASCII_CHARACTERS_MAX else len(buffer)]
        return None


def _from_ascii(characters: bytes) -> bytes:
    """Read pairs of hexadecimal digits; nothing if that is not what they are."""
    if not characters.isalnum():
        return b""
    try:
        return bytes.fromhex(characters.decode("ascii"))
    except ValueError:
        return b""


def is_echo(request: Request, pdu: bytes) -> bool:
    """Tell whether an adapter gave back what we sent. A write is answered by its own echo; reading it back tells."""
    return pdu == request.pdu and not request.is_echoed
