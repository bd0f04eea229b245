"""The cost of judging values by their alarm rules, without a gateway."""

from __future__ import annotations

import random
import time

from drivers.base import Scan
from edge.alarms import Alarms
from edge.settings import AlarmRule

WIDTH = 100


def measure_alarms() -> dict[str, float]:
    """Microseconds per value of judging 10,000 tags with four limits each, 1 % of the values crossing one."""
    tags = [f"tanks.t{n:05d}" for n in range(10_000)]
    levels = (("high-high", 95.0), ("high", 90.0), ("low", 10.0), ("low-low", 5.0))
    rules = [AlarmRule(tag=tag, level=level, limit=limit, deadband=1.0) for tag in tags for level, limit in levels]  # type: ignore[arg-type]
    groups = {f"g{at}": tuple(tags[at : at + WIDTH]) for at in range(0, len(tags), WIDTH)}
    alarms = Alarms(rules, groups)
    source = random.Random(1)
    scans = [
        Scan(group, n * 10**9, tuple(96.0 if source.random() < 0.01 else 50.0 for _ in range(WIDTH)), (0,) * WIDTH)
        for n in range(10)
        for group in groups
    ]
    began = time.perf_counter()
    for scan in scans:
        alarms.evaluate(scan)
    return {"alarm_us_per_value": (time.perf_counter() - began) * 1e6 / (len(scans) * WIDTH)}
