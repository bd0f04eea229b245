"""A fleet, one gateway under the launcher, and a release engineer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.fetching.unpack import unpack
from edge.release import RELEASE
from fleet.bootstrap import Services, bootstrap
from fleet.rollouts import actions
from fleet.rollouts.models import UpdateAction
from fleet.rollouts.states import CLOSED
from fleet.settings import load
from lab.fleet_side import FleetSide
from lab.gateway_side import ROOT_FILE, GatewaySide
from lab.release_engineer import ReleaseEngineer, install
from lab.site_file import Identity, read_identity
from lab.stations import ChemicalPark
from lab.truth import Truth
from lab.way_in import ByToken

LOOK_S = 0.1
TRIAL = "\n[twin]\ntrial_s = 6\n"
"""A trial that fits a test."""


class UpdateScene:
    """The chemical park's gateway, let in by a token, at a fleet that serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth = Truth()
        self.station, self.way_in = ChemicalPark(self.truth), ByToken()
        self.fleet = FleetSide(folder / "fleet", console_port=0)
        self.identity: Identity = read_identity(self.station.text)
        self.engineer = ReleaseEngineer(folder / "fleet", folder / "releases")
        home = folder / self.identity.id
        home.mkdir(parents=True)
        self.slots = home / "slots"
        self.services: Services | None = None

    async def open(self, bundle: Path | None = None) -> None:
        """Start all of it, and wait until the gateway has said what it installs. ``bundle`` is what it runs first."""
        await self.station.open()
        await self.fleet.init()
        await self.fleet.add_site(self.identity)
        home = self.slots.parent
        await self.way_in.announce(self.fleet, self.station, self.identity, home)
        await asyncio.to_thread(self.engineer.found)
        if bundle is None:
            install(self.slots, RELEASE)
        else:
            (self.slots / "a").mkdir(parents=True)
            unpack(bundle, self.slots / "a", 10**9)
        (self.slots / ROOT_FILE).write_bytes(self.engineer.root())
        await self.fleet.serve()
        self.services = bootstrap(load(self.fleet.database.parent))
        text = self.way_in.text(self.station) + TRIAL
        self.side = GatewaySide(self.station, home, self.fleet.gateways_port, text, slots=self.slots)
        self.side.update_url = self.fleet.console_url.rstrip("/")
        await self.side.start()
        await self.until(lambda: "agent" in self.reported().get("installs", ()))

    async def close(self) -> None:
        """End all of it."""
        await self.side.stop()
        if self.services is not None:
            self.services.close()
        await self.fleet.stop()
        await self.station.close()

    async def until(self, is_so: Callable[[], bool], within_s: float = 90.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(is_so):
            if time.monotonic() > deadline:
                raise TimeoutError(f"it does not come to that. The agent's last words:\n{self.side.agent.tail()}")
            await asyncio.sleep(LOOK_S)

    def reported(self) -> dict[str, Any]:
        """Return what the gateway last reported."""
        from fleet.gateways.models import Gateway

        assert self.services is not None
        with self.services.database.reading() as session:
            gateway = session.get(Gateway, self.identity.id)
            return (gateway.reported or {}) if gateway is not None else {}

    async def assign(self, version: str, kind: str = "agent", **options: Any) -> int:
        """Have the gateway take a version."""

        def write() -> int:
            assert self.services is not None
            with self.services.database.writing() as session:
                return actions.assign(session, self.identity.id, kind, version, "li", time.time_ns(), **options).id

        return await asyncio.to_thread(write)

    def action(self, action_id: int) -> UpdateAction:
        """Read an action."""
        assert self.services is not None
        with self.services.database.reading() as session:
            return actions.get(session, action_id)

    async def outcome(self, action_id: int, within_s: float = 120.0) -> UpdateAction:
        """Wait for the end of an action."""
        await self.until(lambda: self.action(action_id).state in CLOSED, within_s)
        return self.action(action_id)

    def slot_state(self) -> dict[str, Any]:
        """Read the launcher's state."""
        state: dict[str, Any] = json.loads((self.slots / "slot.json").read_bytes())
        return state
