"""Serial lines: how much of its wire a collector uses, and what a dead unit costs the others.

The wire is `serial_bus.c`: it keeps the time of each octet and says what passed. Behind it stand libmodbus slaves. All
that the gateway does on such a line runs here: collector, line, driver, port. The raw limit is a libmodbus loop.

    busy = time of octets on the wire / (time - a silence per request - the time slaves took to begin to answer)
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from statistics import median

import uvloop

from drivers.base import Group, Scan, find
from edge.collect import Collector
from edge.line import Line
from edge.settings import Bus, ScanGroup
from tests.bench.compiled import build
from tests.bench.serial_wire import Passed, Wire, silence_s, wired

UNITS = 16
REGISTERS = 50
TIMEOUT_S = 0.3
"""Twice what an answer takes at 9600 baud."""
POLL_S = 0.05
"""Shorter than a round takes: the line is never without a group that is due."""
WINDOW_S = 5
WINDOWS = 5
"""The figure is that of the middle window: another program's burst is no property of ours."""
DEAD_S = 120
"""Covers the first failures as well as the long pauses that follow them."""
DEAD_UNIT = 7
EDGES = 2
"""Scans that may stand on one side of a window and their octets on the other."""


def make_bus(path: str, baud: int) -> Bus:
    kind = find("modbus")
    groups = []
    for unit in range(1, UNITS + 1):
        name = f"unit{unit}"
        group = Group(
            name=f"{name}.all",
            device_name=name,
            device=kind.device(unit=unit),
            tags=tuple(f"{name}.r{at}" for at in range(REGISTERS)),
            sources=tuple(kind.source(address=at) for at in range(REGISTERS)),
        )
        groups.append(ScanGroup(group=group, poll_s=POLL_S))
    settings = kind.settings(url=f"rtu://{path}", baud=baud, parity="E", timeout_s=TIMEOUT_S)
    return Bus(name="line", kind=kind, settings=settings, groups=tuple(groups))


async def collect(wire: Wire, baud: int, seconds: float, windows: int) -> list[Passed]:
    """Run a collector; return what passed in each window. Each reply must have become a good scan."""
    good = 0

    def take(scan: Scan) -> None:
        nonlocal good
        good += not any(scan.quality)

    line = Line(make_bus(wire.path, baud))
    collector = Collector(line, take, mono_ns=time.monotonic_ns, jitter=random.Random(1), journal=lambda *_: None)
    running = asyncio.create_task(collector.run())
    passed = []
    for _ in range(windows):
        await asyncio.sleep(seconds)
        passed.append(wire.passed())
    replies = sum(window.replies for window in passed)
    assert abs(good - replies) <= EDGES * windows, f"{good} good scans of {replies} replies"
    running.cancel()
    await asyncio.wait([running])
    return passed


def run_collector(wire: Wire, baud: int, seconds: float, windows: int = 1) -> list[Passed]:
    """Collect as the agent does, on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(collect(wire, baud, seconds, windows))


def run_limit(wire: Wire, baud: int) -> list[Passed]:
    """Read with the libmodbus loop."""
    words = (wire.path, baud, UNITS, REGISTERS, round(silence_s(baud) * 1e6), WINDOW_S * WINDOWS)
    with subprocess.Popen([str(build("serial_master")), *map(str, words)], stdout=subprocess.DEVNULL) as process:
        passed = []
        for _ in range(WINDOWS):
            time.sleep(WINDOW_S)
            passed.append(wire.passed())
        assert process.wait() == 0, "the libmodbus loop failed"
    return passed


def measure_serial() -> dict[str, float]:
    """Measure how busy the line is at two speeds, and what a dead unit among 16 takes from the others.

    The line always has a group that is due, so that what the dead unit costs is the share of replies that are lacking:
    the others would have them all if it were not configured.
    """
    figures: dict[str, float] = {}
    replies_per_s = 0.0
    for baud in (115200, 9600):
        with wired(baud, UNITS, REGISTERS) as wire:
            alive = run_collector(wire, baud, WINDOW_S, WINDOWS)
        with wired(baud, UNITS, REGISTERS) as wire:
            limit = run_limit(wire, baud)
        figures[f"rtu_busy_pct_{baud}"] = busy_pct(baud, alive)
        figures[f"rtu_busy_pct_{baud}_limit"] = busy_pct(baud, limit)
        replies_per_s = median(window.replies_per_s for window in alive)
    with wired(9600, UNITS, REGISTERS, dead=DEAD_UNIT) as wire:
        dead = run_collector(wire, 9600, DEAD_S)
    show(9600, dead[0])
    figures["rtu_dead_unit_cost_pct"] = 100 * (1 - dead[0].replies_per_s / replies_per_s)
    return figures


def busy_pct(baud: int, windows: list[Passed]) -> float:
    """Return the middle window's."""
    for window in windows:
        show(baud, window)
    return median(window.busy_pct(baud) for window in windows)


def show(baud: int, passed: Passed) -> None:
    """Print what a figure rests on: the wire's own accuracy, and that silence was kept."""
    assert passed.collisions == 0, "two spoke at a time"
    assert passed.silence_min >= silence_s(baud) * 1e9, "a request came before its silence was over"
    print(
        f"  {baud} baud: busy {passed.busy_pct(baud):.2f} %, {passed.requests} requests, least silence "
        f"{passed.silence_min / 1e6:.2f} ms of {silence_s(baud) * 1e3:.2f}, slaves took "
        f"{passed.turnaround / max(passed.replies, 1) / 1e3:.0f} us, octets late by {passed.late_mean / 1e3:.0f} us "
        f"(most {passed.late_max / 1e3:.0f})",
        file=sys.stderr,
    )


if __name__ == "__main__":
    print(json.dumps(measure_serial(), indent=2))
