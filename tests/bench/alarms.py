"""The cost of judging values by their alarm rules, and how long an output waits for what is decided."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

from drivers.base import Scan
from edge.acquisition import Acquisition
from edge.alarm_settings import AlarmRule
from edge.alarms import Alarms
from edge.clock import SystemClock
from edge.configuration import read_configuration
from edge.live import Newest
from edge.mistakes import Mistakes
from edge.outputs import Output
from edge.settings import Configuration, SpoolSettings
from edge.store import Store
from wire.alarm import Standing

WIDTH, GROUPS, ROUNDS = 100, 100, 10
"""10,000 tags, read by the hundred."""
CROSSING = 0.01
QUIET, BEYOND = 50.0, 96.0
LEVELS = (("high-high", 95.0), ("high", 90.0), ("low", 10.0), ("low-low", 5.0))
PAUSE_S = 0.001
"""Between two scans: the event loop and the spool's thread have their turn, as on a gateway."""


def measure_alarms() -> dict[str, float]:
    """Of 10,000 tags with four limits each, 1 % of the values crossing one: microseconds per value of judging them, and
    ms from the handing over of a value until an output has been told, through all of the acquisition and its spool."""
    told_ms = asyncio.run(_decide())
    return {"alarm_us_per_value": _judge(), "alarm_decision_ms_p99": quantiles(told_ms, n=100)[98]}


def _judge() -> float:
    groups = {f"g{n}": tuple(f"tanks.t{n}-{at}" for at in range(WIDTH)) for n in range(GROUPS)}
    rules = [
        AlarmRule(tag=tag, level=level, limit=limit, deadband=1.0)  # type: ignore[arg-type]
        for tags in groups.values()
        for tag in tags
        for level, limit in LEVELS
    ]
    alarms = Alarms(rules, groups)
    scans = list(_scans(groups, 0))
    began = time.perf_counter()
    for scan in scans:
        alarms.evaluate(scan)
    return (time.perf_counter() - began) * 1e6 / (len(scans) * WIDTH)


def _scans(groups: Mapping[str, tuple[str, ...]], since_ns: int) -> Iterator[Scan]:
    source = random.Random(1)
    for n in range(ROUNDS):
        for group in groups:
            values = tuple(BEYOND if source.random() < CROSSING else QUIET for _ in range(WIDTH))
            yield Scan(group, since_ns + n * 10**9, values, (0,) * WIDTH)


class _Told(Output):
    """An output that notes when it is told that an alarm is raised."""

    def __init__(self, of: Output) -> None:
        self.entry = of.entry
        self.told_ns: list[int] = []

    def apply(self, alarm: str, standing: Standing, mono_ns: int) -> None:
        del alarm, mono_ns
        if Standing.ACTIVE in standing:
            self.told_ns.append(time.perf_counter_ns())


async def _decide() -> list[float]:
    clock, running = SystemClock(), _configuration()
    groups = {name: tags for name, tags in running.columns.items() if name != "plc.outputs"}
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "spool.sqlite3", SpoolSettings(), clock)
        committing = asyncio.create_task(store.commit_forever())
        acquisition = Acquisition(running, store, Newest(clock.wall_at), clock, {}, random.Random(1))
        siren = _Told(acquisition._outputs["siren"])
        acquisition._outputs["siren"] = siren
        found: list[float] = []
        for scan in _scans(groups, clock.mono_ns()):
            began_ns = time.perf_counter_ns()
            acquisition.take(scan)
            found += [(told_ns - began_ns) / 1e6 for told_ns in siren.told_ns]
            siren.told_ns.clear()
            await asyncio.sleep(PAUSE_S)
        committing.cancel()
        await store.close()
    return found


def _configuration() -> Configuration:
    rules = [{"level": level, "limit": limit, "deadband": 1.0, "outputs": ["siren"]} for level, limit in LEVELS]
    groups: list[dict[str, Any]] = [
        {
            "name": f"g{n}",
            "poll_s": 1,
            "tag": [{"name": f"t{n}-{at}", "address": n * WIDTH + at, "alarm": rules} for at in range(WIDTH)],
        }
        for n in range(GROUPS)
    ]
    siren = {"name": "outputs", "poll_s": 60, "tag": [{"name": "siren", "address": 0, "function": 1}]}
    mistakes = Mistakes()
    made = read_configuration(
        {
            "bus": [{"name": "line", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
            "device": [
                {"name": "tanks", "bus": "line", "unit": 1, "group": groups},
                {"name": "plc", "bus": "line", "unit": 2, "group": [siren]},
            ],
            "output": [{"name": "siren", "tag": "plc.siren"}],
        },
        mistakes,
    )
    assert made is not None, mistakes.found[:3]
    return made
