"""What a fault is given: the district, chance, and what it has to say about itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from lab.district import District
from lab.errors import LabError
from lab.gateway_side import GatewaySide
from lab.ledger import Ledger
from lab.processes import descendants
from tests.faults.alarms import Alarms
from tests.faults.disk import Disk
from tests.faults.verdict import Befallen, Healthy

Fault = Callable[[], Awaitable[None]]
PROGRAMS = {"ingest": "fleet.cli ingest", "relay": "fleet.cli relay", "web": "fleet.cli web", "broker": "fleet.broker"}
GO_ON_S = 4.0
ARRIVE_S = 60.0
ACT_S = 3.0
"""How long a fault without a time of its own is left to act."""


def say(text: str) -> None:
    """Tell people how it goes."""
    print(text, file=sys.stderr, flush=True)


class Scene:
    """A running district. ``disks`` are those of its gateways, if file systems can be mounted here."""

    def __init__(self, district: District, source: random.Random, disks: Mapping[str, Disk]) -> None:
        self.district = district
        self.source = source
        self.disks = disks
        self.alarms = Alarms(district, random.Random(source.random()))
        self.befallen = Befallen()
        self.failures = 0
        """What had to hold during a fault and did not."""
        self.healthy: list[Healthy] = []
        """Times in which nothing kept a gateway's alarms from the fleet."""

    @property
    def any_gateway(self) -> GatewaySide:
        """One of them, by chance."""
        return self.source.choice(self.district.gateways)

    @property
    def quiet_gateway(self) -> GatewaySide:
        """One without an alarm, by chance: one that forgets that an alarm is up raises it again, and rightly so."""
        return self.source.choice([side for side in self.district.gateways if self.is_quiet(side)])

    def is_quiet(self, side: GatewaySide) -> bool:
        """Tell whether no alarm is up or under way at a gateway."""
        return self.alarms.is_quiet(side.station.gateway)

    def gateway(self, name: str) -> GatewaySide:
        """The one of that name."""
        return next(side for side in self.district.gateways if side.station.gateway == name)

    def disk(self, side: GatewaySide) -> Disk:
        """The disk of a gateway."""
        return self.disks[side.station.gateway]

    def pid(self, name: str) -> int:
        """Find a program of the fleet. Raises LabError."""
        apart = self.district.fleet.programs.get(name)
        if apart is not None and apart.is_running:
            return apart.pid
        words = PROGRAMS[name]
        for pid, command in descendants(self.district.fleet.pid).items():
            if f"-m {words} " in f"{command} ":
                return pid
        raise LabError(f"{name} does not run")

    async def pause(self, least_s: float, most_s: float) -> None:
        """Let something act for a time by chance."""
        await asyncio.sleep(self.source.uniform(least_s, most_s))

    async def expect_alarms(self, gateway: str | None, for_s: float) -> None:
        """Let alarms begin while nothing keeps them from the fleet: each must be there in time.

        Of one gateway, or of all that have causes of alarms.
        """
        from_ns = time.monotonic_ns()
        for _ in range(2):
            await self.alarms.start(gateway)
        await asyncio.sleep(for_s)
        self.healthy.append(Healthy(gateway, from_ns, time.monotonic_ns()))

    @asynccontextmanager
    async def surroundings(self, side: GatewaySide, *words: str) -> AsyncIterator[None]:
        """Run an agent with ``words`` before its command, variables or a program, and as before afterwards."""
        self.befallen.has_lost_memory = True
        await side.agent.stop()
        side.before = ("env", *words)
        await side.start_agent()
        try:
            yield
        finally:
            side.before = ()
            await side.agent.kill()
            await side.start_agent()

    def ledgers(self, side: GatewaySide) -> list[Ledger]:
        """What a gateway's instruments served."""
        return [ledger for ledger in self.district.ledgers if ledger.gateway == side.station.gateway]

    async def must_go_on(self, side: GatewaySide) -> None:
        """Hold that a gateway reads its instruments, whatever else is the matter."""
        heads = [ledger.head for ledger in self.ledgers(side)]
        await asyncio.sleep(GO_ON_S)
        if all(ledger.head == head for ledger, head in zip(self.ledgers(side), heads, strict=True)):
            self.fail(f"{side.station.gateway} reads nothing")

    async def arrives(self, side: GatewaySide) -> None:
        """Wait until something new of a gateway is at the platform; for no longer than a minute."""
        newest = [(ledger, self.district.newest_arrived(ledger)) for ledger in self.ledgers(side)]
        deadline = time.monotonic() + ARRIVE_S
        while all(self.district.newest_arrived(ledger) <= before for ledger, before in newest):
            if time.monotonic() > deadline:
                self.fail(f"nothing of {side.station.gateway} arrives")
                return
            await asyncio.sleep(0.1)

    def fail(self, words: str) -> None:
        """Note that something which must hold during a fault does not."""
        say(words)
        self.failures += 1

    async def kill_agent(self, side: GatewaySide) -> None:
        """End an agent with SIGKILL. It stays down."""
        self.befallen.has_lost_memory = True
        await side.agent.kill()

    async def freeze(self, pid: int, least_s: float, most_s: float) -> None:
        """Stop a process for a time."""
        os.kill(pid, signal.SIGSTOP)
        try:
            await self.pause(least_s, most_s)
        finally:
            os.kill(pid, signal.SIGCONT)
