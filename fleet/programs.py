"""Run one program in this process until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services, bootstrap, check_database
from fleet.errors import SetupError
from fleet.metrics import Health, MetricsServer
from fleet.parenthood import follow
from fleet.settings import Settings, split_address

CANCEL_AGAIN_S = 0.5


def run(program: str, settings: Settings, supervised_by: int = 0) -> None:
    """Run a program. ``supervised_by`` is the process that started it: when that one dies, so does this."""
    if supervised_by:
        follow(supervised_by)
    services = bootstrap(settings)
    try:
        check_database(services)
        RUN[program](services)
    finally:
        services.close()


def tend_once(settings: Settings) -> int:
    """Take one turn of upkeep. Returns how many rows went."""
    from fleet.upkeep import Upkeep

    services = bootstrap(settings)
    try:
        check_database(services)
        return asyncio.run(Upkeep(services).tend())
    finally:
        services.close()


# Each program imports only its own part: it starts sooner and stays smaller.


def _ingest(services: Services) -> None:
    from fleet.ingest import Ingest

    program = Ingest(services)
    with _metrics(services.settings.ingest_metrics, program.registry, program.health):
        _until_told(program.run)


def _relay(services: Services) -> None:
    from fleet.relay.program import Relay

    program = Relay(services)
    with _metrics(services.settings.relay_metrics, program.registry, program.health):
        _until_told(program.run)


def _upkeep(services: Services) -> None:
    from fleet.certificates.publishing import Announcer
    from fleet.chains.program import Chains
    from fleet.rollouts.engine import Engine
    from fleet.upkeep import Upkeep
    from fleet.watcher import Watcher

    program, watcher, announcer, engine = Upkeep(services), Watcher(services), Announcer(services), Engine(services)
    chains = Chains(services)

    async def all_of_it() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(program.run(), name="upkeep")
            group.create_task(watcher.run(), name="watcher")
            group.create_task(announcer.run(), name="announcer")
            group.create_task(engine.run(), name="rollouts")
            group.create_task(chains.run(), name="chains")

    with _metrics(services.settings.upkeep_metrics, program.registry, program.health):
        _until_told(all_of_it)


def _notify(services: Services) -> None:
    from fleet.notifications.program import Notify

    program = Notify(services)
    with _metrics(services.settings.notify_metrics, program.registry, program.health):
        _until_told(program.run)


def _seedlink(services: Services) -> None:
    from fleet.waveforms.server import Server

    program = Server(services)
    with _metrics(services.settings.seedlink_metrics, program.registry, program.health):
        _until_told(program.run)


def _broker(services: Services) -> None:
    if services.settings.broker_program:
        from fleet import mosquitto

        words = mosquitto.prepare(services)
        os.execv(words[0], words)  # noqa: S606 - in our place: whoever started us looks after it, and ends it
    from fleet import broker

    _until_told(lambda: broker.run(services.settings))


def _web(services: Services) -> None:
    from fleet import web

    check_free(services.settings.http, "http")
    web.serve(services)


RUN: dict[str, Callable[[Services], None]] = {
    "ingest": _ingest,
    "relay": _relay,
    "upkeep": _upkeep,
    "notify": _notify,
    "seedlink": _seedlink,
    "broker": _broker,
    "web": _web,
}


def _metrics(address: str, registry: CollectorRegistry, health: Health) -> AbstractContextManager[object]:
    return MetricsServer(address, registry, health) if address else nullcontext()


def _until_told(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run until SIGTERM or SIGINT, then cancel and let it finish in order."""

    async def main() -> None:
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        task = asyncio.create_task(work())
        end = asyncio.create_task(told.wait())
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        while not task.done():
            task.cancel()  # again and again: a cancellation that meets a lost connection may be swallowed by it
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
        with suppress(asyncio.CancelledError):
            task.result()

    asyncio.run(main())


def check_free(address: str, setting: str) -> None:
    """Raise SetupError if an address cannot be listened at."""
    host, port = split_address(address, setting)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            option = f"--{setting.replace('_', '-')}"
            raise SetupError(
                f"cannot listen at {address}: {error.strerror}", hint=f"stop what uses it, or choose another {option}"
            ) from error
