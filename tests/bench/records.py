"""Storage and encoding, without a gateway: what a sample costs on disk and on the wire."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from edge.spool import Spool
from edge.spool.file import pack
from edge.wear import written_bytes
from wire import codec
from wire.conversation import Batch, Clock
from wire.record import AlarmRecord, Lane, Layout, ScanRecord, encode_record, layout_id

CLOCK = Clock(offset_ns=1_790_000_000_000_000_000, quality="synced")
WIDTH = 100
COMMITS = 2000
PAGES = 5
"""Of a commit of one alarm: its row and that one's index, the mark, the alarm's state and that one's index."""


def walk(width: int = WIDTH) -> Iterator[tuple[int, ...]]:
    """Columns of 12-bit values that walk with a standard deviation of 2, from a fixed seed."""
    source = random.Random(1)
    values = [source.randrange(4096) for _ in range(width)]
    while True:
        values = [min(4095, max(0, value + round(source.gauss(0, 2)))) for value in values]
        yield tuple(values)


def random_walk(scans: int, width: int = WIDTH) -> list[tuple[int, ...]]:
    """So many rows of `walk`."""
    return list(islice(walk(width), scans))


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
        worn = _measure_wear(Path(folder) / "wear.sqlite3", make_records(6000)[0], layouts)
        alarms, bare = _time_alarms(Path(folder))
    samples = len(records) * WIDTH
    return {
        "spool_samples_per_s": samples / took,
        "spool_samples_per_s_limit": samples / limit,
        "spool_written_per_payload_byte": worn,
        "alarm_commit_ms_p99": _p99(alarms) * 1e3,
        "alarm_commit_ms_p99_limit": _p99(bare) * 1e3,
        "alarm_commit_vs_fsync_p99": _p99(alarms) / _p99(bare),
    }


def _measure_wear(path: Path, records: list[ScanRecord], layouts: dict[bytes, Layout]) -> float:
    """Octets that the kernel writes for each octet of compressed records, the move of the log included.

    Commits are of 200 scans: 20,000 values a second, committed once a second.
    """
    payload = 0
    before = written_bytes()
    spool = Spool(path, max_bytes=10**9, boot="bench", clock=CLOCK)
    for at in range(0, len(records), 200):
        group = records[at : at + 200]
        payload += len(pack([encode_record(record) for record in group]))
        spool.append([(Lane.MEASUREMENTS, record) for record in group], layouts)
    spool.close()
    return (written_bytes() - before) / payload


def _time_alarms(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of each commit of one alarm, and of each bare write and fsync of as many pages.

    They take turns, so that whatever else the disk has to do holds up both alike.
    """
    spool = Spool(folder / "alarms.sqlite3", max_bytes=10**9, boot="bench", clock=CLOCK)
    alarms, bare = [], []
    with (folder / "fsyncs").open("wb", buffering=0) as file:
        for number in range(COMMITS):
            change = "cleared" if number % 2 else "raised"
            alarm = AlarmRecord(
                number, None, "tanks.t001-level:high", "tanks.t001-level", "high", change, 2, 91.0, 90.0
            )
            began = time.perf_counter()
            spool.append([(Lane.ALARMS, alarm)], {})
            alarms.append(time.perf_counter() - began)
            began = time.perf_counter()
            file.write(bytes(PAGES * 4096))
            os.fsync(file.fileno())
            bare.append(time.perf_counter() - began)
    spool.close()
    return alarms, bare


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


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
