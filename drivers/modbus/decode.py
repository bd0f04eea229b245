"""Takes the values of a group out of the data octets of its replies. Pure, and compiled once per group.

All raw numbers are unpacked by one `struct.Struct`. Numbers with a factor, and numbers as they are, are then converted
as columns; only what needs more (words, bits, strings, registers that say how to read others) costs a call each.

Registers read along stand beside the tag's own in one block wherever the instrument's limits allow. Where they do not,
they are read in another request, some milliseconds apart: an instrument that changes its decimals between the two is
read wrongly once, which no request can rule out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any

from drivers import bits
from drivers.errors import SettingsError
from drivers.modbus.check import check_source
from drivers.modbus.model import Device, Source, Status
from drivers.modbus.place import Column, Span, column, read_along
from drivers.modbus.special import rule, special
from wire.sample import Quality, Value

GOOD, BAD = int(Quality.GOOD), int(Quality.BAD)
BAD_SENSOR = int(Quality.BAD_SENSOR)
BAD_DEVICE = int(Quality.BAD_DEVICE)
SPOILED = {"bad": BAD_SENSOR, "uncertain": int(Quality.UNCERTAIN_STATUS)}

HUGE = 1e200
"""A factor or offset from which a whole number may become infinite."""

Replies = Sequence[bytes | None]
"""The data octets of each block's reply; None where the instrument refused the block."""

_BITS = tuple(bytes(octet >> bit & 1 for bit in range(8)) for octet in range(256))


class Tag:
    """One tag as the wire has it: its own column and those read along. Raises SettingsError that names the tag."""

    __slots__ = ("along", "column", "source")

    def __init__(self, name: str, source: Source, device: Device) -> None:
        self.source = source
        try:
            self.column = column(source, device)
            check_source(source, self.column)
            self.along = tuple(column(each, device) for each in read_along(source))
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}", hint=error.hint) from error

    @property
    def spans(self) -> tuple[Span, ...]:
        """What must be read for it."""
        return (self.column.span, *(each.span for each in self.along))

    @property
    def rank(self) -> int:
        """How it is converted: 0 by a factor, 1 not at all, 2 in its own way."""
        source, kind = self.source, self.column.type
        lookups = (source.decimals_from, source.scale_from, source.order_from)
        if kind.startswith(("bcd", "string")) or source.text or any(lookups) or source.mask or source.bit is not None:
            return 2
        return int((source.scale, source.offset) == (1, 0))


class Decoder:
    """Turns the replies to a group's blocks into its values and their quality, in the order of its tags."""

    def __init__(self, tags: Sequence[Tag], blocks: Sequence[Span]) -> None:
        order = sorted(range(len(tags)), key=lambda at: tags[at].rank)
        own = [tags[at] for at in order]
        places = {each: at for at, each in enumerate(dict.fromkeys(chain(*(tag.along for tag in own))), len(own))}
        self._arrange = _arrangement(order)
        self._all_good = (GOOD,) * len(own)
        self._convert = _converter([tag.source for tag in own if tag.rank == 0], sum(tag.rank < 2 for tag in own))
        self._sentinels = {
            at: frozenset(t.source.invalid) for at, t in enumerate(own) if t.rank < 2 and t.source.invalid
        }
        self._any_sentinel = frozenset(chain(*self._sentinels.values()))
        self._may_be_infinite = any(_may_be_infinite(tag) for tag in own if tag.rank < 2)
        self._special = [
            (at, special(tag.source, tag.column.type, at, iter([places[each] for each in tag.along])))
            for at, tag in enumerate(own)
            if tag.rank == 2
        ]
        self._rules = _rules(own, places)
        homes = [{_home(span, blocks) for span in tag.spans} for tag in own]
        self._lost = [[at for at, home in enumerate(homes) if number in home] for number in range(len(blocks))]
        self._blocks = tuple(blocks)
        self._unpack = _unpacker([*(_own_format(tag) for tag in own), *map(_format, places)], blocks)

    def __call__(self, replies: Replies) -> tuple[tuple[Value, ...], tuple[int, ...]]:
        """Decode; a tag of which any part was refused is bad."""
        raws = self._unpack(_octets(self._blocks, replies))
        values = self._convert(raws)
        faults: dict[int, int] = {}
        if self._any_sentinel and not self._any_sentinel.isdisjoint(raws):
            faults |= {at: BAD_SENSOR for at, invalid in self._sentinels.items() if raws[at] in invalid}
        if self._may_be_infinite and not all(map(math.isfinite, values)):
            faults |= {at: BAD_SENSOR for at, value in enumerate(values) if not math.isfinite(value)}
        for at, take in self._special:
            value, faults[at] = take(raws)
            values.append(value)
        for place, fires, quality, spoiled in self._rules:
            if fires(raws[place]):
                faults.update((at, max(quality, faults.get(at, GOOD))) for at in spoiled)
        if None in replies:
            lost = chain(*(lost for reply, lost in zip(replies, self._lost, strict=True) if reply is None))
            faults |= dict.fromkeys(lost, BAD_DEVICE)
        qualities = _spoil(values, faults) if faults else self._all_good
        if self._arrange is None:
            return tuple(values), qualities
        return self._arrange(values), self._arrange(qualities)


