"""The gateway before it has an identity: nothing runs but its own page, which shows what a technician has to scan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from edge.checklist import check_clock
from edge.clock import SystemClock
from edge.enrolment import Enrolment, Keeper
from edge.health import State
from edge.identity import IdentityError
from edge.live import Newest
from edge.local.opening import open_local
from edge.local.site import Arrival, Nameplate
from edge.local.workplace import Workplace
from edge.operating import OperationError
from edge.release import RELEASE
from edge.settings import BootSettings
from edge.station import Station
from edge.supervise import end
from edge.updates.opening import find_shelf
from provisioning.codes import read_code
from provisioning.kit.documents import Bundle
from wire.health import Health

NS = 1_000_000_000
TOLD_S = 0.5
"""So long an answer may take to be on its way."""


async def arrive(
    enrolment: Enrolment, boot: BootSettings, data: Path, folder: Path, say: Callable[[str, str], None]
) -> None:
    """Show the gateway's own page, if it is to have one, until there is an identity or a laptop's bundle.

    ``folder`` is where the settings' paths start. Raises EdgeError if the page cannot be shown.
    """
    issued = enrolment.identity.read()
    if issued is not None:
        return
    clock, is_taken = SystemClock(), asyncio.Event()
    keeper = enrolment.keeper(clock, say)

    def take(bundle: Bundle) -> str:
        gateway = enrolment.take(bundle, "", find_shelf(folder, data), clock)
        is_taken.set()
        return gateway

    work = Workplace(
        site=_make_station(enrolment, keeper, boot, clock),
        look=lambda: (check_clock(clock.state().quality),),
        lines=tuple,
        try_output=refuse_output,
        say=say,
        take=take,
    )
    async with AsyncExitStack() as stack:
        await open_local(stack, work, boot.local, data, folder)
        tasks = [asyncio.create_task(keeper.enrol()), asyncio.create_task(is_taken.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await asyncio.sleep(TOLD_S)
        finally:
            await end(*tasks)


def refuse_output(name: str, _lasts_s: float) -> str:
    """Raise OperationError: a gateway that is nobody yet has no output."""
    raise OperationError(f"there is no output '{name}' yet", hint="hand over the gateway's bundle first")


def find_arrival(enrolment: Enrolment, keeper: Keeper) -> Arrival | None:
    """Return what those on site have to know of the way in; None once the gateway has its identity."""
    if enrolment.identity.cert_file.exists() and enrolment.identity.read() is not None:
        return None
    try:
        code = read_code(enrolment.identity.local_code()) if enrolment.shows_code else ""
        key = enrolment.identity.fingerprint()
    except IdentityError as error:  # a full disk keeps nobody from acquiring and alarming
        return Arrival(url=enrolment.url, code="", key="", standing=("enrolment-fails", f"{error}. {error.hint}"))
    return Arrival(url=enrolment.url, code=code, key=key, standing=keeper.standing)


def _make_station(enrolment: Enrolment, keeper: Keeper, boot: BootSettings, clock: SystemClock) -> Station:
    began_ns = clock.mono_ns()
    gateway = boot.gateway

    async def commit() -> bool:
        return True

    def health() -> Health:
        uptime_s = (clock.mono_ns() - began_ns) / NS
        quality = clock.state().quality
        return Health(release=RELEASE, uptime_s=uptime_s, clock=quality, lanes={}, groups={}, buses={}, outputs={})

    return Station(
        who=Nameplate(
            gateway="", title=gateway.title, site=gateway.site, sector=gateway.sector, machine="", release=RELEASE
        ),
        newest=Newest(clock.wall_at),
        clock=clock,
        running=lambda: None,
        health=health,
        state=lambda: NOTHING,
        commit=commit,
        find_arrival=lambda: find_arrival(enrolment, keeper),
    )


NOTHING = State(
    gateway="",
    is_connected=False,
    has_session=False,
    spool_fault="",
    uplink_fault="",
    dropped=0,
    rejected=0,
    config_version=0,
    alarms_raised=0,
    commands_ignored={},
)
"""The state of a gateway that does nothing yet."""
