"""Servers that tests start themselves on free ports and stop again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pyModbusTCP.server import ModbusServer


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def mosquitto(folder: Path, port: int | None = None, host: str = "127.0.0.1") -> Iterator[int]:
    program = find_mosquitto()
    assert program is not None, "mosquitto is missing: apt-get install mosquitto"
    port = port or free_port()
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(f"listener {port} {host}\nallow_anonymous true\npersistence false\n")
    with running([program, "-c", str(config)], port):
        yield port


class _Promptly(ModbusServer):
    """Looks often whether it is to stop; the library does twice a second, and a stop waits for that."""

    def _serve(self) -> None:
        self._service.serve_forever = partial(self._service.serve_forever, poll_interval=0.02)
        super()._serve()


@contextmanager
def modbus_server() -> Iterator[ModbusServer]:
    server = _Promptly("127.0.0.1", free_port(), no_block=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()
