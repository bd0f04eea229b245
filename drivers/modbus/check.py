"""Refuses a source whose fields contradict each other, and reads its tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from drivers.bits import width
from drivers.errors import SettingsError
from drivers.modbus.model import COILS, DISCRETE_INPUTS, Source, Status
from drivers.modbus.place import Column

DECIMALS_MOST = 12


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
