"""A line recorded while it is acquired: acquisition notices nothing, and what was recorded replays alike."""

from __future__ import annotations

import asyncio
import io
import random
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyModbusTCP.server import ModbusServer

from drivers.base import Scan
from drivers.errors import DeviceError, LinkError
from drivers.replay import parse_capture
from edge.acquisition import Acquisition
from edge.clock import SystemClock
from edge.collect import Collector
from edge.configuration import read_configuration
from edge.diagnosis import handlers
from edge.diagnosis.capture import FULL, TEXT_MOST, Capture, capture_line
from edge.diagnosis.capture_file import UNLIKE, pack_capture
from edge.diagnosis.handlers import FILE_OCTETS_MOST, CaptureArguments
from edge.line import Line
from edge.live import Newest
from edge.mistakes import Mistakes
from edge.operating import OperationError
from edge.settings import Bus, Configuration
from edge.supervise import end
from tests.drivers import cases
from tests.drivers.lines import Answering
from tests.edge.diagnosis.test_handlers import ORDER, make
from tests.servers import modbus_server
from wire.record import AlarmRecord, ScanRecord


def read(bus: dict[str, Any], device: dict[str, Any]) -> Configuration:
    mistakes = Mistakes()
    document = {"bus": [{"name": "plc", **bus}], "device": [{"name": "tank", "bus": "plc", **device}]}
    found = read_configuration(document, mistakes)
    assert found is not None, mistakes.found
    return found


def modbus(url: str, **bus: Any) -> Configuration:
    tag = {"name": "level", "address": 0, "low": 0, "high": 100, "alarm": [{"level": "high", "limit": 90}]}
    flow = {"name": "flow", "address": 200}
    groups = [{"name": "fast", "poll_s": 0.1, "tag": [tag, flow]}, {"name": "slow", "poll_s": 0.2, "tag": [flow]}]
    groups[1]["tag"] = [{"name": "total", "address": 7}]
    return read({"kind": "modbus", "url": url, **bus}, {"unit": 1, "group": groups})


def unpack(content: bytes, folder: Path) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
        return {name: archive.read(name).decode() for name in archive.namelist()}


class Kept:
    """A store that keeps what acquisition hands over."""

    def __init__(self) -> None:
        self.scans: list[ScanRecord] = []
        self.events: list[Any] = []

    def put_scan(self, record: ScanRecord, _layout: Any) -> None:
        self.scans.append(record)

    def put_event(self, record: Any) -> None:
        self.events.append(record)

    def put_audit(self, event: str, detail: str) -> None:
        self.events.append((event, detail))

    async def commit(self) -> bool:
        return True


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    with modbus_server() as server:
        server.data_bank.set_holding_registers(0, [47])
        server.data_bank.set_holding_registers(200, [12])
        yield server


async def test_a_modbus_conversation_recorded_in_the_middle_replays_to_the_values_that_were_acquired(
    plc: ModbusServer, tmp_path: Path
) -> None:
    store, clock = Kept(), SystemClock()
    running = modbus(f"tcp://127.0.0.1:{plc.port}")
    acquisition = Acquisition(running, store, Newest(clock.wall_at), clock, {}, random.Random(1))  # type: ignore[arg-type]
    diagnosis, sent = make(tmp_path, acquisition)
    task = asyncio.create_task(acquisition.run())
    await asyncio.sleep(0.4)
    first = len(store.scans)
    capture = asyncio.create_task(diagnosis.send_capture(CaptureArguments(bus="plc", seconds=1), ORDER))
    await asyncio.sleep(0.5)
    plc.data_bank.set_holding_registers(0, [95])
    said = await capture
    acquired = [record.values for record in store.scans[first:]]
    await end(task)

    files = unpack(sent.content, tmp_path / "got")
    assert set(files) == {"line.txt", "modbus/plc/line.txt", "modbus/plc/case.toml"}
    assert said.startswith("bus plc: 1 s, ")
    whole = parse_capture(files["line.txt"])
    assert next(step for step in whole if step.sent).data[:2] > b"\x00\x01", "it did not begin with the line"
    case = cases.load(tmp_path / "got" / "modbus" / "plc")
    bench = cases.Bench(case)
    await bench.driver.open()
    assert cases.columns(await bench.scans()) == cases.expected_columns(case)
    values = [tuple(scan.values) for scan in case.scan]
    assert (47, 12) in values
    assert (95, 12) in values
    assert contains(acquired, values)
    assert [event.change for event in store.events if isinstance(event, AlarmRecord)] == ["raised"]
    assert all(health.bad == 0 for health in acquisition.groups().values())


def contains(longer: list[tuple[Any, ...]], shorter: list[tuple[Any, ...]]) -> bool:
    return any(longer[at : at + len(shorter)] == shorter for at in range(len(longer) - len(shorter) + 1))


# ---- lines whose other side is the test


