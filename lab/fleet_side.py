"""The fleet of the district: founded and served through its command line, like anybody's."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from lab import technician
from lab.errors import LabError
from lab.processes import Child, descendants, free_port, program, run_once
from lab.site_file import POSITIONS, Identity
from lab.technician import Technician

CONSOLE_PORT = 8080
"""Tried first; any free one if somebody has it."""
STREETS = Path(__file__).with_name("streets-liangjiang.csv")
"""Streets of Liangjiang New Area, their positions read off a map to about a kilometre."""
UP_S = 60.0
LOOK_S = 0.2
BROKER = "fleet.broker"
APART = ("broker", "ingest", "relay", "upkeep", "web")
"""The programs of a fleet without a broker of somebody else's, in the order of their start."""


class FleetSide:
    """A fleet on a folder of its own.

    It brings its broker and keeps its data in SQLite, unless ``broker_port`` names a broker on the loopback that lets
    everybody in, and ``database_url`` a database.
    """

    user = "admin"

    def __init__(
        self, folder: Path, database_url: str = "", broker_port: int = 0, console_port: int = CONSOLE_PORT
    ) -> None:
        self._folder = folder
        self._given_database = database_url
        self._has_broker = broker_port == 0
        self._program = program("fengsui-fleet")
        self.before: tuple[str, ...] = ()
        """Words before each command, by which it runs in other surroundings: ``env NAME=value``."""
        self._serve = Child("the fleet", folder.with_suffix(".log"))
        self._console_port = self._preferred_port = console_port
        self.broker_port = broker_port
        self.programs: dict[str, Child] = {}
        """Those that run apart, by name; none while all are children of ``serve``."""
        self._health_ports: tuple[int, ...] = ()
        self._addresses: list[str] = []
        self.password = secrets.token_urlsafe(9)
        self.gateways_port = broker_port
        """Where gateways find the broker: its door for certificates, once there is an authority."""
        self._has_authority = False

    @property
    def console_url(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self._console_port}/"

    @property
    def folder(self) -> Path:
        """Its data directory."""
        return self._folder

    @property
    def database(self) -> Path:
        """The fleet's database file."""
        return self._folder / "fleet.db"

    @property
    def database_url(self) -> str:
        """Where its data are, as a URL."""
        return self._given_database or f"sqlite:///{self.database}"

    @property
    def settings(self) -> Path:
        """Its settings' file, which holds the password of its programs at the broker."""
        return self._folder / "fleet.toml"

    @property
    def log(self) -> Path:
        """The log of its processes."""
        return self._serve.log

    async def init(self) -> None:
        """Make the database and the first account."""
        arguments = ["init", "--data", str(self._folder), "--user", self.user, "--password-stdin"]
        arguments += ["--database", self._given_database] if self._given_database else []
        await run_once([*self.before, self._program, *arguments], self.password + "\n")

    async def upgrade(self) -> None:
        """Bring what another release has made to the one that runs from now on."""
        await self._run("init")

    async def add_site(self, identity: Identity) -> None:
        """Register a site."""
        about = ["--title", identity.title, "--sector", identity.sector]
        if identity.site in POSITIONS:
            lat, lon = POSITIONS[identity.site]
            about += [f"--lat={lat}", f"--lon={lon}"]
        await self._run("site", "add", identity.site, *about)

    async def add_streets(self) -> None:
        """Tell the streets of the district, by which the felt area of an earthquake is told."""
        await self._run("streets", "import", str(STREETS))

    async def add_gateway(self, identity: Identity, token_file: Path) -> None:
        """Register a gateway and have its token written to a file."""
        where = ("--site", identity.site, "--title", identity.title, "--token-file", str(token_file))
        await self._run("gateway", "add", identity.id, *where)

    async def found_authority(self) -> None:
        """Make an authority, and the certificate by which the broker speaks TLS."""
        await self._run("ca", "init", "--root", str(self._folder.with_name("roots")))
        await self._run("ca", "server", "127.0.0.1", "--out", str(self._folder / "broker"))
        with self.settings.open("a", encoding="utf-8") as settings:
            settings.write("gateway_tokens = false\n")  # by certificate, or not at all
        self._has_authority = True

    async def add_template(self, identity: Identity, file: Path) -> None:
        """Keep a gateway's configuration as a template of its name."""
        await self._run(
            "template", "add", identity.id, str(file), "--title", identity.title, "--sector", identity.sector
        )

    async def add_technician(self) -> None:
        """Give the technician an account, with the password of the first one."""
        words = ["user", "add", technician.NAME, "--role", "technician", "--password-stdin"]
        await run_once([*self.before, self._program, *words, "--data", str(self._folder)], self.password + "\n")

    def technician(self) -> Technician:
        """Somebody on site, who can sign in once it serves."""
        return Technician(self.console_url, self.password)

    async def add_destination(self, name: str, url: str) -> None:
        """Have records relayed to an address, and counts to ``counts`` beside it."""
        await self._run("destination", "add", name, "--url", url, "--counts-url", urljoin(url, "counts"))

    async def serve(self) -> None:
        """Start all of its programs and wait until they are well. Raises LabError.

        Somebody may take a port between our look and theirs: then it starts again on others.
        """
        for preferred in (self._preferred_port, 0, 0):
            await self._start(preferred)
            if await self.comes_up():
                return
        self.check()

    async def _start(self, console_port: int) -> None:
        self._console_port = free_port(console_port)
        if self._has_broker:
            self.broker_port = self.gateways_port = free_port()
        if self._has_authority:
            self.gateways_port = free_port()
        ingest, relay, upkeep = free_port(), free_port(), free_port()
        # The console's port alone would not do: whoever took it from us may answer there, too.
        self._health_ports = (ingest, relay, upkeep, self._console_port)
        ports = {
            "--http": self._console_port,
            **({"--mqtt": self.broker_port} if self._has_broker else {}),
            **({"--mqtts": self.gateways_port} if self._has_authority else {}),
            "--ingest-metrics": ingest,
            "--relay-metrics": relay,
            "--upkeep-metrics": upkeep,
        }
        self._addresses = [word for name, port in ports.items() for word in (name, f"127.0.0.1:{port}")]
        if not self._has_broker:
            self._addresses += ["--broker-url", f"mqtt://127.0.0.1:{self.broker_port}"]
        await self.serve_again()

    async def serve_again(self) -> None:
        """Start what was stopped, on the ports that it had."""
        await self._serve.start([*self.before, self._program, "serve", "--data", str(self._folder), *self._addresses])

    async def take_apart(self) -> None:
        """Stop it and run each of its programs by itself, on the same ports, as a service manager would."""
        await self.stop()
        for name in APART:
            self.programs[name] = Child(name, self.log)
            await self.start_program(name)

    async def start_program(self, name: str) -> None:
        """Start one of the programs that run apart."""
        await self.programs[name].start(
            [*self.before, self._program, name, "--data", str(self._folder), *self._addresses]
        )

    async def comes_up(self) -> bool:
        """Wait until it is well (True) or has ended (False). Raises LabError if neither comes."""
        deadline = time.monotonic() + UP_S
        while self._serve.is_running:
            if await asyncio.to_thread(self._is_well):
                return True
            if time.monotonic() > deadline:
                words = self._serve.tail()
                raise LabError(f"the fleet was not well after {UP_S:g} s. Its last words:\n{words}", f"log: {self.log}")
            await asyncio.sleep(LOOK_S)
        return False

    @property
    def pid(self) -> int:
        """The process that supervises the others, 0 before it was started."""
        return self._serve.pid

    def check(self) -> None:
        """Raise LabError if it has ended by itself."""
        self._serve.check()

    async def kill(self) -> None:
        """End it with SIGKILL; its programs notice that they are orphans and end."""
        await self._serve.kill()

    async def stop(self) -> None:
        """End it. May be called twice."""
        for child in reversed(self.programs.values()):
            await child.stop()
        await self._serve.stop()

    def kill_broker(self) -> int:
        """Kill the broker that the fleet brought, and return its process id. Raises LabError if there is none."""
        for pid, command in descendants(self._serve.pid).items():
            if BROKER in command.split():
                os.kill(pid, signal.SIGKILL)
                return pid
        raise LabError("the fleet has no broker of its own running", hint="it may just be starting again")

    async def _run(self, *arguments: str) -> None:
        await run_once([*self.before, self._program, *arguments, "--data", str(self._folder)])

    def _is_well(self) -> bool:
        return all(_is_healthy(port) for port in self._health_ports)


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2.0) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
