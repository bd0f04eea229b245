"""A Davis Vantage Pro2 console: sleeps, wakes at a line feed, sends LOOP packets when it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger, wire_counter

COMMAND_OCTETS_MAX = 32
ACK, NAK = b"\x06", b"\x21"
PACKET_OCTETS = 99
UNKNOWN_RAIN = 0xFFFF
"""The counter travels as the rain of the year, in clicks. This many is a dash, so that number is left out."""


def crc_ccitt(octets: bytes) -> int:
    """CRC-16 of polynomial 1021 (hex), start 0, high bit first, bit by bit."""
    crc = 0
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


class VantageConsole:
    """One console on a line. A scan is served with each LOOP packet that was handed over whole."""

    def __init__(
        self, line: PtyLine, ledger: Ledger, observe: Observe, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._line = line
        self.ledger = ledger
        self._observe = observe
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self._outside = Signal(Swing(base=63.2, swing=1.2, period_s=1800.0, noise=0.1), "outside")
        self._humidity = Signal(Swing(base=78.0, swing=4.0, period_s=1500.0, noise=0.3), "humidity")
        self._barometer = Signal(Swing(base=29.92, swing=0.02, period_s=2400.0, noise=0.0005), "barometer")
        self._wind = Signal(Swing(base=9.0, swing=4.0, period_s=90.0, noise=0.6), "wind")
        self._direction = Signal(Swing(base=205.0, swing=20.0, period_s=200.0, noise=3.0), "direction")
        self._radiation = Signal(Swing(base=320.0, swing=40.0, period_s=900.0, noise=4.0), "radiation")
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    async def run(self) -> None:
        """Answer until cancelled."""
        rest = b""
        async for octets in self._line.received():
            *commands, rest = (rest + octets).split(b"\n")
            rest = rest[-COMMAND_OCTETS_MAX:]
            for command in commands:
                if self.is_powered:
                    self._obey(command.strip(b"\r"))

    def _obey(self, command: bytes) -> None:
        if command == b"":
            self._line.write(b"\n\r")
        elif command == b"VER":
            self._line.write(b"\n\rOK\n\rMay  1 2012\n\r")
        elif command == b"WRD\x12\x4d":
            self._line.write(ACK + bytes((16,)))
        elif command == b"LOOP 1":
            self._loop()
        else:
            self._line.write(NAK)

    def _loop(self) -> None:
        at_ns = self._clock()
        number = self.ledger.number_next()
        if wire_counter(number) == UNKNOWN_RAIN:
            self.ledger.withdraw(number)
            number = self.ledger.number_next()
        tenths = round(self._outside.value(at_ns) * 10)
        if self._line.write(ACK + self.packet(tenths, wire_counter(number), at_ns)):
            self._observe(f"{self._device}.temperature", (tenths / 10 - 32) * 5 / 9, at_ns)
        else:
            self.ledger.withdraw(number)

    def packet(self, tenths_fahrenheit: int, clicks: int, at_ns: int) -> bytes:
        """Write a LOOP packet; sensors that this station does not have are dashed."""
        packet = bytearray(b"\xff" * (PACKET_OCTETS - 4)) + b"\n\r"
        octets = {
            0: b"LOO\x00\x00",
            5: _word(0),
            7: _word(round(self._barometer.value(at_ns) * 1000)),
            9: _word(719),
            11: bytes((46,)),
            12: _word(tenths_fahrenheit),
            14: bytes((max(0, round(self._wind.value(at_ns))), 9)),
            16: _word(round(self._direction.value(at_ns)) % 360 + 1),
            33: bytes((min(100, round(self._humidity.value(at_ns))),)),
            41: _word(0),
            44: _word(max(0, round(self._radiation.value(at_ns)))),
            46: _word(0) + b"\xff\xff" + _word(4) + _word(190) + _word(clicks) + _word(0) * 3,
            70: bytes(16) + b"\x00" + _word(807) + bytes((6, 75)) + _word(550) + _word(1854),
        }
        for at, text in octets.items():
            packet[at : at + len(text)] = text
        return bytes(packet) + crc_ccitt(bytes(packet)).to_bytes(2, "big")


def _word(number: int) -> bytes:
    return number.to_bytes(2, "little")
