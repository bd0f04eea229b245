"""The Modbus driver: one line, one request at a time, shared by the instruments on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from drivers.modbus import model
from drivers.modbus.decode import Decoder, Tag
from drivers.modbus.frame import Framing, Mbap, Request, Rtu, check_exception, read_request, write_request
from drivers.modbus.model import COILS, HOLDING_REGISTERS, Device, Source
from drivers.modbus.place import Column, column
from drivers.modbus.plan import limits, plan
from drivers.transport import Transport, make_line
from wire.sample import Value

BROADCAST = 0
TCP_PORT = 502
NUMBERS = 65_536

RTU_SILENT_CHARACTERS = 3.5
RTU_SILENCE_MIN_S = 0.00175
"""Silence between RTU frames: 3.5 characters of 11 bits, and this much from 19200 baud up."""

LATE_FACTOR = 5
LATE_MIN_S = 2.0
"""A reply later than this many time-outs, and than this, is not waited for any more."""


class Late(msgspec.Struct):
    """An RTU unit that owes a reply. Until ``until_ns`` the reply may still come and be taken for another's."""

    request: Request
    until_ns: int
    was_probed: bool = False


class Reading(msgspec.Struct, frozen=True):
    """A group, ready to be asked: its requests, and what makes a scan of their replies."""

    requests: tuple[Request, ...]
    decode: Decoder


