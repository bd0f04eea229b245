"""A combustible-gas detector on an RTU line, with a register map like the Pemtech PT495's."""

from __future__ import annotations

from lab.instruments.modbus import READ_HOLDING
from lab.instruments.registers import Observe, Point, RegisterUnit
from lab.instruments.signals import Excursion, Signal, Swing
from lab.ledger import Ledger

GAS, STATUS, ALARM_1, LATCH_1, ALARM_2, LATCH_2, RESET, COUNTER = range(8)
"""Wire addresses of 40001 ... 40008."""
STATUS_LEL = 0x0200
"""Status: the high octet names the gas, 2 is %LEL; the low octet holds faults."""
LEAK = Excursion(peak=62.0, rise_s=6.0, hold_s=12.0, fall_s=15.0)


class GasDetector:
    """One detector: gas in %LEL, status, the two thresholds and their latches, reset, and the poll counter."""

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=3, counter=f"{device}.polls")
        self._gas = Signal(Swing(base=2.0, swing=1.0, period_s=300.0, phase=float(hash_of(device)), noise=0.2), device)
        point = Point(tag=f"{device}.gas", address=GAS, scale=1.0, signal=self._gas)
        fixed = {STATUS: STATUS_LEL, ALARM_1: 25, LATCH_1: 0, ALARM_2: 50, LATCH_2: 0, RESET: 0}
        self.unit = RegisterUnit(READ_HOLDING, (point,), self.ledger, COUNTER, observe, fixed)

    def leak(self, at_ns: int) -> None:
        """Let gas reach the detector."""
        self._gas.start(LEAK, at_ns)


def hash_of(name: str) -> int:
    """Spread names over a few phases, the same in every run."""
    return sum(name.encode()) % 7
