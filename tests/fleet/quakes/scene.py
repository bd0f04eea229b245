"""Stations that tell of earthquakes, committed as ingest does."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.quakes import service as quakes
from fleet.quakes.summary import Summary
from fleet.sites import service as sites
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from wire.conversation import Clock, Welcome
from wire.record import Lane, QuakeRecord
from wire.topics import Up

NS = 1_000_000_000
KM_LAT = 1 / 111.195
TOWER, BRIDGE = "gw-tower-0001", "gw-bridge-0001"
STATIONS = {TOWER: ("XX.TOWER", "江北嘴大厦", 0.0), BRIDGE: ("XX.BRDGE", "朝天门大桥", 30.0)}
"""{gateway: station, its title, how far north it stands in km}."""
BOOT_NS = START_NS - 1000 * NS
"""When the gateways started."""


def report(station: str = "XX.TOWER", onset_s: float = 0.0, after_s: float = 0.0, **changes: Any) -> QuakeRecord:
    """What a station tells ``after_s`` its onset; both by the start of the tests' clock."""
    onset_ns = START_NS + int(onset_s * NS)
    wall_ns = onset_ns + int(after_s * NS)
    made = QuakeRecord(
        station=station,
        mono_ns=wall_ns - BOOT_NS,
        wall_ns=wall_ns,
        quake=onset_ns,
        state="onset",
        onset_ns=onset_ns,
        peak_ns=wall_ns,
        duration_s=after_s,
        pga_gal=20.0,
        pgv_cm_s=2.0,
        pgd_cm=0.4,
        intensity_gb=5.2,
        intensity_jma=3.1,
        grade=5,
    )
    return msgspec.structs.replace(made, **changes)


class Quakes:
    """A fleet of two gateways with a station each, 30 km apart."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        self.opened: dict[str, str] = {}
        self.seq: dict[str, int] = {}
        self.waves_seq: dict[str, int] = {}
        for gateway, (station, title, north_km) in STATIONS.items():
            self.add(gateway, station, title, north_km)

    def add(self, gateway: str, station: str, title: str, north_km: float | None) -> None:
        """Register a gateway on a site of its own; without a place only the site could tell it, and does not."""
        key = gateway.replace("gw-", "site-")
        with self.services.database.writing() as session:
            sites.add(session, key, f"场所 {title}", "earthquake", None, None)
            gateways.register(session, gateway, "", key, self.services.clock())
        network, _, code = station.partition(".")
        entry = {"name": "acc", "network": network, "station": code, "title": title}
        if north_km is not None:
            entry |= {"latitude": 29.57 + north_km * KM_LAT, "longitude": 106.57}
        told = edge.reported(tags=(), title="", site=key, config={"station": [entry]})
        self.committer.commit([edge.up(Up.REPORTED, told, gateway=gateway, received_ns=self.services.clock())])
        self.hello(gateway)

    def hello(self, gateway: str, epoch: str = "e1") -> None:
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello(epoch, gateway), gateway=gateway)])
        assert isinstance(reply.message, Welcome)
        self.opened[gateway], self.seq[gateway] = reply.message.session, 1

    def say(self, gateway: str, *records: QuakeRecord, clock: str = "synced", **changes: Any) -> None:
        """Send reports, as of now."""
        offset = None if clock == "unset" else BOOT_NS
        batch = edge.batch(
            self.opened[gateway], self.seq[gateway], *records, lane=Lane.ALARMS,
            clock=Clock(offset_ns=offset, quality=clock), **changes,
        )  # fmt: skip
        self.seq[gateway] += len(records)
        now_ns = self.services.clock()
        assert self.committer.commit([edge.up(Up.BATCH, batch, gateway=gateway, received_ns=now_ns)])

    def list(self, **query: Any) -> list[Summary]:
        with self.services.database.reading() as session:
            return quakes.list_quakes(session, self.services.clock(), **query)

    def get(self, number: int) -> quakes.Found:
        with self.services.database.reading() as session:
            return quakes.get_quake(session, number, self.services.clock())
