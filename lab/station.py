"""One site's instruments, standing: what a gateway finds on its sockets and serial lines."""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from lab.instruments.modbus import TcpSlave
from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.serial_server import SerialServer
from lab.instruments.siren import RelayModule
from lab.instruments.upload import Upload
from lab.ledger import Ledger
from lab.processes import free_port
from lab.site_file import read_rules, read_text
from lab.truth import Rule, Truth

Clock = Callable[[], int]
"""Monotonic ns."""

ANSWER_S = 10.0
"""How long an instrument that uploads waits for the gateway's answer before it says the same again."""


class Instrument(Protocol):
    """Anything that can be silenced."""

    is_powered: bool

    def power_off(self) -> None:
        """Stop answering, speaking and counting."""
        ...


class Running(Instrument, Protocol):
    """An instrument that does something by itself."""

    async def run(self) -> None:
        """Do it until cancelled."""
        ...


class Station(ABC):
    """One site's instruments. ``places`` is what its configuration file asks for."""

    gateway: str

    def __init__(self, truth: Truth, clock: Clock = time.monotonic_ns) -> None:
        self._clock = clock
        self.places: dict[str, str | int] = {}
        self.ledgers: list[Ledger] = []
        self._observe: Observe = partial(truth.served, self.gateway)
        self._instruments: list[Instrument] = []
        self._servers: list[TcpSlave | SerialServer] = []
        self._lines: list[PtyLine] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.relay = RelayModule(self.gateway, "relay-1", "state", truth.switched)

    async def open(self) -> None:
        """Switch the instruments on."""
        await self._serve_tcp("relay_port", TcpSlave({1: self.relay}, self._clock))
        self.ledgers.append(self.relay.ledger)
        await self._open_instruments()

    @property
    def text(self) -> str:
        """Its configuration file, the ports left open."""
        return read_text(self.gateway)

    @property
    def rules(self) -> Sequence[Rule]:
        """The alarms that its values make due."""
        return read_rules(self.text)

    @abstractmethod
    async def _open_instruments(self) -> None:
        """Switch on what only this site has."""

    async def close(self) -> None:
        """Switch everything off and take the lines away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.close()
        for line in self._lines:
            line.close()

    def power_off(self) -> None:
        """Silence every instrument: nothing more is served or counted."""
        for instrument in self._instruments:
            instrument.power_off()

    def power_on(self) -> None:
        """Let every instrument speak and answer again."""
        for instrument in self._instruments:
            instrument.is_powered = True

    @property
    def lines(self) -> Sequence[PtyLine]:
        """Its serial lines."""
        return self._lines

    def _ledger(self, group: str, values: int, counter: str = "polls") -> Ledger:
        """Open a ledger for a scan group, ``<device>.<group>``; ``counter`` is a tag of that device."""
        ledger = Ledger(self.gateway, group, values=values, counter=f"{group.partition('.')[0]}.{counter}")
        self.ledgers.append(ledger)
        return ledger

    async def _serve_tcp(self, place: str, slave: TcpSlave) -> None:
        self._servers.append(slave)
        self._instruments.append(slave)
        self.places[place] = await slave.open()

    async def _serial_server(self, place: str) -> SerialServer:
        server = SerialServer()
        self._servers.append(server)
        self.places[place] = await server.open()
        return server

    def _line(self, place: str) -> PtyLine:
        line = PtyLine()
        self._lines.append(line)
        self.places[place] = line.path
        return line

    def _port(self, place: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
        """Find a port for the gateway to listen on."""
        self.places[place] = port = free_port(kind=kind)
        return port

    def _upload(self, place: str) -> Upload:
        return Upload("127.0.0.1", self._port(place), ANSWER_S)

    def _run(self, instrument: Running) -> None:
        self._instruments.append(instrument)
        self._tasks.append(asyncio.create_task(instrument.run()))
