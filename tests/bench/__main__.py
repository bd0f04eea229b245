"""Measure, print, and write one flat object to build/bench.json; ``<name>_limit`` is the raw limit beside a figure."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from drivers.base import Scan
from edge.alarms import Alarms
from edge.settings import AlarmRule
from edge.spool import Spool
from fleet.bootstrap import bootstrap
from fleet.founding import found
from fleet.gateways import service as gateways
from fleet.readings.service import series
from fleet.settings import load
from wire import codec
from wire.conversation import Batch, Clock
from wire.record import Lane, Layout, ScanRecord, encode_record, layout_id

FILE = Path("build/bench.json")
CLOCK = Clock(offset_ns=1_790_000_000_000_000_000, quality="synced")
WIDTH = 100


def random_walk(scans: int, width: int = WIDTH) -> list[tuple[int, ...]]:
    """Columns of 12-bit values that walk with a standard deviation of 2, from a fixed seed."""
    source = random.Random(1)
    values = [source.randrange(4096) for _ in range(width)]
    rows = []
    for _ in range(scans):
        values = [min(4095, max(0, value + round(source.gauss(0, 2)))) for value in values]
        rows.append(tuple(values))
    return rows


def make_records(scans: int) -> tuple[list[ScanRecord], Layout]:
    layout = Layout("tanks.fast", tuple(f"tanks.t{n:03d}-level" for n in range(WIDTH)))
    key = layout_id(layout)
    rows = random_walk(scans)
    wall = CLOCK.offset_ns or 0
    return [ScanRecord(key, n * 10**9, wall + n * 10**9, row) for n, row in enumerate(rows)], layout


def measure_spool() -> dict[str, float]:
    """Samples a second made durable, 10 commits of 100 scans of 100 values, beside the same octets and a bare fsync."""
    records, layout = make_records(1000)
    layouts = {layout_id(layout): layout}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        spool = Spool(Path(folder) / "spool.sqlite3", max_bytes=10**9, boot="bench", clock=CLOCK)
        began = time.perf_counter()
        for at in range(0, len(records), 100):
            spool.append([(Lane.MEASUREMENTS, record) for record in records[at : at + 100]], layouts)
        took = time.perf_counter() - began
        spool.close()
        limit = _bare_fsync(
            Path(folder) / "bare", [b"".join(map(encode_record, records[at : at + 100])) for at in range(0, 1000, 100)]
        )
    samples = len(records) * WIDTH
    return {"spool_samples_per_s": samples / took, "spool_samples_per_s_limit": samples / limit}


def _bare_fsync(path: Path, blocks: list[bytes]) -> float:
    began = time.perf_counter()
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - began


def measure_wire() -> dict[str, float]:
    """Octets per value of a batch of 10 scans of 100 values, every header included."""
    records, layout = make_records(10)
    batch = Batch(
        session="a1b2c3d4e5f6", round=1, epoch="00000001-" + "0" * 32, lane=Lane.MEASUREMENTS, first=1,
        items=tuple(map(encode_record, records)), boot="0" * 36, clock=CLOCK, layouts={layout_id(layout): layout},
    )  # fmt: skip
    return {"wire_bytes_per_value": len(codec.encode(batch)) / (len(records) * WIDTH)}


def measure_alarms() -> dict[str, float]:
    """Microseconds per value of judging 10,000 tags with four limits each, 1 % of the values crossing one."""
    tags = [f"tanks.t{n:05d}" for n in range(10_000)]
    levels = (("high-high", 95.0), ("high", 90.0), ("low", 10.0), ("low-low", 5.0))
    rules = [AlarmRule(tag=tag, level=level, limit=limit, deadband=1.0) for tag in tags for level, limit in levels]  # type: ignore[arg-type]
    groups = {f"g{at}": tuple(tags[at : at + WIDTH]) for at in range(0, len(tags), WIDTH)}
    alarms = Alarms(rules, groups)
    source = random.Random(1)
    scans = [
        Scan(group, n * 10**9, tuple(96.0 if source.random() < 0.01 else 50.0 for _ in range(WIDTH)), (0,) * WIDTH)
        for n in range(10)
        for group in groups
    ]
    began = time.perf_counter()
    for scan in scans:
        alarms.evaluate(scan)
    return {"alarm_us_per_value": (time.perf_counter() - began) * 1e6 / (len(scans) * WIDTH)}


def measure_series() -> dict[str, float]:
    """Milliseconds to read a month of a 1 s tag from SQLite in 800 parts: what a chart waits for."""
    month_s = 30 * 86_400
    with tempfile.TemporaryDirectory(dir=".") as folder:
        found(Path(folder) / "fleet", "", "admin", "a password for the bench")
        services = bootstrap(load(Path(folder) / "fleet"))
        with services.database.writing() as session:
            gateways.register(session, "gw-bench-0001", "", None, 0)
            tag = gateways.tag_ids(session, "gw-bench-0001", ["tank.level"])["tank.level"]
            session.execute(sa.text(FILL_SERIES), {"tag": tag, "count": month_s})
        with services.database.reading() as session:
            began = time.perf_counter()
            points = series(session, tag, 0, month_s * 10**9, 800)
            took = time.perf_counter() - began
        services.close()
    assert len(points) == 800
    return {"series_month_ms": took * 1e3}


FILL_SERIES = """
INSERT INTO reading (tag_id, at_ns, record_id, value, quality)
WITH RECURSIVE second (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM second WHERE n + 1 < :count)
SELECT :tag, n * 1000000000, n, n % 60, 0 FROM second
"""

PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "spool": measure_spool,
    "wire": measure_wire,
    "alarms": measure_alarms,
    "series": measure_series,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(PARTS), help="measure this part alone")
    options = parser.parse_args()
    figures = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in [options.only] if options.only else PARTS:
        print(f"measuring {name} ...", file=sys.stderr)
        figures.update({key: round(value, 3) for key, value in PARTS[name]().items()})
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print(json.dumps(figures, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
