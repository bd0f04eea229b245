"""A radar that measures the speed of a river's surface and answers when it is asked, in a text of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce
from operator import xor

from lab.instruments.line import Line
from lab.instruments.registers import Observe
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger, wire_counter

COMMAND_OCTETS_MAX = 16
REQUEST = b"V?"


def sentence(text: str) -> bytes:
    """End a text with ``*``, the exclusive-or of its octets in two hex digits, and CR LF."""
    octets = text.encode("ascii")
    return b"%b*%02X\r\n" % (octets, reduce(xor, octets))


class FlowRadar:
    """Answers ``V?`` with speed (m/s), strength of the echo (dB) and the counter."""

    def __init__(
        self, line: Line, ledger: Ledger, observe: Observe, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._line = line
        self.ledger = ledger
        self._observe = observe
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self._speed = Signal(Swing(base=1.3, swing=0.2, period_s=400.0, noise=0.03), "flow")
        self._echo = Signal(Swing(base=42.0, swing=2.0, period_s=250.0, noise=0.5), "echo")
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Answer until cancelled."""
        rest = b""
        async for octets in self._line.received():
            *requests, rest = (rest + octets).split(b"\r\n")
            rest = rest[-COMMAND_OCTETS_MAX:]
            for request in requests:
                if request == REQUEST and self.is_powered:
                    self._answer()

    def _answer(self) -> None:
        at_ns = self._clock()
        speed = f"{self._speed.value(at_ns):.2f}"
        number = self.ledger.number_next()
        if self._line.write(sentence(f"V={speed},Q={self._echo.value(at_ns):.0f},N={wire_counter(number)}")):
            self._observe(f"{self._device}.speed", float(speed), at_ns)
        else:
            self.ledger.withdraw(number)
