"""How soon an earthquake stands in the fleet's database, looked at by plain SQL: what the console reads, too."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from lab.instruments.seismograph import Seismograph

LOOK_S = 0.05
GIVE_UP_S = 60.0
SHORT = 0.05
"""An intensity counts as told when this little is missing."""
NS = 1_000_000_000

INTENSITY = "SELECT max(intensity_gb) FROM station_quake WHERE station = ? AND state <> 'rejected' AND onset_ns >= ?"
EVENTS = "SELECT count(DISTINCT quake_id) FROM station_quake WHERE state <> 'rejected' AND onset_ns >= ?"
SHOWN = """
SELECT count(DISTINCT stream_id) FROM waveform JOIN wave_stream ON wave_stream.id = stream_id
WHERE wave_stream.station = ? AND start_ns <= ? AND ? < end_ns
"""


class Seen(msgspec.Struct, frozen=True):
    """One earthquake: into how many events its stations were put together, and what it took from the peak's leaving the
    instrument until the fleet had its full intensity, and the waveforms around it. None: not in time."""

    events: int
    event_s: float | None
    waveforms_s: float | None


async def watch(database: Path, seismograph: Seismograph, station: str, streams: int) -> Seen:
    """Look from before the peak until both are there, or given up; ``station`` is the code, NET.STA."""
    struck_ns = time.time_ns() - NS
    await seismograph.peaked.wait()
    at_ns, left_ns = seismograph.peak
    event_s = waveforms_s = None
    while (event_s is None or waveforms_s is None) and time.time_ns() < left_ns + GIVE_UP_S * NS:
        if event_s is None:
            told = await _ask(database, INTENSITY, station, struck_ns)
            event_s = (time.time_ns() - left_ns) / NS if told >= seismograph.peak_intensity - SHORT else None
        if waveforms_s is None and await _ask(database, SHOWN, station, at_ns, at_ns) == streams:
            waveforms_s = (time.time_ns() - left_ns) / NS
        await asyncio.sleep(LOOK_S)
    return Seen(int(await _ask(database, EVENTS, struck_ns)), event_s, waveforms_s)


async def _ask(database: Path, query: str, *given: object) -> float:
    def ask() -> float:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5.0)) as connection:
            return float(connection.execute(query, given).fetchone()[0] or 0)

    return await asyncio.to_thread(ask)


def find_shortfalls(seen: Sequence[Seen]) -> list[str]:
    """Say what is not as it should be."""
    return [
        shortfall
        for one in seen
        for shortfall, is_so in (
            (f"one earthquake became {one.events} events", one.events != 1),
            ("the intensity of an earthquake never came to the fleet", one.event_s is None),
            ("the waveforms of an earthquake never came to the fleet", one.waveforms_s is None),
        )
        if is_so
    ]
