"""Many gateways in one process: the agent's own uplink and store each, without instruments.

    python -m tests.bench.crowd <url> <CA> <folder> <first> <count>

``fill`` on standard input puts a backlog and an alarm into every spool, ``alarms <seconds>`` more alarms into some of
them at random times, ``held`` answers with what the spools hold, in JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from edge.clock import SystemClock
from edge.live import Newest
from edge.release import RELEASE
from edge.settings import SpoolSettings, UplinkSettings
from edge.store import Store
from edge.uplink import Identity, Uplink
from tests.bench.ceiling import raise_ceiling
from wire.health import Health
from wire.record import AlarmRecord, Lane, Layout, ScanRecord, layout_id
from wire.twin import Desired, Reported, TagInfo

TAGS = tuple(f"tank-01.level-{n}" for n in range(10))
LAYOUT = Layout("tank-01.main", TAGS)
BACKLOG_S, PERIOD_S = 600, 5
COMMIT_SCANS = 12
"""Scans in a chunk: a minute's, to spare the one disk that stands for a thousand."""
ALARMED_SHARE = 0.3
FILLS_AT_ONCE = 8
NS = 10**9


class Gateway:
    """One gateway of the crowd."""

    def __init__(self, name: str, store: Store, clock: SystemClock, url: str, ca_file: Path) -> None:
        self._clock = clock
        self.store = store
        self.uplink = Uplink(
            UplinkSettings(url=url),
            Identity(name, f"machine of {name}", clock.boot),
            store,
            Newest(clock.wall_at),
            password="",
            ca_file=ca_file,
            clock=clock,
            health=self._health,
            report=lambda: Reported(version=0, release=RELEASE, tags=tuple(TagInfo(name=tag) for tag in TAGS)),
            take_desired=_ignore,
            take_command=lambda _: None,
            jitter=random.Random(name),
        )

    def _health(self) -> Health:
        lanes = self.store.figures.accounts
        return Health(release=RELEASE, uptime_s=0.0, clock="synced", lanes=lanes, groups={}, buses={}, outputs={})

    async def fill(self) -> None:
        """Store the scans of the last minutes and an alarm."""
        key, now_ns = layout_id(LAYOUT), self._clock.mono_ns()
        for n in range(BACKLOG_S // PERIOD_S):
            at_ns = now_ns + (n * PERIOD_S - BACKLOG_S) * NS
            values = tuple(random.randrange(4096) * 0.1 for _ in TAGS)
            self.store.put_scan(ScanRecord(key, at_ns, self._clock.wall_at(at_ns), values), LAYOUT)
            if n % COMMIT_SCANS == COMMIT_SCANS - 1:
                await self.store.commit()
        await self.alarm()

    async def alarm(self) -> None:
        """Store an alarm."""
        at_ns = self._clock.mono_ns()
        wall_ns = self._clock.wall_at(at_ns)
        self.store.put_event(AlarmRecord(at_ns, wall_ns, f"{TAGS[0]}:high", TAGS[0], "high", "raised", 2, 91.0, 90.0))
        await self.store.commit()


async def _ignore(_desired: Desired) -> None:
    return


class Crowd:
    """All gateways of this process."""

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._gateways = gateways
        self._busy: set[asyncio.Task[None]] = set()

    async def obey(self, line: str) -> str:
        """Carry out a command and return the answer."""
        match line.split():
            case ["fill"]:
                await self._fill()
            case ["alarms", seconds]:
                for gateway in self._gateways:
                    if random.random() < ALARMED_SHARE:
                        self._later(gateway, random.uniform(0, float(seconds)))
            case ["held"]:
                return json.dumps(await self._held())
        return "done"

    async def _fill(self) -> None:
        slots = asyncio.Semaphore(FILLS_AT_ONCE)

        async def fill(gateway: Gateway) -> None:
            async with slots:
                await gateway.fill()

        await asyncio.gather(*map(fill, self._gateways))

    def _later(self, gateway: Gateway, delay_s: float) -> None:
        async def alarm() -> None:
            await asyncio.sleep(delay_s)
            await gateway.alarm()

        task = asyncio.create_task(alarm())
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _held(self) -> dict[str, int]:
        """Count records assigned and pending in each lane, and the gateways that have a session."""
        counted = {"sessions": sum(gateway.uplink.has_session for gateway in self._gateways)}
        marks = [mark for gateway in self._gateways for mark in await gateway.store.marks()]
        for lane in (Lane.ALARMS, Lane.MEASUREMENTS):
            chosen = [mark for mark in marks if mark.lane is lane]
            counted[f"{lane} assigned"] = sum(mark.head for mark in chosen)
            counted[f"{lane} pending"] = sum(mark.head - mark.committed for mark in chosen)
        return counted


async def run(url: str, ca_file: Path, folder: Path, first: int, count: int) -> None:
    """Run them until the input ends."""
    clock, gateways = SystemClock(), []
    for number in range(first, first + count):
        name = f"gw-bench-{number:04d}"
        store = await Store.open(folder / name / "spool.sqlite3", SpoolSettings(), clock)
        gateways.append(Gateway(name, store, clock, url, ca_file))
    crowd = Crowd(gateways)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = [asyncio.create_task(work()) for g in gateways for work in (g.store.commit_forever, g.uplink.run)]
    print("ready", flush=True)
    while line := (await reader.readline()).decode():
        print(await crowd.obey(line), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def main() -> None:
    raise_ceiling()
    logging.getLogger("edge").setLevel(logging.ERROR)  # a thousand lost connections are what it is about
    url, ca_file, folder, first, count = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(url, Path(ca_file), Path(folder), int(first), int(count)))


if __name__ == "__main__":
    main()
