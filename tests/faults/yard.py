"""A site with many limit switches, and the ledger of its alarms: which must have been raised and returned by now.

Nothing of the product is imported here. A switch stands still until whoever reads it must have it for good: it was read
several times over some seconds by one and the same process. An agent that is killed in between begins anew, so each
change is one that the agent cannot have missed, and each is one alarm or one return, however often the agent is killed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence

from lab.instruments.modbus import READ_HOLDING, TcpSlave
from lab.instruments.registers import Point, RegisterUnit
from lab.instruments.signals import Signal, Swing
from lab.ledger import Ledger
from lab.station import Station
from lab.truth import Rule, Truth

GATEWAYS = ("gw-yard-0001", "gw-yard-0002")
GROUPS, WIDTH = 3, 100
"""Scan groups of a yard, unless it has another number, and the switches of each."""
QUIET, BEYOND, LIMIT, DEADBAND = 10.0, 90.0, 50.0, 5.0
POLL_S = 0.5
SURE_READS, SURE_S = 4, 2.0
RESTS_S = (0.0, 12.0)
STEP_S = 0.1

Life = Callable[[], int]
"""Names the process that reads, 0 while there is none."""


class Switch(Signal):
    """One value that is quiet or beyond its limit."""

    def __init__(self, name: str) -> None:
        super().__init__(Swing(base=QUIET), name)
        self.is_beyond = False
        self.rests_until_ns = 0
        self._life = self._reads = self._first_ns = self._last_ns = 0

    def value(self, at_ns: int) -> float:  # noqa: ARG002 - as of any signal
        """Give the value."""
        return BEYOND if self.is_beyond else QUIET

    def change(self, rests_until_ns: int) -> None:
        """Go beyond the limit, or back."""
        self.is_beyond = not self.is_beyond
        self.rests_until_ns = rests_until_ns
        self._reads = 0

    def forget(self) -> None:
        """Nobody need have it for good: what was read until now does not count."""
        self._reads = 0

    def seen(self, value: float, life: int, at_ns: int) -> None:
        """Note that a process was served a value."""
        if (value > LIMIT) is not self.is_beyond or not life:
            return
        if life != self._life or not self._reads:
            self._life, self._reads, self._first_ns = life, 0, at_ns
        self._reads += 1
        self._last_ns = at_ns

    @property
    def is_sure(self) -> bool:
        """Whether it is known for good how it stands."""
        return self._reads >= SURE_READS and self._last_ns - self._first_ns >= SURE_S * 1e9


class Yard(Station):
    """Groups of switches behind one controller. ``life`` is set once there is an agent."""

    def __init__(self, gateway: str, truth: Truth, groups: int = GROUPS) -> None:
        self.gateway = gateway
        self._groups = groups
        super().__init__(truth)
        self._told = self._observe
        self.life: Life = lambda: 0
        self._is_held = False
        tags = (f"yard-{group}.s{at:02d}" for group in range(groups) for at in range(WIDTH))
        self.switches = {tag: Switch(tag) for tag in tags}

    async def open(self) -> None:
        """Switch the controller on; there is no relay module here."""
        await self._open_instruments()

    async def _open_instruments(self) -> None:
        units: dict[int, RegisterUnit] = {}
        for group in range(self._groups):
            ledger = Ledger(self.gateway, f"yard-{group}.fast", values=WIDTH + 1, counter=f"yard-{group}.polls")
            self.ledgers.append(ledger)
            tags = [f"yard-{group}.s{at:02d}" for at in range(WIDTH)]
            points = [Point(tag=tag, address=at, scale=1.0, signal=self.switches[tag]) for at, tag in enumerate(tags)]
            units[group + 1] = RegisterUnit(READ_HOLDING, points, ledger, WIDTH, self._see)
        await self._serve_tcp("plc_port", TcpSlave(units, self._clock))

    @property
    def is_held(self) -> bool:
        """Whether nothing changes, and nobody need have anything for good."""
        return self._is_held

    def hold(self) -> None:
        """Stand still."""
        self._is_held = True

    def let_go(self) -> None:
        """Go on. What was read meanwhile is not known for good."""
        self._is_held = False
        for switch in self.switches.values():
            switch.forget()

    def _see(self, tag: str, value: float, at_ns: int) -> None:
        self._told(tag, value, at_ns)
        if not self._is_held:
            self.switches[tag].seen(value, self.life(), at_ns)

    @property
    def rules(self) -> Sequence[Rule]:
        """The alarms of its switches, one each; the product's reading of its configuration is not asked."""
        return [
            Rule(gateway=self.gateway, tag=tag, level="high", limit=LIMIT, deadband=DEADBAND) for tag in self.switches
        ]

    @property
    def text(self) -> str:
        """Its configuration file."""
        return "\n".join((HEAD.replace("GATEWAY", self.gateway), *_write_groups(self._groups)))


HEAD = """
[gateway]
id = "GATEWAY"
title = "GATEWAY"
site = "GATEWAY-site"
sector = "chemical"

[uplink]
url = "mqtt://${broker}"
token_file = "GATEWAY.token"
command_key_file = "fleet-command.pub"

[spool]
commit_s = 0.5

[health]
listen = "127.0.0.1:${health_port}"

[local]
listen = "127.0.0.1:${page_port}"
code_file = "site.code"

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://127.0.0.1:${plc_port}"
timeout_s = 2.0
"""


def _write_groups(groups: int) -> Iterator[str]:
    for group in range(groups):
        yield f'[[device]]\nname = "yard-{group}"\nbus = "plc"\nunit = {group + 1}'
        yield f'[[device.group]]\nname = "fast"\npoll_s = {POLL_S}'
        yield f'[[device.group.tag]]\nname = "polls"\naddress = {WIDTH}'
        for at in range(WIDTH):
            rule = f'level = "high"\nlimit = {LIMIT}\ndeadband = {DEADBAND}\npriority = {at % 4 + 1}'
            named = f'name = "s{at:02d}"\ntitle = "yard-{group}.s{at:02d}"\naddress = {at}'
            yield f"[[device.group.tag]]\n{named}\n[[device.group.tag.alarm]]\n{rule}"


class Play:
    """Lets alarms begin and end at all yards until so many have begun."""

    def __init__(self, yards: Sequence[Yard], source: random.Random) -> None:
        self._yards = yards
        self._source = source
        self.begun = 0

    async def go_on(self, count: int) -> None:
        """Return when ``count`` have begun and every switch is known for good as it stands."""
        for yard in self._yards:
            for switch in yard.switches.values():
                switch.rests_until_ns = self._rest(time.monotonic_ns())
        while self.begun < count or not self.is_settled:
            for yard in self._yards:
                if not yard.is_held:
                    self._step(yard, count, time.monotonic_ns())
            await asyncio.sleep(STEP_S)

    def _step(self, yard: Yard, count: int, now_ns: int) -> None:
        for switch in yard.switches.values():
            if self.begun >= count:
                return
            if now_ns >= switch.rests_until_ns and switch.is_sure:
                self.begun += not switch.is_beyond
                switch.change(self._rest(now_ns))

    def _rest(self, now_ns: int) -> int:
        """Until when a switch stands still, by chance."""
        return now_ns + round(self._source.uniform(*RESTS_S) * 1e9)

    @property
    def is_settled(self) -> bool:
        """Whether every switch is known for good as it stands."""
        return all(switch.is_sure for yard in self._yards for switch in yard.switches.values())
