"""Updates under fire: releases that are bad in every way, and kills at any moment of good ones.

Every gateway of the district takes one release after the other. The launcher, and the agent with it, is killed at a
random time of each update and started again, as by a service manager. Whatever comes of the update, the gateway must be
back in the version before or in the new one; a bad release must never be the one that stays.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fleet.bootstrap import Services, bootstrap
from fleet.gateways.models import Gateway
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CLOSED, FINISHED
from fleet.settings import load
from lab.gateway_side import GatewaySide
from lab.release_engineer import FLAWS
from tests.faults.scene import Scene, say

UPDATE = "update"
KILLS = 500
WITHIN_S = 180.0
"""Within which an update must have come to its end, and its gateway be back."""
LOOK_S = 0.2
DEAF = "deaf"
LASTS_S = 9.0
"""About how long an update takes here: kills come within it, at any time."""
DOWN_S = (0.0, 1.5)
WORDS: Mapping[str, str] = {
    "crashes": "ended with status 1",
    "hangs": "no sign of life",
    "leaks": "signal 9",
    "unconnected": "welcome",
    "deaf": "bus",
}
"""What the reason for each bad release must say."""


class Findings(msgspec.Struct, kw_only=True):
    """``bricked``: gateways that did not come back in one of the two versions. ``installed_that_must_not``: bad or
    unsigned releases that stayed. ``unnamed``: bad releases that went without the right reason."""

    bricked: int = 0
    installed_that_must_not: int = 0
    unnamed: int = 0
    confirmed: int = 0
    rolled_back: int = 0
    kills: int = 0


class UpdateStorm:
    """On a district whose gateways are updated."""

    def __init__(self, scene: Scene) -> None:
        assert scene.district.engineer is not None
        self._scene = scene
        self._engineer = scene.district.engineer
        self._services: Services = bootstrap(load(scene.district.fleet.folder))
        self._numbers = itertools.count(1)
        self._signing = asyncio.Lock()
        self.findings = Findings()

    async def run(self, kills: int) -> int:
        """Try each bad release, then kill so many good ones. Returns how many gateways did not recover."""
        try:
            await self._attack()
            sides = self._scene.district.gateways
            await asyncio.gather(*(self._reported(side) for side in sides))
            flaws = [list(FLAWS)[number :: len(sides)] for number in range(len(sides))]
            await asyncio.gather(*(self._take_bad(side, some) for side, some in zip(sides, flaws, strict=True)))
            shares = [kills // len(sides) + (number < kills % len(sides)) for number in range(len(sides))]
            await asyncio.gather(*(self._kill_often(side, n) for side, n in zip(sides, shares, strict=True)))
        finally:
            self._services.close()
        say(f"updates: {msgspec.json.encode(self.findings).decode()}")
        return self.findings.bricked + self.findings.unnamed

    async def _attack(self) -> None:
        """Run the attacks on signatures and downloads: each test of them that fails has installed something."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/edge/fetching"]
        folder = Path(__file__).parents[2]
        done = await asyncio.to_thread(subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False)
        last = done.stdout.strip().rpartition("\n")[2]
        say(f"attacks on signatures and downloads: {last}")
        self.findings.installed_that_must_not += done.returncode != 0

    async def _release(self, flaw: str = "") -> str:
        version = f"0.{1 + next(self._numbers)}"
        async with self._signing:
            await asyncio.to_thread(self._engineer.release, version, flaw)
        return version

    async def _take_bad(self, side: GatewaySide, flaws: list[str]) -> None:
        for flaw in flaws:
            before, version = await self._running(side), await self._release(flaw)
            if flaw == DEAF:
                self._scene.befallen.deaf |= {side.station.gateway}
            action = await self._end(side, await self._assign(side, version, attempts=1))
            after = await self._running(side)
            say(f"{side.station.gateway}: a release that {flaw} is {action.step}: {action.detail}")
            self.findings.rolled_back += action.step == "rolled-back"
            self.findings.installed_that_must_not += after == version or action.state == FINISHED
            self.findings.bricked += after != before
            self.findings.unnamed += WORDS[flaw] not in action.detail

    async def _kill_often(self, side: GatewaySide, kills: int) -> None:
        for number in range(kills):
            before, version = await self._running(side), await self._release()
            action_id = await self._assign(side, version, attempts=5)
            await self._scene.pause(0.0, LASTS_S)
            await self._kill(side)
            action = await self._end(side, action_id)
            after = await self._running(side)
            self.findings.confirmed += action.state == FINISHED
            self.findings.bricked += after not in (before, version)
            if (number + 1) % 10 == 0:
                say(f"{side.station.gateway}: {number + 1} of {kills} kills; {action.state}, runs {after}")

    async def _kill(self, side: GatewaySide) -> None:
        self._scene.befallen.has_lost_memory = True
        self.findings.kills += 1
        os.kill(side.agent.pid, signal.SIGKILL)
        await side.agent.ended()
        await self._scene.pause(*DOWN_S)
        await side.start_agent()

    async def _assign(self, side: GatewaySide, version: str, attempts: int) -> int:
        def write() -> int:
            with self._services.database.writing() as session:
                gateway, now_ns = side.station.gateway, time.time_ns()
                return actions.assign(session, gateway, "agent", version, "faults", now_ns, attempts_most=attempts).id

        return await asyncio.to_thread(write)

    async def _end(self, side: GatewaySide, action_id: int) -> UpdateAction:
        """Wait for the end of an action. One that does not come leaves the gateway for bricked."""

        def read() -> UpdateAction:
            with self._services.database.reading() as session:
                return actions.get(session, action_id)

        deadline = time.monotonic() + WITHIN_S
        while (action := await asyncio.to_thread(read)).state not in CLOSED:
            if time.monotonic() > deadline:
                say(f"{side.station.gateway}: action {action_id} does not end: {action.state} {action.step}")
                self.findings.bricked += 1
                break
            await asyncio.sleep(LOOK_S)
        return action

    async def _reported(self, side: GatewaySide) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not await asyncio.to_thread(self._read_release, side) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    async def _running(self, side: GatewaySide) -> str:
        """Return the version by which a gateway is connected, "" if it does not come back in time."""
        release, deadline = "", time.monotonic() + WITHIN_S
        began_ns = time.time_ns()
        while not release and time.monotonic() < deadline:
            release = await asyncio.to_thread(self._read_release, side, began_ns)
            await asyncio.sleep(LOOK_S)
        return release

    def _read_release(self, side: GatewaySide, since_ns: int = 0) -> str:
        """Return what a gateway said that it runs, if it was heard since a time."""
        with self._services.database.reading() as session:
            gateway = session.get(Gateway, side.station.gateway)
            is_heard = gateway is not None and (gateway.last_seen_ns or 0) > since_ns and gateway.reported is not None
            return gateway.release if gateway is not None and is_heard else ""
