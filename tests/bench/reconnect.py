"""A thousand gateways come back at once, each with a backlog: when all have caught up, and how late an alarm is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import sqlalchemy as sa

from fleet.bootstrap import Services, bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.settings import load
from tests.bench.ceiling import raise_ceiling
from tests.bench.crowd import TAGS
from tests.bench.gateway import NS, TICKS_PER_S, end, process
from tests.fleet.postgres import find_programs, postgresql
from tests.servers import find_mosquitto, free_port, wait_for_port

GATEWAYS = int(os.environ.get("BENCH_RECONNECT_GATEWAYS", "1000"))
PER_PROCESS = 250
OUTAGE_S = 45.0
"""Longer than the gateways take until they knock as rarely as they ever do."""
ALARMS_S = 60.0
"""Alarms are raised this long after the broker is back."""
LATE_S = 5.0
LOOK_S = 0.5
ALARMS = "SELECT gateway, epoch, seq, captured_ns FROM record WHERE lane = 'A'"
GIVE_UP_S = 900.0
ANSWER_S = 2.0
MEMORY = Path("/dev/shm")
"""A thousand gateways have a thousand disks; one would be the bottleneck here, and not in the field."""


class Servers(msgspec.Struct, frozen=True):
    """Ports and files of the broker: gateways come by TLS, the fleet by the loopback."""

    folder: Path
    tls: int
    plain: int


def measure_reconnect() -> dict[str, float]:
    """Seconds until an alarm is committed, counted from when it was raised, or from when the broker was back."""
    raise_ceiling()
    with ExitStack() as stack:
        base = MEMORY if MEMORY.is_dir() else Path()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base, prefix="bench-")))
        url = ""
        if os.environ.get("BENCH_RECONNECT_POSTGRES") and (programs := find_programs()) is not None:
            url = stack.enter_context(postgresql(programs))
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
        services = stack.enter_context(_fleet(disk / "fleet", url))
        servers = Servers(folder, free_port(), free_port())
        _certify(folder)
        broker = _start_broker(servers)
        ingest = _start_ingest(services, servers.plain)
        stack.callback(end, ingest)
        crowd = [stack.enter_context(process(_crowd(servers, first))) for first in range(0, GATEWAYS, PER_PROCESS)]
        _wait(lambda: _held(crowd)["sessions"] == GATEWAYS, "not all gateways got a session")
        _say("all have a session")
        broker.kill()
        broker.wait()
        shutil.rmtree(folder / "broker")
        began = time.monotonic()
        _tell(crowd, "fill")
        _say(f"the broker is gone, the spools were filled in {time.monotonic() - began:.0f} s")
        time.sleep(max(0.0, OUTAGE_S - (time.monotonic() - began)))
        broker = _start_broker(servers)
        stack.callback(end, broker)
        watched = {"broker": [broker.pid], "fleet": [ingest.pid], "edge": [program.pid for program in crowd]}
        figures = _watch(services, crowd, watched) | {"broker_dropped": _dropped(servers.plain)}
        return {f"reconnect_{GATEWAYS}_{name}": figure for name, figure in figures.items()}


def _watch(
    services: Services, crowd: Sequence[subprocess.Popen[str]], programs: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Raise alarms, note when each is committed, until the fleet has all."""
    due = _held(crowd)["M assigned"]
    back_ns, before, busy_s = time.time_ns(), _cpu_s(programs), _busy_s()
    _tell(crowd, f"alarms {ALARMS_S}")
    came_ns: dict[tuple[str, str, int, int], int] = {}
    caught_up_s = since_s = 0.0
    while not caught_up_s or since_s < ALARMS_S + LATE_S:
        time.sleep(LOOK_S)
        for gateway, epoch, seq, raised_ns in _rows(services, ALARMS):
            came_ns.setdefault((gateway, epoch, seq, raised_ns), time.time_ns())
        ((committed,),) = _rows(services, "SELECT SUM(committed) FROM cursor WHERE lane = 'M'")
        since_s = (time.time_ns() - back_ns) / NS
        if committed == due:
            caught_up_s = caught_up_s or since_s
        elif since_s > GIVE_UP_S:
            raise RuntimeError(f"not caught up after {GIVE_UP_S} s: {committed} of {due}")
    after = _cpu_s(programs)
    late_s = sorted((at_ns - max(raised_ns, back_ns)) / NS for (*_, raised_ns), at_ns in came_ns.items())
    return {
        "alarm_s_p50": late_s[len(late_s) // 2],
        "alarm_s_max": late_s[-1],
        "alarms": len(late_s),
        "caught_up_s": caught_up_s,
        **_compare(services, _held(crowd)),
        **{f"{name}_cpu_s": after[name] - before[name] for name in programs},
        "others_cpu_s": _busy_s() - busy_s - sum(after[name] - before[name] for name in programs),
    }


def _compare(services: Services, held: Mapping[str, int]) -> dict[str, float]:
    """Count records and values in the database against what the spools have assigned."""
    committed = dict(_rows(services, "SELECT lane, COUNT(*) FROM record GROUP BY lane"))
    ((samples,),) = _rows(services, "SELECT COUNT(*) FROM reading")
    lost = sum(held[f"{lane} assigned"] - committed.get(lane, 0) for lane in "AM")
    return {"samples": samples, "lost": lost + held["M assigned"] * len(TAGS) - samples}


def _rows(services: Services, query: str) -> Sequence[Any]:
    with services.database.reading() as session:
        return session.execute(sa.text(query)).all()


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


def _held(crowd: Sequence[subprocess.Popen[str]]) -> dict[str, int]:
    """What the spools hold, and how many gateways have a session."""
    answers = [json.loads(answer) for answer in _tell(crowd, "held")]
    return {key: sum(answer[key] for answer in answers) for key in answers[0]}


def _tell(crowd: Sequence[subprocess.Popen[str]], command: str) -> list[str]:
    for program in crowd:
        assert program.stdin is not None
        program.stdin.write(f"{command}\n")
        program.stdin.flush()
    return [program.stdout.readline() for program in crowd if program.stdout is not None]


def _wait(until: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while not until():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint)
        time.sleep(2.0)


def _cpu_s(programs: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """CPU seconds that programs and those they started have taken."""
    table = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            table[int(path.parent.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S)

    def taken(pid: int) -> float:
        return table[pid][1] + sum(taken(child) for child, (parent, _) in table.items() if parent == pid)

    return {name: sum(map(taken, pids)) for name, pids in programs.items()}


def _busy_s() -> float:
    """CPU seconds that all processors together were not idle."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system = map(int, words[1:4])
    return (user + nice + system) / TICKS_PER_S


def _dropped(port: int) -> float:
    """Messages that the broker had no room for. It says nothing while there are none."""
    told = [0.0]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _userdata, message: told.append(float(message.payload))
    client.connect("127.0.0.1", port)
    client.subscribe("$SYS/broker/publish/messages/dropped")
    client.loop_start()
    time.sleep(ANSWER_S)
    client.loop_stop()
    client.disconnect()
    return told[-1]


@contextmanager
def _fleet(folder: Path, url: str) -> Iterator[Services]:
    """Found a fleet that knows the gateways."""
    found(folder, url, "admin", "a password for the bench")
    services = bootstrap(load(folder))
    with services.database.writing() as session:
        for number in range(GATEWAYS):
            gateways.register(session, f"gw-bench-{number:04d}", "", None, 0)
    try:
        yield services
    finally:
        services.close()


def _start_ingest(services: Services, port: int) -> subprocess.Popen[bytes]:
    data = ["--data", str(services.settings.data_dir)]
    more = ["--broker-url", f"mqtt://127.0.0.1:{port}", "--ingest-metrics", ""]
    return subprocess.Popen([sys.executable, "-m", "fleet.cli", "ingest", *data, *more], stderr=subprocess.DEVNULL)


def _crowd(servers: Servers, first: int) -> list[str]:
    url, ca_file = f"mqtts://127.0.0.1:{servers.tls}", str(servers.folder / "ca.pem")
    count = min(PER_PROCESS, GATEWAYS - first)
    return [sys.executable, "-m", "tests.bench.crowd", url, ca_file, str(servers.folder), str(first), str(count)]


def _start_broker(servers: Servers) -> subprocess.Popen[bytes]:
    folder = servers.folder
    (folder / "broker").mkdir()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"user root\nallow_anonymous true\npersistence true\npersistence_location {folder}/broker/\n"
        f"listener {servers.tls} 127.0.0.1\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
        f"listener {servers.plain} 127.0.0.1\n"
    )
    program = find_mosquitto()
    assert program is not None, "mosquitto is missing: apt-get install mosquitto"
    broker = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_port(servers.plain)
    return broker


def _certify(folder: Path) -> None:
    """Make a CA and a certificate of the broker by it."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", "2"]
    ca = ["-subj", "/CN=bench CA", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem"]
    name = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    signed = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
    server = [*name, *signed, "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.pem"]
    for wanted in (ca, server):
        subprocess.run(["openssl", "req", *key, *wanted], check=True, capture_output=True)
