"""What a gateway sends when it is asked: parts of a bounded file, no secret file, and acquisition goes first."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.base import DriverKind, Group, Scan
from drivers.errors import DeviceError, LinkError
from drivers.replay import Replay
from edge.clock import SystemClock
from edge.diagnosis import bundle
from edge.diagnosis.handlers import DeviceArguments, Diagnosis, LogArguments
from edge.diagnosis.kept_log import FILE
from edge.diagnosis.reading import read_device
from edge.handlers import NoArguments
from edge.health import State
from edge.line import Line
from edge.operating import OperationError
from edge.settings import Bus, ScanGroup
from wire.command import Order
from wire.health import Health
from wire.record import FILE_PART_OCTETS, FILE_PARTS_MOST, FileRecord
from wire.twin import Reported

ORDER = Order(id="a1" * 16, gateway="gw-test-0001", name="logs", issued_ns=1, expires_ns=2, author="li")
SECRET = "QUARTZ"


class Kept:
    """A store that keeps parts."""

    def __init__(self) -> None:
        self.parts: list[FileRecord] = []

    def put_file(self, parts: list[FileRecord]) -> None:
        self.parts += parts

    @property
    def content(self) -> bytes:
        return b"".join(part.payload for part in self.parts)


class Agent:
    """An agent whose configuration holds secrets."""

    def report(self) -> Reported:
        config = {"bus": [{"name": "plc", "password": SECRET, "url": f"tcp://u:{SECRET}@plc"}]}
        return Reported(version=3, release="0.1.0", config=config)

    def health(self) -> Health:
        return Health(release="0.1.0", uptime_s=1.0, clock="synced", lanes={}, groups={}, buses={}, outputs={})

    def state(self) -> State:
        return State(
            gateway="gw-test-0001", is_connected=True, has_session=True, spool_fault="", uplink_fault="", dropped=0,
            rejected=0, config_version=3, alarms_raised=0, commands_ignored={},
        )  # fmt: skip


class Instrument:
    """A driver of one device with two groups."""

    def __init__(self, _settings: Any, _groups: Any, line: Any) -> None:
        self.line = line
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def read(self, group: Group) -> Scan:
        self.asked.append(group.name)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Scan(group.name, 1, (5.0,) * len(group.tags), (0,) * len(group.tags))


class Empty(msgspec.Struct):
    """Settings of nothing."""


def group(name: str) -> Group:
    return Group(name=f"tank.{name}", device=Empty(), device_name="tank", tags=(f"tank.{name}-a",), sources=(Empty(),))


async def make_line(*, is_up: bool = True) -> tuple[Line, Instrument]:
    kind = DriverKind("fake", Instrument, Empty, Empty, Empty, writable=False, make_line=lambda _: Replay(()))  # type: ignore[arg-type]
    groups = tuple(ScanGroup(group=group(name), poll_s=1.0) for name in ("fast", "slow"))
    line = Line(Bus(name="plc", kind=kind, settings=Empty(), groups=groups))
    if is_up:
        await line.read(groups[0].group)
    instrument = line.driver
    assert isinstance(instrument, Instrument)
    instrument.asked.clear()
    return line, instrument


class Running:
    """What acquires."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def find_line(self, device: str) -> Line | None:
        return self._line if device == "tank" else None


def make(data: Path, running: Any = None) -> tuple[Diagnosis, Kept]:
    store = Kept()
    return Diagnosis(Agent(), store, SystemClock(), data, lambda: running), store  # type: ignore[arg-type]


