"""The sites of the district, each with its instruments."""

from __future__ import annotations

import socket

from lab.instruments.accelerometer import Accelerometer
from lab.instruments.climate import ClimateTransmitter
from lab.instruments.davis import VantageConsole
from lab.instruments.digitiser import Digitiser
from lab.instruments.fire import FireTransmitter
from lab.instruments.flow import FlowRadar
from lab.instruments.frames import Anemometer
from lab.instruments.gas import GasDetector
from lab.instruments.ground import Ground, load_recording
from lab.instruments.hj212 import WaterLogger
from lab.instruments.level import LevelTransmitter
from lab.instruments.modbus import AsciiSlave, RtuSlave, TcpSlave
from lab.instruments.sdi12 import RiverGauge, Sdi12Bus
from lab.instruments.seismograph import Seismograph
from lab.instruments.shake import Shake
from lab.instruments.tanks import TankFarm
from lab.instruments.weather import NmeaStation, WeatherTransmitter
from lab.instruments.wxt530 import WxtTransmitter
from lab.station import Station

DETECTORS = 8
LOGGER_MN = "010000A8900016F000169DC0"
TRANSMITTER_ADDRESS = bytes.fromhex("0D8000000000")
"""As it goes over the wire: lowest digits first."""
BURN_S = 20.0
LATER_S = 3.0
"""How much later the earthquake comes to the weather site, 30 km from the bridge: P waves take 5 s for that at most."""


class ChemicalPark(Station):
    """鱼复化工: a tank farm's controller, a line of gas detectors, a waste water logger and a fire transmitter."""

    gateway = "gw-yufu-0001"

    async def _open_instruments(self) -> None:
        self.tanks = TankFarm(self.gateway, "tanks", "fast", self._observe)
        self.detectors = [
            GasDetector(self.gateway, f"gd-{unit:02d}", "fast", self._observe) for unit in range(1, DETECTORS + 1)
        ]
        await self._serve_tcp("plc_port", TcpSlave({1: self.tanks.unit}, self._clock))
        units = {unit: gas.unit for unit, gas in enumerate(self.detectors, start=1)}
        self._run(RtuSlave(self._line("gas_path"), units, self._clock))
        self.ledgers += [self.tanks.ledger, *(detector.ledger for detector in self.detectors)]
        outfall = self._ledger("outfall.present", values=5)
        self._run(WaterLogger(self._upload("outfall_port"), outfall, self._observe, LOGGER_MN, clock=self._clock))
        events = self._ledger("fire-1.events", values=1, counter="events")
        upload = self._upload("fire_port")
        self.transmitter = FireTransmitter(upload, events, self._observe, TRANSMITTER_ADDRESS, clock=self._clock)
        self._run(self.transmitter)

    def overfill(self, tank: int) -> None:
        """Fill a tank (counted from 0) beyond its limits."""
        self.tanks.overfill(tank, self._clock())

    def leak(self, detector: int) -> None:
        """Let gas reach a detector (counted from 0)."""
        self.detectors[detector].leak(self._clock())

    def burn(self) -> None:
        """Let the smoke detector of the control room see fire."""
        self.transmitter.burn(3, BURN_S)


