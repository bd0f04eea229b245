"""What seismic stations cost an agent: all of the way from the datagram to the ring, the event record and its waves."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from edge.waves.hours import Hours
from tests.bench.gateway import end, read_cpu_s, read_resident_mb
from tests.edge.stations.site import is_heard, records, ridgecrest
from tests.servers import free_port
from wire.record import Lane, QuakeRecord

RATE_HZ = 200
BATCH = 50
STATIONS = 16
SECONDS = 75
"""Of Ridgecrest: the trigger is at 22 s, the peak at 36 s."""
SETTLES_S = 3.0
STARTS_S = 60.0
COUNTS_PER_G = 384_500 * 9.80665
CHANNELS = ("ENE", "ENN", "ENZ")
AXES = ("ae", "an", "az")

SHAKE = """
[[bus]]
name = "shake-{n}"
kind = "raspberry_shake"
url = "udp://127.0.0.1:{port}"
[[device]]
name = "shake-{n}"
bus = "shake-{n}"
profile = "raspberryshake_rs4d"
rate_hz = {rate}
"""
STATION = """
[[station]]
name = "base-{n}"
network = "AM"
station = "B{n}"
"""
CHANNEL = """
[[station.channels]]
code = "{code}"
tag = "shake-{n}.{axis}"
sensitivity = 384500
azimuth = {azimuth}
dip = {dip}
"""


def measure_stations() -> dict[str, float]:
    """Percent of a core and MB that a station of 3 x 200 samples/s adds to an agent that reads the same instrument
    without recording it; what one and 16 stations take in all through Ridgecrest, in real time; and what of 16
    was lost on the way to the ring, in samples."""
    bare = _run(1, is_recorded=False)
    one = _run(1)
    all_of_them = _run(STATIONS)
    return {
        "quake_agent_core_pct": one.core_pct,
        "quake_agent_station_core_pct": one.core_pct - bare.core_pct,
        "quake_agent_station_mb": one.resident_mb - bare.resident_mb,
        "quake_agent_16_stations_core_pct": all_of_them.core_pct,
        "quake_agent_16_stations_mb": all_of_them.resident_mb,
        "quake_agent_16_stations_lost": all_of_them.lost,
        "quake_agent_16_stations_told": all_of_them.told,
    }


class Seen:
    """What an agent took through the earthquake, and what it had of it afterwards."""

    def __init__(self, agent: subprocess.Popen[bytes]) -> None:
        self._agent = agent
        self._began_s, self._began_cpu_s = time.monotonic(), read_cpu_s(self._agent.pid)
        self.core_pct = self.resident_mb = 0.0
        self.lost = self.told = 0

    def look(self) -> None:
        """Note what it has taken since it was first seen."""
        self.core_pct = 100 * (read_cpu_s(self._agent.pid) - self._began_cpu_s) / (time.monotonic() - self._began_s)
        self.resident_mb = read_resident_mb(self._agent.pid)


def _run(stations: int, *, is_recorded: bool = True) -> Seen:
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder, ports = Path(name), [free_port() for _ in range(stations)]
        config = folder / "gateway.toml"
        config.write_text(_write(ports, is_recorded=is_recorded))
        with _agent(folder, config, ports) as agent:
            seen = Seen(agent)
            _send(ports)
            time.sleep(SETTLES_S)
            seen.look()
        if is_recorded:
            _count(seen, folder / "data", stations)
    return seen


def _write(ports: Sequence[int], *, is_recorded: bool) -> str:
    text = f'[gateway]\nid = "gw-bench-0001"\n[uplink]\nurl = "mqtt://127.0.0.1:{free_port()}"\n[health]\nlisten = ""\n'
    for n, port in enumerate(ports):
        text += SHAKE.format(n=n, port=port, rate=RATE_HZ)
    for n in range(len(ports) if is_recorded else 0):
        text += STATION.format(n=n)
        for code, axis, azimuth, dip in zip(CHANNELS, AXES, (90, 0, 0), (0, 0, -90), strict=True):
            text += CHANNEL.format(n=n, code=code, axis=axis, azimuth=azimuth, dip=dip)
    return text


@contextmanager
def _agent(folder: Path, config: Path, ports: Sequence[int]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--data", str(folder / "data")]
    with (folder / "edge.log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as agent:
        deadline = time.monotonic() + STARTS_S
        while not all(map(is_heard, ports)):
            if agent.poll() is not None or time.monotonic() > deadline:
                end(agent)
                raise RuntimeError(f"the agent does not listen: {(folder / 'edge.log').read_text()[-2000:]}")
            time.sleep(0.1)
        try:
            yield agent
        finally:
            end(agent)


def _send(ports: Sequence[int]) -> None:
    """Send Ridgecrest to all at its own speed, made 200 samples/s by the middle between two of its 100."""
    columns = [[round(micro_g * COUNTS_PER_G / 1e6) for micro_g in column] for column in _doubled()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        began, stamp_s = time.monotonic(), time.time()
        for at in range(0, SECONDS * RATE_HZ, BATCH):
            time.sleep(max(0.0, began + at / RATE_HZ - time.monotonic()))
            for code, column in zip(CHANNELS, columns, strict=True):
                counts = ", ".join(map(str, column[at : at + BATCH]))
                line = f"{{'{code}', {stamp_s + at / RATE_HZ:.3f}, {counts}}}".encode("ascii")
                for port in ports:
                    wire.sendto(line, ("127.0.0.1", port))


def _doubled() -> list[list[float]]:
    columns = zip(*ridgecrest()[: SECONDS * RATE_HZ // 2 + 1], strict=True)
    return [[value for one, two in pairwise(column) for value in (one, (one + two) / 2)] for column in columns]


def _count(seen: Seen, data: Path, stations: int) -> None:
    hours = Hours(data / "waves", 10**12, lambda _: 7)
    for n in range(stations):
        for code in CHANNELS:
            kept = sum(len(packet.counts) for packet in hours.read(f"AM.B{n}..{code}", 0, 1 << 62))
            seen.lost += SECONDS * RATE_HZ - kept
    hours.close()
    told = {record.station for record in records(data, Lane.ALARMS) if isinstance(record, QuakeRecord)}
    seen.told = len(told)
