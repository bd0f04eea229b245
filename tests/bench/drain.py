"""How fast a backlog gets from a gateway's spool into the fleet's database, on loopback.

A real agent with a full spool, Mosquitto and a real `fengsui-fleet ingest` with its workers, each in processes of their
own. Meanwhile a series of one tag is read each second, as a chart does. At the end SQL counts the rows.
BENCH_DRAIN_SAMPLES makes it smaller while developing; the figures are of the ten million.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import msgspec
import psycopg
import sqlalchemy as sa

from edge.spool import Spool
from fleet.bootstrap import Services, bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.gateways.models import Cursor, Tag
from fleet.readings.models import Reading, Record
from fleet.readings.service import series
from fleet.settings import load, save
from tests.bench.gateway import read_resident_mb
from tests.bench.records import CLOCK, WIDTH, walk
from tests.fleet.postgres import find_programs, postgresql
from tests.servers import mosquitto
from wire.record import Lane, Layout, ScanRecord, layout_id

GATEWAY = "gw-bench-0001"
NS = 1_000_000_000
SAMPLES = 10_000_000
COMMIT_SCANS = 100
IDLE_S = 4.0
"""The agent is up this long, and knocks, before the fleet comes up."""
TICK_S = 0.2
QUERY_EVERY_S = 1.0
QUERY_SPAN_S = 3600
QUERY_PARTS = 200
STALLED_S = 60.0
LIMIT_ROWS = 1_000_000
LIMIT_TRANSACTION_ROWS = 40_000
LAYOUT = Layout("tanks.fast", tuple(f"tanks.t{n:03d}-level" for n in range(WIDTH)))
Row = tuple[int, int, int, float, None, int]


class Drained(msgspec.Struct, frozen=True):
    """What was seen: samples per second, growth of the agent's resident memory, each query's time."""

    samples_per_s: float
    rss_growth_mb: float
    query_ms: list[float]


def measure_drain() -> dict[str, float]:
    """Samples a second into SQLite and PostgreSQL, beside bare inserts of such rows into the same table."""
    samples = int(os.environ.get("BENCH_DRAIN_SAMPLES", SAMPLES))
    figures: dict[str, float] = {}
    growth, queries = 0.0, 0.0
    for name in ("sqlite", "postgresql"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".", prefix=".bench-")))
            url = ""
            if name == "postgresql":
                programs = find_programs()
                if programs is None:
                    print("no PostgreSQL server is installed: that half is left out", file=sys.stderr)
                    continue
                url = stack.enter_context(postgresql(programs))
            found(folder / "fleet", url, "admin", "a password for the bench")
            services = bootstrap(load(folder / "fleet"))
            stack.callback(services.close)
            drained = _drain(folder, services, samples)
            figures[f"drain_samples_per_s_{name}"] = drained.samples_per_s
            figures[f"drain_samples_per_s_{name}_limit"] = LIMITS[name](services)
            growth = max(growth, drained.rss_growth_mb)
            queries = max(queries, _p95(drained.query_ms))
    return {**figures, "drain_agent_rss_growth_mb": growth, "drain_query_ms_p95": queries}


def _drain(folder: Path, services: Services, samples: int) -> Drained:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        with services.database.writing() as session:
            gateways.register(session, GATEWAY, "", None, services.clock())
        save(msgspec.structs.replace(services.settings, broker_url=f"mqtt://127.0.0.1:{broker}", ingest_metrics=""))
        epoch = fill(folder / "edge" / "spool.sqlite3", samples // WIDTH)
        config = folder / "edge.toml"
        config.write_text(
            f'[gateway]\nid = "{GATEWAY}"\n[uplink]\nurl = "mqtt://127.0.0.1:{broker}"\n[health]\nlisten = ""\n'
        )
        agent = _start(stack, folder, ["edge.cli", "run", "--config", str(config), "--data", str(folder / "edge")])
        time.sleep(IDLE_S)
        before = read_resident_mb(agent.pid)
        _start(stack, folder, ["fleet.cli", "ingest", "--data", str(folder / "fleet")])
        drained = _watch(services, epoch, samples // WIDTH, agent, before)
    with services.database.reading() as session:
        records = session.scalar(sa.select(sa.func.count()).select_from(Record).where(Record.epoch == epoch))
        rows = session.scalar(sa.select(sa.func.count()).select_from(Reading))
    if (records, rows) != (samples // WIDTH, samples // WIDTH * WIDTH):
        raise RuntimeError(f"{records} records and {rows} values arrived, {samples} values were sent")
    return drained


def _watch(services: Services, epoch: str, head: int, agent: subprocess.Popen[bytes], before_mb: float) -> Drained:
    """Look on until the cursor is at the head. The clock runs from the first commit that is seen."""
    first: tuple[float, int] | None = None
    most_mb, committed, moved_at, query_at = before_mb, 0, time.monotonic(), 0.0
    queries: list[float] = []
    while committed < head:
        time.sleep(TICK_S)
        seen = _committed(services, epoch)
        now = time.monotonic()
        moved_at = now if seen > committed else moved_at
        committed = seen
        most_mb = max(most_mb, read_resident_mb(agent.pid))
        if first is None and committed:
            first = (now, committed)
        if now - moved_at > STALLED_S:
            raise RuntimeError(f"nothing is committed any more, at {committed} of {head} records")
        if committed and now - query_at >= QUERY_EVERY_S:
            query_at = now
            queries.append(_query(services))
    assert first is not None
    rate = (head - first[1]) * WIDTH / (time.monotonic() - first[0])
    return Drained(rate, most_mb - before_mb, queries)


def fill(path: Path, scans: int) -> str:
    """Write a spool with so many scans that wait, one a second up to now. Returns their epoch."""
    begin_ns = time.time_ns() - scans * NS
    key = layout_id(LAYOUT)
    spool = Spool(path, max_bytes=10**9, boot="bench", clock=CLOCK)
    rows = walk()
    for at in range(0, scans, COMMIT_SCANS):
        group = enumerate(islice(rows, min(COMMIT_SCANS, scans - at)), start=at)
        records = [ScanRecord(key, n * NS, begin_ns + n * NS, row) for n, row in group]
        spool.append([(Lane.MEASUREMENTS, record) for record in records], {key: LAYOUT})
    epoch = spool.epoch
    spool.close()
    return epoch


def _start(stack: ExitStack, folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    log = stack.enter_context((folder / f"{words[0]}.log").open("wb"))
    process = subprocess.Popen([sys.executable, "-m", *words], stderr=log)
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


def _committed(services: Services, epoch: str) -> int:
    with services.database.reading() as session:
        cursor = session.get(Cursor, (GATEWAY, epoch, Lane.MEASUREMENTS.value))
        return cursor.committed if cursor is not None else 0


def _query(services: Services) -> float:
    """Milliseconds to read the first hour of one tag in parts, as the console does."""
    began = time.perf_counter()
    with services.database.reading() as session:
        tag = session.scalar(sa.select(Tag.id).where(Tag.gateway == GATEWAY, Tag.name == LAYOUT.tags[WIDTH // 2]))
        begin_ns = session.scalar(sa.select(sa.func.min(Reading.at_ns)).where(Reading.tag_id == tag))
        assert tag is not None
        assert begin_ns is not None
        points = series(session, tag, begin_ns, begin_ns + QUERY_SPAN_S * NS, QUERY_PARTS)
    assert points
    return (time.perf_counter() - began) * 1e3


def _p95(times: list[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]


def _rows() -> Iterator[list[Row]]:
    """Rows as a scan after the other has them, as many as a bare transaction takes."""
    scans = enumerate(islice(walk(), LIMIT_ROWS // WIDTH))
    for _ in range(LIMIT_ROWS // LIMIT_TRANSACTION_ROWS):
        some = islice(scans, LIMIT_TRANSACTION_ROWS // WIDTH)
        yield [(-1 - tag, n * NS, n, value, None, 0) for n, row in some for tag, value in enumerate(row)]


def _limit_sqlite(services: Services) -> float:
    """Rows a second of bare executemany, in transactions of their own; the making of the rows is not counted."""
    took = 0.0
    connection = sqlite3.connect(services.settings.data_dir / "fleet.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536")
    for rows in _rows():
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        took += time.perf_counter() - began
    connection.close()
    return LIMIT_ROWS / took


def _limit_postgresql(services: Services) -> float:
    """Rows a second of bare binary COPY, row by row through the driver."""
    took = 0.0
    with psycopg.connect(services.settings.database()) as connection:
        for rows in _rows():
            began = time.perf_counter()
            with connection.cursor() as cursor, cursor.copy("COPY reading FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "int8", "int8", "float8", "text", "int8"])
                for row in rows:
                    copy.write_row(row)
            connection.commit()
            took += time.perf_counter() - began
    return LIMIT_ROWS / took


LIMITS = {"sqlite": _limit_sqlite, "postgresql": _limit_postgresql}