@asynccontextmanager
async def collecting(bus: Bus) -> AsyncIterator[tuple[Line, list[Scan]]]:
    """A collector on a bus, at work once its line is up."""
    line, scans = Line(bus), list[Scan]()
    clock = SystemClock()
    collector = Collector(line, scans.append, mono_ns=clock.mono_ns, jitter=random.Random(1), journal=lambda *_: None)
    task = asyncio.create_task(collector.run())
    while not line.is_up:  # noqa: ASYNC110 - a line has no event for it
        await asyncio.sleep(0.01)
    try:
        yield line, scans
    finally:
        await end(task)


def on(line: Answering, configuration: Configuration) -> Bus:
    (bus,) = configuration.buses
    return msgspec.structs.replace(bus, kind=msgspec.structs.replace(bus.kind, make_line=lambda _: line))


def registers(request: bytes) -> tuple[bytes, float]:
    """As many registers as were asked for, each its own address."""
    first, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
    data = b"".join((first + at).to_bytes(2, "big") for at in range(count))
    return request[:4] + (3 + len(data)).to_bytes(2, "big") + request[6:8] + bytes((len(data),)) + data, 0.0


TCP = "tcp://192.0.2.1:502"


class Acquiring:
    """What acquires one line."""

    def __init__(self, line: Line) -> None:
        self.bus_names = (line.name,)
        self._line = line

    def find_bus(self, name: str) -> Line | None:
        return self._line if name == self._line.name else None


def test_what_fits_is_bounded_so_that_the_worst_octets_still_fit_into_the_parts() -> None:
    capture, dice = Capture(), random.Random(1)
    while not capture.ended.is_set():
        capture.write(f"# +{dice.uniform(0, 60):.3f} s\n< {dice.randbytes(dice.choice((1, 3))).hex(' ')}\n")
    assert capture.why == FULL
    (bus,) = modbus(TCP).buses
    assert sum(map(len, capture.text)) > TEXT_MOST - 100
    assert len(pack_capture(bus, capture, "", FILE_OCTETS_MOST)) < FILE_OCTETS_MOST


async def test_a_recording_that_is_full_ends_early_and_says_so_in_answer_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "capture_line", lambda line, seconds: capture_line(line, seconds, 300))
    async with collecting(on(Answering(registers), modbus(TCP))) as (line, scans):
        diagnosis, sent = make(tmp_path, Acquiring(line))
        said = await diagnosis.send_capture(CaptureArguments(bus="plc", seconds=60), ORDER)
        before = len(scans)
        await asyncio.sleep(0.25)
        assert len(scans) > before, "the line goes on"
        assert not line.is_watched
    assert f"ended early: {FULL}" in said
    text = unpack(sent.content, tmp_path)["line.txt"]
    assert text.endswith(f"# ended early: {FULL}\n")
    assert len(text) < 700


async def test_a_bus_that_is_not_there_is_refused_and_those_that_are_are_named(tmp_path: Path) -> None:
    line = Line(on(Answering(registers), modbus(TCP)))
    diagnosis, _ = make(tmp_path, Acquiring(line))
    with pytest.raises(OperationError, match="no bus 'x'") as refused:
        await diagnosis.send_capture(CaptureArguments(bus="x"), ORDER)
    assert refused.value.hint == "there are: plc"


async def test_a_bus_that_is_down_is_refused_and_not_opened(tmp_path: Path) -> None:
    other_side = Answering(registers)
    diagnosis, _ = make(tmp_path, Acquiring(Line(on(other_side, modbus(TCP)))))
    with pytest.raises(OperationError, match="is down"):
        await diagnosis.send_capture(CaptureArguments(bus="plc"), ORDER)
    with pytest.raises(LinkError):
        await other_side.write(b"x")


async def test_a_second_recording_of_a_bus_is_refused_and_the_first_goes_on() -> None:
    async with collecting(on(Answering(registers), modbus(TCP))) as (line, _):
        first = asyncio.create_task(capture_line(line, 0.3))
        await asyncio.sleep(0)
        with pytest.raises(OperationError, match="already"):
            await capture_line(line, 0.3)
        capture, _ = await first
        assert capture.text


async def test_no_more_than_some_buses_are_recorded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "CAPTURES_MOST", 0)
    async with collecting(on(Answering(registers), modbus(TCP))) as (line, _):
        diagnosis, _ = make(tmp_path, Acquiring(line))
        with pytest.raises(OperationError, match="buses are being recorded"):
            await diagnosis.send_capture(CaptureArguments(bus="plc"), ORDER)


async def test_a_changed_configuration_ends_a_recording_early_and_what_was_recorded_is_sent(tmp_path: Path) -> None:
    clock, other_side = SystemClock(), Answering(registers)
    running = msgspec.structs.replace(modbus(TCP), buses=(on(other_side, modbus(TCP)),))
    acquisition = Acquisition(running, Kept(), Newest(clock.wall_at), clock, {}, random.Random(1))  # type: ignore[arg-type]
    diagnosis, sent = make(tmp_path, acquisition)
    task = asyncio.create_task(acquisition.run())
    await asyncio.sleep(0.2)
    recording = asyncio.create_task(diagnosis.send_capture(CaptureArguments(bus="plc", seconds=60), ORDER))
    await asyncio.sleep(0.3)
    await end(task)
    await acquisition.leave(running)
    assert "ended early: the configuration was changed" in await recording
    assert parse_capture(unpack(sent.content, tmp_path)["line.txt"])