def _spoil(values: list[Any], faults: dict[int, int]) -> tuple[int, ...]:
    """Take away the values of bad tags; return the quality of all."""
    for at, quality in faults.items():
        if quality >= BAD:
            values[at] = None
    return tuple([faults.get(at, GOOD) for at in range(len(values))])


def _arrangement(order: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]] | None:
    """Prepare the way back to the order of the tags; None if they are in it."""
    if list(order) == sorted(order):
        return None
    return itemgetter(*sorted(range(len(order)), key=order.__getitem__))


def _converter(scaled: Sequence[Source], simple: int) -> Callable[[Sequence[Any]], list[Any]]:
    """Prepare the conversion of the leading columns: those with a factor, then those without."""
    count = len(scaled)
    factors = [bits.linear(source.scale, source.offset) for source in scaled]
    if not factors:
        return lambda raws: list(raws[:simple])
    if len(set(factors)) > 1:
        return lambda raws: [
            *[(raw * times + plus) / by for raw, (times, plus, by) in zip(raws, factors, strict=False)],
            *raws[count:simple],
        ]
    times, plus, by = factors[0]
    if times == 1 and plus == 0:
        return lambda raws: [*[raw / by for raw in raws[:count]], *raws[count:simple]]
    return lambda raws: [*[(raw * times + plus) / by for raw in raws[:count]], *raws[count:simple]]


def _may_be_infinite(tag: Tag) -> bool:
    return tag.column.type.startswith("f") or abs(tag.source.scale) > HUGE or abs(tag.source.offset) > HUGE


def _rules(
    tags: Sequence[Tag], places: dict[Column, int]
) -> list[tuple[int, Callable[[Any], bool], int, tuple[int, ...]]]:
    """List each rule once: where its register stands, when it fires, and which tags it then makes how bad."""
    spoiled: dict[tuple[int, Status], list[int]] = {}
    for at, tag in enumerate(tags):
        statuses = tag.source.status
        for status, where in zip(statuses, tag.along[len(tag.along) - len(statuses) :], strict=True):
            spoiled.setdefault((places[where], status), []).append(at)
    return [(place, rule(status), SPOILED[status.quality], tuple(ats)) for (place, status), ats in spoiled.items()]


def _home(span: Span, blocks: Sequence[Span]) -> int:
    """Find the block that a span is taken from."""
    return next(at for at, block in enumerate(blocks) if block.holds(span))


Format = tuple[Span, str, tuple[int, ...]]
"""A column for `struct`: its registers, its code, and where its octets lie, most significant first."""


def _own_format(tag: Tag) -> Format:
    """The order of a tag may only be known when it is read: its octets are then left as they are."""
    if tag.source.order_from is None:
        return _format(tag.column)
    size = 2 * tag.column.span.count
    return tag.column.span, f"{size}s", tuple(range(size))


def _format(where: Column) -> Format:
    if where.type == "bool":
        return where.span, "?", (0,)
    size = 2 * where.span.count
    code = f"{size}s" if where.type == "string" else bits.FORMATS[where.type]
    return where.span, code, bits.octet_order(size, where.order)


def _octets(blocks: Sequence[Span], replies: Replies) -> bytes:
    """Join the data of all blocks, each bit as an octet of its own, zeros where there is none."""
    if len(blocks) == 1 and not blocks[0].is_bits and replies[0] is not None:
        return replies[0]
    return b"".join(map(_block_octets, blocks, replies))


def _block_octets(block: Span, reply: bytes | None) -> bytes:
    if reply is None:
        return bytes(_size(block))
    return b"".join([_BITS[octet] for octet in reply]) if block.is_bits else reply


def _size(block: Span) -> int:
    return (block.count + 7) // 8 * 8 if block.is_bits else block.count * 2


def _unpacker(formats: Sequence[Format], blocks: Sequence[Span]) -> Callable[[bytes], tuple[Any, ...]]:
    """Compile the one `struct.Struct` of a group, behind a permutation of the octets where their order asks for it."""
    starts = list(accumulate(map(_size, blocks), initial=0))
    positions: list[list[int]] = []
    for span, _, places in formats:
        home = _home(span, blocks)
        at = starts[home] + (span.address - blocks[home].address) * (1 if span.is_bits else 2)
        positions.append([at + place for place in places])
    straight = _straight(positions)
    codes = [code for _, code, _ in formats]
    if straight is not None:
        return struct.Struct(
            ">" + "".join(f"{gap}x{code}" for gap, code in zip(straight, codes, strict=True))
        ).unpack_from
    pick = itemgetter(*chain(*positions))
    unpack = struct.Struct(">" + "".join(codes)).unpack
    return lambda octets: unpack(bytes(pick(octets)))


def _straight(positions: Iterable[Sequence[int]]) -> list[int] | None:
    """Count the octets to skip before each column; None if they do not follow each other as they are."""
    gaps, end = [], 0
    for places in positions:
        if places[0] < end or list(places) != list(range(places[0], places[0] + len(places))):
            return None
        gaps.append(places[0] - end)
        end = places[-1] + 1
    return gaps
