"""A water-quality logger that uploads by HJ 212-2017 and waits for each answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from lab.instruments.registers import Observe
from lab.instruments.signals import Signal, Swing
from lab.instruments.upload import Upload
from lab.ledger import Ledger, wire_counter

BEIJING_S = 8 * 3600
COUNTER_CODE = "w99999"
"""The counter travels as a factor that no standard has."""

FACTORS = (
    ("ph", "w01001", 2, Swing(base=7.2, swing=0.2, period_s=600.0, noise=0.02)),
    ("cod", "w01018", 1, Swing(base=32.0, swing=4.0, period_s=900.0, noise=0.5)),
    ("ammonia", "w21003", 2, Swing(base=1.4, swing=0.3, period_s=1200.0, noise=0.02)),
    ("flow", "w00000", 1, Swing(base=18.0, swing=3.0, period_s=300.0, noise=0.3)),
)
"""By factor: the tag's name, the code of HJ 525, decimals, and what the value does."""


def crc16(octets: bytes) -> int:
    """The CRC of annex A, by its table-free description: shift the register right, then put the octet in."""
    crc = 0xFFFF
    for octet in octets:
        crc = crc // 256 ^ octet
        for _ in range(8):
            crc, bit = crc // 2, crc % 2
            if bit:
                crc ^= 0xA001
    return crc


def packet(data: str) -> bytes:
    """Put length and CRC around a data segment."""
    octets = data.encode("ascii")
    return f"##{len(octets):04d}{data}{crc16(octets):04X}\r\n".encode("ascii")


def is_answer_to(qn: str) -> Callable[[bytes], bool]:
    """Prepare the function that finds the answer (CN 9014) to a packet among what came."""

    def is_answer(came: bytes) -> bool:
        for found in re.finditer(rb"##([0-9]{4})(QN=([0-9]{17});ST=91;CN=9014;.*?CP=&&.*?&&)([0-9A-F]{4})\r\n", came):
            is_whole = int(found[1]) == len(found[2]) and int(found[4], 16) == crc16(found[2])
            if is_whole and found[3].decode("ascii") == qn:
                return True
        return False

    return is_answer


class WaterLogger:
    """Uploads pH, COD, ammonia and flow as real-time data (CN 2011); a scan is served once its packet was answered."""

    def __init__(
        self,
        upload: Upload,
        ledger: Ledger,
        observe: Observe,
        mn: str,
        interval_s: float = 1.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._upload = upload
        self.ledger = ledger
        self._observe = observe
        self._mn = mn
        self._interval_s = interval_s
        self._clock = clock
        self._device = ledger.group.partition(".")[0]
        self._factors = [(name, code, digits, Signal(swing, name)) for name, code, digits, swing in FACTORS]
        self.is_powered = True

    def power_off(self) -> None:
        """Fall silent."""
        self.is_powered = False

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
        """Upload one reading, as often as it takes."""
        at_ns = self._clock()
        number = self.ledger.number_next()
        values = [(name, code, round(signal.value(at_ns), digits)) for name, code, digits, signal in self._factors]
        wall = time.time()
        sampled = time.strftime("%Y%m%d%H%M%S", time.gmtime(wall + BEIJING_S))
        qn = f"{sampled}{int(wall * 1000) % 1000:03d}"
        items = [*((code, value) for _, code, value in values), (COUNTER_CODE, wire_counter(number))]
        cp = ";".join(f"{code}-Rtd={value},{code}-Flag=N" for code, value in items)
        data = f"QN={qn};ST=32;CN=2011;PW=123456;MN={self._mn};Flag=5;CP=&&DataTime={sampled};{cp}&&"

        def on_sent() -> None:
            for name, _, value in values:
                self._observe(f"{self._device}.{name}", value, self._clock())

        def on_again() -> None:
            self.ledger.repeated.add(number)

        await self._upload.deliver(packet(data), is_answer_to(qn), on_sent, on_again)
