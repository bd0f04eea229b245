"""A tank farm's controller: level, temperature and pressure of each tank in one block of holding registers."""

from __future__ import annotations

from lab.instruments.modbus import READ_HOLDING
from lab.instruments.registers import Observe, Point, RegisterUnit
from lab.instruments.signals import Excursion, Signal, Swing
from lab.ledger import Ledger

TANKS = 12
QUANTITIES = 3
COUNTER_ADDRESS = TANKS * QUANTITIES
OVERFILL = Excursion(peak=98.0, rise_s=6.0, hold_s=15.0, fall_s=20.0)


class TankFarm:
    """Holding registers 0, 1, 2 are tank 1's level (0.01 %), temperature (0.1 degC) and pressure (0.001 MPa), and so
    on; register 36 counts the reads that cover it."""

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=COUNTER_ADDRESS + 1, counter=f"{device}.polls")
        self._levels: list[Signal] = []
        points: list[Point] = []
        for index in range(TANKS):
            tank = f"{device}.t{101 + index}"
            signals = _signals(tank, index)
            self._levels.append(signals[0])
            for offset, (name, scale) in enumerate((("level", 0.01), ("temperature", 0.1), ("pressure", 0.001))):
                address = index * QUANTITIES + offset
                points.append(Point(tag=f"{tank}-{name}", address=address, scale=scale, signal=signals[offset]))
        self.unit = RegisterUnit(READ_HOLDING, points, self.ledger, COUNTER_ADDRESS, observe)

    def overfill(self, tank: int, at_ns: int) -> None:
        """Begin to fill a tank (counted from 0) beyond its limits."""
        self._levels[tank].start(OVERFILL, at_ns)


def _signals(tank: str, index: int) -> tuple[Signal, Signal, Signal]:
    level = Swing(base=48.0 + 2.0 * index, swing=3.0, period_s=900.0, phase=float(index), noise=0.03)
    temperature = Swing(base=24.0 + 0.5 * index, swing=0.8, period_s=1800.0, phase=0.5 * index, noise=0.05)
    pressure = Swing(base=0.105 + 0.03 * (index % 4), swing=0.004, period_s=700.0, phase=0.3 * index, noise=0.0005)
    return Signal(level, tank + "L"), Signal(temperature, tank + "T"), Signal(pressure, tank + "P")
