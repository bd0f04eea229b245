"""Weather instruments: a station that speaks NMEA 0183 by itself, and one that answers Modbus as a Vaisala WXT530."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lab.instruments.modbus import READ_INPUT_REGISTERS
from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe, Point, RegisterUnit
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger, wire_counter

SETTLE_S = 0.5
"""Pause after the other end was opened: whoever opens a line flushes it first."""

WXT_COUNTER = 0x0024
WXT_POINTS = (
    ("humidity", 0x000A, Swing(base=78.0, swing=4.0, period_s=1500.0, noise=0.2)),
    ("pressure", 0x000E, Swing(base=982.4, swing=0.6, period_s=2400.0, noise=0.02)),
    ("wind-direction", 0x0012, Swing(base=214.0, swing=12.0, period_s=240.0, noise=2.0)),
    ("temperature", 0x001F, Swing(base=17.6, swing=0.7, period_s=1800.0, noise=0.05)),
    ("dew-point", 0x0023, Swing(base=13.7, swing=0.4, period_s=1800.0, noise=0.05)),
)


class WeatherTransmitter:
    """Input registers as of the WXT530, int16 tenths, with the poll counter behind the last of them."""

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=len(WXT_POINTS) + 1, counter=f"{device}.polls")
        points = [
            Point(tag=f"{device}.{name}", address=address, scale=0.1, signal=Signal(swing, device + name))
            for name, address, swing in WXT_POINTS
        ]
        self.unit = RegisterUnit(READ_INPUT_REGISTERS, points, self.ledger, WXT_COUNTER, observe)


def nmea_sentence(body: str) -> bytes:
    """Frame a sentence: ``$``, body, ``*``, XOR of the body in two hex digits, CR LF."""
    checksum = 0
    for octet in body.encode("ascii"):
        checksum ^= octet
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


class NmeaStation:
    """Speaks MWV (wind) and XDR (temperature, humidity, pressure) once a second, each with its counter at the end."""

    def __init__(
        self,
        line: PtyLine,
        wind: Ledger,
        air: Ledger,
        observe: Observe,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._line = line
        self._wind_ledger, self._air_ledger = wind, air
        self._observe = observe
        self._clock = clock
        self._direction = Signal(Swing(base=205.0, swing=20.0, period_s=200.0, noise=3.0), "direction")
        self._speed = Signal(Swing(base=4.2, swing=1.6, period_s=90.0, noise=0.3), "speed")
        self._temperature = Signal(Swing(base=17.2, swing=0.6, period_s=1800.0, noise=0.05), "temperature")
        self._humidity = Signal(Swing(base=80.0, swing=3.0, period_s=1500.0, noise=0.2), "humidity")
        self._pressure = Signal(Swing(base=0.9819, swing=0.0005, period_s=2400.0, noise=0.00005), "pressure")
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Speak until cancelled, while somebody listens."""
        while True:
            await self._line.opened()
            await asyncio.sleep(SETTLE_S)
            while self._line.is_open:
                if self.is_powered:
                    self.speak()
                await asyncio.sleep(1.0)

    def speak(self) -> None:
        """Say one cycle: each sentence counts when the line took it whole."""
        at_ns = self._clock()
        speed = f"{max(0.1, self._speed.value(at_ns)):.1f}"
        direction = f"{self._direction.value(at_ns) % 360:.1f}"
        # The standard lets a sentence grow at its end: the sixth field is ours.
        if self._say(self._wind_ledger, lambda number: f"WIMWV,{direction},R,{speed},M,A,{wire_counter(number)}"):
            self._observe(f"{self._device}.wind-speed", float(speed), at_ns)
        self._say(self._air_ledger, lambda number: self._air(number, at_ns))

    @property
    def _device(self) -> str:
        return self._wind_ledger.group.partition(".")[0]

    def _air(self, number: int, at_ns: int) -> str:
        temperature, humidity = self._temperature.value(at_ns), min(100.0, self._humidity.value(at_ns))
        pressure = self._pressure.value(at_ns)
        return (
            f"WIXDR,C,{temperature:.1f},C,TEMP,H,{humidity:.1f},P,RH,P,{pressure:.4f},B,BARO,"
            f"G,{wire_counter(number)},,POLLS"
        )

    def _say(self, ledger: Ledger, body: Callable[[int], str]) -> bool:
        number = ledger.number_next()
        whole = self._line.write(nmea_sentence(body(number)))
        if not whole:
            ledger.withdraw(number)
        return whole
