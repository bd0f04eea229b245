"""What waveforms take: octets a sample on the Ridgecrest recording, and the time of cutting and packing them."""

from __future__ import annotations

import time
from array import array
from pathlib import Path

from seismic import miniseed, packing
from seismic.packet import Channel, Packet, Packetiser, TimeQuality

FILE = Path("lab/recordings/ridgecrest-2019-CI.CCC.csv")
START_NS, RATE_HZ = 1_562_383_177_000_000_000, 100.0
STREAMS = ("CI.CCC..HNE", "CI.CCC..HNN", "CI.CCC..HNZ")
STATION_HZ = 600
"""Samples a second of a station of 3 x 200, whose share of a core is stated."""


def measure_waves() -> dict[str, float]:
    """Octets a sample, sample by sample through the packetiser: as Steim2 in full records of 512 octets, and as packets
    of a second in lane W. Then the share of a core, in %, of this and the ring's records for 3 x 200 samples/s."""
    rows = [tuple(map(int, line.split(","))) for line in FILE.read_text("ascii").splitlines() if line[0] != "#"]
    samples = 3 * len(rows)
    began_s = time.process_time()
    packets = _cut(rows)
    lane = sum(len(packing.pack(packet.counts)) for packet in packets)
    ring = [record for packet in packets for record in miniseed.records(packet, 3)]
    spent_s = time.process_time() - began_s
    steim2 = len(miniseed.write(packets, 2))
    return {
        "quake_bytes_per_sample_steim2": steim2 / samples,
        "quake_bytes_per_sample_lane": lane / samples,
        "quake_bytes_per_sample_ring": sum(map(len, ring)) / samples,
        "quake_packets_core_pct": spent_s / samples * STATION_HZ * 100,
    }


def _cut(rows: list[tuple[int, ...]]) -> list[Packet]:
    packetiser = Packetiser([Channel(stream) for stream in STREAMS], RATE_HZ)
    packets = packetiser.tell(TimeQuality(START_NS, 100))
    for number, row in enumerate(rows):
        packets += packetiser.take(round(number * 1e9 / RATE_HZ), row)
    packets += packetiser.flush()
    for at, stream in enumerate(STREAMS):
        counts = array("i")
        for packet in packets:
            if packet.stream == stream:
                counts.extend(packet.counts)
        assert list(counts) == [row[at] for row in rows]
    return packets
