"""A gateway on a bench: a real agent in a process of its own, between instruments, a broker and a fleet that counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.compiled import build
from tests.servers import free_port, mosquitto

NS = 1_000_000_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STARTS_S = 60.0
ARRIVES_S = 5.0
"""How long after the end of a window its last records may still be on their way."""


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    """``devices`` instruments of one kind, each on a connection of its own, with ``registers`` each."""

    name: str
    port: int
    devices: int
    registers: int
    poll_s: float
    rule: str = '{level = "high", limit = 5000}'
    """Of every value, whose most is 409.5."""

    @property
    def values_per_s(self) -> float:
        """How many values are due each second."""
        return self.devices * self.registers / self.poll_s


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen from ``first_ns`` to ``last_ns``: CPU time of the agent, and what the fleet counted."""

    first_ns: int
    last_ns: int
    cpu_s: float
    good: dict[str, int]
    durable_ms: list[float]
    live_ms: list[float]
    alarm_ns: list[tuple[int, int]]
    octets: int

    @property
    def values(self) -> int:
        """Good values that came through the spool and the broker."""
        return sum(self.good.values())

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.last_ns - self.first_ns) / NS

    def delivered_pct(self, instruments: Instruments) -> float:
        """Percent of the due values that were good and arrived. What one group has too many makes up for no other."""
        due = round(self.seconds / instruments.poll_s) * instruments.registers
        got = sum(min(due, self.good.get(f"{instruments.name}-{n:03d}.main", 0)) for n in range(instruments.devices))
        return 100 * got / (due * instruments.devices)


def read_cpu_s(pid: int) -> float:
    """CPU time in seconds that all threads of a process have taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def read_resident_mb(pid: int) -> float:
    """Resident memory of a process in 10^6 octets."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


class Gateway:
    """A running agent. ``cores`` are those it may use, all if empty."""

    def __init__(self, process: subprocess.Popen[bytes], fleet: subprocess.Popen[str]) -> None:
        self._process = process
        self._fleet = fleet

    @property
    def cpu_s(self) -> float:
        """CPU time that all threads of the agent have taken."""
        return read_cpu_s(self._process.pid)

    @property
    def resident_mb(self) -> float:
        """Resident memory in 10^6 octets."""
        return read_resident_mb(self._process.pid)

    def watch(self, seconds: float) -> Window:
        """Let it run, and count what was read meanwhile once it has had the time to arrive."""
        first_ns, cpu_s = time.monotonic_ns(), self.cpu_s
        time.sleep(seconds)
        last_ns = first_ns + round(seconds * NS)
        cpu_s = self.cpu_s - cpu_s
        time.sleep(ARRIVES_S)
        counted = self.ask(first_ns, last_ns)
        return Window(first_ns=first_ns, last_ns=last_ns, cpu_s=cpu_s, **counted)

    def wait(self, groups: int) -> None:
        """Wait until scans of so many groups have arrived."""
        deadline = time.monotonic() + STARTS_S
        while len(self.ask(0, 0)["good"]) < groups:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the agent delivers nothing: see its messages above")
            time.sleep(0.2)

    def ask(self, first_ns: int, last_ns: int) -> dict[str, Any]:
        """Ask the fleet what it counted of what was read from ``first_ns`` to ``last_ns``."""
        assert self._fleet.stdin is not None
        assert self._fleet.stdout is not None
        self._fleet.stdin.write(f"{first_ns} {last_ns}\n")
        self._fleet.stdin.flush()
        answer: dict[str, Any] = json.loads(self._fleet.stdout.readline())
        return answer


@contextmanager
def running(
    instruments: Sequence[Instruments], *, core: int | None = None, more: str = "", spool: str = ""
) -> Iterator[Gateway]:
    """Run an agent that reads these instruments, each value with an alarm rule. ``more`` is added to its settings."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
        broker = stack.enter_context(mosquitto(folder))
        fleet = stack.enter_context(process([sys.executable, "-m", "tests.bench.fleet", str(broker)]))
        config = folder / "edge.toml"
        config.write_text(configuration(f"127.0.0.1:{broker}", instruments, spool) + more)
        pin = ["taskset", "-c", str(core)] if core is not None else []
        log = stack.enter_context((folder / "edge.log").open("wb"))
        agent = subprocess.Popen(
            [*pin, sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--data", str(folder / "data")],
            stderr=log,
        )
        stack.callback(end, agent)
        gateway = Gateway(agent, fleet)
        try:
            gateway.wait(sum(entry.devices for entry in instruments))
            yield gateway
        except RuntimeError:
            print((folder / "edge.log").read_text()[-2000:], file=sys.stderr)
            raise


@contextmanager
def serving(
    mode: str, registers: int, step_ms: tuple[int, int] = (300, 400), inside: Sequence[str] = ()
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run instruments that are not ours (libmodbus). Gives the port and the process, whose output tells of events.

    ``step_ms`` is the least time between two steps and up to how much more; ``inside`` the command that enters a
    network namespace.
    """
    port = free_port()
    with process([*inside, str(build("instruments")), str(port), mode, str(registers), *map(str, step_ms)]) as program:
        yield port, program


def configuration(broker: str, instruments: Sequence[Instruments], spool: str = "") -> str:
    """Write the settings of an agent: a bus per instrument, 12-bit values with a rule each that is rarely met.

    ``broker`` is its host and port.
    """
    lines = [
        '[gateway]\nid = "gw-bench-0001"',
        f'[uplink]\nurl = "mqtt://{broker}"',
        f"[spool]\n{spool}",
        '[health]\nlisten = ""',
    ]
    for entry in instruments:
        for device in range(entry.devices):
            name = f"{entry.name}-{device:03d}"
            lines.append(f'[[bus]]\nname = "{name}"\nkind = "modbus"\nurl = "tcp://127.0.0.1:{entry.port}"')
            lines.append(f'[[device]]\nname = "{name}"\nbus = "{name}"')
            lines.append(f'[[device.group]]\nname = "main"\npoll_s = {entry.poll_s}')
            lines += (
                f'[[device.group.tag]]\nname = "level-{at:03d}"\naddress = {at}\nscale = 0.1\nunit = "mm"\n'
                f"alarm = [{entry.rule}]"
                for at in range(entry.registers)
            )
    return "\n".join(lines) + "\n"


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that says when it is ready."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            if program.stdout.readline() != "ready\n":
                raise RuntimeError(f"{command[0]} did not start")
            yield program
        finally:
            end(program)


def end(program: subprocess.Popen[Any]) -> None:
    """Stop a program, in the end by force."""
    program.terminate()
    try:
        program.wait(15)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
