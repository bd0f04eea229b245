"""Where tags, and what is read along with them, lie on the wire. Pure."""

from __future__ import annotations

from collections.abc import Iterator

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


def read_along(source: Source) -> Iterator[Lookup | Status]:
    """List what is read along with a tag."""
    for lookup in (source.decimals_from, source.scale_from, source.order_from):
        if lookup is not None:
            yield lookup
    yield from source.status