async def test_an_agent_that_stops_leaves_the_line_as_it_was() -> None:
    async with collecting(on(Answering(registers), modbus(TCP))) as (line, scans):
        recording = asyncio.create_task(capture_line(line, 60))
        await asyncio.sleep(0.1)
        await end(recording)
        assert not line.is_watched
        before = len(scans)
        await asyncio.sleep(0.25)
        assert len(scans) > before


async def test_a_link_that_breaks_is_recorded_with_its_return() -> None:
    other_side = Answering(registers)
    async with collecting(on(other_side, modbus(TCP))) as (line, _):
        recording = asyncio.create_task(capture_line(line, 1.5))
        await asyncio.sleep(0.15)
        other_side.hang_up()
        capture, _ = await recording
        assert line.is_up
    told = "".join(capture.text)
    assert "hung up" in told
    assert "closed" in told
    assert "opened" in told[told.index("closed") :]


def refusing(request: bytes) -> tuple[bytes, float]:
    """As `registers`, but register 7 is refused."""
    if request[8:10] == b"\0\x07":
        return request[:4] + b"\0\x03" + request[6:7] + b"\x83\x02", 0.0
    return registers(request)


async def pack(bus: Bus, capture: Capture, folder: Path) -> dict[str, str]:
    return unpack(await asyncio.to_thread(pack_capture, bus, capture, "", FILE_OCTETS_MOST), folder)


async def replayed(case: cases.Case) -> list[Any]:
    bench = cases.Bench(case)
    await bench.driver.open()
    try:
        return cases.columns(await bench.scans())
    finally:
        await bench.driver.close()


async def test_a_reading_that_failed_is_a_case_of_its_own_and_the_others_replay_without_it(tmp_path: Path) -> None:
    async with collecting(on(Answering(refusing), modbus(TCP))) as (line, _):
        capture, _ = await capture_line(line, 1.0)
    files = await pack(line.bus, capture, tmp_path)
    assert UNLIKE not in "".join(files.values())
    good, bad = (cases.load(tmp_path / "modbus" / name) for name in ("plc", "plc-tank-slow-Device-fault"))
    assert await replayed(good) == cases.expected_columns(good)
    assert {scan.group for scan in good.scan} == {"tank.fast"}
    assert bad.error == "DeviceError"
    with pytest.raises(DeviceError):
        await replayed(bad)


async def test_what_instruments_say_is_recorded_from_the_middle_of_a_frame_and_no_password_of_the_settings_with_it(
    tmp_path: Path,
) -> None:
    case = cases.load(cases.FOLDER / "hj212" / "basic")
    (group,) = case.group
    packets = [step.data for step in case.steps if not step.sent]
    tags = [{**tag, "name": tag["name"].partition(".")[2]} for tag in group.tag]
    device = {**group.device, "password": "123456", "group": [{"name": "now", "tag": tags}]}
    other_side = Answering(lambda _: (b"", 0.0))
    bus = on(other_side, read({"kind": "hj212", "url": "listen://127.0.0.1:4001"}, device))
    async with collecting(bus) as (line, scans):
        other_side.arrive(packets[0][:40])
        await asyncio.sleep(0.05)
        recording = asyncio.create_task(capture_line(line, 0.3))
        await asyncio.sleep(0.05)
        for piece in (packets[0][40:], packets[1]):
            other_side.arrive(piece)
            await asyncio.sleep(0.02)
        capture, _ = await recording
    files = await pack(bus, capture, tmp_path)
    assert UNLIKE not in "".join(files.values())
    kept = cases.load(tmp_path / "hj212" / "plc")
    assert len(scans) == 2
    assert await replayed(kept) == cases.expected_columns(kept) == cases.columns(scans[1:])
    assert "123456" not in files["hj212/plc/case.toml"]


async def test_scans_too_wide_for_the_file_leave_what_passed_without_cases(tmp_path: Path) -> None:
    async with collecting(on(Answering(registers), modbus(TCP))) as (line, _):
        capture, _ = await capture_line(line, 0.3)
    packed = await asyncio.to_thread(pack_capture, line.bus, capture, "", 700)
    assert set(unpack(packed, tmp_path)) == {"line.txt"}


async def test_a_line_that_is_silent_gives_a_file_without_cases(tmp_path: Path) -> None:
    (bus,) = modbus(TCP).buses
    files = await pack(bus, Capture(), tmp_path)
    assert set(files) == {"line.txt"}
    assert parse_capture(files["line.txt"]) == ()
