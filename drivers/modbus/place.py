"""Where tags, and what is read along with them, lie on the wire; refuses what contradicts itself. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from drivers.bits import Order, width
from drivers.errors import SettingsError
from drivers.modbus.model import (
    COILS,
    DISCRETE_INPUTS,
    HOLDING_REGISTERS,
    INPUT_REGISTERS,
    Device,
    Lookup,
    Place,
    Source,
    Status,
)

ADDRESSES = 65_536
DECIMALS_MOST = 12

NOTATIONS: tuple[tuple[int, int, int], ...] = (
    (1, 9_999, COILS),
    (10_001, 19_999, DISCRETE_INPUTS),
    (30_001, 39_999, INPUT_REGISTERS),
    (40_001, 49_999, HOLDING_REGISTERS),
    (100_001, 165_536, DISCRETE_INPUTS),
    (300_001, 365_536, INPUT_REGISTERS),
    (400_001, 465_536, HOLDING_REGISTERS),
)
"""First and last number of each kind of register as manuals number them; the first is address 0."""


class Span(msgspec.Struct, frozen=True, order=True):
    """``count`` neighbouring registers or bits from ``address``, as on the wire."""

    function: int
    address: int
    count: int

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.count

    @property
    def is_bits(self) -> bool:
        """Tell whether it lies among coils or discrete inputs."""
        return self.function in {COILS, DISCRETE_INPUTS}

    def holds(self, other: Span) -> bool:
        """Tell whether another lies within it."""
        return self.function == other.function and self.address <= other.address and other.end <= self.end


class Column(msgspec.Struct, frozen=True):
    """One raw number among registers or bits: where it lies, of what type, in what order."""

    span: Span
    type: str
    order: Order


def locate(source: Source | Place, device: Device) -> tuple[int, int]:
    """Return the function, and the address on the wire, of where a tag begins. Raises SettingsError."""
    if (source.address is None) == (source.register is None):
        raise SettingsError("where does it live?", hint="give either address or register")
    if source.register is None:
        address = (source.address or 0) - device.base
        if not 0 <= address < ADDRESSES:
            raise SettingsError(
                f"there is no address {source.address}", hint=f"addresses count from {device.base} to 65535"
            )
        return source.function or HOLDING_REGISTERS, address
    for first, last, function in NOTATIONS:
        if first <= source.register <= last:
            if source.function not in {None, function}:
                raise SettingsError(
                    f"register {source.register} is not of function {source.function}", hint="leave out function"
                )
            return function, source.register - first
    raise SettingsError(f"there is no register {source.register}", hint="1, 10001, 30001 and 40001 are the first ones")


def column(source: Source | Place, device: Device) -> Column:
    """Say where the raw number of a tag or of what is read along lies. Raises SettingsError."""
    function, address = locate(source, device)
    kind = source.type or "u16"
    if function in {COILS, DISCRETE_INPUTS}:
        if source.type not in {None, "bool"}:
            raise SettingsError("a coil or input is a bool", hint="leave out type, bit and mask")
        kind, count = "bool", 1
    elif kind == "string":
        count = (source.length if isinstance(source, Source) else None) or 0
    else:
        kind = "u16" if kind == "bool" else kind
        count = width(kind) // 2
    if address + count > ADDRESSES:
        raise SettingsError("it ends past address 65535")
    span = Span(function, address, count)
    _check_room(span, device)
    return Column(span, kind, source.order)


def _check_room(span: Span, device: Device) -> None:
    if not span.is_bits and span.count > device.max_registers:
        raise SettingsError(
            f"its {span.count} registers are more than max_registers = {device.max_registers}",
            hint="a number must come in one piece: raise max_registers",
        )
    for closed in forbidden(device):
        if closed.function == span.function and span.address < closed.end and closed.address < span.end:
            raise SettingsError(f"address {span.address} is forbidden on this device", hint="see forbidden = [...]")


def forbidden(device: Device) -> tuple[Span, ...]:
    """List the ranges that no request may touch. Raises SettingsError for one that is none."""
    spans = []
    for each in device.forbidden:
        if not device.base <= each.first <= each.last <= ADDRESSES - 1 + device.base:
            raise SettingsError(f"forbidden: there is no range {each.first} to {each.last}", hint="first, then last")
        spans.append(Span(each.function, each.first - device.base, each.last - each.first + 1))
    return tuple(spans)


def check_source(source: Source, where: Column) -> None:
    """Raise SettingsError where the fields of a source contradict each other."""
    kind = where.type
    if where.span.is_bits and (source.bit is not None or source.mask is not None):
        raise SettingsError("a coil or input is a bool", hint="leave out type, bit and mask")
    if source.type == "bool" and not where.span.is_bits and source.bit is None:
        raise SettingsError("which bit of the register is it?", hint="add bit = 0 to 15")
    _check_string(source, kind)
    _check_bits(source, kind)
    _check_number(source, where)
    if source.text and kind.startswith(("f", "string")):
        raise SettingsError(f"{kind} has no words for its numbers", hint="text is for whole numbers")
    for number in table_numbers(dict.fromkeys(source.text)):
        if number != int(number):
            raise SettingsError(f"text: {number} is no whole number", hint='write {"0" = "closed", "1" = "open"}')
    if source.order_from is not None and source.order != "ABCD":
        raise SettingsError("order and order_from exclude each other", hint="leave out order")
    _check_lookups(source)


def _check_string(source: Source, kind: str) -> None:
    if (kind == "string") != (source.length is not None):
        raise SettingsError("a string, and only a string, has a length", hint="length counts registers")
    if kind == "string" and source.order not in {"ABCD", "BADC"}:
        raise SettingsError(f"a string has no order {source.order}", hint="BADC swaps the octets of each register")
    if kind == "string" and (source.invalid or source.order_from):
        raise SettingsError("a string has neither invalid numbers nor order_from")


def _check_bits(source: Source, kind: str) -> None:
    if source.bit is None and source.mask is None:
        return
    if source.bit is not None and source.mask is not None:
        raise SettingsError("bit and mask exclude each other", hint="mask can name that bit too")
    if kind[0] not in "ui":
        raise SettingsError(f"{kind} has no bits to take", hint="use type u16 or u32")
    size = 8 * width(kind)
    if (source.bit or 0) >= size or (source.mask or 0) >= 1 << size:
        raise SettingsError(f"{kind} has only {size} bits", hint="bits count from 0")


def _check_number(source: Source, where: Column) -> None:
    scaled = (source.scale, source.offset) != (1, 0) or source.decimals_from or source.scale_from
    if source.scale == 0 or not math.isfinite(source.scale) or not math.isfinite(source.offset):
        raise SettingsError(
            f"scale {source.scale} and offset {source.offset} make no value", hint="scale must not be 0"
        )
    if scaled and (source.text or source.bit is not None or where.type in {"bool", "string"}):
        raise SettingsError("only a number has a scale", hint="leave out scale, offset, decimals_from and scale_from")


def _check_lookups(source: Source) -> None:
    for name, lookup, allowed in (
        ("decimals_from", source.decimals_from, is_decimals),
        ("scale_from", source.scale_from, is_factor),
        ("order_from", source.order_from, is_order),
    ):
        if lookup is None:
            continue
        table_numbers(lookup.table)
        if name == "order_from" and not lookup.table:
            raise SettingsError("order_from needs a table", hint='table = {"0" = "ABCD", "1" = "CDAB"}')
        for meant in lookup.table.values():
            if not allowed(meant):
                raise SettingsError(f"{name} cannot mean {meant!r}")
    for rule in source.status:
        check_status(rule)


def is_decimals(meant: object) -> bool:
    """Tell whether this can be a number of decimals."""
    return isinstance(meant, int | float) and abs(meant) <= DECIMALS_MOST and meant == int(meant)


def is_factor(meant: object) -> bool:
    """Tell whether this can be a factor."""
    return isinstance(meant, int | float) and math.isfinite(meant) and meant != 0


def is_order(meant: object) -> bool:
    """Tell whether this is an order."""
    return isinstance(meant, str)


def check_status(rule: Status) -> None:
    """Raise SettingsError for a rule that contradicts itself or can never spoil anything."""
    kind = rule.type or "u16"
    if rule.mask is None:
        return
    if kind[0] not in "ui" or rule.function in {COILS, DISCRETE_INPUTS} or rule.mask >= 1 << 8 * width(kind):
        raise SettingsError(f"status: mask {rule.mask:#x} does not fit {kind}", hint="leave out mask or add type")
    if rule.equals is not None and rule.equals > rule.mask // (rule.mask & -rule.mask):
        raise SettingsError(
            f"status: mask {rule.mask:#x} never gives {rule.equals:g}", hint="the mask's lowest bit counts as 1"
        )


def table_numbers(table: Mapping[str, object]) -> tuple[float, ...]:
    """Read the keys of a table, which are numbers as text: decimal, or hexadecimal with 0x. Raises SettingsError."""
    return tuple(map(_number, table))


def _number(text: str) -> float:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"'{text}' in a table is no number", hint='write {"0" = ..., "0x10" = ...}') from None


def read_along(source: Source) -> Iterator[Lookup | Status]:
    """List what is read along with a tag."""
    for lookup in (source.decimals_from, source.scale_from, source.order_from):
        if lookup is not None:
            yield lookup
    yield from source.status
