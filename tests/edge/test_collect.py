"""Acquisition on a fake line: cadence, faults, and the accounting due = good + bad + missed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import ClassVar

import msgspec

from drivers.base import DriverKind, Empty, Group, Scan
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError
from edge import collect
from edge.collect import Collector, quality_of
from edge.line import Line
from edge.settings import Bus, ScanGroup
from wire.sample import Quality, Value


def group(name: str, device: str = "tank") -> Group:
    return Group(name=name, device_name=device, device=Empty(), tags=(f"{name}.a",), sources=(Empty(),))


class Fake:
    """A polled, writable driver whose behaviour a test sets."""

    Settings: ClassVar[type[msgspec.Struct]] = Empty
    Device: ClassVar[type[msgspec.Struct]] = Empty
    Source: ClassVar[type[msgspec.Struct]] = Empty

    def __init__(self, _settings: msgspec.Struct, _groups: object) -> None:
        self.log: list[str] = []
        self.fault: Callable[[str], DriverError | None] = lambda _name: None
        self.open_fault: DriverError | None = None
        self.takes_s = 0.0

    async def open(self) -> None:
        self.log.append("open")
        if self.open_fault is not None:
            raise self.open_fault

    async def close(self) -> None:
        self.log.append("close")

    async def read(self, asked: Group) -> Scan:
        self.log.append(f"read {asked.name}")
        await asyncio.sleep(self.takes_s)
        if (fault := self.fault(asked.device_name)) is not None:
            raise fault
        return Scan(asked.name, time.monotonic_ns(), (1,), (0,))

    async def write(self, _group: Group, tag: str, value: Value) -> None:
        self.log.append(f"write {tag}={value}")


class FakeStream(Fake):
    """A streaming driver: yields what a test queued, then fails."""

    faults = 0

    async def scans(self) -> AsyncIterator[Scan]:
        for n in range(3):
            yield Scan("imu", n, (n,), (0,))
        raise LinkError("unplugged")


FakeStream.read = None  # type: ignore[assignment,method-assign]
del FakeStream.read


class Bench:
    """A collector on a fake line, run for a while."""

    def __init__(self, *groups: tuple[Group, float | None], driver: type[Fake] = Fake) -> None:
        kind = DriverKind("fake", driver, Empty, Empty, Empty, writable=True)
        scan_groups = tuple(ScanGroup(group=g, poll_s=poll_s) for g, poll_s in groups)
        self.line = Line(Bus(name="line", kind=kind, settings=Empty(), groups=scan_groups))
        self.scans: list[Scan] = []
        self.fault = ""
        self.collector = Collector(self.line, self.scans.append, mono_ns=time.monotonic_ns, jitter=random.Random(1))
        self.driver: Fake = self.line.driver  # type: ignore[assignment]

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self.collector.run())
        await asyncio.sleep(seconds)
        self.fault = self.line.fault
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    def check_accounts(self) -> None:
        for count in self.collector.counts.values():
            assert count.due == count.good + count.bad + count.missed


async def test_scans_come_on_a_grid_that_does_not_drift() -> None:
    bench = Bench((group("g"), 0.05))
    bench.driver.takes_s = 0.02
    await bench.run(1.0)
    bench.check_accounts()
    first, last = bench.scans[0], bench.scans[-1]
    periods = (last.mono_ns - first.mono_ns) / 50e6
    assert abs(periods - round(periods)) < 0.4
    assert bench.collector.counts["g"].due >= round(periods)


async def test_scan_that_takes_longer_than_its_period_counts_as_missed_due_ones() -> None:
    bench = Bench((group("g"), 0.05))
    bench.driver.takes_s = 0.12
    await bench.run(0.8)
    bench.check_accounts()
    assert bench.collector.counts["g"].missed >= 4


async def test_silent_device_costs_the_others_one_time_out() -> None:
    bench = Bench((group("dead", "dead"), 0.02), (group("well", "well"), 0.02))

    def silent(device: str) -> DriverError | None:
        return LinkTimeoutError("no answer") if device == "dead" else None

    bench.driver.fault = silent
    await bench.run(0.5)
    bench.check_accounts()
    assert bench.driver.log.count("read dead") == 1
    assert bench.collector.counts["well"].good > 10
    assert {scan.quality for scan in bench.scans if scan.group == "dead"} == {(Quality.BAD_TIMEOUT,)}
    assert bench.line.bad_devices == {"dead"}
    assert "close" not in bench.driver.log[:-1]


async def test_silent_device_that_answers_again_is_restored(monkeypatch) -> None:
    monkeypatch.setattr(collect, "SILENT_POLL_S", 0.1)
    bench = Bench((group("g"), 0.02))
    silences = iter([LinkTimeoutError("no answer")] * 2)
    bench.driver.fault = lambda _device: next(silences, None)
    await bench.run(0.6)
    bench.check_accounts()
    assert bench.scans[-1].quality == (0,)
    assert bench.line.bad_devices == set()


async def test_line_that_is_down_gives_bad_scans_and_is_opened_again_with_backoff() -> None:
    bench = Bench((group("g"), 0.02))
    bench.driver.open_fault = LinkError("no such port")
    await bench.run(0.4)
    bench.check_accounts()
    assert bench.driver.log.count("open") == 1
    assert {scan.quality for scan in bench.scans} == {(Quality.BAD_LINK,)}
    assert bench.fault == "no such port"
    bench.driver.open_fault = None
    await bench.run(0.8)
    assert bench.scans[-1].quality == (0,)
    assert bench.fault == ""


async def test_device_that_refuses_is_bad_and_asked_again_at_once() -> None:
    bench = Bench((group("g"), 0.02))
    bench.driver.fault = lambda _device: DeviceError("illegal address")
    await bench.run(0.3)
    bench.check_accounts()
    assert bench.driver.log.count("read g") > 5
    assert {scan.quality for scan in bench.scans} == {(Quality.BAD_DEVICE,)}


async def test_stream_that_breaks_is_marked_bad_and_opened_again() -> None:
    bench = Bench((group("imu"), None), driver=FakeStream)
    await bench.run(1.4)
    bench.check_accounts()
    assert [scan.values[0] for scan in bench.scans[:4]] == [0, 1, 2, None]
    assert bench.scans[3].quality == (Quality.BAD_LINK,)
    assert bench.driver.log.count("open") >= 2


async def test_write_goes_between_polls_on_the_open_line() -> None:
    bench = Bench((group("g"), 0.02))
    bench.driver.takes_s = 0.01
    task = asyncio.create_task(bench.collector.run())
    await asyncio.sleep(0.2)
    await bench.line.write("g.a", 1)
    task.cancel()
    await asyncio.wait([task])
    assert "write g.a=1" in bench.driver.log
    assert bench.driver.log.count("open") == 1


def test_every_driver_error_has_a_quality() -> None:
    assert quality_of(LinkTimeoutError("")) is Quality.BAD_TIMEOUT
    assert quality_of(LinkError("")) is Quality.BAD_LINK
    assert quality_of(FrameError("")) is Quality.BAD_FRAME
    assert quality_of(DeviceError("")) is Quality.BAD_DEVICE
    assert quality_of(DriverError("")) is Quality.BAD
