"""How soon an earthquake is in the fleet's database, on a database that fills as told."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from lab.instruments.seismograph import Seismograph
from lab.quake_watch import Seen, find_shortfalls, watch

TABLES = """
CREATE TABLE station_quake (station TEXT, state TEXT, onset_ns INTEGER, quake_id INTEGER, intensity_gb REAL);
CREATE TABLE wave_stream (id INTEGER, station TEXT);
CREATE TABLE waveform (stream_id INTEGER, start_ns INTEGER, end_ns INTEGER);
"""


def fill(database: Path, *lines: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for line in lines:
            connection.executescript(line)


async def test_intensity_and_waveforms_are_timed_from_the_peaks_leaving(tmp_path: Path) -> None:
    database, seismograph = tmp_path / "fleet.db", Seismograph(0, "pier.intensity_gb", lambda *_: None, ())
    fill(database, TABLES, "INSERT INTO wave_stream VALUES (1, 'CQ.X')")
    now_ns = time.time_ns()
    watching = asyncio.create_task(watch(database, seismograph, "CQ.X", 1))
    await asyncio.sleep(0.1)
    assert not watching.done()
    told = (("CQ.X", "grown", 1, 8.0), ("CQ.X", "rejected", 2, 11.0), ("CQ.Y", "grown", 1, 11.0))
    for station, state, quake, intensity in told:
        row = f"'{station}', '{state}', {now_ns}, {quake}, {intensity}"
        fill(database, f"INSERT INTO station_quake VALUES ({row})")
    seismograph.peak = (now_ns, time.time_ns())
    seismograph.peaked.set()
    await asyncio.sleep(0.2)
    fill(database, "UPDATE station_quake SET intensity_gb = 9.6 WHERE station = 'CQ.X' AND state = 'grown'")
    await asyncio.sleep(0.2)
    fill(database, f"INSERT INTO waveform VALUES (1, {now_ns - 10}, {now_ns + 10})")
    async with asyncio.timeout(10):
        seen = await watching
    assert seen.events == 1
    assert seen.event_s is not None
    assert seen.waveforms_s is not None
    assert 0.2 <= seen.event_s < seen.waveforms_s


def test_two_events_and_what_never_came_are_told() -> None:
    assert find_shortfalls([Seen(1, 0.4, 2.0)]) == []
    assert len(find_shortfalls([Seen(2, None, None)])) == 3
