"""Random, seeded faults against the district in a box, judged by the lab's independent count.

One district runs for all trials. Each trial injects one fault, lets it act, then waits until every instrument's newest
scan is at the platform again. At the end the instruments fall silent and the counts must agree. A gateway that is
killed loses the scans that it had read and not yet stored; those are told apart by seq, which has no holes: what the
spool took must arrive. The last line is one JSON object; the exit status is 0 only if its five counts are 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from lab import report
from lab.district import District
from lab.errors import LabError
from lab.processes import descendants

RECOVER_S = 60.0
ACT_S = 3.0
LOOK_S = 0.25
PROGRAMS = {"ingest": "fleet.cli ingest", "relay": "fleet.cli relay", "web": "fleet.cli web", "broker": "fleet.broker"}

Fault = Callable[[], Awaitable[None]]


class Trials:
    """The faults, by kind, on one running district."""

    def __init__(self, district: District, source: random.Random) -> None:
        self._district = district
        self._source = source
        self.has_killed_agent = False
        self.kinds: Mapping[str, Fault] = {
            **{f"kill-{name}": self._killing(name) for name in PROGRAMS},
            **{f"stop-{name}": self._stopping(name) for name in PROGRAMS},
            "cut-link": self._cut_link,
            "kill-agent": self._kill_agent,
        }

    def _pid(self, name: str) -> int:
        words = PROGRAMS[name]
        for pid, command in descendants(self._district.fleet.pid).items():
            if f"-m {words} " in f"{command} ":
                return pid
        raise LabError(f"{name} does not run")

    def _killing(self, name: str) -> Fault:
        async def kill() -> None:
            os.kill(self._pid(name), signal.SIGKILL)
            await asyncio.sleep(ACT_S)

        return kill

    def _stopping(self, name: str) -> Fault:
        async def stop() -> None:
            pid = self._pid(name)
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(self._source.uniform(1, 8))
            finally:
                os.kill(pid, signal.SIGCONT)

        return stop

    async def _cut_link(self) -> None:
        gateway = self._source.choice(self._district.gateways)
        gateway.link.cut()
        await asyncio.sleep(self._source.uniform(1, 12))
        gateway.link.heal()

    async def _kill_agent(self) -> None:
        self.has_killed_agent = True
        gateway = self._source.choice(self._district.gateways)
        await gateway.agent.kill()
        await asyncio.sleep(self._source.uniform(0, 2))
        await gateway.start_agent()

    async def recovers(self) -> bool:
        """Wait until scans that were served from now on have arrived from every instrument."""
        heads = [(ledger, ledger.head) for ledger in self._district.ledgers]
        deadline = time.monotonic() + RECOVER_S
        while any(self._district.newest_arrived(ledger) <= head for ledger, head in heads):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True


async def run(trials: int, seed: int, kind: str | None) -> dict[str, int]:
    """Run the trials and count."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="fengsui-faults-") as folder:
        district = District(Path(folder) / "district", lambda text: print(text, file=sys.stderr))
        try:
            await district.open()
            return await _run_on(district, trials, seed, kind, source)
        finally:
            await district.close()


async def _run_on(
    district: District, trials: int, seed: int, kind: str | None, source: random.Random
) -> dict[str, int]:
    faults = Trials(district, source)
    chosen = [kind] * trials if kind else _spread(list(faults.kinds), trials, source)
    scenarios = [district.overfill, district.leak, district.quake]
    not_recovered = 0
    for number, name in enumerate(chosen, 1):
        print(f"trial {number} of {trials}: {name}", file=sys.stderr)
        if number <= len(scenarios):  # an alarm is under way while the first faults act
            await scenarios[number - 1]()
        await faults.kinds[name]()
        not_recovered += not await faults.recovers()
    await district.drain(is_whole=not faults.has_killed_agent)
    book = district.book
    seq_gaps = sum(last - first + 1 for ranges in book.gaps().values() for first, last in ranges)
    lost = seq_gaps if faults.has_killed_agent else report.count_records_lost(district.ledgers, book)
    return {
        "trials": trials,
        "kinds": len(set(chosen)),
        "lost": lost,
        "duplicated": report.count_duplicated(district.ledgers, book),
        "undeclared": seq_gaps,
        "missed_alarms": len(district.truth.unreported),
        "not_recovered": not_recovered,
        "seed": seed,
    }


def _spread(kinds: list[str], trials: int, source: random.Random) -> list[str]:
    """Choose kinds so that each comes before any comes twice."""
    chosen: list[str] = []
    while len(chosen) < trials:
        source.shuffle(kinds)
        chosen += kinds
    return chosen[:trials]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind")
    options = parser.parse_args()
    try:
        counts = asyncio.run(run(options.trials, options.seed, options.kind))
    except KeyError as error:
        parser.error(f"there is no fault {error}")
    print(json.dumps(counts))
    failing = ("lost", "duplicated", "undeclared", "missed_alarms", "not_recovered")
    return 1 if any(counts[name] for name in failing) else 0


if __name__ == "__main__":
    sys.exit(main())
