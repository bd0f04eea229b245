"""A serial line that keeps the time of its wire (`serial_bus.c`), and what passed on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from tests.bench.compiled import build

CHARACTER_BITS = 11
"""Start bit, 8 data bits, even parity, stop bit: the standard's own form."""


class Passed(msgspec.Struct):
    """What passed on the wire in whole exchanges. Times in ns; ``late`` is how much later than due octets arrived."""

    window: int
    octets: int
    requests: int
    replies: int
    turnaround: int
    silence_min: int
    late_mean: int
    late_max: int
    collisions: int

    @property
    def replies_per_s(self) -> float:
        """Return how many answers a second came."""
        return self.replies / self.window * 1e9

    def busy_pct(self, baud: int) -> float:
        """Return the share of the time that the protocol allows in which octets were on the wire."""
        free_ns = self.window - self.requests * silence_s(baud) * 1e9 - self.turnaround
        return 100 * self.octets * CHARACTER_BITS / baud * 1e9 / free_ns


class Wire:
    """A running `serial_bus`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.path = self._line()

    def passed(self) -> Passed:
        """Tell what passed since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Passed)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def silence_s(baud: int) -> float:
    """Return what Modbus RTU wants between frames: 3.5 characters of 11 bits, 1.75 ms above 19200 baud."""
    return 0.00175 if baud > 19200 else 3.5 * 11 / baud


@contextmanager
def wired(baud: int, units: int, registers: int, dead: int = 0) -> Iterator[Wire]:
    """Run a wire with slaves behind it; ``dead`` is the unit that never answers."""
    command = [str(build("serial_bus")), *map(str, (baud, CHARACTER_BITS, units, registers, dead))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Wire(process)
        assert process.stdin is not None
        process.stdin.close()
