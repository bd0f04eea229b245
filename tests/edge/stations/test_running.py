"""The tasks of the stations, in virtual time; and what they put on disk."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.base import Scan
from edge.settings import SpoolSettings
from edge.stations.keeping import FOLDER, Disk, Keeping, find_room
from edge.stations.settings import RingSettings
from edge.stations.stations import Stations
from edge.store import Store
from edge.waves.ring import Ring
from seismic.packet import Packet
from tests.edge import virtual
from tests.edge.stations.site import (
    NOON,
    SENSITIVITY,
    STEP_NS,
    Clocks,
    S,
    configuration,
    quiet,
    ridgecrest,
    station,
)
from wire.record import QuakeRecord, Record, WaveformRecord


class Memory:
    """A store that keeps everything in a list."""

    def __init__(self) -> None:
        self.events: list[Record] = []
        self.waveforms: list[WaveformRecord] = []
        self.audits: list[tuple[str, str]] = []

    def put_event(self, record: Record) -> None:
        self.events.append(record)

    def put_waveform(self, record: WaveformRecord) -> None:
        self.waveforms.append(record)

    def put_audit(self, event: str, detail: str) -> None:
        self.audits.append((event, detail))


def make(*settings: dict[str, Any]) -> tuple[Stations, Memory, Clocks]:
    store, clock = Memory(), Clocks()
    stations = Stations(cast("Store", store), clock)
    stations.begin(configuration(*settings).stations)
    return stations, store, clock


def test_tags_have_a_value_every_ten_seconds_though_nothing_is_heard() -> None:
    async def story() -> None:
        stations, _, clock = make(station())
        used: list[Scan] = []
        task = asyncio.create_task(stations.run(used.append))
        for _ in range(41):
            await asyncio.sleep(1)
            clock.pass_s(1)
        task.cancel()
        assert [scan.group for scan in used] == ["quake-1.motion"] * 5
        assert {scan.values[0] for scan in used} == {None}

    virtual.run(story)


def test_packets_of_a_quake_are_handed_over_at_once_and_samples_have_their_turn_between_them() -> None:
    async def story() -> None:
        stations, store, clock = make(station(pre_s=20))
        task = asyncio.create_task(stations.run(lambda _: None))
        for east, north, up in ridgecrest()[:2300]:
            await asyncio.sleep(0.01)
            clock.now_ns += STEP_NS
            values = (east / SENSITIVITY, north / SENSITIVITY, up / SENSITIVITY)
            for _ in stations.take(Scan("acc-1.motion", clock.now_ns, values, (0, 0, 0))):
                pass
        await asyncio.sleep(0.01)
        assert len(store.waveforms) >= 3 * 20
        assert next(event.state for event in store.events if isinstance(event, QuakeRecord)) == "onset"
        task.cancel()

    virtual.run(story)


def test_stations_that_are_not_configured_cost_nothing() -> None:
    async def story() -> None:
        stations, store, _ = make()
        assert list(stations.sources) == []
        assert list(stations.tick()) == []
        assert stations.groups() == {}
        await stations.close()
        assert store.events == []

    virtual.run(story)


# --- the ring


async def play(folder: Path, seconds: int, **more: Any) -> Memory:
    store, clock = Memory(), Clocks()
    stations = Stations(cast("Store", store), clock, Disk(folder, lambda: 10**8))
    stations.begin(configuration(station(**more)).stations)
    for counts in list(quiet(seconds)):
        clock.now_ns += STEP_NS
        clock.utc_ns += STEP_NS
        values = tuple(count / SENSITIVITY for count in counts)
        for _ in stations.take(Scan("acc-1.motion", clock.now_ns, values, (0, 0, 0))):
            pass
        if (clock.now_ns - Clocks().now_ns) % S == 0:
            list(stations.tick())
    await stations.close()
    return store


async def test_ring_holds_all_samples_though_nothing_is_sent(tmp_path: Path) -> None:
    store = await play(tmp_path, 10)
    assert store.waveforms == []
    ring = await Ring.open(tmp_path / FOLDER, 10**8, lambda _: 1)
    for column, channel in enumerate(("HNE", "HNN", "HNZ")):
        packets = await ring.read(f"CQ.YF1..{channel}", NOON - S, NOON + 20 * S)
        counts = [count for packet in packets for count in packet.counts]
        assert counts == [one[column] for one in quiet(10)]
    await ring.close()


async def test_station_that_keeps_nothing_makes_no_ring(tmp_path: Path) -> None:
    await play(tmp_path, 3, keep_days=0)
    assert not (tmp_path / FOLDER).exists()


async def test_ring_that_cannot_be_opened_is_told_once_and_opened_later(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / FOLDER).write_text("in the way")
    keeping = Keeping(Disk(tmp_path, lambda: 10**8), lambda event, _: told.append(event))
    keeping.days = {"CQ.YF1..HNZ": 1}
    for number in range(3):
        keeping.put(Packet("CQ.YF1..HNZ", NOON + number * S, number * S, 100.0, [1, 2, 3]))
        await keeping.write()
    assert told == ["ring-losing"]
    (tmp_path / FOLDER).unlink()
    await keeping.write()
    await keeping.close()
    assert told == ["ring-losing", "ring-well"]
    ring = await Ring.open(tmp_path / FOLDER, 10**8, lambda _: 1)
    assert len(await ring.read("CQ.YF1..HNZ", NOON, NOON + 9 * S)) == 3
    await ring.close()


async def test_disk_that_hangs_is_told_once_and_no_packet_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    keeping = Keeping(Disk(tmp_path, lambda: 10**8), lambda event, _: told.append(event))
    keeping.days = {"CQ.YF1..HNZ": 1}

    def put(number: int) -> None:
        keeping.put(Packet("CQ.YF1..HNZ", NOON + number * S, number * S, 100.0, [1, 2, 3]))

    put(0)
    await keeping.write()
    monkeypatch.setattr("edge.waves.ring.WAITING_MOST", 5)
    freed = threading.Event()
    monkeypatch.setattr("edge.waves.hours.Hours._append", lambda *_: freed.wait(10))
    put(1)
    writing = asyncio.create_task(keeping.write())
    await asyncio.sleep(0.02)
    for number in range(2, 20):
        put(number)
    assert told == ["ring-losing"]
    freed.set()
    await writing
    await keeping.write()
    await keeping.close()
    assert told == ["ring-losing", "ring-well"]


def test_ring_leaves_room_for_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000_000}))
    (tmp_path / FOLDER / "CQ.YF1..HNZ").mkdir(parents=True)
    (tmp_path / FOLDER / "CQ.YF1..HNZ" / "2026.331.02.mseed").write_bytes(bytes(1_000_000))
    (tmp_path / "spool.sqlite3").write_bytes(bytes(2_000_000))
    spool = SpoolSettings(max_bytes=5_000_000, min_free_bytes=3_000_000)
    assert find_room(tmp_path, RingSettings(), spool) == 1_000_000 + 10_000_000 - 3_000_000 - 3_000_000
    assert find_room(tmp_path, RingSettings(max_bytes=1_000_000), spool) == 1_000_000
    assert find_room(tmp_path, RingSettings(), SpoolSettings(max_bytes=10**9)) == 0


# --- the quakes that run


def record(state: str) -> QuakeRecord:
    peaks = {"pga_gal": 1, "pgv_cm_s": 1, "pgd_cm": 1, "intensity_gb": 5.0, "intensity_jma": 4.0, "grade": 5}
    return QuakeRecord("CQ.YF1", 1, NOON, 7, state, NOON, NOON, duration_s=1.0, **peaks)  # type: ignore[arg-type]


async def test_quake_that_runs_is_found_at_the_next_start(tmp_path: Path) -> None:
    disk = Disk(tmp_path, lambda: 10**8)
    keeping = Keeping(disk, lambda *_: None)
    keeping.note(record("onset"))
    keeping.note(record("grown"))
    await keeping.write()
    again = Keeping(disk, lambda *_: None)
    assert again.read_open() == [record("grown")]
    await again.write()
    assert Keeping(disk, lambda *_: None).read_open() == []


async def test_quake_that_has_ended_is_not_found(tmp_path: Path) -> None:
    disk = Disk(tmp_path, lambda: 10**8)
    keeping = Keeping(disk, lambda *_: None)
    keeping.note(record("grown"))
    keeping.note(record("closed"))
    keeping.note(record("rejected"))
    await keeping.write()
    assert Keeping(disk, lambda *_: None).read_open() == []


async def test_file_of_quakes_that_is_garbled_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "quakes.json").write_text('{"open": {"CQ.YF1": 3}}')
    assert Keeping(Disk(tmp_path, lambda: 0), lambda *_: None).read_open() == []
    assert "not known" in caplog.text


async def test_disk_that_takes_no_quake_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeping = Keeping(Disk(tmp_path, lambda: 0), lambda *_: None)
    (tmp_path / "quakes.json.new").mkdir()
    for _ in range(3):
        keeping.note(record("grown"))
        await keeping.write()
    assert caplog.text.count("could not be kept") == 1
    (tmp_path / "quakes.json.new").rmdir()
    await keeping.write()
    assert Keeping(Disk(tmp_path, lambda: 0), lambda *_: None).read_open() == [record("grown")]
