"""A Modbus slave: requests in, replies out, over a TCP socket or a serial line, counted only when handed over whole.

Written here rather than taken from a library, because the libraries count a reply before it is sent, and because the
gateways' driver must not meet its own library on the other side.
"""

from __future__ import annotations

import asyncio
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lab.instruments.line import Line

READ_COILS, READ_INPUTS, READ_HOLDING, READ_INPUT_REGISTERS = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS = 5, 6, 15
IDENTIFICATION, IDENTIFICATION_KIND = 43, 14
READS = (READ_COILS, READ_INPUTS, READ_HOLDING, READ_INPUT_REGISTERS)

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
MAX_BITS, MAX_REGISTERS = 2000, 125
IDENTITY = (b"Fengsui", b"LAB", b"1.0")
"""What every slave of the lab says of itself: vendor, product code, revision."""
RTU_OCTETS_MIN = 7
ASCII_OCTETS_MIN = 3
IDLE_S = 0.1
"""A pause after which what is left of an unfinished request is forgotten."""


class SlaveError(Exception):
    """A request that gets an exception reply with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


Served = Callable[[bool, int], None]
"""Told whether the reply to a read was handed over whole, and when (monotonic ns)."""


class Unit(Protocol):
    """The registers and coils of one slave address."""

    def read(self, function: int, address: int, count: int, at_ns: int) -> tuple[Sequence[int], Served]:
        """Return the values and whom to tell when they are served. Raises SlaveError."""
        ...

    def write_coil(self, address: int, on: bool, at_ns: int) -> None:
        """Switch a coil. Raises SlaveError."""
        ...


def answer(unit: Unit, request: bytes, at_ns: int) -> tuple[bytes, Served | None]:
    """Answer one request PDU. Pure but for the unit."""
    function = request[0] if request else 0
    try:
        if function in READS:
            return _answer_read(unit, function, request, at_ns)
        if function in (WRITE_COIL, WRITE_COILS):
            return _answer_write(unit, function, request, at_ns), None
        if function == IDENTIFICATION:
            return _answer_identification(request), None
    except SlaveError as fault:
        return bytes((function | 0x80, fault.code)), None
    return bytes((function | 0x80, ILLEGAL_FUNCTION)), None


def _answer_read(unit: Unit, function: int, request: bytes, at_ns: int) -> tuple[bytes, Served]:
    if len(request) != 5:
        raise SlaveError(ILLEGAL_VALUE)
    _, address, count = struct.unpack(">BHH", request)
    is_bits = function in (READ_COILS, READ_INPUTS)
    if not 1 <= count <= (MAX_BITS if is_bits else MAX_REGISTERS):
        raise SlaveError(ILLEGAL_VALUE)
    values, served = unit.read(function, address, count, at_ns)
    data = _pack_bits(values) if is_bits else struct.pack(f">{count}H", *values)
    return bytes((function, len(data))) + data, served


def _pack_bits(values: Sequence[int]) -> bytes:
    octets = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        octets[index // 8] |= bool(value) << (index % 8)
    return bytes(octets)


def _answer_write(unit: Unit, function: int, request: bytes, at_ns: int) -> bytes:
    if len(request) < 5:
        raise SlaveError(ILLEGAL_VALUE)
    _, address, word = struct.unpack(">BHH", request[:5])
    if function == WRITE_COIL:
        if len(request) != 5 or word not in (0x0000, 0xFF00):
            raise SlaveError(ILLEGAL_VALUE)
        unit.write_coil(address, word == 0xFF00, at_ns)
        return request
    bits = request[6:]
    if len(request) < 7 or request[5] != len(bits) or len(bits) != (word + 7) // 8:
        raise SlaveError(ILLEGAL_VALUE)
    for index in range(word):
        unit.write_coil(address + index, bool(bits[index // 8] >> (index % 8) & 1), at_ns)
    return request[:5]


def _answer_identification(request: bytes) -> bytes:
    if len(request) != 4 or request[1] != IDENTIFICATION_KIND or request[2] != 1 or request[3] >= len(IDENTITY):
        raise SlaveError(ILLEGAL_VALUE)
    objects = list(enumerate(IDENTITY))[request[3] :]
    listed = b"".join(bytes((number, len(text))) + text for number, text in objects)
    return request[:3] + bytes((1, 0, 0, len(objects))) + listed


def crc16(data: bytes) -> int:
    """Modbus CRC-16; it goes over the line low octet first."""
    crc = 0xFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Wrap a PDU for the serial line."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def take_rtu_request(buffer: bytes) -> tuple[tuple[int, bytes] | None, int]:
    """Take one request from the head of a buffer: ((unit, PDU) or None, octets used).

    Nothing used: more octets are needed. Octets used but no request: they were garbage.
    """
    if len(buffer) < RTU_OCTETS_MIN:
        return None, 0
    length = 9 + buffer[6] if buffer[1] in (15, 16) else RTU_OCTETS_MIN if buffer[1] == IDENTIFICATION else 8
    if len(buffer) < length:
        return None, 0
    frame = buffer[:length]
    if crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        return None, len(buffer)
    return (frame[0], frame[1:-2]), length


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    """Wrap a PDU for the serial line in digits; its LRC makes the sum of all octets 0."""
    body = bytes((unit,)) + pdu
    return b":%s%02X\r\n" % (body.hex().upper().encode("ascii"), -sum(body) & 0xFF)


def take_ascii_request(buffer: bytes) -> tuple[tuple[int, bytes] | None, int]:
    """Take one request from the head of a buffer, as `take_rtu_request`."""
    line, ending, _ = buffer.partition(b"\r\n")
    if not ending:
        return None, 0
    used = len(line) + len(ending)
    try:
        frame = bytes.fromhex(line.rpartition(b":")[2].decode("ascii"))
    except ValueError:
        return None, used
    if len(frame) < ASCII_OCTETS_MIN or sum(frame) & 0xFF:
        return None, used
    return (frame[0], frame[1:-1]), used


class TcpSlave:
    """Serves units over Modbus TCP until closed. ``power_off`` silences it: it neither answers nor counts."""

    def __init__(self, units: Mapping[int, Unit], clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._units = units
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_powered = True

    async def open(self) -> int:
        """Listen on a free port of the loopback and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            await self._server.wait_closed()
            self._server = None

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                transaction, protocol, length, address = struct.unpack(">HHHB", await reader.readexactly(7))
                request = await reader.readexactly(length - 1) if 2 <= length <= 254 else b""
                if protocol != 0 or not request:
                    return
                unit = self._units.get(address)
                if unit is not None and self.is_powered:
                    await self._reply(writer, transaction, address, unit, request)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _reply(
        self, writer: asyncio.StreamWriter, transaction: int, address: int, unit: Unit, request: bytes
    ) -> None:
        at_ns = self._clock()
        pdu, served = answer(unit, request, at_ns)
        try:
            writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, address) + pdu)
            await writer.drain()
        except ConnectionError:
            if served is not None:
                served(False, at_ns)
            raise
        if served is not None:
            served(True, at_ns)


