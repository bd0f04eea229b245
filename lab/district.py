"""The district in a box: instruments, agents, fleet and platform on one machine, started and stopped in order."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path

import msgspec

from edge.release import RELEASE
from lab import report
from lab.control import Control, Scenario, is_running
from lab.errors import LabError
from lab.fleet_side import FleetSide
from lab.gateway_side import ROOT_FILE, GatewaySide
from lab.instruments.shake import AXES
from lab.ledger import Ledger
from lab.operator import Operator
from lab.platform import Book, Platform, RaisedAlarm, Stream
from lab.quake_watch import Seen, watch
from lab.quake_watch import find_shortfalls as find_quake_shortfalls
from lab.release_engineer import SOUND, ReleaseEngineer, install
from lab.site_file import Identity, read_exceptions, read_identity
from lab.station import Station
from lab.stations import Bridge, ChemicalPark, RiverSite, WeatherSite
from lab.truth import Truth
from lab.way_in import ByClaim, WayIn

MARKER = "demo.json"
"""Says that a folder is a demo's and may be emptied by the next one."""
FLOWING_S = 90.0
DRAIN_S = 90.0
SETTLE_S = 1.5
"""Pause after the last record, in which a duplicate may still show up."""
LOOK_S = 0.25
LINK_LOST_S = 20.0
FLEET_GONE_S = 60.0

Tell = Callable[[str], None]
"""Told, for people, what happens."""


class Progress(msgspec.Struct, frozen=True):
    """The run at a glance."""

    acquired: int
    relayed: int
    behind: int
    alarms: int
    duplicates: int


