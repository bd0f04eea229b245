"""The agent as a program, with a Raspberry Shake that sends to it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from edge.waves.hours import Hours
from seismic.packet import NS
from tests.edge.stations.site import SHAKE_CONFIG, is_heard, records
from tests.servers import free_port
from wire.record import AuditRecord, Lane, ScanRecord

LINES, LINE_S, EACH = 16, 0.25, 25


def send(port: int, began_s: float) -> None:
    """Four seconds of a ramp on each channel."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        for line in range(LINES):
            time.sleep(LINE_S)
            for offset, channel in enumerate(("ENZ", "ENN", "ENE")):
                counts = ", ".join(str(1000 * offset + line * EACH + sample) for sample in range(EACH))
                text = f"{{'{channel}', {began_s + line * LINE_S:.3f}, {counts}}}"
                wire.sendto(text.encode("ascii"), ("127.0.0.1", port))


def test_agent_keeps_every_sample_of_a_station_in_its_ring_and_closes_it_when_it_is_stopped(tmp_path: Path) -> None:
    shake, config, data = free_port(), tmp_path / "gateway.toml", tmp_path / "data"
    config.write_text(SHAKE_CONFIG.format(mqtt=free_port(), shake=shake))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--data", str(data)]
    with (tmp_path / "agent.log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as agent:
        while not is_heard(shake):
            assert agent.poll() is None, (tmp_path / "agent.log").read_text()
            time.sleep(0.05)
        send(shake, time.time())
        time.sleep(0.5)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0, (tmp_path / "agent.log").read_text()
    hours = Hours(data / "waves", 10**8, lambda _: 7)
    for offset, channel in enumerate(("ENZ", "ENN", "ENE")):
        packets = hours.read(f"AM.TEST.00.{channel}", 0, 1 << 62)
        counts = [count for packet in packets for count in packet.counts]
        assert counts == [1000 * offset + number for number in range(LINES * EACH)]
        assert packets[0].rate_hz == 100
        assert packets[0].start_ns is not None
        assert abs(packets[0].start_ns - time.time_ns()) < 60 * NS
    hours.close()
    scans = [record for record in records(data, Lane.MEASUREMENTS) if isinstance(record, ScanRecord)]
    assert 1 <= len(scans) <= 6
    events = [record.event for record in records(data, Lane.ALARMS) if isinstance(record, AuditRecord)]
    assert "stopped" in events
    assert not {"task-failed", "ring-losing"} & set(events)
