"""Tags that need more than a factor: words, bits, BCD, strings, and numbers that other registers say how to read. Pure.

Each becomes one function of the group's raw numbers. Whatever cannot be read for certain is no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from drivers import bits
from drivers.modbus.check import is_decimals, is_factor, table_numbers
from drivers.modbus.model import Lookup, Source, Status
from wire.sample import Quality, Value

GOOD = int(Quality.GOOD)
BAD_SENSOR = int(Quality.BAD_SENSOR)
UNCERTAIN_STATUS = int(Quality.UNCERTAIN_STATUS)

Raws = Sequence[Any]
"""The raw numbers of a group, as `struct` gives them; octets where the order is not known beforehand."""

Special = Callable[[Raws], tuple[Value, int]]
"""Take one tag's value and quality out of the raw numbers."""

_Finish = Callable[[Any, Raws], tuple[Value, int]]


class _NoValueError(Exception):
    """This tag has no value now, for the reason that ``quality`` gives."""

    def __init__(self, quality: Quality) -> None:
        super().__init__(quality.name)
        self.quality = int(quality)


def special(source: Source, kind: str, at: int, along: Iterator[int]) -> Special:
    """Prepare the function for a tag whose raw number is the ``at``-th; ``along`` gives those of its lookups."""
    decimals = _meaning(source.decimals_from, along, is_decimals)
    factor = _meaning(source.scale_from, along, is_factor)
    order = _meaning(source.order_from, along, lambda _: False)
    number = _number(kind, order)
    finish = _finish(source, kind, decimals, factor)
    invalid = frozenset(source.invalid)

    def take(raws: Raws) -> tuple[Value, int]:
        try:
            raw = number(raws[at], raws)
            return (None, BAD_SENSOR) if raw in invalid else finish(raw, raws)
        except _NoValueError as reason:
            return None, reason.quality

    return take


def _meaning(
    lookup: Lookup | None, along: Iterator[int], allowed: Callable[[object], bool]
) -> Callable[[Raws], Any] | None:
    if lookup is None:
        return None
    at = next(along)
    number = _number(lookup.type or "u16", None)
    table = dict(zip(table_numbers(lookup.table), lookup.table.values(), strict=True))

    def meaning(raws: Raws) -> Any:
        raw = number(raws[at], raws)
        if table:
            if raw not in table:
                raise _NoValueError(Quality.BAD_CONFIG)
            return table[raw]
        if not allowed(raw):
            raise _NoValueError(Quality.BAD_DEVICE)
        return raw

    return meaning


def _number(kind: str, order: Callable[[Raws], Any] | None) -> Callable[[Any, Raws], Any]:
    """Prepare the step from what `struct` gave to the number, or the text, that the instrument meant."""
    if order is not None:
        readers = {each: bits.reader(kind, each) for each in bits.ORDERS}
        plain = _number(kind, None)
        return lambda octets, raws: plain(readers[order(raws)](octets, 0), raws)
    if kind.startswith("bcd"):
        return lambda raw, _: _or_no_value(bits.from_bcd(raw))
    if kind == "string":
        return lambda octets, _: _or_no_value(bits.text(octets))
    return lambda raw, _: raw


def _or_no_value(value: int | str | None) -> int | str:
    if value is None:
        raise _NoValueError(Quality.BAD_SENSOR)
    return value


def _finish(
    source: Source, kind: str, decimals: Callable[[Raws], Any] | None, factor: Callable[[Raws], Any] | None
) -> _Finish:
    pick = bits.masked(source.mask or 1 << (source.bit or 0)) if source.mask or source.bit is not None else None
    if source.text:
        words = {
            int(number): word for number, word in zip(table_numbers(source.text), source.text.values(), strict=True)
        }
        return lambda raw, _: _word(words, int(pick(raw) if pick else raw))
    if source.bit is not None and pick is not None:
        return lambda raw, _: (bool(pick(raw)), GOOD)
    if kind == "string":
        return lambda raw, _: (raw, GOOD)
    return _scaled(source, pick, decimals, factor)


def _word(words: dict[int, str], number: int) -> tuple[Value, int]:
    word = words.get(number)
    return (str(number), UNCERTAIN_STATUS) if word is None else (word, GOOD)


def _scaled(
    source: Source,
    pick: Callable[[int], int] | None,
    decimals: Callable[[Raws], Any] | None,
    factor: Callable[[Raws], Any] | None,
) -> _Finish:
    times, plus, by = bits.linear(source.scale, source.offset)
    is_plain = (source.scale, source.offset, decimals, factor) == (1, 0, None, None)

    def finish(raw: Any, raws: Raws) -> tuple[Value, int]:
        number = pick(raw) if pick else raw
        more, less = bits.factor(factor(raws)) if factor else (1, 1)
        shift = 10.0 ** decimals(raws) if decimals else 1
        value = number if is_plain else (number * times * more / (less * shift) + plus) / by
        if not math.isfinite(value):
            raise _NoValueError(Quality.BAD_SENSOR)
        return value, GOOD

    return finish


def rule(status: Status) -> Callable[[Any], bool]:
    """Prepare the function that tells whether the raw number of a status register spoils a tag."""
    number = _number(status.type or "u16", None)
    pick = bits.masked(status.mask) if status.mask else None

    def fires(raw: Any) -> bool:
        try:
            shown = number(raw, ())
        except _NoValueError:
            return True
        if pick:
            shown = pick(shown)
        if status.equals is None:
            return bool(shown != 0)
        return bool(shown == status.equals or math.isnan(shown))

    return fires
