"""Modbus requests and replies as octets. Pure: a reply is believed only if it is the answer to the request.

pymodbus builds the requests and frames them. Replies are matched here, because its RTU framer checks neither
function nor length against the request and drops whatever follows a frame, which lets a late reply pass for another.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.bits import crc16_modbus
from drivers.errors import DeviceError, FrameError, LinkError, LinkTimeoutError

EXCEPTION = 0x80
PDU_OCTETS_MAX = 253
MBAP_OCTETS = 7

_READS: dict[int, type[ModbusPDU]] = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}

_EXCEPTIONS: dict[int, str] = {
    ExcCodes.ILLEGAL_FUNCTION: "does not know this function",
    ExcCodes.ILLEGAL_ADDRESS: "has nothing at this address",
    ExcCodes.ILLEGAL_VALUE: "refuses this value or length",
    ExcCodes.DEVICE_FAILURE: "has failed",
    ExcCodes.ACKNOWLEDGE: "needs more time",
    ExcCodes.DEVICE_BUSY: "is busy",
    ExcCodes.NEGATIVE_ACKNOWLEDGE: "cannot do this",
    ExcCodes.MEMORY_PARITY_ERROR: "has a memory fault",
}

_NOBODY_THERE = {int(ExcCodes.GATEWAY_PATH_UNAVIABLE), int(ExcCodes.GATEWAY_NO_RESPONSE)}


class Request(msgspec.Struct, frozen=True):
    """One question: the PDU to send, and the octets with which its answer must begin and how long it must be."""

    unit: int
    pdu: bytes
    begins: bytes
    size: int


def read_request(unit: int, function: int, address: int, count: int) -> Request:
    """Ask for registers or bits."""
    octets = count * 2 if function in {3, 4} else (count + 7) // 8
    pdu = _READS[function](address=address, count=count, dev_id=unit)
    return Request(unit, _octets(pdu), bytes((function, octets)), 2 + octets)


def write_request(unit: int, function: int, address: int, registers: tuple[int, ...]) -> Request:
    """Set a coil (function 1, by 5) or holding registers (function 3, by 6, or by 16 for several)."""
    pdu: ModbusPDU
    if function == 1:
        pdu = WriteSingleCoilRequest(address=address, bits=[bool(registers[0])], dev_id=unit)
    elif len(registers) == 1:
        pdu = WriteSingleRegisterRequest(address=address, registers=registers, dev_id=unit)
    else:
        pdu = WriteMultipleRegistersRequest(address=address, registers=registers, dev_id=unit)
    octets = _octets(pdu)
    return Request(unit, octets, octets[:5], 5)


def _octets(pdu: ModbusPDU) -> bytes:
    return bytes((pdu.function_code,)) + pdu.encode()


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
    """Modbus TCP: frames carry the number of the request and their length."""

    resynchronises = True

    def __init__(self) -> None:
        self._framer = FramerSocket(DecodePDU(False))

    def encode(self, request: Request, number: int) -> bytes:
        """Put the MBAP header before the PDU."""
        return self._framer.encode(request.pdu, request.unit, number)

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:
        """Take the frame of this number. Raises LinkError if the stream is no Modbus, FrameError for a wrong answer."""
        while len(buffer) >= MBAP_OCTETS:
            size = int.from_bytes(buffer[4:6], "big")
            if buffer[2] or buffer[3] or not 3 <= size <= PDU_OCTETS_MAX + 1:
                raise LinkError("what arrives is not Modbus TCP", hint="for RTU frames over TCP write rtu+tcp://")
            if len(buffer) < 6 + size:
                return None
            frame = bytes(buffer[: 6 + size])
            del buffer[: 6 + size]
            _, unit, got, pdu = self._framer.decode(frame)
            if got == number:
                _check(request, unit, pdu)
                return pdu
        return None


class Rtu:
    """Modbus RTU: frames carry a checksum, but neither a length nor a number."""

    resynchronises = False

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(False))

    def encode(self, request: Request, number: int) -> bytes:
        """Put the unit before and the checksum behind the PDU."""
        return self._framer.encode(request.pdu, request.unit, number)

    def decode(self, buffer: bytearray, request: Request, number: int) -> bytes | None:  # noqa: ARG002 - part of Framing
        """Find the frame that answers, wherever noise or a late reply before it ends."""
        data = bytes(buffer)
        keep = len(data)
        for start in range(len(data)):
            size = _rtu_size(data, start, request)
            if size is None:
                continue
            if start + size > len(data):
                keep = min(keep, start)
            elif crc16_modbus(data[start : start + size]) == 0:
                del buffer[: start + size]
                return data[start + 1 : start + size - 2]
        del buffer[:keep]
        return None


def _rtu_size(data: bytes, start: int, request: Request) -> int | None:
    """Tell how long the answer would be that starts here, None if none can."""
    head = bytes((request.unit,)) + request.begins
    seen = data[start : start + len(head)]
    if head.startswith(seen):
        return request.size + 3
    refusal = bytes((request.unit, request.begins[0] | EXCEPTION))
    return 5 if refusal.startswith(seen[:2]) else None


def _check(request: Request, unit: int, pdu: bytes) -> None:
    if unit != request.unit:
        raise FrameError(f"asked unit {request.unit}, unit {unit} answered")
    if pdu[0] == request.begins[0] | EXCEPTION and len(pdu) == 2:
        return
    if not pdu.startswith(request.begins) or len(pdu) != request.size:
        raise FrameError(f"unit {unit} answered something else: {pdu[:8].hex(' ')}")


def check_exception(request: Request, pdu: bytes) -> None:
    """Raise what an exception reply means: LinkTimeoutError if a gateway found nobody, else DeviceError."""
    if not pdu[0] & EXCEPTION:
        return
    code = pdu[1]
    if code in _NOBODY_THERE:
        raise LinkTimeoutError(f"the gateway cannot reach unit {request.unit} (exception {code})")
    meaning = _EXCEPTIONS.get(code, "refuses")
    address = int.from_bytes(request.pdu[1:3], "big")
    raise DeviceError(
        f"unit {request.unit} {meaning} (exception {code}, function {request.pdu[0]}, address {address})",
        hint="compare the address, which counts from 0, and the function with the instrument's manual",
    )
