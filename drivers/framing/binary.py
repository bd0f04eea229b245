"""Frames of octets: a header, a length, perhaps a tail and a checksum."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import msgspec

from drivers.errors import SettingsError
from drivers.framing.checksum import checker
from drivers.framing.model import Binary, Field, Length, NumberType, Order
from drivers.framing.reading import BAD_FRAME, Layout, Take
from drivers.framing.splitter import NO, WAIT, Frame, Measure, Splitter
from drivers.framing.values import Judged, number_converter, spoiled


class Number(msgspec.Struct, frozen=True):
    """A number type: its octets, the format of a floating point number, the low bits to drop of a whole one."""

    octets: int
    form: str = ""
    is_signed: bool = False
    drop: int = 0


TYPES: Mapping[NumberType, Number] = {
    "u8": Number(1), "u16": Number(2), "u24": Number(3), "u32": Number(4), "u64": Number(8),
    "i8": Number(1, is_signed=True), "i16": Number(2, is_signed=True), "i24": Number(3, is_signed=True),
    "i32": Number(4, is_signed=True), "i64": Number(8, is_signed=True), "i20": Number(3, is_signed=True, drop=4),
    "f32": Number(4, "f"), "f64": Number(8, "d"),
}  # fmt: skip


def number_at(octets: bytes, at: int, kind: NumberType, order: Order) -> int | float:
    """Read a number from octets that hold all of it."""
    number = TYPES[kind]
    data = octets[at : at + number.octets]
    if number.form:
        value: float = struct.unpack((">" if order == "big" else "<") + number.form, data)[0]
        return value
    return int.from_bytes(data, order, signed=number.is_signed) >> number.drop


def binary_layout(binary: Binary) -> Layout:
    """Check the declaration of octets. Raises SettingsError."""
    header, measure = bytes.fromhex(binary.header), _measure(binary)
    return Layout(lambda clock: Splitter(header, measure, clock), lambda tag, field: _take(tag, field, binary))


def _measure(binary: Binary) -> Measure:
    size_at, is_right, tail = _size_reader(binary), checker(binary.checksum), bytes.fromhex(binary.tail)
    least = len(bytes.fromhex(binary.header)) + len(tail)

    def measure(data: bytes, at: int) -> int:
        size = size_at(data, at)
        if size == WAIT:
            return WAIT
        if size < least:
            return NO
        if len(data) - at < size:
            return WAIT
        frame = data[at : at + size]
        return size if frame.endswith(tail) and is_right(frame) else NO

    return measure


def _size_reader(binary: Binary) -> Callable[[bytes, int], int]:
    """Prepare the function that tells the octets of a frame: WAIT if they are not known yet, NO if they cannot be."""
    length = binary.length
    if not isinstance(length, Length):
        return lambda _data, _at: length
    end = length.at + TYPES[length.type].octets
    if end > binary.most:
        raise SettingsError(f"the length field ends at octet {end}, behind most = {binary.most}", hint="raise most")

    def size_at(data: bytes, at: int) -> int:
        if len(data) - at < end:
            return WAIT
        size = int(number_at(data, at + length.at, length.type, length.order)) + length.add
        return size if end <= size <= binary.most else NO

    return size_at


def _take(tag: str, field: Field, binary: Binary) -> Take:
    at, when, status = _checked_at(tag, field, binary), field.when, field.status
    convert, end = number_converter(tag, field), at + TYPES[field.type].octets
    is_carried = _bits_at(when.at, when.mask, when.equals) if when else _always
    is_well = _bits_at(status.at or 0, status.mask, status.equals) if status else _always

    def take(frame: Frame) -> Judged | None:
        octets = frame.octets
        if not is_carried(octets):
            return None
        if end > len(octets):
            return None, BAD_FRAME
        judged = convert(number_at(octets, at, field.type, field.order))
        return judged if status is None or is_well(octets) else spoiled(judged, status)

    return take


def _always(_octets: bytes) -> bool:
    return True


def _bits_at(at: int, mask: int, equals: int) -> Callable[[bytes], bool]:
    return lambda octets: at < len(octets) and octets[at] & mask == equals


def _checked_at(tag: str, field: Field, binary: Binary) -> int:
    """Return the offset of a tag. Raises SettingsError for one that cannot lie where it is said to."""
    if field.at is None or field.field or field.read != "number":
        raise SettingsError(f"{tag}: a tag in a binary frame has 'at' and 'type'", hint="'field' is for a text")
    size = TYPES[field.type].octets
    if isinstance(binary.length, int) and field.at + size > binary.length:
        raise SettingsError(
            f"{tag}: {field.type} at {field.at} ends behind a frame of {binary.length} octets",
            hint="offsets count from the header's first octet, which is 0",
        )
    for name, there in (("when", field.when), ("status", field.status)):
        if there is None:
            continue
        if there.at is None or (isinstance(binary.length, int) and there.at >= binary.length):
            raise SettingsError(f"{tag}: '{name}' names no octet of the frame", hint="give it 'at'")
        if there.equals & ~there.mask:
            raise SettingsError(
                f"{tag}: {there.equals} never is what mask {there.mask} leaves", hint=f"correct '{name}'"
            )
    return field.at
