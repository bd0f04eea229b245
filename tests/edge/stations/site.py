"""A gateway with seismic stations, without its lines: samples go in by hand, on clocks of our own."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from drivers.base import Scan
from edge.acquisition import Acquisition
from edge.configuration import read_configuration
from edge.live import Newest
from edge.mistakes import Mistakes
from edge.settings import Configuration
from edge.spool import Spool
from edge.stations.keeping import Disk
from edge.stations.stations import Stations
from edge.store import Store
from tests.edge.records import CLOCK
from tests.edge.test_alarm_restart import NOON, Clocks
from wire.record import Lane, QuakeRecord, Record, decode_record

S = 1_000_000_000
RATE_HZ = 100
STEP_NS = S // RATE_HZ
SENSITIVITY = 1_000_000
RIDGECREST = Path(__file__).parents[3] / "lab" / "recordings" / "ridgecrest-2019-CI.CCC.csv"
TEMPLATE = {"name": "earthquake", "of": ["quake-1.intensity_gb"], "outputs": {"vi": ["siren"]}}
Counts = tuple[int, ...]
SHAKE_CONFIG = """
[gateway]
id = "gw-test-0001"
[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
[health]
listen = ""
[[bus]]
name = "shake"
kind = "raspberry_shake"
url = "udp://127.0.0.1:{shake}"
[[device]]
name = "shake-01"
bus = "shake"
profile = "raspberryshake_rs4d"
[[station]]
name = "base"
network = "AM"
station = "TEST"
location = "00"
[[station.channels]]
code = "ENZ"
tag = "shake-01.az"
sensitivity = 384500
azimuth = 0
dip = -90
[[station.channels]]
code = "ENN"
tag = "shake-01.an"
sensitivity = 384500
azimuth = 0
dip = 0
[[station.channels]]
code = "ENE"
tag = "shake-01.ae"
sensitivity = 384500
azimuth = 90
dip = 0
"""
"""Of an agent whose one station is a Raspberry Shake that sends to a port of its own."""


@functools.cache
def ridgecrest() -> tuple[Counts, ...]:
    """Counts of CI.CCC, east, north, up: micro-g."""
    lines = RIDGECREST.read_text("ascii").splitlines()
    return tuple(tuple(map(int, line.split(","))) for line in lines if line and not line.startswith("#"))


def quiet(seconds: float, seed: int = 1) -> Iterator[Counts]:
    """Noise of some micro-g."""
    noise = random.Random(seed)
    for _ in range(round(seconds * RATE_HZ)):
        yield tuple(round(noise.gauss(0, 20)) for _ in range(3))


def slam(milli_g: float = 30.0, seconds: float = 1.5) -> Iterator[Counts]:
    """A door: a vibration of 7 Hz that dies down."""
    for index in range(round(seconds * RATE_HZ)):
        swing = milli_g * 1000 * math.sin(2 * math.pi * 7 * index / RATE_HZ) * 0.98**index
        yield round(swing), round(swing / 2), round(swing / 3)


def station(number: int = 1, **more: Any) -> dict[str, Any]:
    ways = (("HNE", "ax", 90, 0), ("HNN", "ay", 0, 0), ("HNZ", "az", 0, -90))
    channels = [
        {"code": code, "tag": f"acc-{number}.{tag}", "sensitivity": SENSITIVITY, "unit": "g", "azimuth": az, "dip": dip}
        for code, tag, az, dip in ways
    ]
    return {"name": f"quake-{number}", "network": "CQ", "station": f"YF{number}", "channels": channels, **more}


def configuration(*stations: dict[str, Any], alarms: Sequence[dict[str, Any]] = ()) -> Configuration:
    """Stations, each with an accelerometer of its own, and a siren."""
    numbers = range(1, len(stations) + 1)
    tags = [{"name": name, "unit": "g", "channel": name} for name in ("ax", "ay", "az")]
    siren = {"name": "siren", "address": 5, "function": 1}
    buses = [{"name": f"line-{n}", "kind": "witmotion", "url": f"serial:///dev/ttyS{n}"} for n in numbers]
    devices = [
        {"name": f"acc-{n}", "bus": f"line-{n}", "rate_hz": RATE_HZ, "group": [{"name": "motion", "tag": tags}]}
        for n in numbers
    ]
    mistakes = Mistakes()
    made = read_configuration(
        {
            "bus": [*buses, {"name": "plc", "kind": "modbus", "url": "tcp://127.0.0.1:1502"}],
            "device": [
                *devices,
                {"name": "io", "bus": "plc", "group": [{"name": "out", "poll_s": 1, "tag": [siren]}]},
            ],
            "station": list(stations),
            "template": [TEMPLATE] if stations else [],
            "alarm": list(alarms),
            "output": [{"name": "siren", "tag": "io.siren", "on": True, "off": False}],
        },
        mistakes,
    )
    assert made is not None, mistakes.found
    return made


class Site:
    """One start of a gateway. ``at_s`` is the time since the start of the story, by the samples."""

    def __init__(self, store: Store, clock: Clocks, running: Configuration, folder: Path | None = None) -> None:
        self.store, self.clock, self.folder = store, clock, folder
        self.newest = Newest(clock.wall_at)
        self.stations = Stations(store, clock, Disk(folder, lambda: 10**8) if folder else None)
        self._tick_ns = clock.now_ns

        self.begin(running)

    def begin(self, running: Configuration, before: dict[str, Any] | None = None) -> None:
        acquisition = Acquisition(
            running,
            self.store,
            self.newest,
            self.clock,
            before or {},
            random.Random(1),
            stations=self.stations,
        )
        self.acquisition = acquisition

    @property
    def is_siren_on(self) -> bool:
        return self.acquisition._outputs["siren"].wants_on

    def alarms(self) -> set[str]:
        return {view.name for view in self.acquisition.alarms() if view.standing & 1}

    async def sample(self, *counts: Sequence[int] | None, quality: int = 0) -> None:
        """The next sample of every station; None where there is none."""
        self.clock.now_ns += STEP_NS
        self.clock.utc_ns += STEP_NS
        for number, one in enumerate(counts, 1):
            if one is not None:
                values = tuple(count / SENSITIVITY for count in one)
                self.acquisition.take(Scan(f"acc-{number}.motion", self.clock.now_ns, values, (quality,) * len(values)))
        await self.tick()

    async def tick(self) -> None:
        """Let a second that is over be one."""
        if self.clock.now_ns >= self._tick_ns:
            self._tick_ns += S
            for made in self.stations.tick():
                self.acquisition._use(made)
            await self.stations._send()
            await self.stations._keeping.write()

    async def play(self, *streams: Iterator[Counts] | Sequence[Counts]) -> None:
        for counts in zip(*streams, strict=True):
            await self.sample(*counts)

    async def pass_s(self, seconds: float) -> None:
        """Nothing is heard."""
        for _ in range(round(seconds * RATE_HZ)):
            await self.sample()


def records(folder: Path, lane: Lane) -> list[Record]:
    """All that a lane of the spool holds, oldest first."""
    spool, _ = Spool.open(folder / "spool.sqlite3", max_bytes=10**9, boot="late", clock=CLOCK)
    found: list[Record] = []
    for mark in spool.marks():
        after = 0
        while mark.lane is lane and after < mark.head:
            part = spool.read(mark.epoch, lane, after, 10**9)
            assert part is not None
            found += [decode_record(item) for item in part.items]
            after = part.last
    spool.close()
    return found


def quakes(folder: Path) -> list[QuakeRecord]:
    return [record for record in records(folder, Lane.ALARMS) if isinstance(record, QuakeRecord)]


__all__ = ("NOON", "RATE_HZ", "STEP_NS", "Clocks", "S", "Site", "configuration", "quakes", "quiet", "records")


def is_heard(port: int) -> bool:
    """Whether somebody has a UDP port open."""
    return f":{port:04X} " in Path("/proc/net/udp").read_text("ascii")