class Driver:
    """Reads scan groups with as few requests as their instruments allow; writes coils and holding registers."""

    Settings: ClassVar[type[msgspec.Struct]] = model.Settings
    Device: ClassVar[type[msgspec.Struct]] = model.Device
    Source: ClassVar[type[msgspec.Struct]] = model.Source

    def __init__(
        self,
        settings: model.Settings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        self._timeout_s = settings.timeout_s
        self._clock = clock
        made = self.make_line(settings)
        self._line = made if line is None else line
        is_rtu = not settings.url.startswith("tcp:")
        self._framing: Framing = Rtu() if is_rtu else Mbap()
        self._silence_ns = _silence_ns(settings.baud) if is_rtu else 0
        self._readings = {group.name: _prepare(group, is_rtu) for group in groups}
        self._lock = asyncio.Lock()
        self._buffer = bytearray()
        self._heard = bytearray()
        self._number = 0
        self._quiet_since_ns = 0
        self._late: dict[int, Late] = {}

    @staticmethod
    def make_line(settings: model.Settings) -> Transport:
        """Make the line that the settings name."""
        return make_line(settings, tcp=("tcp", "rtu+tcp"), serial_port=("rtu",), port=TCP_PORT)

    async def open(self) -> None:
        """Open the line. Replies still owed stay noted: an RTU line may carry them after it is opened again."""
        await self._line.open()
        self._buffer.clear()
        self._number = 0

    async def close(self) -> None:
        """Close the line; a read or write that waits ends with LinkError."""
        await self._line.close()

    async def read(self, group: Group) -> Scan:
        """Read a group. A block that the instrument refuses makes its own tags bad; if it refuses all, DeviceError.

        The scan bears the time of its first reply: no value in it is older than its stamp says it can be.
        """
        device = _device(group)
        reading = self._readings[group.name]
        replies: list[bytes | None] = []
        refusal: DeviceError | None = None
        mono_ns: int | None = None
        for request in reading.requests:
            try:
                replies.append(await self._ask(request, device.gap_ms))
            except DeviceError as error:
                refusal = error
                replies.append(None)
                continue
            mono_ns = mono_ns or self._clock()
        if mono_ns is None:
            raise refusal or DeviceError(f"group {group.name} has no tags")
        values, quality = reading.decode(replies)
        return Scan(group.name, mono_ns, values, quality)

    async def write(self, group: Group, tag: str, value: Value) -> None:
        """Set a coil or holding register and read it back. Raises DeviceError if it does not hold what was set."""
        device = _device(group)
        source, where = _target(group, tag, device)
        registers = _registers(tag, source, where, value)
        function, address = where.span.function, where.span.address
        await self._ask(write_request(device.unit, function, address, registers), device.gap_ms)
        back = read_request(device.unit, function, address, len(registers))
        data = await self._ask(back, device.gap_ms)
        wanted = bytes((registers[0],)) if where.span.is_bits else _joined(registers)
        held = bytes((data[0] & 1,)) if where.span.is_bits else data
        if held != wanted:
            raise DeviceError(
                f"{tag}: the instrument took {wanted.hex()} but holds {held.hex()}", hint="is it in local?"
            )

    async def _ask(self, request: Request, gap_ms: float) -> bytes:
        """Exchange one request for the data octets of its answer."""
        async with self._lock:
            await self._settle(request, gap_ms)
            pdu = await self._exchange(request, gap_ms)
        check_exception(request, pdu)
        return pdu[2:]

    async def _settle(self, request: Request, gap_ms: float) -> None:
        """See to it that a reply the unit still owes cannot answer this request.

        A unit answers in the order it was asked. So a short read whose answer looks different from the one owed is
        asked first: once it is answered, the owed one has come or never will. If that too stays unanswered the unit
        is left alone until nothing can be owed any more.
        """
        late = self._late.get(request.unit)
        if late is None:
            return
        if self._clock() >= late.until_ns:
            del self._late[request.unit]
            return
        if late.was_probed:
            raise LinkTimeoutError(f"unit {request.unit} does not answer and is left alone until it may be asked again")
        late.was_probed = True
        await self._exchange(_probe(request, late.request), gap_ms)
        self._late.pop(request.unit, None)

    async def _exchange(self, request: Request, gap_ms: float) -> bytes:
        await self._keep_silence(gap_ms)
        self._number = self._number % (NUMBERS - 1) + 1
        if not self._framing.resynchronises:
            self._line.discard()
            self._buffer.clear()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._line.write(self._framing.encode(request, self._number))
                return await self._receive(request)
        except TimeoutError as error:
            self._note_late(request)
            if self._heard:
                raise FrameError(
                    f"unit {request.unit}: what arrived is no answer: {self._heard[:16].hex(' ')}",
                    hint="check baud, parity, the two wires and the terminator",
                ) from error
            raise LinkTimeoutError(
                f"unit {request.unit} did not answer within {self._timeout_s:g} s",
                hint="check its address, its power and timeout_s",
            ) from error
        except asyncio.CancelledError:
            self._note_late(request)
            raise
        finally:
            self._quiet_since_ns = self._clock()

    async def _receive(self, request: Request) -> bytes:
        self._heard.clear()
        while True:
            data = await self._line.read()
            self._buffer += data
            self._heard += data
            pdu = self._framing.decode(self._buffer, request, self._number)
            if pdu is not None:
                return pdu

    async def _keep_silence(self, gap_ms: float) -> None:
        silence_ns = max(self._silence_ns, int(gap_ms * 1e6))
        wait_ns = self._quiet_since_ns + silence_ns - self._clock()
        if silence_ns and wait_ns > 0:
            await asyncio.sleep(wait_ns / 1e9)

    def _note_late(self, request: Request) -> None:
        if self._framing.resynchronises:
            return
        late = self._late.get(request.unit)
        until_ns = self._clock() + int(max(LATE_MIN_S, LATE_FACTOR * self._timeout_s) * 1e9)
        self._late[request.unit] = Late(request, until_ns, late is not None and late.was_probed)


def _silence_ns(baud: int) -> int:
    seconds = RTU_SILENT_CHARACTERS * 11 / baud
    return int(max(seconds, RTU_SILENCE_MIN_S) * 1e9)


def _prepare(group: Group, is_rtu: bool) -> Reading:
    device = _device(group)
    if is_rtu and device.unit == BROADCAST:
        raise SettingsError(f"{group.device_name}: unit 0 is a broadcast, which nobody answers", hint="use 1 to 247")
    tags = []
    for name, source in zip(group.tags, group.sources, strict=True):
        if not isinstance(source, Source):
            raise SettingsError(f"{name}: not a Modbus source")
        tags.append(Tag(name, source, device))
    blocks = plan({span for tag in tags for span in tag.spans}, limits(device))
    requests = tuple(read_request(device.unit, block.function, block.address, block.count) for block in blocks)
    return Reading(requests, Decoder(tags, blocks))


def _device(group: Group) -> Device:
    if not isinstance(group.device, Device):
        raise SettingsError(f"{group.device_name}: not a Modbus device")
    return group.device


def _target(group: Group, tag: str, device: Device) -> tuple[Source, Column]:
    if tag not in group.tags:
        raise SettingsError(f"group {group.name} has no tag {tag}", hint=f"it has: {', '.join(group.tags)}")
    source = group.sources[group.tags.index(tag)]
    assert isinstance(source, Source)
    where = column(source, device)
    if where.span.function not in {COILS, HOLDING_REGISTERS}:
        raise SettingsError(f"{tag} cannot be written", hint="only coils (function 1) and holding registers (3) can")
    if source.bit is not None or source.mask is not None:
        raise SettingsError(f"{tag} cannot be written: it is a part of a register", hint="write the whole register")
    return source, where


def _registers(tag: str, source: Source, where: Column, value: Value) -> tuple[int, ...]:
    """Turn a value into what goes on the wire; a coil is one 0 or 1."""
    if not isinstance(value, bool | int | float):
        raise SettingsError(f"{tag} cannot be set to {value!r}", hint="give a number, or true or false")
    if where.span.is_bits:
        return (int(bool(value)),)
    try:
        raw = bits.unconvert(value, source.scale, source.offset)
        data = bits.pack(raw, where.type, source.order)
    except ValueError as error:
        raise SettingsError(f"{tag} cannot be set to {value}: {error}") from error
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _joined(registers: tuple[int, ...]) -> bytes:
    return b"".join(register.to_bytes(2, "big") for register in registers)


def _probe(request: Request, owed: Request) -> Request:
    """Make a short read at the same place whose answer cannot be mistaken for the one owed."""
    function = {5: 1, 6: 3, 16: 3}.get(request.pdu[0], request.pdu[0])
    address = int.from_bytes(request.pdu[1:3], "big")
    short = read_request(request.unit, function, address, 1)
    if short.begins != owed.begins:
        return short
    # One octet or word more: two registers, or nine bits. At the very end of the address space, start before it.
    count = 2 if function in {HOLDING_REGISTERS, 4} else 9
    return read_request(request.unit, function, min(address, NUMBERS - count), count)
