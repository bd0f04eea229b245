"""Modbus requests as octets, and what their answers must look like. Pure; pymodbus builds the PDUs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.errors import DeviceError, LinkTimeoutError
from drivers.modbus.place import Span

EXCEPTION = 0x80
PDU_OCTETS_MAX = 253
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_WRITE, READ_WRITE, IDENTIFICATION = (
    5,
    6,
    15,
    16,
    22,
    23,
    43,
)

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

_ASKED_WRONGLY = {int(ExcCodes.ILLEGAL_FUNCTION), int(ExcCodes.ILLEGAL_ADDRESS), int(ExcCodes.ILLEGAL_VALUE)}
_COMPARE = "compare the address, which counts from 0, and the function with the instrument's manual"
_LOOK = "if it stays so, look at the instrument itself: its display, its lamps; behind a gateway, is it there?"

_NOBODY_THERE = {int(ExcCodes.GATEWAY_PATH_UNAVIABLE), int(ExcCodes.GATEWAY_NO_RESPONSE)}


class Request(msgspec.Struct, frozen=True):
    """One question: the PDU to send, the octets with which the PDU of its answer must begin, and how long it must be.

    ``size`` is 0 where the answer itself says how long it is (43/14).
    """

    unit: int
    pdu: bytes
    begins: bytes
    size: int

    @property
    def is_echoed(self) -> bool:
        """Tell whether its answer repeats it."""
        return self.begins == self.pdu


def read_request(unit: int, span: Span) -> Request:
    """Ask for registers or bits (functions 1 to 4)."""
    octets = (span.count + 7) // 8 if span.is_bits else span.count * 2
    pdu = _READS[span.function](address=span.address, count=span.count, dev_id=unit)
    return Request(unit, _octets(pdu), bytes((span.function, octets)), 2 + octets)


def write_coils(unit: int, address: int, on: Sequence[bool], *, single: bool) -> Request:
    """Set coils: one by function 5, several (or one that knows no 5) by 15."""
    pdu: ModbusPDU
    if single:
        pdu = WriteSingleCoilRequest(address=address, bits=[on[0]], dev_id=unit)
    else:
        pdu = WriteMultipleCoilsRequest(address=address, bits=list(on), dev_id=unit)
    return _written(unit, pdu)


def write_registers(unit: int, address: int, words: Sequence[int], *, single: bool) -> Request:
    """Set holding registers: one by function 6, several (or one that knows no 6) by 16."""
    pdu: ModbusPDU
    if single:
        pdu = WriteSingleRegisterRequest(address=address, registers=list(words), dev_id=unit)
    else:
        pdu = WriteMultipleRegistersRequest(address=address, registers=list(words), dev_id=unit)
    return _written(unit, pdu)


def mask_write(unit: int, address: int, keep: int, put: int) -> Request:
    """Set bits of a register (function 22): it becomes (register AND keep) OR (put AND NOT keep)."""
    octets = _octets(MaskWriteRegisterRequest(address=address, and_mask=keep, or_mask=put, dev_id=unit))
    return Request(unit, octets, octets, len(octets))


def read_write(unit: int, address: int, words: Sequence[int]) -> Request:
    """Set registers and read them back in one exchange (function 23)."""
    pdu = ReadWriteMultipleRegistersRequest(
        read_address=address, read_count=len(words), write_address=address, write_registers=list(words), dev_id=unit
    )
    return Request(unit, _octets(pdu), bytes((READ_WRITE, 2 * len(words))), 2 + 2 * len(words))


def identification(unit: int, code: int, first: int) -> Request:
    """Ask who it is (function 43, kind 14): objects from ``first``; ``code`` 1 basic, 2 regular."""
    octets = _octets(ReadDeviceInformationRequest(read_code=code, object_id=first, dev_id=unit))
    return Request(unit, octets, octets[:3], 0)


def _written(unit: int, pdu: ModbusPDU) -> Request:
    octets = _octets(pdu)
    return Request(unit, octets, octets[:5], 5)


def _octets(pdu: ModbusPDU) -> bytes:
    return bytes((pdu.function_code,)) + pdu.encode()


def identification_size(pdu: bytes) -> int | None:
    """Count the octets of a 43/14 answer from its beginning: seven, then id, length and text of each object."""
    if len(pdu) < 7:
        return None
    end = 7
    for _ in range(pdu[6]):
        if len(pdu) < end + 2:
            return None
        end += 2 + pdu[end + 1]
    return end


def answer_size(request: Request, pdu: bytes) -> int | None:
    """Tell how long the answer is that begins like this; 0 if it is none, None if too little of it is there yet."""
    if request.begins.startswith(pdu[: len(request.begins)]):
        if len(pdu) < len(request.begins):
            return None
        size = request.size or identification_size(pdu)
        return 0 if size is not None and size > PDU_OCTETS_MAX else size
    return 2 if pdu[:1] == bytes((request.pdu[0] | EXCEPTION,)) else 0


def is_answer(request: Request, pdu: bytes) -> bool:
    """Tell whether this PDU answers the request, be it by an exception."""
    return answer_size(request, pdu) == len(pdu)


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
        hint=_COMPARE if code in _ASKED_WRONGLY else _LOOK,
        code=code,
    )
