"""A temperature and humidity transmitter for a hut, with the register map of the Renke RS-WS-N01."""

from __future__ import annotations

from lab.instruments.modbus import READ_HOLDING
from lab.instruments.registers import Observe, Point, RegisterUnit
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger

HUMIDITY, TEMPERATURE, COUNTER = range(3)


class ClimateTransmitter:
    """One transmitter: tenths of %RH and of a degree, and the poll counter."""

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=3, counter=f"{device}.polls")
        humidity = Signal(Swing(base=58.0, swing=3.0, period_s=1500.0, noise=0.2), device + "humidity")
        temperature = Signal(Swing(base=21.5, swing=0.6, period_s=1800.0, noise=0.05), device + "temperature")
        points = (
            Point(tag=f"{device}.humidity", address=HUMIDITY, scale=0.1, signal=humidity),
            Point(tag=f"{device}.temperature", address=TEMPERATURE, scale=0.1, signal=temperature),
        )
        self.unit = RegisterUnit(READ_HOLDING, points, self.ledger, COUNTER, observe)
