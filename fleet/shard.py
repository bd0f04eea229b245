"""Some of the gateways, by the hash of their names: what they sent and the worker that commits it.

One turn is at the worker at a time, and everything else waits here, so that a batch of lane A that comes later is
still taken first. A worker that dies takes its turn with it: the gateways hold those records and send them again. The
next one knows no session and greets them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from fleet.backlog import Backlog, Incoming
from fleet.metrics import IngestMetrics
from fleet.worker import LENGTH_OCTETS, Answer, Begin, Outcome, frame
from wire.topics import Up

log = logging.getLogger(__name__)

RESTART_MIN_S = 0.2
RESTART_MAX_S = 10.0
STEADY_S = 60.0
"""A worker that ran this long starts again without delay when it dies."""
END_WITHIN_S = 5.0
Publish = Callable[[list[Answer]], Awaitable[None]]
NoteDatabase = Callable[[], None]


class WorkerDiedError(Exception):
    """The worker is gone. `Shard.run` counts what it had as dropped, and starts another."""


class Shard:
    """Takes messages with `put`; `run` hands them to a worker and its answers to ``publish``.

    ``note_database`` is called after each turn; `fault` then says why the database did not commit, "" if it did.
    """

    def __init__(self, url: str, metrics: IngestMetrics, publish: Publish, note_database: NoteDatabase) -> None:
        self._url = url
        self._metrics = metrics
        self._publish = publish
        self._note_database = note_database
        self._backlog = Backlog()
        self._filled = asyncio.Event()
        self._process: Process | None = None
        self.fault = ""

    @property
    def pid(self) -> int:
        """The worker's process, 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    def put(self, gateway: str, kind: Up, incoming: Incoming) -> None:
        """Take a message of one of the gateways."""
        if self._backlog.put(gateway, kind, incoming, time.monotonic()):
            self._filled.set()
        else:
            self._metrics.dropped.inc()

    async def run(self) -> None:
        """Work until cancelled."""
        delay_s = RESTART_MIN_S
        while True:
            began_s = time.monotonic()
            try:
                async with self._worker() as process:
                    while True:
                        await self._take_turn(process)
            except WorkerDiedError:
                delay_s = RESTART_MIN_S if time.monotonic() - began_s > STEADY_S else min(delay_s * 2, RESTART_MAX_S)
                log.error("a worker died, starting another in %.1f s; its gateways will send again", delay_s)
                self._metrics.worker_deaths.inc()
            await asyncio.sleep(delay_s)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Process]:
        command = [sys.executable, "-m", "fleet.worker"]
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        except OSError as error:
            log.error("a worker cannot be started: %s", error)
            raise WorkerDiedError from error
        self._process = process
        try:
            await _send(process, frame(Begin(self._url, logging.getLogger().getEffectiveLevel())))
            yield process
        finally:
            self._process = None
            await _end(process)

    async def _take_turn(self, process: Process) -> None:
        await self._filled.wait()
        turn = self._backlog.take()
        if not turn:
            self._filled.clear()
            return
        try:
            await _send(process, frame([waiting.incoming for waiting in turn]))
            outcome = await _receive(process)
        except WorkerDiedError:
            self._metrics.dropped.inc(len(turn))
            raise
        self._metrics.add(outcome.counts)
        self.fault = outcome.fault
        if outcome.fault:
            self._metrics.dropped.inc(len(turn))
        else:
            self._metrics.transactions.inc()
        self._note_database()
        self._backlog.give_back(turn[outcome.taken :])
        await self._publish(outcome.answers)


async def _send(process: Process, octets: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(octets)
        await process.stdin.drain()
    except ConnectionError as error:
        raise WorkerDiedError from error


async def _receive(process: Process) -> Outcome:
    assert process.stdout is not None
    try:
        size = int.from_bytes(await process.stdout.readexactly(LENGTH_OCTETS), "big")
        return msgspec.msgpack.decode(await process.stdout.readexactly(size), type=Outcome)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise WorkerDiedError from error


async def _end(process: Process) -> None:
    """Let a worker end what it is committing, but not for long."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_WITHIN_S):
            await process.wait()
    except TimeoutError:
        log.warning("a worker did not end within %.0f s and is killed", END_WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
