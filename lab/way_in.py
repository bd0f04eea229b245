"""How a gateway of the district gets in: as a technician provisions it, or with a token as an earlier release did."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Protocol

from lab.errors import LabError
from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide
from lab.site_file import Identity
from lab.station import Station

CODE = re.compile(r"/claim#(\w+\.[0-9a-f]{64})")
"""What a phone's camera reads off the gateway: its code, and the fingerprint of its key."""
CODE_S = 30.0
LOOK_S = 0.1
LEFT_OUT = re.compile(r"^(id|token_file|command_key_file) = .*\n", re.MULTILINE)
"""Settings that the identity brings along."""
FIRST_TABLE = re.compile(r"^\[\[", re.MULTILINE)
PLACE = re.compile(r"\$\{(\w+)\}")


class WayIn(Protocol):
    """What the district does to get its gateways in. ``enrols`` says whether they ask the fleet for an identity."""

    enrols: bool

    async def found(self, fleet: FleetSide) -> None:
        """Prepare a fleet that was just made."""
        ...

    async def announce(self, fleet: FleetSide, station: Station, identity: Identity, folder: Path) -> None:
        """Tell the fleet of a gateway before it serves. ``folder`` is where the gateway's files will be."""
        ...

    def text(self, station: Station) -> str:
        """The gateway's own file, the ports left open."""
        ...

    async def admit(self, fleet: FleetSide, side: GatewaySide, identity: Identity) -> None:
        """Let a gateway in that is about to start, or has started."""
        ...


class ByToken:
    """Registered beforehand; the token and the whole configuration lie in the gateway's folder."""

    enrols = False

    async def found(self, fleet: FleetSide) -> None:
        """Nothing is needed."""

    async def announce(self, fleet: FleetSide, station: Station, identity: Identity, folder: Path) -> None:
        """Register it and leave its token."""
        await fleet.add_gateway(identity, folder / f"{station.gateway}.token")

    def text(self, station: Station) -> str:
        """The whole file."""
        return station.text

    async def admit(self, fleet: FleetSide, side: GatewaySide, identity: Identity) -> None:
        """It is in."""


class ByClaim:
    """The gateway knows where the fleet is, and nothing else: a claim makes it what it is to be.

    It makes its key and shows its local code; that is scanned on the technician's page, with site and template; it gets
    certificate and first configuration, and speaks to the broker by mutual TLS.
    """

    enrols = True

    async def found(self, fleet: FleetSide) -> None:
        """Make the fleet's authority, the broker's certificate, and the technician's account."""
        await fleet.found_authority()
        await fleet.add_technician()

    async def announce(self, fleet: FleetSide, station: Station, identity: Identity, folder: Path) -> None:
        """Have the fleet keep the configuration of such a site as a template: its ports are variables."""
        tables = _split(station.text)[1]
        declared = "".join(f"[variable.{name}]\n" for name in dict.fromkeys(PLACE.findall(tables)))
        file = folder / "template.toml"
        file.write_text(f"{declared}\n{tables}", "utf-8")
        await fleet.add_template(identity, file)

    def text(self, station: Station) -> str:
        """The boot settings, less what the identity says."""
        return LEFT_OUT.sub("", _split(station.text)[0]).replace('"mqtt://', '"mqtts://')

    async def admit(self, fleet: FleetSide, side: GatewaySide, identity: Identity) -> None:
        """Scan the code that it shows, on the technician's page. Raises LabError if it shows none, or is refused."""
        scanned = await read_code(side)
        async with fleet.technician() as technician:
            await technician.submit(scanned, identity, identity.id, side.station.places)


def _split(text: str) -> tuple[str, str]:
    """Part a site's file into boot settings, and what the fleet may set."""
    first = FIRST_TABLE.search(text)
    if first is None:
        return text, ""
    return text[: first.start()], text[first.start() :]


async def read_code(side: GatewaySide) -> str:
    """Read the code that a gateway shows, with its key. Raises LabError if it shows none in time."""
    deadline = time.monotonic() + CODE_S
    while True:
        side.agent.check()
        shown = CODE.search(side.agent.tail())
        if shown is not None:
            return shown[1]
        if time.monotonic() > deadline:
            raise LabError(f"{side.station.gateway} shows no local code", hint=f"log: {side.agent.log}")
        await asyncio.sleep(LOOK_S)
