"""Whether the spool keeps pace with a busy gateway for a minute, not only for a moment."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from edge.clock import SystemClock
from edge.settings import SpoolSettings
from edge.store import Store
from tests.bench.records import WIDTH, make_records
from wire.record import Lane, Layout, ScanRecord

SECONDS = int(os.environ.get("BENCH_SUSTAINED_S", "60"))
SAMPLES_PER_S = 20_000
TICKS_PER_S = 10
SCANS_IN_TICK = SAMPLES_PER_S // WIDTH // TICKS_PER_S


def measure_sustained() -> dict[str, float]:
    """20,000 samples a second through the store, committed each second: how many were durable, and how late at most.

    ``kept_pct``: of the samples handed over, those durable a commit's time and a half after the last.
    """
    records, layout = make_records(SECONDS * TICKS_PER_S * SCANS_IN_TICK)
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as folder:
        return asyncio.run(_sustain(Path(folder) / "spool.sqlite3", records, layout))


async def _sustain(path: Path, records: list[ScanRecord], layout: Layout) -> dict[str, float]:
    settings = SpoolSettings()
    store = await Store.open(path, settings, SystemClock())
    commits = asyncio.create_task(store.commit_forever())
    handed_s: list[float] = []
    late_s: list[float] = []
    watch = asyncio.create_task(_watch(store, handed_s, late_s))
    began, cpu_s = time.monotonic(), time.process_time()
    for at in range(0, len(records), SCANS_IN_TICK):
        await asyncio.sleep(began + at / SCANS_IN_TICK / TICKS_PER_S - time.monotonic())
        for record in records[at : at + SCANS_IN_TICK]:
            store.put_scan(record, layout)
            handed_s.append(time.monotonic())
    await asyncio.sleep(settings.commit_s * 1.5)
    took, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
    for task in (watch, commits):
        task.cancel()
    await asyncio.wait([watch, commits])
    await store.close()
    return {
        "spool_sustained_samples_per_s": SAMPLES_PER_S,
        "spool_sustained_kept_pct": 100 * len(late_s) / len(records),
        "spool_sustained_late_s_max": max(late_s),
        "spool_sustained_s": SECONDS,
        "spool_sustained_core_share": cpu_s / took,
    }


async def _watch(store: Store, handed_s: list[float], late_s: list[float]) -> None:
    """Note for each record how long after it was handed over it was durable."""
    while True:
        await store.committed.wait()
        now = time.monotonic()
        store.committed.clear()
        head = next(mark.head for mark in await store.marks() if mark.lane is Lane.MEASUREMENTS)
        late_s += (now - at for at in handed_s[len(late_s) : head])
