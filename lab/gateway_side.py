"""A gateway of the district: its configuration file, its agent, and the link between the agent and the broker."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from images.launcher import launch
from lab.processes import Child, free_port, program, run_once
from lab.proxy import Link
from lab.site_file import fill_in
from lab.station import Station

CODE_FILE = "site.code"
ROOT_FILE = "root.json"
UPDATE = '\n[update]\nroot_file = "{root}"\nurl = "{url}"\nconfirm_s = 25\nsoak_s = 5\n'
"""What a gateway is told of updates: whom to trust, and a window that fits a short run."""
LAUNCHER = Path(launch.__file__)
WATCHDOG_S = 10.0
"""A release that hangs is to be seen to hang in a short run, too."""
CODE_DIGITS = 10


class GatewaySide:
    """One agent on a folder of its own. ``text`` is its file, the ports left open; ``door`` the fleet's address for
    a gateway that is to enrol there. ``slots`` is the launcher's folder, where it is to run under one."""

    def __init__(
        self, station: Station, folder: Path, broker_port: int, text: str, door: str = "", slots: Path | None = None
    ) -> None:
        self.station = station
        self._text = text
        self._door = door
        self.slots = slots
        self.update_url = door
        """Where its releases are: the fleet's address."""
        self.folder = folder
        self.link = Link(broker_port)
        self._config = folder / f"{station.gateway}.toml"
        self.broker = ""
        """Where the agent finds the broker, host:port."""
        self.before: tuple[str, ...] = ()
        """Words before the agent's command, by which it runs in other surroundings: ``env NAME=value``."""
        self.health_port = 0
        self.page_port = 0
        self.code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        """What opens its own page."""
        self.agent = Child(f"the agent of {station.gateway}", folder / "agent.log")

    @property
    def page_url(self) -> str:
        """Where its own page is."""
        return f"http://127.0.0.1:{self.page_port}/"

    async def start(self) -> None:
        """Write the configuration, have it checked, and start the agent. Its token, if it has one, lies there."""
        self.broker = f"127.0.0.1:{await self.link.open()}"
        self.health_port, self.page_port = free_port(), free_port()
        self.configure()
        if self._door:
            (self.folder / "enrol.toml").write_text(f'url = "{self._door}"\n', "utf-8")
        await run_once([program("fengsui-edge"), "local-code", str(self.folder / CODE_FILE)], self.code + "\n")
        await run_once([program("fengsui-edge"), "check", str(self._config)])
        await self.start_agent()

    def configure(self) -> None:
        """Write the configuration; an agent that runs reads it at its next start."""
        places = {
            **self.station.places,
            "broker": self.broker,
            "health_port": self.health_port,
            "page_port": self.page_port,
        }
        text = fill_in(self._text, places, self._config.name)
        if self.slots is not None:
            text += UPDATE.format(root=self.slots / ROOT_FILE, url=self.update_url)
        self._config.write_text(text, "utf-8")

    async def start_agent(self) -> None:
        """Start the agent on the configuration that was written."""
        data = str(self.folder / "data")
        words = ["run", "--config", str(self._config), "--data", data]
        command = [program("fengsui-edge"), *words]
        if self.slots is not None:
            launcher = [sys.executable, str(LAUNCHER), "--watchdog-s", str(WATCHDOG_S), "--slots", str(self.slots)]
            command = [*launcher, "--", *words]
        await self.agent.start([*self.before, *command])

    async def stop(self) -> None:
        """End the agent, then the link."""
        await self.agent.stop()
        await self.link.close()
