"""A relay module with a siren and a beacon: two coils that remember when they were switched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.instruments.modbus import (
    ILLEGAL_ADDRESS,
    READ_COILS,
    READ_HOLDING,
    Served,
    SlaveError,
)
from lab.ledger import Ledger, wire_counter

COILS = 2
COUNTER_ADDRESS = 0

Switched = Callable[[str, int, bool, int], None]
"""Told (device, coil, on, monotonic ns) of every write to a coil."""


class RelayModule:
    """Coils 0 (siren) and 1 (beacon); holding register 0 counts the reads of it."""

    def __init__(self, gateway: str, device: str, group: str, switched: Switched) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=COILS + 1, counter=f"{device}.polls")
        self.device = f"{gateway}/{device}"
        self.coils = [False] * COILS
        self._switched = switched

    def read(self, function: int, address: int, count: int, at_ns: int) -> tuple[Sequence[int], Served]:  # noqa: ARG002
        """Read coils or the counter. Raises SlaveError outside the map."""
        if function == READ_COILS and address + count <= COILS:
            return self.coils[address : address + count], _nothing_to_count
        if function != READ_HOLDING or (address, count) != (COUNTER_ADDRESS, 1):
            raise SlaveError(ILLEGAL_ADDRESS)
        number = self.ledger.number_next()

        def served(whole: bool, at_ns: int) -> None:  # noqa: ARG001 - the slave's contract
            if not whole:
                self.ledger.withdraw(number)

        return (wire_counter(number),), served

    def write_coil(self, address: int, on: bool, at_ns: int) -> None:
        """Switch a coil and say so. Raises SlaveError for another address."""
        if not 0 <= address < COILS:
            raise SlaveError(ILLEGAL_ADDRESS)
        self.coils[address] = on
        self._switched(self.device, address, on, at_ns)


def _nothing_to_count(whole: bool, at_ns: int) -> None:
    """Coils are part of the scan that the counter closes."""
