"""What is sent to set a tag, and what must be read back then. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgspec

from drivers import bits
from drivers.errors import SettingsError
from drivers.modbus.check import table_numbers
from drivers.modbus.decode import Tag
from drivers.modbus.model import COILS, HOLDING_REGISTERS, Device
from drivers.modbus.place import Span
from drivers.modbus.request import Request, mask_write, read_write, write_coils, write_registers
from wire.sample import Value

WRITE_REGISTERS_MOST, READ_WRITE_MOST = 123, 121
"""Most registers of one request by functions 16 and 23."""


class Change(msgspec.Struct, frozen=True):
    """What registers (or one coil) shall hold: the octets of ``data`` where ``mask`` has ones, as they lie there."""

    span: Span
    data: bytes
    mask: bytes

    @property
    def is_part(self) -> bool:
        """Tell whether it leaves something of its registers as it was."""
        return not self.span.is_bits and self.mask != b"\xff" * len(self.mask)

    def put_into(self, held: bytes) -> Change:
        """Complete it with what the registers hold besides."""
        data = bytes(old & ~own | new & own for old, new, own in zip(held, self.data, self.mask, strict=True))
        return Change(self.span, data, b"\xff" * len(data))

    def is_held_by(self, held: bytes) -> bool:
        """Compare with what was read back."""
        return all((old ^ new) & own == 0 for old, new, own in zip(held, self.data, self.mask, strict=True))


def change(tag: Tag, value: Value) -> Change:
    """Turn a value into what the registers shall hold. Raises SettingsError for what cannot be set."""
    _check_target(tag)
    span = tag.column.span
    if span.is_bits:
        return Change(span, bytes((int(_raw(tag, value) != 0),)), b"\x01")
    if tag.column.type == "string":
        data = _string(value, 2 * span.count)
        return Change(span, _in_order(tag, data), b"\xff" * len(data))
    part = tag.source.mask or (None if tag.source.bit is None else 1 << tag.source.bit)
    raw = _raw(tag, value)
    if part is None:
        data = _number(tag, raw)
        return Change(span, _in_order(tag, data), b"\xff" * len(data))
    shifted = round(raw) * (part & -part)
    if shifted & ~part:
        raise SettingsError(f"{value!r} does not fit into mask {part:#x}")
    size = 2 * span.count
    return Change(span, _in_order(tag, shifted.to_bytes(size, "big")), _in_order(tag, part.to_bytes(size, "big")))


def _check_target(tag: Tag) -> None:
    source = tag.source
    if tag.column.span.function not in {COILS, HOLDING_REGISTERS}:
        raise SettingsError("it cannot be written", hint="only coils (function 1) and holding registers (3) can")
    if source.decimals_from or source.scale_from or source.order_from:
        raise SettingsError("it cannot be written: other registers say how it is read", hint="make a tag of its own")


def _in_order(tag: Tag, data: bytes) -> bytes:
    """Lay octets, most significant first, as they lie in the registers."""
    places = bits.octet_order(len(data), tag.column.order)
    laid = bytearray(len(data))
    for octet, place in zip(data, places, strict=True):
        laid[place] = octet
    return bytes(laid)


def _raw(tag: Tag, value: Value) -> float:
    """Go back from a value, or a word, to the raw number."""
    source = tag.source
    if source.text:
        numbers = dict(zip(source.text.values(), table_numbers(source.text), strict=True))
        if not isinstance(value, str) or value not in numbers:
            raise SettingsError(f"it cannot be set to {value!r}", hint=f"it knows: {', '.join(numbers)}")
        return numbers[value]
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise SettingsError(f"it cannot be set to {value!r}", hint="give a number, or true or false")
    if tag.column.type == "bool" or source.bit is not None:
        return float(bool(value))
    return bits.unconvert(value, source.scale, source.offset) if tag.rank != 1 else value


def _number(tag: Tag, raw: float) -> bytes:
    kind = tag.column.type
    try:
        if kind.startswith("bcd"):
            return bits.pack(bits.to_bcd(round(raw)), kind)
        return bits.pack(raw, kind)
    except ValueError as error:
        raise SettingsError(f"it cannot be set: {error}") from error


def _string(value: Value, size: int) -> bytes:
    data = value.encode("utf-8") if isinstance(value, str) else None
    if data is None or len(data) > size:
        raise SettingsError(f"it cannot be set to {value!r}", hint=f"give a text of at most {size} octets")
    return data.ljust(size, b"\0")


def whole_request(device: Device, new: Change) -> Request:
    """Ask to set a coil (5 or 15), or whole registers (6 or 16)."""
    if new.span.is_bits:
        return write_coils(device.unit, new.span.address, [bool(new.data[0])], single=device.write_single)
    if new.span.count > WRITE_REGISTERS_MOST:
        raise SettingsError(f"one request sets at most {WRITE_REGISTERS_MOST} registers", hint="make length smaller")
    single = device.write_single and new.span.count == 1
    return write_registers(device.unit, new.span.address, _words(new.data), single=single)


def both_request(device: Device, new: Change) -> Request | None:
    """Ask to set whole registers and to read them back at once (23); None where that cannot be."""
    if not device.read_write or new.span.is_bits or new.span.count > READ_WRITE_MOST:
        return None
    return read_write(device.unit, new.span.address, _words(new.data))


def part_request(device: Device, new: Change) -> Request | None:
    """Ask to set some bits of a register (22); None where that cannot be, or they lie in more than one register."""
    touched = [at for at, word in enumerate(_words(new.mask)) if word]
    if not device.mask_write or len(touched) != 1:
        return None
    at = touched[0]
    return mask_write(device.unit, new.span.address + at, ~_words(new.mask)[at] & 0xFFFF, _words(new.data)[at])


def _words(data: bytes) -> Sequence[int]:
    return struct.unpack(f">{len(data) // 2}H", data)
