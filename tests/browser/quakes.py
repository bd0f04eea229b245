"""An earthquake for the browser: three stations around the district, with waveforms of the Ridgecrest record."""

from __future__ import annotations

import time
from array import array
from pathlib import Path

from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from fleet.quakes import streets
from fleet.sites import service as sites
from seismic.packet import Packet, to_record
from tests.fleet import edge
from wire.conversation import Batch, Clock, Welcome
from wire.record import Lane, QuakeRecord, Record, encode_record
from wire.topics import Up
from wire.twin import Reported

NS = 1_000_000_000
LAB = Path(__file__).parents[2] / "lab"
RATE_HZ = 100.0
SENSITIVITY = 1e5
"""Counts per m/s2."""
STATIONS = {
    "gw-jiangbeizui-0001": ("CQ.JBZ", "江北嘴大厦 强震台", 29.573, 106.574, 0.0, 1.0, 9.6, 10),
    "gw-longxing-0009": ("CQ.LX", "龙兴 强震台", 29.701, 106.795, 3.4, 0.35, 7.4, 7),
    "gw-shuitu-0009": ("CQ.ST", "水土 强震台", 29.79, 106.50, 4.1, 0.2, 6.3, 6),
}
"""{gateway: station, title, position, s after the first onset, share of the record, intensity, class}."""
P_S = 22.42
"""When the P wave arrives in the record."""


def read_recording() -> list[tuple[float, ...]]:
    """Three components in m/s2; the file has micro-g."""
    lines = (LAB / "recordings" / "ridgecrest-2019-CI.CCC.csv").read_text("utf-8").splitlines()
    return [tuple(int(field) * 9.80665e-6 for field in line.split(",")) for line in lines if not line.startswith("#")]


class Shaken:
    """Says what the stations say; `began_ns` is the first onset."""

    def __init__(self, services: Services, began_ns: int | None = None) -> None:
        self.services = services
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        self.began_ns = began_ns or time.time_ns() - 90 * NS
        self.opened: dict[str, str] = {}
        self.seq: dict[tuple[str, Lane], int] = {}
        with services.database.writing() as session:
            streets.replace_all(session, (LAB / "streets-liangjiang.csv").read_text("utf-8"))
        for gateway, (station, title, lat, lon, *_) in STATIONS.items():
            self._add(gateway, station, title, lat, lon)

    def _add(self, gateway: str, station: str, title: str, lat: float, lon: float) -> None:
        with self.services.database.writing() as session:
            sites.add(session, gateway.replace("gw-", "quake-"), title, "earthquake", lat, lon)
            gateways.register(session, gateway, title, gateway.replace("gw-", "quake-"), self.services.clock())
        channels = [{"code": code, "unit": "m/s2", "sensitivity": SENSITIVITY} for code in ("HNE", "HNN", "HNZ")]
        network, _, code = station.partition(".")
        entry = {
            "name": "acc", "network": network, "station": code, "title": title, "latitude": lat, "longitude": lon,
            "channels": channels,
        }  # fmt: skip
        told = Reported(version=1, release="0.1.0", config={"station": [entry]})
        now_ns = self.services.clock()
        self.committer.commit([edge.up(Up.REPORTED, told, gateway, now_ns)])
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello(gateway=gateway), gateway, now_ns)])
        assert isinstance(reply.message, Welcome)
        self.opened[gateway] = reply.message.session

    def send(self, gateway: str, lane: Lane, *records: Record) -> None:
        first = self.seq.get((gateway, lane), 1)
        self.seq[gateway, lane] = first + len(records)
        batch = Batch(
            session=self.opened[gateway], round=0, epoch="e1", lane=lane, first=first, boot="boot-1",
            items=tuple(encode_record(record) for record in records), clock=Clock(offset_ns=0, quality="synced"),
            layouts={},
        )  # fmt: skip
        assert self.committer.commit([edge.up(Up.BATCH, batch, gateway, self.services.clock())])

    def tell(self, gateway: str, state: str, after_s: float, share: float = 1.0, reason: str = "") -> None:
        """Have a station report ``after_s`` its onset that it measured a share of what it will."""
        station, _, _, _, delay_s, size, intensity, grade = STATIONS[gateway]
        onset_ns = self.began_ns + int(delay_s * NS)
        wall_ns = onset_ns + int(after_s * NS)
        value = max(intensity - 3 * (1 - share), 1.0)
        self.send(
            gateway,
            Lane.ALARMS,
            QuakeRecord(
                station, wall_ns, wall_ns, onset_ns, state, onset_ns, wall_ns, after_s, 509.8 * size * share,
                88.4 * size * share, 30.4 * size * share, value, 5.8 * share, grade if share == 1 else int(value), 0,
                1.8 * size, 1.9, 6.9, 0.4, (), reason,
            ),
        )  # fmt: skip

    def send_waves(self, gateway: str) -> None:
        """Send the packets of a station, from before its onset on."""
        station, _, _, _, delay_s, size, *_ = STATIONS[gateway]
        rows = read_recording()
        start_ns = self.began_ns + int((delay_s - P_S) * NS)
        packets = []
        for column, code in enumerate(("HNE", "HNN", "HNZ")):
            for first in range(0, len(rows) - 100, 100):
                counts = array("i", [round(row[column] * SENSITIVITY * size) for row in rows[first : first + 100]])
                at_ns = start_ns + int(first / RATE_HZ * NS)
                packets.append(to_record(Packet(f"{station}.00.{code}", at_ns, at_ns, RATE_HZ, counts, 100)))
        for first in range(0, len(packets), 200):
            self.send(gateway, Lane.WAVEFORMS, *packets[first : first + 200])
