"""The instruments of each site, standing: what a gateway finds on its sockets and serial lines."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from lab.instruments.accelerometer import Accelerometer, load_recording
from lab.instruments.gas import GasDetector
from lab.instruments.modbus import RtuSlave, TcpSlave
from lab.instruments.pty_line import PtyLine
from lab.instruments.registers import Observe
from lab.instruments.siren import RelayModule
from lab.instruments.tanks import TankFarm
from lab.instruments.weather import NmeaStation, WeatherTransmitter
from lab.ledger import Ledger
from lab.truth import Truth

DETECTORS = 8


class Instrument(Protocol):
    """Anything that can be silenced."""

    def power_off(self) -> None:
        """Stop answering, speaking and counting."""
        ...


class Station(ABC):
    """One site's instruments. ``places`` is what its configuration file asks for."""

    gateway: str

    def __init__(self, truth: Truth, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self.places: dict[str, str | int] = {}
        self.ledgers: list[Ledger] = []
        self._observe: Observe = partial(truth.served, self.gateway)
        self._instruments: list[Instrument] = []
        self._slaves: list[TcpSlave] = []
        self._lines: list[PtyLine] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._relay = RelayModule(self.gateway, "relay-1", "state", truth.switched)

    async def open(self) -> None:
        """Switch the instruments on."""
        relay = await self._serve_tcp(TcpSlave({1: self._relay}, self._clock))
        self.places["relay_port"] = relay
        self.ledgers.append(self._relay.ledger)
        await self._open_instruments()

    @abstractmethod
    async def _open_instruments(self) -> None:
        """Switch on what only this site has."""

    async def close(self) -> None:
        """Switch everything off and take the lines away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slave in self._slaves:
            await slave.close()
        for line in self._lines:
            line.close()

    def power_off(self) -> None:
        """Silence every instrument: nothing more is served or counted."""
        for instrument in self._instruments:
            instrument.power_off()

    async def _serve_tcp(self, slave: TcpSlave) -> int:
        self._slaves.append(slave)
        self._instruments.append(slave)
        return await slave.open()

    def _new_line(self) -> PtyLine:
        line = PtyLine()
        self._lines.append(line)
        return line

    def _run(self, instrument: Instrument, work: Coroutine[Any, Any, None]) -> None:
        self._instruments.append(instrument)
        self._tasks.append(asyncio.create_task(work))


class ChemicalPark(Station):
    """鱼复化工: a tank farm's controller and a line of gas detectors."""

    gateway = "gw-yufu-0001"

    async def _open_instruments(self) -> None:
        self.tanks = TankFarm(self.gateway, "tanks", "fast", self._observe)
        self.detectors = [
            GasDetector(self.gateway, f"gd-{unit:02d}", "fast", self._observe) for unit in range(1, DETECTORS + 1)
        ]
        self.places["plc_port"] = await self._serve_tcp(TcpSlave({1: self.tanks.unit}, self._clock))
        line = self._new_line()
        self.places["gas_path"] = line.path
        slave = RtuSlave(line, {unit: gas.unit for unit, gas in enumerate(self.detectors, start=1)}, self._clock)
        self._run(slave, slave.run())
        self.ledgers += [self.tanks.ledger, *(detector.ledger for detector in self.detectors)]

    def overfill(self) -> None:
        """Fill tank T103 beyond its limits."""
        self.tanks.overfill(2, self._clock())

    def leak(self) -> None:
        """Let gas reach detector GD-04."""
        self.detectors[3].leak(self._clock())


class WeatherSite(Station):
    """龙兴自动气象站: an NMEA station and a Modbus RTU transmitter."""

    gateway = "gw-longxing-0001"

    async def _open_instruments(self) -> None:
        wind = Ledger(self.gateway, "station.wind", values=3, counter="station.wind-polls")
        air = Ledger(self.gateway, "station.air", values=4, counter="station.air-polls")
        line = self._new_line()
        self.places["nmea_path"] = line.path
        station = NmeaStation(line, wind, air, self._observe, self._clock)
        self._run(station, station.run())
        transmitter = WeatherTransmitter(self.gateway, "wxt", "weather", self._observe)
        line = self._new_line()
        self.places["wxt_path"] = line.path
        slave = RtuSlave(line, {1: transmitter.unit}, self._clock)
        self._run(slave, slave.run())
        self.ledgers += [wind, air, transmitter.ledger]


class Bridge(Station):
    """水土立交桥: an accelerometer on a pier."""

    gateway = "gw-shuitu-0001"

    async def _open_instruments(self) -> None:
        ledger = Ledger(self.gateway, "imu.motion", values=4, counter="imu.frames")
        line = self._new_line()
        self.places["imu_path"] = line.path
        self.accelerometer = Accelerometer(line, ledger, self._observe, load_recording(), self._clock)
        self._run(self.accelerometer, self.accelerometer.run())
        self.ledgers.append(ledger)

    def quake(self) -> None:
        """Let the earthquake arrive."""
        self.accelerometer.strike()
