"""Child processes of the district: started, watched and ended one by one, each by its own id."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError

TAIL_LINES = 15
KILL_AFTER_S = 15.0
PORTS = (20_000, 32_000)
PORT_TRIES = 50


def program(name: str) -> str:
    """Find a program of ours beside the running Python. Raises LabError if it is not installed."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise LabError(f"there is no {name} beside {sys.executable}", hint="run: make setup")
    return str(path)


def free_port(preferred: int = 0, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback that is free now: the preferred one if it can be had.

    Others lie below those that the system gives to connections, so that none takes one whose program is just down.
    """
    tries = (random.randrange(*PORTS) for _ in range(PORT_TRIES))
    for port in (*([preferred] if preferred else ()), *tries):
        with socket.socket(type=kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise LabError("no free port on 127.0.0.1", hint="close some programs that listen")


async def run_once(arguments: Sequence[str], given: str = "") -> str:
    """Run a command to its end and return what it printed. Raises LabError with its words if it fails."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    if process.returncode != 0:
        words = (err or out).decode(errors="replace").strip()
        raise LabError(f"'{' '.join(Path(arguments[0]).name.split() + list(arguments[1:]))}' failed: {words}")
    return out.decode(errors="replace")


class Child:
    """A program that runs along. What it prints goes to a log file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, arguments: Sequence[str]) -> None:
        """Start it, out of reach of the terminal's Ctrl-C: the district ends its children in order."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The id of the process, 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            await self._process.wait()

    def check(self) -> None:
        """Raise LabError with its last words if it has ended by itself."""
        if not self.is_running:
            status = self._process.returncode if self._process else "never started"
            raise LabError(f"{self.name} has ended ({status}). Its last words:\n{self.tail()}", hint=f"log: {self.log}")

    def tail(self) -> str:
        """Return the last lines of its log."""
        try:
            lines = self.log.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-TAIL_LINES:])

    async def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End it with SIGTERM, and with SIGKILL if it does not listen. May be called twice."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), KILL_AFTER_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def descendants(pid: int) -> dict[int, str]:
    """List the processes below one: {id: command line}."""
    found: dict[int, str] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            ids = [int(word) for word in children.read_text().split()]
        except OSError:
            continue
        for child in ids:
            found[child] = _command_line(child)
            found |= descendants(child)
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
