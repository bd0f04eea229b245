"""A slave's registers made of process values, with the poll counter among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from lab.instruments.modbus import ILLEGAL_ADDRESS, Served, SlaveError
from lab.instruments.signals import Signal
from lab.ledger import Ledger, wire_counter

Observe = Callable[[str, float, int], None]
"""Told (tag, value, monotonic ns) of every value that was handed over whole."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured register: the tag's full name, where it stands and how much one count is worth."""

    tag: str
    address: int
    scale: float
    signal: Signal

    def raw(self, at_ns: int) -> int:
        """Give the register at a time, as 16 bits of two's complement."""
        return max(-32768, min(65535, round(self.signal.value(at_ns) / self.scale))) & 0xFFFF


class RegisterUnit:
    """One slave address: measured registers, fixed ones, and the poll counter.

    Every read that covers the counter is one scan. All registers are of one function; what is read between the known
    ones is 0, what lies outside of them an illegal address.
    """

    def __init__(
        self,
        function: int,
        points: Sequence[Point],
        ledger: Ledger,
        counter_address: int,
        observe: Observe,
        fixed: Mapping[int, int] | None = None,
    ) -> None:
        self._function = function
        self._points = tuple(points)
        self._ledger = ledger
        self._counter_address = counter_address
        self._observe = observe
        self._fixed = dict(fixed or {})
        known = [counter_address, *self._fixed, *(point.address for point in points)]
        self._first, self._last = min(known), max(known)

    def read(self, function: int, address: int, count: int, at_ns: int) -> tuple[Sequence[int], Served]:
        """Read a block. Raises SlaveError outside the map."""
        if function != self._function or address < self._first or address + count - 1 > self._last:
            raise SlaveError(ILLEGAL_ADDRESS)
        covered = range(address, address + count)
        words = {at: self._fixed.get(at, 0) for at in covered}
        shown: list[tuple[Point, int]] = []
        for point in self._points:
            if point.address in covered:
                words[point.address] = raw = point.raw(at_ns)
                shown.append((point, raw))
        number = 0
        if self._counter_address in covered:
            number = self._ledger.number_next()
            words[self._counter_address] = wire_counter(number)

        def served(whole: bool, at_ns: int) -> None:
            if whole:
                for point, raw in shown:
                    signed = raw - 0x10000 if raw & 0x8000 else raw
                    self._observe(point.tag, signed * point.scale, at_ns)
            elif number:
                self._ledger.withdraw(number)

        return tuple(words.values()), served

    def write_coil(self, address: int, on: bool, at_ns: int) -> None:  # noqa: ARG002 - the slave's contract
        """Refuse: these registers are measured."""
        raise SlaveError(ILLEGAL_ADDRESS)
