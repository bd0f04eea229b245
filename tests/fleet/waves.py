"""Packets of a station, as a gateway makes them."""

from __future__ import annotations

import math
import random
from array import array
from typing import Any

from prometheus_client import CollectorRegistry

from fleet.bootstrap import Services
from fleet.committer import Committer
from fleet.gateways import service as gateways
from fleet.metrics import IngestMetrics
from seismic.packet import Packet, to_record
from tests.fleet import edge
from tests.fleet.conftest import START_NS
from wire.conversation import Welcome
from wire.record import Lane, WaveformRecord
from wire.topics import Up

NS = 1_000_000_000
STREAM = "XX.RS001.00.HNZ"
RATE_HZ = 100.0


def counts(number: int, samples: int = 100) -> array[int]:
    """Samples that no other packet has: a slow wave with noise."""
    noise = random.Random(number)
    return array(
        "i", [round(1000 * math.sin((number * samples + i) / 50)) + noise.randrange(-40, 41) for i in range(samples)]
    )


def packet(number: int, stream: str = STREAM, samples: int = 100, rate_hz: float = RATE_HZ, **changes: Any) -> Packet:
    """Packet ``number`` of a stream that begins at `START_NS` and has no gap."""
    length_ns = round(samples / rate_hz * NS)
    made: dict[str, Any] = {
        "stream": stream,
        "start_ns": START_NS + number * length_ns,
        "mono_ns": number * length_ns,
        "rate_hz": rate_hz,
        "counts": counts(number, samples),
        "timing": 100,
        **changes,
    }
    return Packet(**made)


def record(number: int, **changes: Any) -> WaveformRecord:
    """The record of such a packet."""
    return to_record(packet(number, **changes))


class Station:
    """A gateway that sends its packets to a fleet."""

    def __init__(self, services: Services, gateway: str = edge.GATEWAY, site: str | None = None) -> None:
        self.gateway = gateway
        self.committer = Committer(services.database, IngestMetrics(CollectorRegistry()), services.clock)
        with services.database.writing() as session:
            gateways.register(session, gateway, "", site, services.clock())
        (reply,) = self.committer.commit([edge.up(Up.HELLO, edge.hello(gateway=gateway), gateway=gateway)])
        assert isinstance(reply.message, Welcome)
        self._session = reply.message.session
        self._seq = 0

    def send(self, *records: WaveformRecord) -> None:
        """Have the fleet commit some packets, in batches as large as a gateway makes them."""
        for begin in range(0, len(records), 500):
            some = records[begin : begin + 500]
            batch = edge.batch(self._session, self._seq + 1, *some, lane=Lane.WAVEFORMS)
            (reply,) = self.committer.commit([edge.up(Up.BATCH, batch, gateway=self.gateway)])
            self._seq += len(some)
            assert reply.message.committed == self._seq  # type: ignore[union-attr]
