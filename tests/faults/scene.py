"""What a fault is given: the district, chance, and what it has to say about itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from lab.district import District
from lab.errors import LabError
from lab.gateway_side import GatewaySide
from lab.processes import descendants
from tests.faults.disk import Disk

Fault = Callable[[], Awaitable[None]]
PROGRAMS = {"ingest": "fleet.cli ingest", "relay": "fleet.cli relay", "web": "fleet.cli web", "broker": "fleet.broker"}
ACT_S = 3.0
"""How long a fault without a time of its own is left to act."""


class Scene:
    """A running district, and one of its gateways on a disk of its own if that could be had."""

    def __init__(self, district: District, source: random.Random, disk: Disk | None = None) -> None:
        self.district = district
        self.source = source
        self.disk = disk
        self.has_lost_memory = False
        """An agent has lost what it had read and not yet stored."""

    @property
    def any_gateway(self) -> GatewaySide:
        """One of them, by chance."""
        return self.source.choice(self.district.gateways)

    @property
    def disk_gateway(self) -> GatewaySide:
        """The one whose data are on the disk of its own."""
        assert self.disk is not None
        return next(side for side in self.district.gateways if self.disk.folder.parent == side.folder)

    def pid(self, name: str) -> int:
        """Find a program of the fleet. Raises LabError."""
        words = PROGRAMS[name]
        for pid, command in descendants(self.district.fleet.pid).items():
            if f"-m {words} " in f"{command} ":
                return pid
        raise LabError(f"{name} does not run")

    async def pause(self, least_s: float, most_s: float) -> None:
        """Let something act for a time by chance."""
        await asyncio.sleep(self.source.uniform(least_s, most_s))

    async def kill_agent(self, side: GatewaySide) -> None:
        """End an agent with SIGKILL. It stays down."""
        self.has_lost_memory = True
        await side.agent.kill()

    async def freeze(self, pid: int, least_s: float, most_s: float) -> None:
        """Stop a process for a time."""
        os.kill(pid, signal.SIGSTOP)
        try:
            await self.pause(least_s, most_s)
        finally:
            os.kill(pid, signal.SIGCONT)
