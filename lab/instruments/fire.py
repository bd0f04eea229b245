"""A fire transmitter by GB/T 26875.3-2011: smoke detectors behind it, a pump's pressure, and each answer waited for."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable

from lab.instruments.registers import Observe
from lab.instruments.signals import Signal, Swing
from lab.instruments.upload import Sent, Upload, nobody
from lab.ledger import Ledger, wire_counter

BEIJING_S = 8 * 3600
CENTRE = bytes(6)
SYSTEM_STATE, COMPONENT_STATE, ANALOGUE, TRANSMITTER_STATE = 1, 2, 3, 21
FIRE_SYSTEM, SPRINKLERS = 1, 12
SMOKE, PRESSURE_SWITCH = 40, 99
EVENTS, PRESSURE_KPA = 1, 5
NORMAL_BITS, FIRE_BITS = 0x0001, 0x0003
DETECTORS = {1: "一层大厅", 2: "一层配电间", 3: "二层控制室", 4: "二层走廊"}
"""Smoke detectors by address, and where they hang."""


def time_label(wall: float) -> bytes:
    """Second, minute, hour, day, month, year of the century, in Beijing."""
    at = time.gmtime(wall + BEIJING_S)
    return bytes((at.tm_sec, at.tm_min, at.tm_hour, at.tm_mday, at.tm_mon, at.tm_year % 100))


def packet(serial: int, address: bytes, kind: int, contents: list[bytes], wall: float) -> bytes:
    """Make a packet that sends objects of one kind."""
    label = time_label(wall)
    application = bytes((kind, len(contents))) + b"".join(each + label for each in contents)
    control = struct.pack("<HBB6s6s6sHB", serial, 1, 1, label, address, CENTRE, len(application), 2)
    total = sum(control + application) % 256
    return b"@@" + control + application + bytes((total,)) + b"##"


def is_confirmed(serial: int) -> Callable[[bytes], bool]:
    """Prepare the function that finds the confirmation (command 3) of a packet among what came."""

    def is_answer(came: bytes) -> bool:
        at = came.find(b"@@")
        while at >= 0:
            answer = came[at : at + 30]
            is_whole = len(answer) == 30 and answer[-2:] == b"##" and sum(answer[2:27]) % 256 == answer[27]
            if is_whole and struct.unpack_from("<H", answer, 2) == (serial,) and answer[26] == 3:
                return True
            at = came.find(b"@@", at + 1)
        return False

    return is_answer


class FireTransmitter:
    """Tells the number of its events and a pressure each interval, and a detector's state when it changes.

    Over a new connection it tells how everything stands. The counter is the quantity "events", 16 bits; a scan is
    served once its packet was answered.
    """

    def __init__(
        self,
        upload: Upload,
        ledger: Ledger,
        observe: Observe,
        address: bytes,
        interval_s: float = 1.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._upload = upload
        self.ledger = ledger
        self._observe = observe
        self._address = address
        self._interval_s = interval_s
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self._pressure = Signal(Swing(base=820.0, swing=15.0, period_s=300.0, noise=2.0), "pressure")
        self._serial = 0
        self._burning_until: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._told_over = -1
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

    def burn(self, detector: int, for_s: float) -> None:
        """Let a smoke detector see fire for a while."""
        self._burning_until[detector] = self._clock() + int(for_s * 1e9)

    async def run(self) -> None:
        """Upload until cancelled."""
        try:
            while True:
                if self.is_powered:
                    await self.report()
                await asyncio.sleep(self._interval_s)
        finally:
            self._upload.close()

    async def report(self) -> None:
        """Tell what has changed, then the quantities."""
        if self._upload.connections != self._told_over:
            await self._introduce()
        states = self._states()
        for detector, bits in states.items():
            if self._told.get(detector) != bits:
                await self._send(COMPONENT_STATE, [_component(detector, bits)], self._see(states))
        self._told = states
        await self._tell_quantities()

    async def _introduce(self) -> None:
        """Tell of a panel and a transmitter that are well; the detectors follow."""
        await self._send(TRANSMITTER_STATE, [bytes((NORMAL_BITS,))], nobody)
        self._told_over = self._upload.connections
        await self._send(SYSTEM_STATE, [struct.pack("<BBH", FIRE_SYSTEM, 1, NORMAL_BITS)], nobody)
        self._told = {}

    def _states(self) -> dict[int, int]:
        now = self._clock()
        return {each: FIRE_BITS if now < self._burning_until.get(each, 0) else NORMAL_BITS for each in DETECTORS}

    def _see(self, states: dict[int, int]) -> Sent:
        fires = float(list(states.values()).count(FIRE_BITS))
        return lambda: self._observe(f"{self._device}.fires", fires, self._clock())

    async def _tell_quantities(self) -> None:
        number = self.ledger.number_next()
        pressure = round(self._pressure.value(self._clock()) * 10)
        counter = (wire_counter(number) + 0x8000) % 0x10000 - 0x8000
        contents = [
            struct.pack("<BBBIBh", FIRE_SYSTEM, 1, 1, 0, EVENTS, counter),
            struct.pack("<BBBIBh", SPRINKLERS, 1, PRESSURE_SWITCH, 7, PRESSURE_KPA, pressure),
        ]
        seen = f"{self._device}.pressure", pressure / 10

        def on_again() -> None:
            self.ledger.repeated.add(number)

        await self._send(ANALOGUE, contents, lambda: self._observe(*seen, self._clock()), on_again)

    async def _send(self, kind: int, contents: list[bytes], on_sent: Sent, on_again: Sent = nobody) -> None:
        self._serial = (self._serial + 1) % 0x10000
        octets = packet(self._serial, self._address, kind, contents, time.time())
        await self._upload.deliver(octets, is_confirmed(self._serial), on_sent, on_again)


def _component(detector: int, bits: int) -> bytes:
    place = DETECTORS[detector].encode("gb18030")
    return struct.pack("<BBBIH31s", FIRE_SYSTEM, 1, SMOKE, detector, bits, place)
