"""Which requests read a group: as few as the instrument's limits allow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from drivers import bits
from drivers.modbus.model import Device, Source
from wire.sample import Value

BITS_PER_REGISTER = 16
"""What a hole of one register may be in coils: the same octets on the wire."""

Take = Callable[[bytes], tuple[Value, int]]
"""Take one tag's value and quality out of the data octets of a reply."""


class Block(msgspec.Struct, frozen=True):
    """One request: ``count`` registers or bits from ``address``; ``items`` are the places of its tags in the group."""

    function: int
    address: int
    count: int
    items: tuple[int, ...]

    @property
    def octets(self) -> int:
        """How many data octets the reply carries."""
        return self.count * 2 if self.function in {3, 4} else (self.count + 7) // 8


def span(source: Source) -> int:
    """Count the registers or bits that a tag takes."""
    return 1 if source.is_bits else bits.width(source.number_type) // 2


def plan(sources: Sequence[Source], device: Device) -> tuple[Block, ...]:
    """Group tags into blocks: neighbours of one function share a request while holes and length stay within limits."""
    order = sorted(range(len(sources)), key=lambda i: (sources[i].function, sources[i].address))
    blocks: list[Block] = []
    for item in order:
        source = sources[item]
        joined = _join(blocks[-1], item, source, device) if blocks else None
        if joined is not None:
            blocks[-1] = joined
        else:
            blocks.append(Block(source.function, source.address, span(source), (item,)))
    return tuple(blocks)


def _join(block: Block, item: int, source: Source, device: Device) -> Block | None:
    if source.function != block.function:
        return None
    factor = BITS_PER_REGISTER if source.is_bits else 1
    most = device.max_bits if source.is_bits else device.max_registers
    end = block.address + block.count
    count = max(end, source.address + span(source)) - block.address
    if source.address - end > device.max_hole * factor or count > most:
        return None
    return Block(block.function, block.address, count, (*block.items, item))


def take(source: Source, block: Block) -> Take:
    """Prepare the function that takes a tag out of its block's reply."""
    at = source.address - block.address
    if source.is_bits:
        octet, mask = at >> 3, 1 << (at & 7)
        return lambda data: (bool(data[octet] & mask), bits.GOOD)
    read = bits.reader(source.number_type, source.order)
    return _take_number(source, read, at * 2)


def _take_number(source: Source, read: bits.Reader, at: int) -> Take:
    if source.bit is not None:
        flag = 1 << source.bit
        invalid = frozenset(source.invalid)

        def take_flag(data: bytes) -> tuple[Value, int]:
            raw = int(read(data, at))
            return (None, bits.BAD_SENSOR) if raw in invalid else (bool(raw & flag), bits.GOOD)

        return take_flag
    convert = bits.converter(source.scale, source.offset, source.invalid)
    if source.mask is not None:
        pick = bits.masked(source.mask)
        return lambda data: convert(pick(int(read(data, at))))
    return lambda data: convert(read(data, at))