class WeatherSite(Station):
    """龙兴自动气象站: an NMEA station, transmitters by Modbus and in ASCII, a Vantage Pro2, and a seismic station."""

    gateway = "gw-longxing-0001"

    async def _open_instruments(self) -> None:
        wind = self._ledger("station.wind", values=3, counter="wind-polls")
        air = self._ledger("station.air", values=4, counter="air-polls")
        self._run(NmeaStation(self._line("nmea_path"), wind, air, self._observe, self._clock))
        transmitter = WeatherTransmitter(self.gateway, "wxt", "weather", self._observe)
        self._run(RtuSlave(self._line("wxt_path"), {1: transmitter.unit}, self._clock))
        self.ledgers.append(transmitter.ledger)
        # The voltage of its supply is reported by exception, so that only the counter comes with each scan.
        sizes = {"1": ("wind", 3), "2": ("air", 4), "3": ("rain", 3), "5": ("supply", 1)}
        ledgers = {
            message: self._ledger(f"mast.{group}", values, f"{group}-polls")
            for message, (group, values) in sizes.items()
        }
        self._run(WxtTransmitter(self._line("mast_path"), "mast", ledgers, self._observe, clock=self._clock))
        roof = self._ledger("roof.weather", values=11)
        self._run(VantageConsole(self._line("davis_path"), roof, self._observe, self._clock))
        port = self._port("rock_port", socket.SOCK_DGRAM)
        motion = load_recording(), self._clock
        self.seismograph = Seismograph(port, "rock.intensity_gb", self._observe, *motion, scale=0.6, delay_s=LATER_S)
        self._run(self.seismograph)

    def quake(self) -> None:
        """Let the earthquake arrive."""
        self.seismograph.strike()


class Bridge(Station):
    """水土立交桥: accelerometer on a pier, Raspberry Shake, digitiser, seismic station, anemometer on the deck."""

    gateway = "gw-shuitu-0001"
    seismic = "CQ.SHT01"
    """What the world calls its seismic station."""

    async def _open_instruments(self) -> None:
        recording = load_recording()
        motion = self._ledger("imu.motion", values=4, counter="frames")
        self.accelerometer = Accelerometer(
            self._line("imu_path"), motion, self._observe, Ground(recording), self._clock
        )
        self._run(self.accelerometer)
        port = self._port("shake_port", socket.SOCK_DGRAM)
        ground = self._ledger("shake.acceleration", values=4, counter="samples")
        self.shake = Shake(port, ground, self._observe, Ground(recording), self._clock)
        self._run(self.shake)
        port = self._port("pier_port", socket.SOCK_DGRAM)
        self.seismograph = Seismograph(port, "pier.intensity_gb", self._observe, recording, self._clock)
        self._run(self.seismograph)
        pier = self._ledger("digitiser.motion", values=4, counter="samples")
        self.digitiser = Digitiser(self._port("seedlink_port"), pier, self._observe, Ground(recording), self._clock)
        self._run(self.digitiser)
        wind = self._ledger("deck.wind", values=3)
        self._run(Anemometer(self._line("deck_path"), wind, self._observe, rate_hz=1.0, clock=self._clock))

    def quake(self) -> None:
        """Let the earthquake arrive."""
        self.accelerometer.ground.strike()
        self.shake.ground.strike()
        self.seismograph.strike()
        self.digitiser.ground.strike()


class RiverSite(Station):
    """御临河水文站: gauges on SDI-12, a radar, a well by Modbus ASCII, and a hut behind a serial server."""

    gateway = "gw-yulin-0001"

    async def _open_instruments(self) -> None:
        self.gauges = {
            address: RiverGauge(self.gateway, device, "water", self._observe)
            for address, device in (("0", "upstream"), ("1", "downstream"))
        }
        self._run(Sdi12Bus(self._line("sdi12_path"), self.gauges, self._clock))
        flow = self._ledger("flow.surface", values=3)
        self._run(FlowRadar(self._line("flow_path"), flow, self._observe, self._clock))
        well = LevelTransmitter(self.gateway, "well", "process", self._observe)
        self._run(AsciiSlave(self._line("well_path"), {1: well.unit}, self._clock))
        hut = ClimateTransmitter(self.gateway, "hut", "climate", self._observe)
        self._run(RtuSlave(await self._serial_server("hut_port"), {1: hut.unit}, self._clock))
        self.ledgers += [*(gauge.ledger for gauge in self.gauges.values()), well.ledger, hut.ledger]

    def flood(self) -> None:
        """Let the river rise upstream."""
        self.gauges["0"].flood(self._clock())


STATIONS = (ChemicalPark, WeatherSite, Bridge, RiverSite)
