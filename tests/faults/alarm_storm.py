"""Alarms by the thousand, while agents, power, fleet, links, clocks and disks fail and operators are at work."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from lab.errors import LabError
from lab.truth import Truth
from tests.faults import alarm_verdict
from tests.faults.alarm_verdict import Findings
from tests.faults.operators import Operators, list_alarms
from tests.faults.recovery import RECOVER_S, drain, recovers
from tests.faults.scene import PROGRAMS, Fault, Scene, say
from tests.faults.storage import cut_power
from tests.faults.yard import GATEWAYS, Play, Yard

ALARMS = 10_000
"""In all, if no other number is given."""
A_TRIAL = 200
"""Alarms of one trial among others."""
OFTEN = ("kill-agent", "power-cut", "kill-agents", "kill-fleet", "cut-link") * 2
FAULTS = (
    *OFTEN,
    *("kill-agent-twice", "killed-while-recovering", "stop-agent", "two-at-once", "three-at-once"),
    *("kill-ingest", "kill-relay", "kill-web", "kill-broker", "stop-ingest", "half-open", "answers-lost"),
    *("uploads-lost", "torn-log", "writes-reordered", "clock-jumps", "clock-a-year-behind", "database-locked"),
    *("platform-refuses", "platform-forgets"),
)
ANSWERED_THEN = ("answered-then-killed", "answered-then-cut") * 2
NOT_STORED = ("write-fails", "writes-fail", "sync-fails", "syncs-fail", "read-only", "disk-full")
"""While the disk takes nothing, alarms stand still: one that comes and goes meanwhile is in memory only."""
FAULTS_LEAST = 4
ROUND = 10
PAUSE_S = (0.3, 1.5)
SETTLE_S = 60.0
ANSWER_S, AGREE_S = 60.0, 30.0
LOOK_S = 0.5


def make_yards(truth: Truth) -> Sequence[Yard]:
    """The sites."""
    return [Yard(gateway, truth) for gateway in GATEWAYS]


class AlarmStorm:
    """One run on a district of yards. ``faults`` are all that there are; those that suit are used."""

    def __init__(self, scene: Scene, faults: dict[str, Fault]) -> None:
        self._scene = scene
        answered = {"answered-then-killed": self._answered_then_killed, "answered-then-cut": self._answered_then_cut}
        self._faults = {
            name: fault
            for name, fault in (faults | (answered if scene.disks else {})).items()
            if name in (*FAULTS, *NOT_STORED, *answered)
        }
        self._sides = scene.district.gateways
        self._yards = [side.station for side in self._sides if isinstance(side.station, Yard)]
        self._operators = Operators(random.Random(scene.source.random()))
        self._play = Play(self._yards, random.Random(scene.source.random()))
        for side, yard in zip(self._sides, self._yards, strict=True):
            yard.life = lambda agent=side.agent: agent.pid if agent.is_running else 0  # type: ignore[misc]

    async def run(self, count: int) -> tuple[int, Findings]:
        """Let so many alarms begin under faults. Returns how many rounds were not recovered from, and the findings."""
        async with self._operators_at_work():
            play = asyncio.create_task(self._play.go_on(count))
            try:
                not_recovered = await self._break_until(play, count)
                await self._settle(play)
            finally:
                play.cancel()
        return not_recovered, await self._compare()

    @asynccontextmanager
    async def _operators_at_work(self) -> AsyncIterator[None]:
        work = [asyncio.create_task(self._operators.work_on_site(side)) for side in self._sides]
        work += [
            asyncio.create_task(self._operators.work_at_console(self._scene.district.fleet, side.station.gateway))
            for side in self._sides
        ]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _break_until(self, play: asyncio.Task[None], count: int) -> int:
        not_recovered = number = 0
        names: list[str] = []
        while number < FAULTS_LEAST or (self._play.begun < count and not play.done()):
            if not names:
                names = [name for name in (*FAULTS, *ANSWERED_THEN, *NOT_STORED) if name in self._faults]
                self._scene.source.shuffle(names)
            began, name = time.monotonic(), names.pop()
            await self._inject(name)
            number += 1
            words = f"fault {number}: {name} for {time.monotonic() - began:.1f} s"
            if number % ROUND == 0:
                with self._standing_still(self._yards):
                    is_well = await recovers(self._scene.district)
                not_recovered += not is_well
                words += ", recovered" if is_well else f", NOT RECOVERED in {RECOVER_S:g} s"
            say(f"{words}; {self._play.begun} of {count} alarms, {len(self._operators.done)} operations on site")
            await self._scene.pause(*PAUSE_S)
        return not_recovered

    async def _fleet_runs(self) -> None:
        """Wait until every program of the fleet has been started again: a fault may be to one that is just down."""
        deadline = time.monotonic() + RECOVER_S
        for name in PROGRAMS:
            while time.monotonic() < deadline:
                with suppress(LabError):
                    self._scene.pid(name)
                    break
                await asyncio.sleep(LOOK_S)

    async def _inject(self, name: str) -> None:
        await self._fleet_runs()
        with self._standing_still(self._yards if name in NOT_STORED else ()):
            await self._faults[name]()

    @contextmanager
    def _standing_still(self, yards: Sequence[Yard]) -> Iterator[None]:
        """Let no alarm begin or end there: the disk takes nothing, or nothing is broken."""
        for yard in yards:
            yard.hold()
        try:
            yield
        finally:
            for yard in yards:
                yard.let_go()

    async def _answered_then_killed(self) -> None:
        """An agent is killed as soon as it has told an operator that a thing is done."""
        side = self._scene.any_gateway
        await self._operators.work_once(side, 1)
        await self._scene.kill_agent(side)
        await side.start_agent()

    async def _answered_then_cut(self) -> None:
        """The same by a power cut, with the link down."""
        side = self._scene.any_gateway
        side.link.cut()
        await self._operators.work_once(side, 1)
        await cut_power(self._scene, side)
        await side.start_agent()
        side.link.heal()

    async def _settle(self, play: asyncio.Task[None]) -> None:
        """Nothing is broken any more: every switch must be known for good soon."""
        try:
            await asyncio.wait_for(play, SETTLE_S)
        except TimeoutError:
            self._scene.fail(f"not every switch was read within {SETTLE_S:g} s")

    async def _compare(self) -> Findings:
        """Wait until the ends agree, or for `AGREE_S`, then count what does not."""
        await self._answered()
        beyond = [
            (yard.gateway, f"{tag}:high")
            for yard in self._yards
            for tag, switch in yard.switches.items()
            if switch.is_beyond
        ]
        await drain(self._scene.district)
        deadline = time.monotonic() + AGREE_S
        while True:
            findings = await self._judge(beyond)
            if not findings.words or time.monotonic() > deadline:
                return findings
            await asyncio.sleep(LOOK_S)

    async def _answered(self) -> None:
        """Wait until every request of the console is answered: the fleet asks again after 10 to 60 s."""
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            if not alarm_verdict.read_answers(self._scene.district.fleet.database_url)[1]:
                return
            await asyncio.sleep(LOOK_S)

    async def _judge(self, beyond: Sequence[alarm_verdict.Name]) -> Findings:
        district, findings = self._scene.district, Findings()
        database = district.fleet.database_url
        journal = alarm_verdict.read_journal(database)
        done, unanswered = alarm_verdict.read_answers(database)
        alarm_verdict.judge_raises(district.truth, journal, findings)
        alarm_verdict.judge_operations(
            [*self._operators.done, *done], self._operators.alike, journal, district.book.standings, findings
        )
        findings.acks_lost += len(unanswered)
        for asked in unanswered:
            findings.say(f"{asked} of the console was never answered")
        at_gateways: dict[alarm_verdict.Name, int] = {}
        for side in self._sides:
            at_gateways |= alarm_verdict.read_views(side.station.gateway, await list_alarms(side))
        alarm_verdict.judge_standings(at_gateways, alarm_verdict.read_standings(database), beyond, findings)
        at_work = self._operators
        self.told = (
            f"{self._play.begun} alarms; operations done: {len(at_work.done)} on site, {len(done)} at the console, of"
            f" {at_work.asked_at_console} requests; {at_work.failures} of {at_work.tries} looks were not answered"
        )
        return findings
