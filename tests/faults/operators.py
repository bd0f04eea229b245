"""Operators on site and at the console, who acknowledge and shelve all the while, and note what they were told is done.

They speak to the gateway's socket and to the fleet's API in plain JSON; nothing of the product is imported here.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import random
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide

ACTIVE, UNACKNOWLEDGED, SHELVED = 1, 2, 8
"""Bits of a standing, as docs/understand/alarms.md has them."""
ANSWER_S = 6.0
OCTETS_MOST = 1 << 22
ON_SITE_EVERY_S, AT_CONSOLE_EVERY_S = 0.4, 1.5
ON_SITE_AT_ONCE, AT_CONSOLE_AT_ONCE = 6, 5
CONSOLE_MOST = 400
"""Of each gateway: one remembers 500 commands a day."""
SHELVES_OF_TEN = 2
SHELVE_MINUTES = (0.0, 0.05, 0.1)
"""0: until it clears."""
WORDS = {"acknowledge": "acknowledged", "shelve": "shelved"}
NOT_KEPT = "not on the disk"
"""An answer with these words says that a power cut would undo what was done."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked of an alarm. ``comment`` is like no other."""

    gateway: str
    alarm: str
    occurrence: int
    action: str
    comment: str


class Operators:
    """``done`` is what was answered as done on site, ``alike`` what was answered to stand so already. What was asked at
    the console is in the fleet's table of commands, with the gateway's answers."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._numbers = itertools.count(1)
        self._left: dict[str, int] = {}
        self.done: list[Asked] = []
        self.alike: list[Asked] = []
        self.tries = self.failures = 0
        """Looks at the console, and those that the fleet did not answer: it was down, or its database was held."""

    async def work_on_site(self, side: GatewaySide) -> None:
        """Acknowledge and shelve at a gateway until cancelled."""
        while True:
            await self.work_once(side, ON_SITE_AT_ONCE)
            await asyncio.sleep(ON_SITE_EVERY_S)

    async def work_once(self, side: GatewaySide, most: int) -> None:
        """Acknowledge or shelve up to so many alarms of a gateway."""
        for alarm in self._choose(await list_alarms(side), most):
            await self._ask_on_site(side, alarm)

    async def _ask_on_site(self, side: GatewaySide, alarm: Mapping[str, Any]) -> None:
        asked, minutes = self._make(side.station.gateway, alarm)
        request = {"alarm": asked.alarm, "occurrence": asked.occurrence, "comment": asked.comment, "minutes": minutes}
        operation = {"action": asked.action, "request": request, "by": "site", "where": ""}
        answer = await ask(side, {"operation": operation})
        said = str(answer.get("said", ""))
        if NOT_KEPT in said or not said:
            return
        (self.done if WORDS[asked.action] in said else self.alike).append(asked)

    async def work_at_console(self, fleet: FleetSide, gateway: str) -> None:
        """Do the same from the fleet until cancelled."""
        self._left[gateway] = CONSOLE_MOST
        while True:
            self.tries += 1
            try:
                await asyncio.to_thread(self._ask_at_console, fleet, gateway)
            except (OSError, ValueError):  # the fleet is down, or was killed in the middle of a word
                self.failures += 1
            await asyncio.sleep(AT_CONSOLE_EVERY_S)

    @property
    def asked_at_console(self) -> int:
        """How many requests were made at the console."""
        return sum(CONSOLE_MOST - left for left in self._left.values())

    def _ask_at_console(self, fleet: FleetSide, gateway: str) -> None:
        alarms = call(fleet, f"api/alarms?all=true&gateway={gateway}")["alarms"]
        picked = self._choose([alarm for alarm in alarms if alarm["request"] is None], AT_CONSOLE_AT_ONCE)
        for alarm in picked[: self._left[gateway]]:
            asked, minutes = self._make(gateway, alarm)
            one = {"gateway": gateway, "alarm": asked.alarm, "occurrence": asked.occurrence}
            self._left[gateway] -= 1
            body = {"action": asked.action, "alarms": [one], "minutes": minutes, "comment": asked.comment}
            call(fleet, "api/alarms/operate", body)

    def _choose(self, alarms: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        waiting = [alarm for alarm in alarms if _is_waiting(alarm)]
        return self._source.sample(waiting, min(most, len(waiting)))

    def _make(self, gateway: str, alarm: Mapping[str, Any]) -> tuple[Asked, float]:
        action = "shelve" if self._source.randrange(10) < SHELVES_OF_TEN else "acknowledge"
        minutes = self._source.choice(SHELVE_MINUTES) if action == "shelve" else 0.0
        comment = f"operation {next(self._numbers)}"
        return Asked(gateway, alarm["name"], int(alarm["occurrence"]), action, comment), minutes


def _is_waiting(alarm: Mapping[str, Any]) -> bool:
    """Whether an alarm is unacknowledged, and not set aside. The gateway tells flags, the API names of OPC UA."""
    if "opc_ua" in alarm:
        return not alarm["opc_ua"]["AckedState"] and alarm["opc_ua"]["ShelvingState"] == "Unshelved"
    standing = int(alarm["standing"])
    return bool(standing & UNACKNOWLEDGED) and not standing & SHELVED


async def list_alarms(side: GatewaySide) -> list[dict[str, Any]]:
    """List how alarms stand at a gateway; nothing while it is down."""
    alarms: list[dict[str, Any]] = (await ask(side, {})).get("alarms", [])
    return alarms


async def ask(side: GatewaySide, question: Mapping[str, Any]) -> dict[str, Any]:
    """Ask an agent over its socket; nothing if it does not answer."""
    try:
        async with asyncio.timeout(ANSWER_S):
            with _named(side.folder / "data") as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=OCTETS_MOST)
            try:
                writer.write(json.dumps(question).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
            answer: dict[str, Any] = json.loads(line)
            return answer
    except (OSError, TimeoutError, ValueError):  # it is down, or was killed in the middle of a word
        return {}


@contextmanager
def _named(data: Path) -> Iterator[str]:
    """Name the socket by its open folder: the system takes 107 octets for one."""
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/alarms.sock"
    finally:
        os.close(folder)


def call(fleet: FleetSide, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the fleet's API. Raises OSError or ValueError."""
    request = urllib.request.Request(fleet.console_url + path, method="GET" if body is None else "POST")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{fleet.user}:{fleet.password}".encode()).decode())
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=ANSWER_S) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
