"""How late an alarm is at the fleet when the link is thin and a day of measurements waits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as mqtt

from edge.spool import Spool
from tests.bench.gateway import NS, Gateway, Instruments, configuration, end, process, serving
from tests.bench.latency import told
from tests.bench.link import OCTETS_PER_S, ThinLink, thin_link
from tests.bench.records import random_walk
from tests.servers import mosquitto
from wire.conversation import Clock
from wire.record import Lane, Layout, Record, ScanRecord, layout_id

DEVICES, REGISTERS, POLL_S = 5, 20, 10.0
"""A tank farm: 100 tags each 10 s."""
SWITCH_POLL_S = 1.0
"""And a level switch that is asked each second and raises the alarms."""
STEP_MS = (1500, 3500)
RULE = '{level = "high", limit = 50}'
DAY_S = 86_400
WATCH_S = float(os.environ.get("BENCH_THIN_S", "400"))
LATE_S = 30.0
"""How long alarms may still come after the end."""
TAKES_OVER_S = 0.2


def measure_thin() -> dict[str, float]:
    """Seconds from the reading that raised or cleared an alarm until the fleet has it: 1 kB/s, a day of backlog.

    From the agent's first breath on: the first minute counts, and so does a second connection in the middle.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
        link = stack.enter_context(thin_link())
        switch_port, switch = stack.enter_context(serving("step", 1, STEP_MS, link.inside))
        tanks_port, _ = stack.enter_context(serving("walk", REGISTERS, inside=link.inside))
        broker = stack.enter_context(mosquitto(folder, host="0.0.0.0"))
        fleet = stack.enter_context(process([sys.executable, "-m", "tests.bench.fleet", str(broker)]))
        instruments = [
            Instruments(name="switch", port=switch_port, devices=1, registers=1, poll_s=SWITCH_POLL_S, rule=RULE),
            Instruments(name="tank", port=tanks_port, devices=DEVICES, registers=REGISTERS, poll_s=POLL_S),
        ]
        backlog = _fill(folder / "data" / "spool.sqlite3", instruments)
        print(f"  {backlog} records wait", file=sys.stderr)
        first_ns = time.monotonic_ns()
        agent = _start(folder, link, broker, instruments)
        stack.callback(end, agent)
        time.sleep(WATCH_S / 2)
        taken_over_ns = time.monotonic_ns()
        _take_over(broker)
        time.sleep(WATCH_S / 2)
        last_ns = time.monotonic_ns()
        time.sleep(LATE_S)
        counted = Gateway(agent, fleet).ask(first_ns, last_ns)
        alarms: list[tuple[int, int]] = counted["alarm_ns"]
        _show(alarms, first_ns, taken_over_ns)
        if log := os.environ.get("BENCH_THIN_LOG"):
            Path(log).write_text((folder / "edge.log").read_text())
        due = sum(first_ns + 10 * NS <= at < last_ns - 2 * NS for at, _ in told(switch, "step"))
    delays_s = sorted((came - read) / NS for read, came in alarms)
    return {
        "thin_link_alarm_s_p50": delays_s[len(delays_s) // 2],
        "thin_link_alarm_s_p99": delays_s[len(delays_s) * 99 // 100],
        "thin_link_alarm_s_max": delays_s[-1],
        "thin_link_alarms": len(delays_s),
        "thin_link_alarms_due_least": due,
        "thin_link_octets_used_pct": 100 * counted["octets"] / (WATCH_S + LATE_S) / OCTETS_PER_S,
    }


def _fill(path: Path, instruments: Sequence[Instruments]) -> int:
    """Put a day of scans into a spool, as an agent that had no link would have; returns how many."""
    spool = Spool(path, max_bytes=10**9, boot="yesterday", clock=Clock(offset_ns=0, quality="synced"))
    layouts: dict[bytes, Layout] = {}
    scans: list[tuple[int, Record]] = []
    for entry in instruments:
        for device in range(entry.devices):
            name = f"{entry.name}-{device:03d}"
            layout = Layout(f"{name}.main", tuple(f"{name}.level-{n:03d}" for n in range(entry.registers)))
            key = layout_id(layout)
            layouts[key] = layout
            for n, row in enumerate(random_walk(round(DAY_S / entry.poll_s), entry.registers)):
                at_ns = round(n * entry.poll_s * NS)
                scans.append((at_ns, ScanRecord(key, at_ns, at_ns, tuple(value * 0.1 for value in row))))
    scans.sort(key=lambda scan: scan[0])
    each = len(scans) * 10 // DAY_S
    for at in range(0, len(scans), each):
        spool.append([(Lane.MEASUREMENTS, record) for _, record in scans[at : at + each]], layouts)
    spool.close()
    return len(scans)


def _start(folder: Path, link: ThinLink, broker: int, instruments: Sequence[Instruments]) -> subprocess.Popen[bytes]:
    config = folder / "edge.toml"
    config.write_text(configuration(f"{link.outside}:{broker}", instruments))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), "--data", str(folder / "data")]
    with (folder / "edge.log").open("wb") as log:
        return subprocess.Popen([*link.inside, *command], stderr=log)


def _take_over(broker: int) -> None:
    """Sign in under the gateway's client id: the broker then closes its connection."""
    rival = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="gw-bench-0001")
    rival.connect("127.0.0.1", broker)
    rival.loop_start()
    time.sleep(TAKES_OVER_S)
    rival.disconnect()
    rival.loop_stop()


def _show(alarms: Sequence[tuple[int, int]], first_ns: int, taken_over_ns: int) -> None:
    """Print the worst of the first minute, of the minute after the second connection and of the rest."""
    spans = {
        "first minute": (first_ns, first_ns + 60 * NS),
        "reconnect": (taken_over_ns - 10 * NS, taken_over_ns + 60 * NS),
    }
    for name, (begin_ns, end_ns) in spans.items():
        worst = max(((came - read) / NS for read, came in alarms if begin_ns <= read < end_ns), default=0.0)
        print(f"  {name}: at most {worst:.2f} s", file=sys.stderr)
    if os.environ.get("BENCH_THIN_LOG"):
        for read, came in alarms:
            print(f"   at {(read - first_ns) / NS:7.1f} s: {(came - read) / NS:.2f} s", file=sys.stderr)
