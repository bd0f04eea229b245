"""What judging the motion of a station costs, how soon it tells of an earthquake, and how often of none."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import quantiles

from seismic.analyser import Analyser, AnalyserSettings, Report
from tests.seismic.records import THREE, S, noise, ridgecrest, rows

RATE_HZ = 200.0
STATIONS = 16
RECORDS = 100
"""Ridgecrest in noise, turned and weakened at random."""

NOISE_S = float(os.environ.get("BENCH_QUAKE_NOISE_S", "86400"))
MEMS_GAIN = 150.0
"""Makes of the quiet of a strong-motion station that of a cheap sensor: 1.5 gal rms, far above the trigger's floor, so
that nothing but the ratio keeps it from triggering."""

Rows = Sequence[Sequence[float | None]]


def measure_quake() -> dict[str, float]:
    """CPU of one station and of 16, at 3 x 200 samples/s through all of Ridgecrest, in percent of a core; MB of one; ms
    of the signal's time and of ours from the trigger to the P wave's report and from the peak to its report; false
    triggers in a day (BENCH_QUAKE_NOISE_S) of noise made of real quiet windows."""
    samples = _doubled(rows(ridgecrest()))
    trigger_ms, event_ms = _delays()
    return {
        "quake_core_pct": _core_pct(samples, 1),
        "quake_16_stations_core_pct": _core_pct(samples, STATIONS),
        "quake_quiet_core_pct": _core_pct(samples[: round(20 * RATE_HZ)], 1),
        "quake_memory_mb": _memory_mb(),
        "quake_trigger_ms_p99": quantiles(trigger_ms, n=100)[98],
        "quake_event_ms_p99": quantiles(event_ms, n=100)[98],
        "quake_noise_s": NOISE_S,
        "quake_false_triggers": _triggers(noise(NOISE_S, seed=11)),
        "quake_false_triggers_mems": _triggers(noise(NOISE_S, seed=12, gain=MEMS_GAIN)),
    }


def _doubled(samples: Rows) -> list[list[float]]:
    """Make 200 samples/s of 100, by the middle between two."""
    found: list[list[float]] = []
    for one, two in pairwise(samples):
        found += [[a or 0.0 for a in one], [((a or 0.0) + (b or 0.0)) / 2 for a, b in zip(one, two, strict=True)]]
    return found


def _core_pct(samples: Rows, stations: int) -> float:
    analysers = [Analyser(RATE_HZ, THREE, AnalyserSettings()) for _ in range(stations)]
    step_ns = round(S / RATE_HZ)
    began = time.process_time()
    for at, values in enumerate(samples):
        for analyser in analysers:
            analyser.take(S + at * step_ns, values)
    return 100 * (time.process_time() - began) * RATE_HZ / len(samples)


def _delays() -> tuple[list[float], list[float]]:
    """From the trigger to the first report of the P wave, and from the peak to the report that has it."""
    source, trigger_ms, event_ms = random.Random(1), [], []
    record = rows(ridgecrest())[1000:6000]
    quiet = list(noise(12))
    for _ in range(RECORDS):
        scale = 10 ** source.uniform(-1.5, 0)
        order = source.sample(range(3), 3)
        shaken = [[scale * source.uniform(0.999, 1.001) * (row[each] or 0.0) for each in order] for row in record]
        told = list(_told([*quiet, *shaken]))
        onset = next(report for report, _ in told if report.state == "onset")
        first, first_ms = next((report, cost) for report, cost in told if report.state == "p-wave")
        last = told[-1][0]
        peak, peak_ms = next((report, cost) for report, cost in told if report.pga_gal == last.pga_gal)
        trigger_ms.append((first.at_ns - onset.peak_at_ns) / 1e6 + first_ms)
        event_ms.append((peak.at_ns - last.peak_at_ns) / 1e6 + peak_ms)
    return trigger_ms, event_ms


def _told(samples: Rows) -> Iterator[tuple[Report, float]]:
    """Give each report with the ms that making it took."""
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    for at, values in enumerate(samples):
        began = time.perf_counter()
        report = analyser.take(S + at * S // 100, values)
        if report is not None:
            yield report, (time.perf_counter() - began) * 1e3
    ended = analyser.finish()
    if ended is not None:
        yield ended, 0.0


def _triggers(samples: Iterable[Sequence[float | None]]) -> int:
    analyser = Analyser(100.0, THREE, AnalyserSettings())
    reports = (analyser.take(S + at * S // 100, values) for at, values in enumerate(samples))
    return sum(report is not None and report.state == "onset" for report in reports)


def _memory_mb() -> float:
    """What an interpreter with one station holds more than one that has loaded msgspec."""
    look = "print(int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6)"
    station = (
        "from seismic.analyser import Analyser, AnalyserSettings, Component\n"
        "a = Analyser(200.0, [Component(name=n) for n in 'ENZ'], AnalyserSettings())\n"
        "for at in range(20000): a.take((at + 1) * 5000000, (at % 7 / 10, at % 5 / 10, 9.8 + at % 3 / 10))\n"
    )
    found = [
        float(subprocess.run([sys.executable, "-c", code + look], check=True, capture_output=True).stdout)
        for code in ("import msgspec, wire.sample\n", station)
    ]
    return found[1] - found[0]
