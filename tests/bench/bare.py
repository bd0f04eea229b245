"""The raw limits of Modbus TCP in this language: octets on an event loop, no protocol library, no meaning.

`run_apart` counts what an exchange costs, `relay_apart` how fast its answer is at a subscriber of a broker. Both run in
a process of their own: ``python -m tests.bench.bare PORT CONNECTIONS REGISTERS PERIOD_S SECONDS [BROKER]`` prints the
registers that came and the CPU seconds that took. With a period of 0 each answer is followed by the next request.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import uvloop

from tests.servers import mosquitto

TOPIC = "answers"
HEADER_OCTETS = 9
"""MBAP header, function, octet count."""


class Exchange(asyncio.Protocol):
    """Asks for registers, counts what comes and hands on when."""

    def __init__(self, registers: int, period_s: float, hand_on: Callable[[int], object] | None = None) -> None:
        self._hand_on = hand_on
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
        if self._hand_on is not None:
            self._hand_on(time.monotonic_ns())
        if self._period_s:
            self._due_s += self._period_s
            asyncio.get_running_loop().call_at(self._due_s, self.ask)
        else:
            self.ask()


async def exchange(
    port: int, connections: int, registers: int, period_s: float, seconds: float, broker: int | None
) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    hand_on = _publisher(broker) if broker is not None else None
    protocols = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(lambda: Exchange(registers, period_s, hand_on), "127.0.0.1", port)
        protocols.append(protocol)
    for number, protocol in enumerate(protocols):
        protocol.start(number / connections * period_s)
    await asyncio.sleep(max(period_s, 1.0))
    before, cpu_s = sum(p.answers for p in protocols), time.process_time()
    await asyncio.sleep(seconds)
    return (sum(p.answers for p in protocols) - before) * registers, time.process_time() - cpu_s


def _publisher(broker: int) -> Callable[[int], object]:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker)
    client.loop_start()
    return lambda at_ns: client.publish(TOPIC, struct.pack(">q", at_ns))


def run_apart(port: int, connections: int, registers: int, period_s: float, seconds: float) -> tuple[int, float]:
    """Run it in a process of its own; return registers and CPU seconds."""
    return _run(port, connections, registers, period_s, seconds)


def relay_apart(port: int, connections: int, registers: int, period_s: float, seconds: float) -> list[float]:
    """Run it in a process of its own that publishes when each answer came; return the ms until a subscriber heard."""
    delays_ms: list[float] = []

    def hear(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        (at_ns,) = struct.unpack(">q", message.payload)
        delays_ms.append((time.monotonic_ns() - at_ns) / 1e6)

    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as broker:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.on_message = hear
        client.connect("127.0.0.1", broker)
        client.subscribe(TOPIC)
        client.loop_start()
        _run(port, connections, registers, period_s, seconds, broker)
        client.loop_stop()
    return delays_ms


def _run(*arguments: float) -> tuple[int, float]:
    command = [sys.executable, "-m", "tests.bench.bare", *map(str, arguments)]
    registers_read, cpu_s = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(registers_read), float(cpu_s)


def main() -> None:
    port, connections, registers, period_s, seconds, *broker = sys.argv[1:]
    work = exchange(
        int(port), int(connections), int(registers), float(period_s), float(seconds), int(broker[0]) if broker else None
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(*runner.run(work))


if __name__ == "__main__":
    main()
