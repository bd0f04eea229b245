"""The agent's task tree: only wiring.

    store      group commit               one thread owns the spool
    acquire    collectors, alarms, outputs of the running configuration; replaced when the twin changes
    uplink     the conversation with the fleet
    identity   asks for a certificate, and renews it
    commands   what the fleet wants done once
    trial      judges a configuration that is tried
    health     /healthz and /metrics
    local      the gateway's own page, and the socket of `fengsui-edge alarms`

Shutdown follows the flow: acquisition first, then the spool takes what is left, the uplink gets a moment to send it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import platform
import random
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.acquisition import Acquisition
from edge.applying import Applying
from edge.arriving import TOLD_S, find_arrival
from edge.clock import SystemClock
from edge.command_ledger import CommandLedger
from edge.commands import Commander
from edge.diagnosis.handlers import Diagnosis
from edge.enrolment import Enrolment, Keeper
from edge.errors import EdgeError, SpoolError
from edge.handlers import make_handlers
from edge.health import HealthServer, State
from edge.inspection import Inspection
from edge.live import Newest
from edge.local.opening import open_local
from edge.local.site import Arrival, Nameplate
from edge.local.workplace import Workplace
from edge.mandates import Mandates
from edge.operating import Operation, OperationError
from edge.outputs import Means
from edge.outputs.program import FOLDER as PROGRAMS_FOLDER
from edge.release import RELEASE
from edge.sender import Identity
from edge.settings import BootSettings, Configuration
from edge.spool import Remembered
from edge.station import Station
from edge.stations.keeping import Disk, find_room
from edge.stations.stations import Stations
from edge.store import Store
from edge.supervise import end, supervise
from edge.trial import Sight
from edge.twin import Twin
from edge.updates.opening import Updates, find_shelf, find_updates
from edge.updates.updater import Updater
from edge.uplink import Uplink
from provisioning.kit.documents import Bundle
from provisioning.signing import read_public_key
from wire.claim import Issued
from wire.command import Command
from wire.health import Health
from wire.mandate import HurryRequest, RaiseRequest
from wire.twin import AlarmInfo, Desired, DeviceInfo, Reported

log = logging.getLogger(__name__)

SPOOL_LOOK_S = 1.0
LAST_SEND_S = 3.0
"""How long the uplink may still send when the agent stops. What remains is in the spool."""
MANDATES_FILE = "mandates.json"
MACHINE_FILES = (
    Path("/sys/class/dmi/id/product_uuid"),
    Path("/proc/device-tree/serial-number"),
    Path("/etc/machine-id"),
)


class Agent:
    """Everything a gateway runs. Built by `run`."""

    def __init__(
        self,
        boot: BootSettings,
        seed: Configuration,
        twin: Twin,
        ledger: CommandLedger,
        store: Store,
        clock: SystemClock,
        data: Path,
        folder: Path,
        keeper: Keeper | None,
        find_arrival: Callable[[], Arrival | None] = lambda: None,
        updates: Updates | None = None,
        enrolment: Enrolment | None = None,
    ) -> None:
        self._boot = boot
        self._keeper = keeper
        self._enrolment = enrolment
        self.begins_anew = False
        """Whether it has stopped to begin anew with what a laptop brought."""
        self._find_arrival = find_arrival
        self._data = data
        self._folder = folder
        self._twin = twin
        self._store = store
        self._clock = clock
        self._began = time.monotonic()
        self._jitter = random.Random()  # noqa: S311 - spreads polls, guards nothing
        self._newest = Newest(clock.wall_at)
        self._means = make_means(boot, folder)
        self._mandates = Mandates(data / MANDATES_FILE)
        self._stations = Stations(store, clock, Disk(data, partial(find_room, data, boot.ring, boot.spool)))
        self._acquisition: Acquisition | None = None
        self._applying = Applying(
            seed,
            twin,
            store,
            clock,
            find_shelf(folder, data),
            window_s=boot.twin.trial_s,
            sights=self._see,
        )
        self._stop = asyncio.Event()
        self._updater = self._make_updater(updates) if updates is not None else None
        self._knows_standings = False
        self._before: dict[str, Remembered] = {}
        uplink = boot.uplink
        self.uplink = Uplink(
            uplink,
            Identity(boot.gateway.id, read_machine(), clock.boot),
            store,
            self._newest,
            password=read_token(folder / uplink.token_file) if uplink.token_file else "",
            ca_file=folder / uplink.ca_file if uplink.ca_file else None,
            cert_file=folder / uplink.cert_file if uplink.cert_file else None,
            key_file=folder / uplink.key_file if uplink.key_file else None,
            clock=clock,
            health=self.health,
            report=self.report,
            take_desired=self.take_desired,
            take_command=self.take_command,
            updater=self._updater,
            jitter=self._jitter,
            checks=lambda: self._inspection.look(),
        )
        self._site = self._station()
        self._inspection = Inspection(self._site)
        key = read_command_key(folder / uplink.command_key_file) if uplink.command_key_file else None
        diagnosis = Diagnosis(self, store, clock, data, lambda: self._acquisition)
        handlers = {**make_handlers(self.uplink, self), **diagnosis.handlers()}
        self._commander = Commander(boot.gateway.id, key, ledger, store, clock, handlers)

    def _see(self, configuration: Configuration) -> dict[str, Sight] | None:
        """How buses and devices look under a configuration, None while it does not run."""
        acquisition = self._acquisition
        if acquisition is None or acquisition.configuration is not configuration:
            return None
        return acquisition.sights()

    def _make_updater(self, updates: Updates) -> Updater:
        return updates.make_updater(
            self._applying,
            self._clock,
            say=self._store.put_audit,
            has_session=lambda: self.uplink.has_session,
            is_acknowledged=self._store.is_acknowledged,
            leave=lambda: self._stop.set(),
            find_good=self._find_good,
        )

    def _find_good(self, since_ns: int) -> frozenset[str]:
        """The tags that had a good value since a time."""
        groups = self._acquisition.group_names if self._acquisition else ()
        return self._newest.find_good(groups, since_ns)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set."""
        self._stop = stop
        async with AsyncExitStack() as stack:
            if (address := self._boot.health.address) is not None:
                server = HealthServer(self.health, self.state)
                await server.start(*address)
                stack.push_async_callback(server.stop)
            await open_local(stack, self._workplace(), self._boot.local, self._data, self._folder)
            self._store.put_audit("started", f"release {RELEASE}, configuration {self._twin.version}")
            async with asyncio.TaskGroup() as tasks:
                commit = tasks.create_task(supervise("store", self._store.commit_forever), name="store")
                uplink = tasks.create_task(supervise("uplink", self.uplink.run, self._store.put_audit), name="uplink")
                commands = tasks.create_task(
                    supervise("commands", self._commander.run, self._store.put_audit), name="commands"
                )
                trial = tasks.create_task(supervise("trial", self._watch_trial, self._store.put_audit), name="trial")
                identity = [tasks.create_task(self._keep_identity(), name="identity")] if self._keeper else []
                if self._updater is not None:
                    work = supervise("update", self._updater.run, self._store.put_audit)
                    identity.append(tasks.create_task(work, name="update"))
                acquire = tasks.create_task(self._acquire(), name="acquire")
                await stop.wait()
                log.info("stopping")
                await end(acquire, commands, trial, *identity)
                self._applying.leave()
                if self._acquisition is not None:
                    await self._acquisition.leave(None)
                await self._stations.close()
                await self._commander.close()
                await self._mandates.close()
                self._store.put_audit("stopped", "asked to stop")
                await self._store.commit()
                await self._send_rest()
                await end(uplink, commit)

    async def _watch_trial(self) -> None:
        await self._applying.watch(self.uplink.ask_report)

    def _station(self) -> Station:
        gateway = self._boot.gateway
        return Station(
            who=Nameplate(
                gateway=gateway.id,
                title=gateway.title,
                site=gateway.site,
                sector=gateway.sector,
                machine=read_machine(),
                release=RELEASE,
            ),
            newest=self._newest,
            clock=self._clock,
            running=lambda: self._acquisition,
            health=self.health,
            state=self.state,
            commit=self._store.commit,
            find_arrival=self._find_arrival,
        )

    def _workplace(self) -> Workplace:
        return Workplace(
            site=self._site,
            look=self._inspection.look,
            lines=lambda: self._acquisition.lines() if self._acquisition else (),
            try_output=self.test_output,
            say=self._store.put_audit,
            take=self._take_bundle if self._enrolment else None,
        )

    def _take_bundle(self, bundle: Bundle) -> str:
        """Take what a laptop brings, and begin anew with it once that is told."""
        assert self._enrolment is not None
        shelf = find_shelf(self._folder, self._data)
        gateway = self._enrolment.take(bundle, self._boot.gateway.id, shelf, self._clock)
        self.begins_anew = True
        asyncio.get_running_loop().call_later(TOLD_S, lambda: self._stop.set())
        return gateway

    async def _keep_identity(self) -> None:
        keeper = self._keeper
        assert keeper is not None

        def work() -> Coroutine[None, None, None]:
            return keeper.run(self.take_identity, lambda: self.uplink.is_connected)

        await supervise("identity", work, self._store.put_audit)

    def take_identity(self, issued: Issued) -> None:
        """Sign in at the broker by what the fleet gave; its key for commands is pinned once and for all."""
        self.uplink.floor_ns = issued.time_ns
        self._commander.pin(read_public_key(issued.command_key.encode()))
        self.uplink.reconnect()

    async def _send_rest(self) -> None:
        deadline = time.monotonic() + LAST_SEND_S
        while self.uplink.has_session and time.monotonic() < deadline:
            if not sum(account.pending for account in self._store.figures.accounts.values()):
                return
            await asyncio.sleep(0.05)

    async def _acquire(self) -> None:
        """Run the configuration; when another arrives, end the old one and run that."""
        while True:
            self._applying.changed.clear()
            before = await self._stood()
            self._acquisition = Acquisition(
                self._applying.configuration,
                self._store,
                self._newest,
                self._clock,
                before,
                self._jitter,
                self._means,
                self._mandates,
                self._stations,
            )
            self._newest.keep(self._acquisition.group_names)
            self.uplink.ask_report()
            settle_memory()
            running = asyncio.create_task(self._acquisition.run(), name="acquisition")
            changed = asyncio.create_task(self._wait_for_change(), name="changed")
            try:
                await asyncio.wait([running, changed], return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()  # it never ends by itself: what it raises ends the agent
            finally:
                await end(changed, running)
            await self._acquisition.leave(self._applying.configuration)

    async def _wait_for_change(self) -> None:
        """Wait for another configuration, or for a spool that could not be read before: it knows which alarms are up,
        and those that are over by now would stand for ever."""
        while not self._applying.changed.is_set():
            if not self._knows_standings and self._store.epoch and await self._learn_standings():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._applying.changed.wait(), None if self._knows_standings else SPOOL_LOOK_S)

    async def _learn_standings(self) -> bool:
        try:
            self._before = await self._store.standings()
        except SpoolError as error:
            log.error("how alarms stood before is not known: %s", error)
            return False
        self._knows_standings = True
        return True

    async def _stood(self) -> dict[str, Remembered]:
        """How alarms stand: by what ran so far, and once by the spool."""
        if not self._knows_standings:
            await self._learn_standings()
        before, self._before = self._before, {}
        return before if self._acquisition is None else before | self._acquisition.remembered()

    async def take_desired(self, desired: Desired) -> None:
        """Apply a desired configuration whole, or refuse it whole with the reason."""
        if self._applying.take(desired):
            self.uplink.ask_report()

    def operate(self, operation: Operation) -> str:
        """Do what an operator asks of an alarm. Raises OperationError if it does not take this now."""
        if self._acquisition is None:
            raise OperationError("no alarm is watched yet", hint="try again in a moment")
        return self._acquisition.operate(operation)

    def test_output(self, name: str, lasts_s: float) -> str:
        """Switch an output on for some seconds. Raises OperationError if it cannot be tested now."""
        if self._acquisition is None:
            raise OperationError("no output is there yet", hint="try again in a moment")
        return self._acquisition.test_output(name, lasts_s)

    def command_alarm(self, request: RaiseRequest) -> str:
        """Raise or clear an alarm that may be commanded. Raises OperationError if there is none of that name."""
        return self._running().command_alarm(request)

    def hurry(self, request: HurryRequest) -> str:
        """Read groups more densely for a while. Raises OperationError if none of them is here."""
        return self._running().hurry(request)

    def _running(self) -> Acquisition:
        if self._acquisition is None:
            raise OperationError("nothing is acquired yet", hint="try again in a moment")
        return self._acquisition

    def take_command(self, command: Command) -> None:
        """Take what the fleet wants done once."""
        self._commander.take(command)

    def report(self) -> Reported:
        """Describe what runs."""
        running, outcome = self._applying.configuration, self._twin.outcome
        return Reported(
            version=self._twin.version,
            release=RELEASE,
            title=self._boot.gateway.title,
            site=self._boot.gateway.site,
            sector=self._boot.gateway.sector,
            config=msgspec.msgpack.decode(running.document),
            tags=running.reported_tags(),
            alarms=tuple(
                AlarmInfo(
                    name=rule.name,
                    tag=rule.tag,
                    level=rule.level,
                    limit=rule.limit,
                    priority=rule.priority,
                    title=rule.title,
                    source=rule.source,
                    shelve_most_h=rule.shelve_most_h,
                    outputs=rule.outputs,
                )
                for rule in running.alarms
            ),
            devices=tuple(
                DeviceInfo(name=d.name, title=d.title, bus=d.bus, profile=d.profile) for d in running.devices
            ),
            refused=self._twin.refused,
            reason=self._twin.reason,
            commands=self._commander.names,
            trial=outcome.trial,
            tried=outcome.version,
            trial_ns=outcome.since_ns,
            unanswered=outcome.unanswered,
            installs=self._updater.installs if self._updater else (),
            hardware=platform.machine(),
        )

    def health(self) -> Health:
        """How the gateway feels now."""
        acquisition = self._acquisition
        uptime_s = time.monotonic() - self._began
        return Health(
            release=RELEASE,
            uptime_s=uptime_s,
            clock=self._clock.state().quality,
            lanes=self._store.figures.accounts,
            groups=acquisition.groups() if acquisition else {},
            buses=acquisition.buses(uptime_s) if acquisition else {},
            outputs=acquisition.outputs() if acquisition else {},
            spool_bytes=self._store.figures.size_bytes,
            spool_max_bytes=self._boot.spool.max_bytes,
            live_tags=len(self._newest),
            spool_written_bytes=self._store.figures.written_bytes,
            spool_written_per_record=self._store.figures.written_per_record,
            link=self.uplink.link(),
            hurried=acquisition.hurried() if acquisition else {},
        )

    def state(self) -> State:
        """What only the gateway itself shows."""
        return State(
            gateway=self._boot.gateway.id,
            is_connected=self.uplink.is_connected,
            has_session=self.uplink.has_session,
            spool_fault=self._store.fault,
            uplink_fault=self.uplink.fault,
            dropped=self._store.dropped,
            rejected=self.uplink.rejected,
            commands_ignored=self._commander.ignored,
            config_version=self._twin.version,
            config_trial=self._twin.outcome,
            config_refused=self._twin.refused,
            config_reason=self._twin.reason,
            alarms_raised=self._acquisition.raised if self._acquisition else 0,
        )


