"""The Ridgecrest recording as packets of three streams."""

from __future__ import annotations

from array import array
from functools import cache
from pathlib import Path

from seismic.packet import Packet

FILE = Path(__file__).resolve().parents[2] / "lab/recordings/ridgecrest-2019-CI.CCC.csv"
START_NS = 1_562_383_177_000_000_000
RATE_HZ = 100.0
STREAMS = ("CI.CCC..HNE", "CI.CCC..HNN", "CI.CCC..HNZ")


@cache
def ridgecrest() -> tuple[array[int], ...]:
    """Counts (micro-g) of each component."""
    rows = [line.split(",") for line in FILE.read_text("ascii").splitlines() if not line.startswith("#")]
    return tuple(array("i", [int(row[at]) for row in rows]) for at in range(3))


def packets(samples: int = 100, timing: int = -1, flags: int = 0) -> list[Packet]:
    """Cut it into packets of so many samples, in the order of time."""
    step_ns = 10_000_000
    return [
        Packet(stream, START_NS + at * step_ns, 10**9 + at * step_ns, RATE_HZ, counts[at : at + samples], timing, flags)
        for at in range(0, len(ridgecrest()[0]), samples)
        for stream, counts in zip(STREAMS, ridgecrest(), strict=True)
    ]
