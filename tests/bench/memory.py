"""What an agent of 10,000 tags keeps in memory, and whether that grows."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.bench.gateway import Gateway, Instruments, running, serving

DEVICES = REGISTERS = 100
SETTLE_S = 120.0
"""Until every buffer has had its largest content."""
WATCH_S = float(os.environ.get("BENCH_MEMORY_S", "600"))
LOOK_S = 5.0
BARE = (
    "import asyncio, sqlite3, ssl, uvloop, aiomqtt, pymodbus.pdu, msgspec, zstandard, tinydb, prometheus_client, time"
)


def measure_memory() -> dict[str, float]:
    """Resident memory in MB at 10,000 values a second, and its slope in MB/h by least squares.

    The limit is that of an interpreter which has loaded the same libraries and does nothing.
    """
    with serving("walk", REGISTERS) as (port, _):
        instruments = Instruments(name="tank", port=port, devices=DEVICES, registers=REGISTERS, poll_s=1.0)
        with running([instruments]) as gateway:
            time.sleep(SETTLE_S)
            looks = _watch(gateway)
    return {
        "rss_mb_10k_tags": max(resident for _, resident in looks),
        "rss_mb_10k_tags_limit": _bare_mb(),
        "rss_slope_mb_per_h": slope(looks) * 3600,
        "rss_watched_s": WATCH_S,
    }


def _watch(gateway: Gateway) -> list[tuple[float, float]]:
    began = time.monotonic()
    looks = []
    while (now := time.monotonic() - began) < WATCH_S:
        looks.append((now, gateway.resident_mb))
        time.sleep(LOOK_S)
    return looks


def slope(points: list[tuple[float, float]]) -> float:
    """The slope of the straight line that fits the points best."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def _bare_mb() -> float:
    look = "print(int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6)"
    return float(subprocess.run([sys.executable, "-c", f"{BARE}\n{look}"], check=True, capture_output=True).stdout)