def make_means(boot: BootSettings, folder: Path) -> Means:
    """Say what this gateway has for its outputs: its programs, and perhaps a key file of interlocks."""
    key_file = boot.outputs.interlock_key_file
    return Means(
        gateway=boot.gateway.id,
        programs=folder / PROGRAMS_FOLDER,
        key_file=folder / key_file if key_file else None,
    )


def settle_memory() -> None:
    """Have the garbage collector pass over what is here to stay: a configuration of ten thousand tags, looked through
    again and again, would take a twentieth of the agent's time."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def read_machine() -> str:
    """Name the machine by its hardware, or by its installation where hardware tells nothing."""
    for path in MACHINE_FILES:
        try:
            text = path.read_text("ascii").strip("\0\n ")
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return text
    return "unknown"


def read_token(path: Path) -> str:
    """Read the gateway's password. Raises EdgeError if it cannot be read."""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise EdgeError(
            f"token file {path} cannot be read: {reason}",
            hint="put the token there that 'fengsui-fleet gateway add' wrote",
        ) from error


def read_command_key(path: Path) -> Ed25519PublicKey:
    """Read the key by which commands are known for the fleet's. Raises EdgeError if it cannot be read."""
    try:
        return read_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EdgeError(
            f"command key {path} cannot be read: {reason}",
            hint="put the key there that 'fengsui-fleet gateway add' wrote, or leave command_key_file out",
        ) from error


