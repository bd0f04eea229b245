"""Many gateways in one process that do nothing but take releases, each with a connection of its own.

    python -m tests.bench.updating <port> <first> <count>

Each reports what it is, answers every target with the steps of an update at the pace of a small bundle and a short
trial, and some go back to the version before.
"""

from __future__ import annotations

import asyncio
import random
import sys

import aiomqtt
import uvloop

from tests.bench.ceiling import raise_ceiling
from wire.codec import decode, encode
from wire.topics import Down, Up, format_topic
from wire.twin import Reported
from wire.update import Progress, Step, Target

PACE_S: tuple[tuple[Step, float], ...] = (
    ("downloading", 1.0),
    ("verified", 4.0),
    ("installed", 1.0),
    ("trying", 1.0),
    ("confirmed", 8.0),
)
"""Steps, each with about how long it takes to come to it."""
ROLLED_BACK_EVERY = 50
CONNECTING_AT_ONCE = 50


class Gateway:
    """One gateway. It takes each action once, and tells again what it said last when it is offered again."""

    def __init__(self, number: int) -> None:
        self.name = f"gw-bench-{number:04d}"
        self._is_bad = number % ROLLED_BACK_EVERY == ROLLED_BACK_EVERY - 1
        self._told: dict[tuple[str, int], Progress] = {}
        self._release = "0.1.0"
        self._busy: set[asyncio.Task[None]] = set()

    async def run(self, port: int, slots: asyncio.Semaphore) -> None:
        """Connect, report, and take what is offered, until cancelled."""
        async with slots:
            client = aiomqtt.Client("127.0.0.1", port, identifier=self.name)
            await client.__aenter__()
            await client.subscribe(format_topic(self.name, Down.TARGET), qos=1)
            await self._report(client)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            await self._take(client, decode(message.payload, Target))

    async def _take(self, client: aiomqtt.Client, target: Target) -> None:
        key = (target.action, target.attempt)
        if key in self._told:
            await self._say(client, self._told[key])
            return
        self._told[key] = self._progress(target, "waiting")
        task = asyncio.create_task(self._update(client, target))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _update(self, client: aiomqtt.Client, target: Target) -> None:
        for step, after_s in PACE_S:
            await asyncio.sleep(random.uniform(0.5, 1.5) * after_s)
            is_bad = self._is_bad and step == "confirmed"
            said = self._progress(target, "rolled-back" if is_bad else step, "bus plc did not come back" * is_bad)
            self._told[target.action, target.attempt] = said
            await self._say(client, said)
        if not self._is_bad:
            self._release = target.version
            await self._report(client)

    def _progress(self, target: Target, step: Step, detail: str = "") -> Progress:
        return Progress(
            action=target.action,
            kind=target.kind,
            version=target.version,
            attempt=target.attempt,
            step=step,
            detail=detail,
        )

    async def _say(self, client: aiomqtt.Client, said: Progress) -> None:
        await client.publish(format_topic(self.name, Up.PROGRESS), encode(said), qos=1)

    async def _report(self, client: aiomqtt.Client) -> None:
        said = Reported(version=0, release=self._release, installs=("agent",), hardware="x86_64")
        await client.publish(format_topic(self.name, Up.REPORTED), encode(said), qos=1)


async def run(port: int, first: int, count: int) -> None:
    """Run them until the input ends."""
    slots = asyncio.Semaphore(CONNECTING_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for number in range(first, first + count):
            group.create_task(Gateway(number).run(port, slots))
        print("ready", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    raise_ceiling()
    port, first, count = map(int, sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(port, first, count))


if __name__ == "__main__":
    main()