class LineSlave(ABC):
    """Serves the units of one line: a pty, or a port of a serial server. ``power_off`` as in `TcpSlave`."""

    def __init__(self, line: Line, units: Mapping[int, Unit], clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._line = line
        self._units = units
        self._clock = clock
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Answer until cancelled."""
        buffer, heard_ns = b"", 0
        async for octets in self._line.received():
            now = self._clock()
            if now - heard_ns > IDLE_S * 1e9:
                buffer = b""
            buffer, heard_ns = self._consume(buffer + octets), now

    def _consume(self, buffer: bytes) -> bytes:
        while True:
            request, used = self.take(buffer)
            buffer = buffer[used:]
            if request is not None and request[0] in self._units and self.is_powered:
                self._reply(*request)
            if not used:
                return buffer

    def _reply(self, address: int, request: bytes) -> None:
        at_ns = self._clock()
        pdu, served = answer(self._units[address], request, at_ns)
        whole = self._line.write(self.frame(address, pdu))
        if served is not None:
            served(whole, at_ns)

    @abstractmethod
    def take(self, buffer: bytes) -> tuple[tuple[int, bytes] | None, int]:
        """Take one request from the head of a buffer, as `take_rtu_request`."""

    @abstractmethod
    def frame(self, unit: int, pdu: bytes) -> bytes:
        """Wrap a PDU for the line."""


class RtuSlave(LineSlave):
    """In octets, with CRC."""

    def take(self, buffer: bytes) -> tuple[tuple[int, bytes] | None, int]:
        """Take one request."""
        return take_rtu_request(buffer)

    def frame(self, unit: int, pdu: bytes) -> bytes:
        """Wrap a PDU."""
        return rtu_frame(unit, pdu)


class AsciiSlave(LineSlave):
    """In hexadecimal digits between a colon and CR LF, with LRC."""

    def take(self, buffer: bytes) -> tuple[tuple[int, bytes] | None, int]:
        """Take one request."""
        return take_ascii_request(buffer)

    def frame(self, unit: int, pdu: bytes) -> bytes:
        """Wrap a PDU."""
        return ascii_frame(unit, pdu)
