"""`fengsui-fleet serve`: starts the programs as children, restarts one that dies, ends them.

start  broker, relay, notify (if there are rules), seedlink (if it is set), web; once the broker is up, upkeep, ingest
end    all at once, the broker after them: ingest says goodbye to it

Upkeep waits because broker and upkeep write the same list of revoked certificates at their start, and upkeep then has a
Mosquitto read it again by a signal, which ends one that is not yet up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from fleet.bootstrap import bootstrap, check_database
from fleet.errors import SetupError
from fleet.programs import check_free
from fleet.settings import DATABASE_URL, Settings, load, split_address

log = logging.getLogger(__name__)

RESTART_MIN_S = 0.5
RESTART_MAX_S = 30.0
STEADY_S = 60.0
"""A child that ran this long starts again without delay when it dies."""
STARTED_S = 5.0
"""A child that ends by itself sooner, on the very first try, makes the start a failure."""
END_WITHIN_S = 10.0
BROKER_UP_S = 20.0
AFTER_BROKER = ("upkeep", "ingest")
LISTENING = (
    "http",
    "mqtt",
    "mqtts",
    "broker_url",
    "ingest_metrics",
    "relay_metrics",
    "upkeep_metrics",
    "notify_metrics",
    "seedlink",
    "seedlink_tls",
    "seedlink_metrics",
)
"""Settings that a command line may override, and that a program is then told on its own."""


def serve(settings: Settings) -> None:
    """Run everything until SIGTERM or SIGINT. Raises SetupError if it cannot start."""
    services = bootstrap(settings)
    try:
        check_database(services)
    finally:
        services.close()
    broker = [] if settings.broker_url else ["broker"]
    notify = ["notify"] if settings.notify_rules else []
    seedlink = ["seedlink"] if settings.seedlink or settings.seedlink_tls else []
    names = [*broker, "relay", *notify, *seedlink, "web"]
    listened = ["http", "ingest_metrics", "relay_metrics", "upkeep_metrics"]
    listened += ["notify_metrics"] * len(notify) + ["seedlink", "seedlink_tls", "seedlink_metrics"] * len(seedlink)
    for setting in listened + ["mqtt", "mqtts"] * len(broker):
        if address := getattr(settings, setting):
            check_free(address, setting)
    asyncio.run(_serve(settings, names))


async def _serve(settings: Settings, names: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    children: list[Child] = []
    failed: str | None = None
    try:
        for name in names:
            children.append(Child(name, settings))
            await children[-1].start()
        if not settings.broker_url:
            await _wait_for_broker(settings, children, stop)
        for name in AFTER_BROKER:
            children.append(Child(name, settings))
            await children[-1].start()
        log.info("console at http://%s/", settings.http)
        failed = await _watch(children, stop)
    finally:
        brokers = [child for child in children if child.name == "broker"]
        await asyncio.gather(*(child.end() for child in children if child not in brokers))
        await asyncio.gather(*(child.end() for child in brokers))
    if failed is not None:
        raise SetupError(f"'{failed}' could not start", hint="its own message stands above")


async def _watch(children: list[Child], stop: asyncio.Event) -> str | None:
    """Wait for the signal to stop. Returns the name of a child that could not start, if there was one."""
    keepers = {asyncio.create_task(child.keep(), name=child.name): child for child in children}
    stopped = asyncio.create_task(_until(stop), name="stop")
    waited: set[asyncio.Task[None]] = {*keepers, stopped}
    done, pending = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return next((keepers[task].name for task in done if task in keepers), None)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _wait_for_broker(settings: Settings, children: Sequence[Child], stop: asyncio.Event) -> None:
    """Wait until it listens, but not for one that has died, nor when another program could not start."""
    host, port = split_address(settings.mqtt, "mqtt")
    deadline = time.monotonic() + BROKER_UP_S
    while time.monotonic() < deadline and not stop.is_set() and children[0].is_running:
        if any(child.has_failed for child in children):
            return
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1" if host == "0.0.0.0" else host, port)  # noqa: S104
            writer.close()
            return
        await asyncio.sleep(0.05)


class Child:
    """One program in a process of its own."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._command = command(name, settings)
        self._environment = environment(settings)
        self._process: Process | None = None
        self._started_at = 0.0
        self._restarts = 0

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def has_failed(self) -> bool:
        """Whether its process has ended with an error of its own."""
        return self._process is not None and (self._process.returncode or 0) > 0

    async def start(self) -> None:
        """Start the process. It has a session of its own, so that Ctrl-C reaches only the parent."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, start_new_session=True
        )
        self._started_at = time.monotonic()

    async def keep(self) -> None:
        """Start it again whenever it dies. Returns only if it never came up."""
        delay_s = RESTART_MIN_S
        while self._process is not None:
            status = await self._process.wait()
            ran_s = time.monotonic() - self._started_at
            if ran_s < STARTED_S and self._restarts == 0 and status > 0:
                return
            delay_s = RESTART_MIN_S if ran_s > STEADY_S else min(delay_s * 2, RESTART_MAX_S)
            log.warning("%s ended with status %d, starting it again in %.1f s", self.name, status, delay_s)
            await asyncio.sleep(delay_s)
            self._restarts += 1
            await self.start()

    async def end(self) -> None:
        """End the process and wait for it."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), END_WITHIN_S)
        except TimeoutError:
            log.warning("%s did not end within %.0f s and is killed", self.name, END_WITHIN_S)
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def command(name: str, settings: Settings) -> list[str]:
    """Return the command that runs a program with these settings: only what differs from the settings' file.

    Every user of the machine can read a command, and a database URL may hold a password: see `environment`.
    """
    is_ours = name == "broker" and not settings.broker_program
    program = ["-m", "fleet.broker"] if is_ours else ["-m", "fleet.cli", name]
    written = load(settings.data_dir)
    words = []
    for setting in LISTENING:
        if (value := getattr(settings, setting)) != getattr(written, setting):
            words += [f"--{setting.replace('_', '-')}", value]
    return [sys.executable, *program, "--data", str(settings.data_dir), "--supervised", str(os.getpid()), *words]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a program, which only its owner can read."""
    return {**os.environ, DATABASE_URL: settings.database_url}
