"""SDI-12 sensors behind an adapter that passes characters through: river gauges that measure when they are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.signals import Excursion, Signal, Swing
from lab.ledger import Ledger, wire_counter

COMMAND_OCTETS_MAX = 16
MEASURE_S, READY_S = 1, 0.2
"""What a gauge announces, and when it is ready: earlier, so that it says so with a service request."""

FLOOD = Excursion(peak=5.2, rise_s=8.0, hold_s=15.0, fall_s=20.0)


def crc_text(text: str) -> str:
    """CRC-16/ARC, bit by bit, as the three characters that SDI-12 and Vaisala append."""
    crc = 0
    for octet in text.encode("ascii"):
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return "".join(chr(64 + (crc >> shift & 63)) for shift in (12, 6, 0))


class RiverGauge:
    """Level over the sensor (m), temperature (degC) and the number of the measurement, which is its ledger's counter.

    A scan is served when the values of a measurement, or of a continuous one, are handed over for the first time.
    """

    def __init__(self, gateway: str, device: str, group: str, observe: Observe) -> None:
        self.ledger = Ledger(gateway, f"{device}.{group}", values=3, counter=f"{device}.polls")
        self._level_tag = f"{device}.level"
        self._level = Signal(Swing(base=2.4, swing=0.1, period_s=1200.0, noise=0.004), device + "level")
        self._temperature = Signal(Swing(base=16.2, swing=0.4, period_s=1800.0, noise=0.02), device + "temperature")
        self._observe = observe
        self._level_m, self._number, self._at_ns = 0.0, 0, 0
        self._has_crc = self._is_fresh = False
        self.values = ""

    def flood(self, at_ns: int) -> None:
        """Let the river rise."""
        self._level.start(FLOOD, at_ns)

    def measure(self, at_ns: int, *, crc: bool) -> None:
        """Take a measurement, to be fetched later."""
        self.forget()
        self._number, self._at_ns, self._has_crc, self._is_fresh = self.ledger.number_next(), at_ns, crc, True
        self._level_m = round(self._level.value(at_ns), 3)
        celsius = self._temperature.value(at_ns)
        self.values = f"{self._level_m:+.3f}{celsius:+.2f}+{wire_counter(self._number)}"

    def forget(self) -> None:
        """Give up a measurement that was not fetched."""
        if self._is_fresh:
            self.ledger.withdraw(self._number)
        self._is_fresh = False
        self.values = ""

    def data(self, address: str) -> str:
        """Write the answer to D0."""
        text = address + self.values
        return text + (crc_text(text) if self._has_crc else "")

    def served(self, whole: bool) -> None:
        """Take note that the values were handed over, or could not be."""
        if not self._is_fresh:
            return
        self._is_fresh = False
        if whole:
            self._observe(self._level_tag, self._level_m, self._at_ns)
        else:
            self.ledger.withdraw(self._number)


class Sdi12Bus:
    """Answers the commands of one recorder for all the gauges on a line."""

    def __init__(
        self, line: PtyLine, gauges: Mapping[str, RiverGauge], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._line = line
        self._gauges = dict(gauges)
        self._clock = clock
        self._measuring: asyncio.TimerHandle | None = None
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent: what was measured and not yet fetched is nobody's."""
        self.is_powered = False
        for gauge in self._gauges.values():
            gauge.forget()

    async def run(self) -> None:
        """Answer until cancelled."""
        rest = b""
        async for octets in self._line.received():
            *commands, rest = (rest + octets).split(b"!")
            rest = rest[-COMMAND_OCTETS_MAX:]
            for command in commands:
                self._obey(command.decode("latin-1"))

    def _obey(self, command: str) -> None:
        address, order = command[:1], command[1:]
        gauge = self._gauges.get(address)
        if gauge is None or not self.is_powered:
            return
        if self._measuring is not None:
            # Whatever a recorder says during a measurement ends it.
            self._measuring.cancel()
            self._measuring = None
        if order == "":
            self._say(address)
        elif order == "I":
            self._say(f"{address}14FENGSUI RIVER 100{address}")
        elif order in {"M", "MC", "C", "CC"}:
            self._start(gauge, address, order)
        elif order in {"R0", "RC0"}:
            gauge.measure(self._clock(), crc="C" in order)
            gauge.served(self._say(gauge.data(address)))
        elif order == "D0":
            gauge.served(self._say(gauge.data(address)))
        else:
            self._say(address + ("00000" if order.startswith("C") else "0000"))

    def _start(self, gauge: RiverGauge, address: str, order: str) -> None:
        concurrent = order.startswith("C")
        self._say(f"{address}{MEASURE_S:03}{'03' if concurrent else '3'}")
        gauge.forget()

        def finish() -> None:
            if not self.is_powered:
                return
            gauge.measure(self._clock(), crc=order in {"MC", "CC"})
            if not concurrent:
                self._measuring = None
                self._say(address)

        timer = asyncio.get_running_loop().call_later(READY_S, finish)
        if not concurrent:
            self._measuring = timer

    def _say(self, text: str) -> bool:
        return self._line.write(f"{text}\r\n".encode("ascii"))
