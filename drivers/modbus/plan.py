"""Which requests read a group: as few as the instrument's limits allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from drivers.modbus.model import Device
from drivers.modbus.place import Span, forbidden

BITS_PER_REGISTER = 16
"""What a hole of one register may be in coils: the same octets on the wire."""


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