class District:
    """All of it. ``open`` returns when data from every instrument has reached the platform.

    ``lay_out`` is given the folder of each gateway before anything is written to it. The fleet brings its own broker
    and database unless another one is given. ``sites`` makes other sites than the four, which then have no scenarios.
    Its gateways get in by a claim unless another way is given. Where it ``is_updated``, its agents run under the
    launcher and take releases of ``engineer``.
    """

    def __init__(
        self,
        folder: Path,
        tell: Tell,
        lay_out: Callable[[Path], Awaitable[None]] | None = None,
        fleet: FleetSide | None = None,
        sites: Callable[[Truth], Sequence[Station]] | None = None,
        way_in: WayIn | None = None,
        *,
        is_updated: bool = False,
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._lay_out = lay_out
        self._way_in = way_in or ByClaim()
        self.truth = Truth()
        self._park, self._bridge, self._river = ChemicalPark(self.truth), Bridge(self.truth), RiverSite(self.truth)
        self._weather = WeatherSite(self.truth)
        self._stations: Sequence[Station] = (
            sites(self.truth) if sites else (self._park, self._weather, self._bridge, self._river)
        )
        self._quakes: list[asyncio.Task[Seen]] = []
        texts = {station.gateway: station.text for station in self._stations}
        self._identities: dict[str, Identity] = {gateway: read_identity(text) for gateway, text in texts.items()}
        self.truth.expect(rule for station in self._stations for rule in station.rules)
        self._by_exception = frozenset(tag for text in texts.values() for tag in read_exceptions(text))
        self.gateways: list[GatewaySide] = []
        self._background: set[asyncio.Task[None]] = set()
        self._is_fleet_gone = self._is_updating = False
        self._updates = 0
        self.fleet = fleet or FleetSide(folder / "fleet")
        self.engineer = ReleaseEngineer(self.fleet.folder, folder / "releases") if is_updated else None
        self.scenarios: dict[str, Scenario] = {
            "overfill": self.overfill,
            "leak": self.leak,
            "fire": self.fire,
            "flood": self.flood,
            "quake": self.quake,
            "broker-dies": self.broker_dies,
            "link-lost": self.link_lost,
            "fleet-stops": self.fleet_stops,
        }
        if self.engineer is not None:
            self.scenarios["update"] = self.update
        self._control = Control(self.scenarios)
        self.ledgers: list[Ledger] = []
        self._opened_book: Book | None = None
        self._platform: Platform | None = None

    async def open(self) -> None:
        """Start everything. Raises LabError naming what did not come up."""
        prepare(self._folder)
        self._tell("instruments: sockets and serial lines")
        for station in self._stations:
            await station.open()
            self.ledgers += station.ledgers
        self._tell("district platform")
        platform_url = await self._open_platform()
        self._tell("fleet: database, sites, gateways, destination")
        await self._found_fleet(platform_url)
        self._tell("fleet: broker, ingest, relay, console")
        await self.fleet.serve()
        await asyncio.gather(*(self._start_gateway(station) for station in self._stations))
        self._tell("waiting until every instrument's data has reached the platform")
        await self._wait_until_flowing()
        await self._control.open(self._folder)

    async def _start_gateway(self, station: Station) -> None:
        text, folder = self._way_in.text(station), self._folder / station.gateway
        door = self.fleet.console_url.rstrip("/") if self._way_in.enrols else ""
        gateway = GatewaySide(station, folder, self.fleet.gateways_port, text, door, self._lay_out_slots(folder))
        gateway.update_url = self.fleet.console_url.rstrip("/")
        self.gateways.append(gateway)
        self._tell(f"agent of {station.gateway} {self._identities[station.gateway].title}")
        await gateway.start()
        await self._way_in.admit(self.fleet, gateway, self._identities[station.gateway])

    def _lay_out_slots(self, folder: Path) -> Path | None:
        """Give a gateway's launcher what the package would: this release in slot a, and whom to trust for others."""
        if self.engineer is None:
            return None
        slots = folder / "slots"
        install(slots, RELEASE)
        (slots / ROOT_FILE).write_bytes(self.engineer.root())
        return slots

    async def close(self) -> None:
        """Stop everything in the direction of the flow. May be called after a failed `open`."""
        await self._control.close()
        pending = [*self._background, *self._quakes]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.gather(*(gateway.stop() for gateway in self.gateways))
        await self.fleet.stop()
        if self._platform is not None:
            await self._platform.close()
        for station in self._stations:
            await station.close()
        if self._opened_book is not None:
            self._opened_book.close()

    async def _open_platform(self) -> str:
        streams = [
            Stream(
                gateway=ledger.gateway,
                counter=ledger.counter,
                values=ledger.values,
                by_exception=frozenset(tag for gateway, tag in self._by_exception if gateway == ledger.gateway),
            )
            for ledger in self.ledgers
        ]
        self._opened_book = Book(self._folder / "platform.db", streams)
        self._platform = Platform(self._opened_book, self._hear)
        return await self._platform.open()

    def _hear(self, alarm: RaisedAlarm) -> None:
        self.truth.raised(alarm)
        self._tell(f"platform: {alarm.gateway} raised {alarm.alarm}")

    async def _found_fleet(self, platform_url: str) -> None:
        await self.fleet.init()
        await self._way_in.found(self.fleet)
        if self.engineer is not None:
            await asyncio.to_thread(self.engineer.found)
        await asyncio.gather(*(self._announce(station) for station in self._stations))
        await self.fleet.add_destination("district", platform_url)

    async def _announce(self, station: Station) -> None:
        identity, folder = self._identities[station.gateway], self._folder / station.gateway
        folder.mkdir()
        if self._lay_out is not None:
            await self._lay_out(folder)
        await self.fleet.add_site(identity)
        await self._way_in.announce(self.fleet, station, identity, folder)

    async def _wait_until_flowing(self) -> None:
        deadline = time.monotonic() + FLOWING_S
        while silent := [ledger.name for ledger in self.ledgers if not self._has_arrived(ledger)]:
            self.check()
            if time.monotonic() > deadline:
                logs = ", ".join(str(gateway.agent.log) for gateway in self.gateways)
                raise LabError(
                    f"after {FLOWING_S:g} s nothing has reached the platform from {', '.join(silent)}",
                    hint=f"logs: {logs}, {self.fleet.log}",
                )
            await asyncio.sleep(LOOK_S)

    def _has_arrived(self, ledger: Ledger) -> bool:
        return self.newest_arrived(ledger) > 0

    def newest_arrived(self, ledger: Ledger) -> int:
        """The number of the newest scan of an instrument that is at the platform."""
        return self.book.arrivals[ledger.gateway, ledger.counter].numbers.highest

    @property
    def platform(self) -> Platform:
        """The stand-in for the district's platform."""
        assert self._platform is not None
        return self._platform

    def silence(self) -> None:
        """Switch every instrument off: nothing more is served or counted."""
        for station in self._stations:
            station.power_off()

    @property
    def book(self) -> Book:
        """What the platform got."""
        assert self._opened_book is not None
        return self._opened_book

    def check(self) -> None:
        """Raise LabError if a program of the district has ended by itself."""
        if not self._is_fleet_gone:
            self.fleet.check()
        for gateway in self.gateways:
            gateway.agent.check()

    def progress(self) -> Progress:
        """Look at the run."""
        return Progress(
            acquired=sum(ledger.samples for ledger in self.ledgers),
            relayed=self.book.samples,
            behind=self._behind(),
            alarms=len(self.book.raised),
            duplicates=self.book.duplicates,
        )

    def _behind(self) -> int:
        missing = (report.missing_scans(ledger, self.book) for ledger in self.ledgers)
        return sum(last - first + 1 for ranges in missing for first, last in ranges)

    async def drain(self, *, is_whole: bool = True) -> bool:
        """Silence the instruments and wait until all they served is at the platform; False if that does not come.

        Not ``is_whole``: an agent was killed with scans in its memory, which nobody can wait for.
        """
        self.silence()
        deadline = time.monotonic() + DRAIN_S
        while (is_whole and self._behind()) or self.truth.unreported or self.book.gaps():
            if time.monotonic() > deadline:
                return False
            self.check()
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(SETTLE_S)
        return True

    def figures(self, setup_s: float | None) -> tuple[report.Figures, list[str]]:
        """Count, and say what falls short."""
        committed = report.count_committed(self.fleet.database, self.ledgers, self._by_exception)
        figures = report.gather(self.ledgers, self.book, self.truth, committed, self.quakes(), setup_s)
        shortfalls = report.find_shortfalls(figures, self.ledgers, self.book, self.truth)
        return figures, [*shortfalls, *find_quake_shortfalls(self.quakes())]

    async def overfill(self, tank: int = 2) -> str:
        """Overfill a tank of the chemical park, counted from 0."""
        self._park.overfill(tank)
        return f"tank T{101 + tank} of 鱼复化工 is being overfilled: 90 % and 95 % follow within seconds"

    async def leak(self, detector: int = 3) -> str:
        """Let gas leak in the chemical park, at a detector counted from 0."""
        self._park.leak(detector)
        return f"gas reaches detector GD-{1 + detector:02d} of 鱼复化工: 25 and 50 %LEL follow within seconds"

    async def fire(self) -> str:
        """Let something burn in the chemical park."""
        self._park.burn()
        return "smoke in the control room of 鱼复化工: its fire transmitter tells the gateway"

    async def flood(self) -> str:
        """Let the river rise."""
        self._river.flood()
        return "御临河 rises at the upper gauge: 3.5 and 4.5 m follow within seconds"

    async def quake(self) -> str:
        """Let the earthquake arrive at the bridge, and a little later at the weather station."""
        self._bridge.quake()
        self._weather.quake()
        seen = watch(self.fleet.database, self._bridge.seismograph, Bridge.seismic, len(AXES))
        self._quakes.append(asyncio.create_task(seen))
        return "the record of the 2019 Ridgecrest M7.1 earthquake runs at 水土立交桥: its peak comes after 39 s"

    def quakes(self) -> list[Seen]:
        """What became of the earthquakes whose peak has come."""
        return [task.result() for task in self._quakes if task.done() and not task.cancelled()]

    async def broker_dies(self) -> str:
        """Kill the broker; the fleet has to start it again."""
        pid = self.fleet.kill_broker()
        return f"the broker (process {pid}) was killed: agents keep their records until the fleet has it up again"

    async def link_lost(self) -> str:
        """Cut one gateway's link for a while."""
        gateway = self.gateways[0]
        if gateway.link.is_cut:
            raise LabError(f"the link of {gateway.station.gateway} is cut already")
        gateway.link.cut()
        self._begin(self._heal(gateway))
        return f"the link of {gateway.station.gateway} is cut for {LINK_LOST_S:g} s"

    async def _heal(self, gateway: GatewaySide) -> None:
        await asyncio.sleep(LINK_LOST_S)
        gateway.link.heal()
        self._tell(f"the link of {gateway.station.gateway} is healed")

    async def fleet_stops(self) -> str:
        """Stop broker, ingest, relay and console for a while: gateways are on their own."""
        if self._is_fleet_gone:
            raise LabError("the fleet is stopped already")
        self._is_fleet_gone = True
        await self.fleet.stop()
        self._begin(self._serve_again())
        return f"broker and fleet are stopped for {FLEET_GONE_S:g} s: look at a gateway's own page"

    async def _serve_again(self) -> None:
        await asyncio.sleep(FLEET_GONE_S)
        await self.fleet.serve_again()
        await self.fleet.comes_up()
        self._is_fleet_gone = False
        self._tell("broker and fleet are started again")

    async def update(self) -> str:
        """Update the gateways of the district: a bad release first, then a good one."""
        if self._is_updating:
            raise LabError("the gateways are being updated already", hint="look at Updates on the console")
        self._is_updating = True
        self._begin(self._roll_out())
        return (
            f"the gateways are updated, {self.gateways[0].station.gateway} first: see {self.fleet.console_url}rollouts"
        )

    async def _roll_out(self) -> None:
        assert self.engineer is not None
        self._updates += 1
        bad, good = f"0.2.{2 * self._updates}", f"0.2.{2 * self._updates + 1}"
        operator = Operator(self.fleet.console_url, self.fleet.user, self.fleet.password)
        canary = [self.gateways[0].station.gateway]
        try:
            for version, flaw, name in ((bad, "crashes", "有缺陷的版本"), (good, SOUND, "修复后的版本")):
                await asyncio.to_thread(self.engineer.release, version, flaw)
                await operator.roll_out(f"{name} {version}", version, canary, self._tell)
        except LabError as error:
            self._tell(f"the update ends: {error}")
        finally:
            self._is_updating = False

    def _begin(self, later: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(later)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def prepare(folder: Path) -> None:
    """Make an empty folder. Raises LabError rather than emptying what is not a demo's."""
    if folder.exists():
        if is_running(folder):
            raise LabError(f"a demo runs on {folder}", hint="stop it, or name another folder with --data")
        if not (folder / MARKER).is_file() and any(folder.iterdir()):
            raise LabError(f"{folder} holds something else than a demo", hint="name another folder with --data")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text(json.dumps({"what": "a demo's data, replaced by the next one"}) + "\n", "utf-8")
