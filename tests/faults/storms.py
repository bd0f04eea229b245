"""Kills and power cuts by the hundred: no recovery is waited for after each, only after each round.

A trial is one SIGKILL that was delivered to a running program, or one power cut of a gateway. Alarms begin all the
while. The programs of the fleet run apart here and are started again at once, as by a service manager: below
`fengsui-fleet serve` one that dies often is started ever more rarely, which would spare it most of the kills. That
supervisor has faults of its own, ``kill-ingest`` and the like.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from lab.gateway_side import GatewaySide
from lab.processes import Child
from tests.faults.recovery import recovers
from tests.faults.scene import PROGRAMS, Scene, say
from tests.faults.storage import cut_power

ROUND = 40
KILLS_EVERY_S = (0.0, 1.2)
RESTART_S = (0.0, 0.6)
UP_S = 2.0
"""Who has run this long is at work and not just starting."""
AT_WORK_S = 15.0
ONE_IN_START = 8
"""One power cut in so many comes while the agent starts."""

Storm = Callable[[Scene, int], Awaitable[int]]
"""Given how many; returns how many of its rounds were not recovered from."""


async def kills(scene: Scene, trials: int) -> int:
    """Kill agents and programs of the fleet, one after the other, at random times, each as often as any other."""
    await scene.district.fleet.take_apart()
    victims = _Victims(scene)
    async with victims.kept():
        return await _in_rounds(scene, trials, victims.kill_some, victims.told)


async def power_cuts(scene: Scene, trials: int) -> int:
    """Cut the power of all gateways, each by itself, at random times; half of the times with its link down."""
    cuts = _Cuts(scene)
    return await _in_rounds(scene, trials, cuts.cut_some, cuts.told)


STORMS: Mapping[str, Storm] = {"kill": kills, "power-cut": power_cuts}


async def _in_rounds(scene: Scene, trials: int, some: Callable[[int], Awaitable[None]], told: Callable[[], str]) -> int:
    done = not_recovered = 0
    while done < trials:
        count = min(ROUND, trials - done)
        began = time.monotonic()
        await some(count)
        done += count
        acted_s = time.monotonic() - began
        is_well = await recovers(scene.district)
        not_recovered += not is_well
        took_s = time.monotonic() - began - acted_s
        words = f"recovered in {took_s:.1f} s" if is_well else "NOT RECOVERED"
        say(f"{done} of {trials}: {count} in {acted_s:.1f} s, {words}; {told()}")
    return not_recovered


class _Program:
    """A program that is started again whenever it ends, as by a service manager."""

    def __init__(self, kind: str, child: Child, start: Callable[[], Awaitable[None]]) -> None:
        self.kind = kind
        self.child = child
        self._start = start
        self.up_since = 0.0
        self.starts = 0

    async def keep(self, scene: Scene) -> None:
        """Start it again until cancelled."""
        while True:
            await self.child.ended()
            await scene.pause(*RESTART_S)
            await self._start()
            self.starts += 1
            self.up_since = time.monotonic()


class _Victims:
    """Who can be killed."""

    def __init__(self, scene: Scene) -> None:
        fleet = scene.district.fleet
        self._scene = scene
        self._programs = {
            "agent": [_Program("agent", side.agent, side.start_agent) for side in scene.district.gateways]
        }
        for name in PROGRAMS:
            self._programs[name] = [_Program(name, fleet.programs[name], partial(fleet.start_program, name))]
        self._killed: dict[str, int] = {}
        self._at_work = 0

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep all of them running."""
        keepers = [asyncio.create_task(each.keep(self._scene)) for some in self._programs.values() for each in some]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    def told(self) -> str:
        """Say who was killed how often."""
        words = ", ".join(f"{name} {count}" for name, count in sorted(self._killed.items()))
        starts = sum(each.starts for some in self._programs.values() for each in some)
        by_themselves = max(0, starts - sum(self._killed.values()))
        return f"{self._at_work} had run for {UP_S:g} s or more ({words}); {by_themselves} ended by themselves"

    async def kill_some(self, count: int) -> None:
        """Kill so many."""
        for _ in range(count):
            await self._scene.pause(*KILLS_EVERY_S)
            await self._kill_one()

    async def _kill_one(self) -> None:
        program = self._choose()
        while not program.child.is_running:  # it has just been killed
            await asyncio.sleep(0.05)
            program = self._choose()
        self._scene.befallen.has_lost_memory = self._scene.befallen.has_lost_memory or program.kind == "agent"
        self._at_work += time.monotonic() - program.up_since >= UP_S
        os.kill(program.child.pid, signal.SIGKILL)
        self._killed[program.kind] = self._killed.get(program.kind, 0) + 1
        await program.child.ended()

    def _choose(self) -> _Program:
        """Choose a kind of program, each as often as any other, then one of it."""
        kind = self._scene.source.choice(sorted(self._programs))
        return self._scene.source.choice(self._programs[kind])


class _Cuts:
    """Power cuts of all gateways at once, each in a loop of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._left = 0
        self._alone = self._at_work = self._ended = 0

    def told(self) -> str:
        """Say what was cut when."""
        return f"{self._at_work} while at work, {self._alone} with the link down; {self._ended} ended by themselves"

    async def cut_some(self, count: int) -> None:
        """Cut so many times in all."""
        self._left = count
        await asyncio.gather(*(self._cut_often(side) for side in self._scene.district.gateways))

    async def _cut_often(self, side: GatewaySide) -> None:
        while self._left > 0:
            if not side.agent.is_running:  # it ended by itself: the service manager starts it again
                self._ended += 1
                await asyncio.sleep(RESTART_S[1])
                await side.start_agent()
                continue
            self._left -= 1
            is_alone = self._scene.source.random() < 0.5
            if is_alone:
                side.link.cut()
            if self._scene.source.randrange(ONE_IN_START):
                is_at_work = await self._works(side)
                self._at_work += is_at_work
            await self._scene.pause(0, 3)
            self._alone += is_alone
            await cut_power(self._scene, side)
            await side.start_agent()
            side.link.heal()

    async def _works(self, side: GatewaySide) -> bool:
        """Wait until the agent has read something new from any of its instruments; for no longer than `AT_WORK_S`."""
        ledgers = [ledger for ledger in self._scene.district.ledgers if ledger.gateway == side.station.gateway]
        heads = [ledger.head for ledger in ledgers]
        deadline = time.monotonic() + AT_WORK_S
        while all(ledger.head == head for ledger, head in zip(ledgers, heads, strict=True)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True
