"""The raw limit of Modbus TCP in this language: requests and answers on an event loop, no protocol library, no meaning.

Runs in a process of its own: ``python -m tests.bench.bare PORT CONNECTIONS REGISTERS PERIOD_S SECONDS`` prints the
registers that came and the CPU seconds that took. With a period of 0 each answer is followed by the next request.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import time

import uvloop

HEADER_OCTETS = 9
"""MBAP header, function, octet count."""


class Exchange(asyncio.Protocol):
    """Asks for registers, counts what comes."""

    def __init__(self, registers: int, period_s: float) -> None:
        self._request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, registers)
        self._size = HEADER_OCTETS + 2 * registers
        self._period_s = period_s
        self._got = 0
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def start(self, after_s: float) -> None:
        self._due_s = asyncio.get_running_loop().time() + after_s
        asyncio.get_running_loop().call_at(self._due_s, self.ask)

    def ask(self) -> None:
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got < self._size:
            return
        self._got = 0
        self.answers += 1
        if self._period_s:
            self._due_s += self._period_s
            asyncio.get_running_loop().call_at(self._due_s, self.ask)
        else:
            self.ask()


async def exchange(port: int, connections: int, registers: int, period_s: float, seconds: float) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    protocols = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(lambda: Exchange(registers, period_s), "127.0.0.1", port)
        protocols.append(protocol)
    for number, protocol in enumerate(protocols):
        protocol.start(number / connections * period_s)
    await asyncio.sleep(max(period_s, 1.0))
    before, cpu_s = sum(p.answers for p in protocols), time.process_time()
    await asyncio.sleep(seconds)
    return (sum(p.answers for p in protocols) - before) * registers, time.process_time() - cpu_s


def run_apart(port: int, connections: int, registers: int, period_s: float, seconds: float) -> tuple[int, float]:
    """Run it in a process of its own; return registers and CPU seconds."""
    command = [sys.executable, "-m", "tests.bench.bare", *map(str, (port, connections, registers, period_s, seconds))]
    registers_read, cpu_s = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(registers_read), float(cpu_s)


if __name__ == "__main__":
    arguments = sys.argv[1:4]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(*runner.run(exchange(*map(int, arguments), *map(float, sys.argv[4:]))))
