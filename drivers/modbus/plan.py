"""Which requests read a group: as few as the instrument's limits allow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from drivers.modbus.model import Device
from drivers.modbus.place import ADDRESSES, Span, forbidden

BITS_PER_REGISTER = 16
"""What a hole of one register may be in coils: the same octets on the wire."""

OCTET = 8
"""Bits by which a request must be longer for its reply to be so too."""

LONGER_MOST = 4
"""How many registers more than needed may be asked for to have another length."""


class Limits(msgspec.Struct, frozen=True):
    """What an instrument takes in one request: how many registers, bits, and unused ones between used ones."""

    max_registers: int = 125
    max_bits: int = 2000
    max_hole: int = 16
    one_by_one: bool = False
    forbidden: tuple[Span, ...] = ()

    def most(self, span: Span) -> int:
        """How many registers or bits of its kind one request may read."""
        return self.max_bits if span.is_bits else self.max_registers

    def hole(self, span: Span) -> int:
        """How many unused ones of its kind may be read along in one place."""
        return self.max_hole * (BITS_PER_REGISTER if span.is_bits else 1)

    def allows(self, span: Span) -> bool:
        """Tell whether one request may read this."""
        return span.count <= self.most(span) and not any(
            closed.function == span.function and span.address < closed.end and closed.address < span.end
            for closed in self.forbidden
        )


def limits(device: Device) -> Limits:
    """Take what limits the requests out of a device's settings."""
    return Limits(device.max_registers, device.max_bits, device.max_hole, device.one_by_one, forbidden(device))


def plan(spans: Iterable[Span], limits: Limits) -> tuple[Span, ...]:
    """Cover spans with as few requests as the limits allow; each span lies whole in one of them.

    Taken by address, a span joins the request before it whenever it may. That gives the fewest requests: what cannot
    join ends further on than all that could, so that nothing is won by leaving out one that can.
    """
    ordered = sorted(set(spans))
    if limits.one_by_one:
        return tuple(ordered)
    blocks: list[Span] = []
    for span in ordered:
        joined = _join(blocks[-1], span, limits) if blocks else None
        if joined is not None:
            blocks[-1] = joined
        else:
            blocks.append(span)
    return tuple(blocks)


def _join(block: Span, span: Span, limits: Limits) -> Span | None:
    if span.function != block.function or span.address - block.end > limits.hole(span):
        return None
    joined = Span(block.function, block.address, max(block.end, span.end) - block.address)
    return joined if limits.allows(joined) else None


def otherwise(
    block: Span, spans: Iterable[Span], limits: Limits, is_free: Callable[[Span], bool]
) -> tuple[Span, ...] | None:
    """Read a block by requests of other lengths, such as ``is_free`` allows; None if there is no way.

    Cut in two between its spans, which any instrument that takes the whole takes too; else with some more registers
    (or eight bits) behind, which one that has none there refuses.
    """
    ends = 0
    for before, after in pairwise(sorted(span for span in spans if block.holds(span))):
        ends = max(ends, before.end)
        head = Span(block.function, block.address, ends - block.address)
        tail = Span(block.function, after.address, block.end - after.address)
        if ends <= after.address and not block.is_bits and is_free(head) and is_free(tail):
            return head, tail
    step = OCTET if block.is_bits else 1
    for more in range(step, LONGER_MOST * step + 1, step):
        longer = Span(block.function, block.address, block.count + more)
        if longer.end <= ADDRESSES and limits.allows(longer) and is_free(longer):
            return (longer,)
    return None
