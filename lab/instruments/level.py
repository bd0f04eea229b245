"""A submersible level transmitter, with the register map that many shops' have: unit, decimals, level."""

from __future__ import annotations

from lab.instruments.modbus import READ_HOLDING
from lab.instruments.registers import Observe, Point, RegisterUnit
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger

UNIT, DECIMALS, LEVEL, COUNTER = range(2, 6)
METRES_OF_WATER, THREE = 7, 3


class LevelTransmitter:
    """One transmitter in a well: the unit is metres of water, with three decimals."""

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=3, counter=f"{device}.polls")
        level = Signal(Swing(base=6.4, swing=0.05, period_s=3600.0, noise=0.002), device)
        point = Point(tag=f"{device}.level", address=LEVEL, scale=0.001, signal=level)
        fixed = {UNIT: METRES_OF_WATER, DECIMALS: THREE}
        self.unit = RegisterUnit(READ_HOLDING, (point,), self.ledger, COUNTER, observe, fixed)