async def test_the_log_is_sent_in_parts_that_name_the_command(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(bytes(range(97, 123)) + b"\n")
    diagnosis, store = make(tmp_path)
    said = await diagnosis.send_log(LogArguments(), ORDER)
    assert said == f"{len(store.content)} octets follow in 1 parts"
    assert gzip.decompress(store.content) == b"abcdefghijklmnopqrstuvwxyz\n"
    assert [(part.command, part.number, part.of) for part in store.parts] == [(ORDER.id, 1, 1)]


async def test_a_file_that_is_too_large_is_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosis, store = make(tmp_path)
    monkeypatch.setattr("edge.diagnosis.handlers.pack", lambda *_: bytes(FILE_PART_OCTETS * FILE_PARTS_MOST + 1))
    with pytest.raises(ValueError, match="more than"):
        await diagnosis.send_bundle(NoArguments(), ORDER)
    assert store.parts == []


async def test_no_secret_goes_into_a_support_bundle_wherever_it_lies(tmp_path: Path) -> None:
    for name in (
        "identity/key.pem",
        "identity/local-code",
        "gateway.token",
        "enrol.toml",
        "twin.json",
        "commands.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SECRET)
    (tmp_path / FILE).write_text("all is well\n")
    diagnosis, store = make(tmp_path)
    await diagnosis.send_bundle(NoArguments(), ORDER)
    with zipfile.ZipFile(io.BytesIO(store.content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert set(found) == {
        "configuration.json", "reported.json", "health.json", "state.json", "machine.json", "slots.json", "agent.log",
    }  # fmt: skip
    assert json.loads(found["configuration.json"])["bus"][0]["name"] == "plc"
    assert found["agent.log"] == b"all is well\n"
    assert not [name for name, content in found.items() if SECRET.encode() in content]


def test_slots_are_told_where_a_launcher_runs_the_agent(tmp_path: Path) -> None:
    assert bundle.read_slots({}) is None
    assert bundle.read_slots({"FENGSUI_SLOTS": str(tmp_path)}) is None
    (tmp_path / "slot.json").write_text('{"good": {"slot": "a"}}')
    assert bundle.read_slots({"FENGSUI_SLOTS": str(tmp_path)}) == {"good": {"slot": "a"}}


async def test_a_device_is_read_group_by_group(tmp_path: Path) -> None:
    line, instrument = await make_line()
    diagnosis, store = make(tmp_path, Running(line))
    await diagnosis.send_reading(DeviceArguments(device="tank"), ORDER)
    told = json.loads(store.content)
    assert (told["device"], told["bus"]) == ("tank", "plc")
    assert [(one["tag"], one["value"], one["quality"]) for one in told["tags"]] == [
        ("tank.fast-a", 5.0, "good"),
        ("tank.slow-a", 5.0, "good"),
    ]
    assert instrument.asked == ["tank.fast", "tank.slow"]


async def test_a_poll_waits_for_one_exchange_at_most() -> None:
    line, instrument = await make_line()
    instrument.gate.clear()
    reading = asyncio.create_task(read_device(line, "tank"))
    await asyncio.sleep(0)
    poll = asyncio.create_task(line.read(group("poll")))
    await asyncio.sleep(0)
    instrument.gate.set()
    await asyncio.gather(reading, poll)
    assert instrument.asked == ["tank.fast", "tank.poll", "tank.slow"]


async def test_a_line_that_is_down_is_not_opened_for_it() -> None:
    line, instrument = await make_line(is_up=False)
    with pytest.raises(OperationError, match="is down"):
        await read_device(line, "tank")
    assert instrument.asked == []


async def test_a_device_that_polls_find_silent_is_not_asked() -> None:
    line, instrument = await make_line()
    line.silence.fail(line.bus.groups[0].group, 0x81, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(OperationError, match="does not answer"):
        await read_device(line, "tank")
    assert instrument.asked == []


async def test_a_group_that_fails_says_why() -> None:
    line, instrument = await make_line()
    instrument.error = DeviceError("illegal address")
    found = await read_device(line, "tank")
    assert [(one.tag, one.error) for one in found] == [
        ("tank.fast-a", "illegal address"),
        ("tank.slow-a", "illegal address"),
    ]


async def test_a_link_that_breaks_in_between_opens_nothing_again() -> None:
    line, instrument = await make_line()
    instrument.error = LinkError("gone")
    found = await read_device(line, "tank")
    assert instrument.asked == ["tank.fast"]
    assert [one.error for one in found] == ["gone"]


async def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    diagnosis, _ = make(tmp_path, None)
    with pytest.raises(OperationError, match="no device 'x'"):
        await diagnosis.send_reading(DeviceArguments(device="x"), ORDER)
