"""A bus with a driver that does what a test says, and a collector on it, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec

from drivers.base import Driver, DriverKind, Empty, Group, Scan
from drivers.errors import LinkError
from drivers.replay import Replay
from drivers.transport import Transport
from edge.collect import Collector
from edge.line import Line
from edge.settings import Bus, ScanGroup
from tests.edge.virtual import mono_ns, now_s
from wire.sample import Value

Answer = Callable[[], float]
"""Gives a value, or raises what an instrument's fault raises."""


class FakeDriver:
    """Common to both kinds: counts, and says what happens on the line by ``log``."""

    Settings: ClassVar[type[msgspec.Struct]] = Empty
    Device: ClassVar[type[msgspec.Struct]] = Empty
    Source: ClassVar[type[msgspec.Struct]] = Empty

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self.open_fault: Exception | None = None
        self.open_takes_s = 0.0
        self.opened = self.closed = 0
        self.is_busy = False

    @staticmethod
    def make_line(settings: object) -> Transport:
        raise NotImplementedError

    def note(self, what: str) -> None:
        self.log.append((round(now_s(), 3), what))

    def times(self, what: str) -> list[float]:
        return [at for at, noted in self.log if noted == what]

    async def open(self) -> None:
        await asyncio.sleep(self.open_takes_s)
        if self.open_fault is not None:
            self.note("refused")
            raise self.open_fault
        self.opened += 1
        self.note("open")

    async def close(self) -> None:
        self.closed += 1
        self.note("close")


class FakePolled(FakeDriver):
    """``answers[group]`` makes a value or raises; ``takes_s[group]`` is how long that lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Answer] = {}
        self.takes_s: dict[str, float] = defaultdict(lambda: 0.001)
        self.write_fault: Exception | None = None
        self.written: list[tuple[float, str, Value]] = []

    async def _exchange(self, what: str, takes_s: float) -> None:
        assert not self.is_busy, "two users of the line at once"
        self.is_busy = True
        try:
            self.note(what)
            await asyncio.sleep(takes_s)
        finally:
            self.is_busy = False

    async def read(self, group: Group) -> Scan:
        await self._exchange(group.name, self.takes_s[group.name])
        value = self.answers.get(group.name, lambda: 1.0)()
        return Scan(group.name, mono_ns(), (value,) * len(group.tags), (0,) * len(group.tags))

    async def write(self, group: Group, tag: str, value: Value) -> None:
        assert tag in group.tags
        await self._exchange(f"write {tag}", self.takes_s["write"])
        if self.write_fault is not None:
            raise self.write_fault
        self.written.append((now_s(), tag, value))


class FakeStreaming(FakeDriver):
    """Each opening plays the next of ``plays``: a list of pauses in s, and the error it ends with."""

    faults = 0

    def __init__(self) -> None:
        super().__init__()
        self.plays: Iterator[tuple[list[float], Exception | None]] = iter(())

    async def scans(self) -> AsyncIterator[Scan]:
        pauses, error = next(self.plays, ([], None))
        for pause in pauses:
            await asyncio.sleep(pause)
            yield Scan("imu.stream", mono_ns(), (1.0,), (0,))
        if error is not None:
            raise error
        if not pauses:
            await asyncio.sleep(1e6)


def scan_group(name: str, poll_s: float | None) -> ScanGroup:
    device = name.split(".", maxsplit=1)[0]
    tags = (f"{device}.value",)
    return ScanGroup(
        group=Group(name=name, device_name=device, device=Empty(), tags=tags, sources=(Empty(),)), poll_s=poll_s
    )


def make_line(driver: FakeDriver, groups: dict[str, float | None]) -> Line:
    def build(*_: object, **_line: object) -> Driver:
        return driver

    kind = DriverKind("fake", build, Empty, Empty, Empty, hasattr(driver, "write"), make_line=lambda _: Replay(()))
    made = tuple(scan_group(name, poll_s) for name, poll_s in groups.items())
    return Line(Bus(name="bus", kind=kind, settings=Empty(), groups=made))


class Running:
    """A collector at work and what it handed over."""

    def __init__(self, driver: FakeDriver, groups: dict[str, float | None]) -> None:
        self.line = make_line(driver, groups)
        self.scans: list[tuple[float, Scan]] = []
        self.journal: list[tuple[float, str, str]] = []
        self.collector = Collector(self.line, self._take, mono_ns=mono_ns, jitter=Still(), journal=self._note)

    def _take(self, scan: Scan) -> None:
        self.scans.append((round(now_s(), 3), scan))

    def _note(self, event: str, detail: str) -> None:
        self.journal.append((round(now_s(), 3), event, detail))

    def of(self, group: str) -> list[tuple[float, int]]:
        """Time and quality of each scan of a group."""
        return [(at, scan.quality[0]) for at, scan in self.scans if scan.group == group]

    def check_accounts(self) -> None:
        for name, count in self.collector.counts.items():
            assert self.collector.groups()[name].difference == 0, name
            assert count.good + count.bad == len(self.of(name)), name


class Still(random.Random):
    """No jitter: every group starts at once."""

    def random(self) -> float:
        return 0.0


@asynccontextmanager
async def collecting(driver: FakeDriver, groups: dict[str, float | None]) -> AsyncIterator[Running]:
    running = Running(driver, groups)
    task = asyncio.create_task(running.collector.run())
    try:
        yield running
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
    running.check_accounts()
    assert not running.line.is_up
    assert driver.log[-1][1] == "close"


def broken() -> LinkError:
    return LinkError("the cable is out", hint="plug it in")