async def run(
    boot: BootSettings, seed: Configuration, data: Path, folder: Path, enrolment: Enrolment | None = None
) -> bool:
    """Run the agent until SIGTERM or SIGINT. Returns whether it is to begin anew with other settings.

    ``folder`` is where relative paths of the settings start.

    ``enrolment`` is how it gets its identity and keeps it; None if it signs in by a token.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    twin = Twin(data / "twin.json")
    ledger = CommandLedger(data / "commands.json")
    store = await Store.open(data / "spool.sqlite3", boot.spool, clock)
    updates: Updates | None = None
    try:
        keeper = enrolment.keeper(clock, store.put_audit, boot.gateway.id) if enrolment else None
        seek = partial(find_arrival, enrolment, keeper) if enrolment and keeper else (lambda: None)
        updates = find_updates(boot, data, folder, enrolment, clock)
        agent = Agent(
            boot, seed, twin, ledger, store, clock, data, folder, keeper, seek, updates=updates, enrolment=enrolment
        )
        known = enrolment.identity.read() if enrolment else None
        agent.uplink.floor_ns = known.time_ns if known else 0
        await agent.run(stop)
        return agent.begins_anew
    finally:
        if updates is not None:
            updates.close()
        await store.close()
        ledger.close()
        twin.close()
