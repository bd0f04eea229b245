"""Records a bus while it is read, and checks that what was written down replays to the same scans."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence

import msgspec

from drivers.base import Driver, Group, Polled, Scan, Streaming
from drivers.errors import DriverError
from drivers.recorder import Recorder
from edge.case_check import checked
from edge.case_file import Case
from edge.settings import Bus, ScanGroup
from edge.tools.acquire import opened, url_of
from edge.tools.interrupt import wait_for

SCANS_MOST = 200
"""What a test can replay in a moment."""

Tell = Callable[[float], None]


class Recording(msgspec.Struct):
    """A driver on a line that is written down, and what it gave so far."""

    bus: Bus
    groups: Sequence[Group]
    driver: Driver
    text: list[str]
    scans: list[Scan] = []

    def case(self, name: str) -> Case:
        """Make a case of it."""
        faults = int(getattr(self.driver, "faults", 0))
        return Case(
            name=name, bus=self.bus, groups=self.groups, line="".join(self.text), scans=self.scans, faults=faults
        )


async def record_bus(bus: Bus, seconds: float, stop: asyncio.Event, tell: Tell) -> list[Case]:
    """Record a bus: a case of what can be read, and one for each group that cannot. Raises LinkError, SettingsError."""
    if hasattr(bus.kind.build, Streaming.scans.__name__):
        return [await checked(await _hear(bus, seconds, stop))]
    cases: list[Case] = []
    good: list[ScanGroup] = []
    for scan_group in bus.groups:
        case = await _try(bus, scan_group.group)
        if case is None:
            good.append(scan_group)
        else:
            cases.append(await checked(case))
    if good and not stop.is_set():
        cases = [await checked(case) for case in await _poll(bus, good, seconds, stop, tell)] + cases
    return cases


def _start(bus: Bus, groups: Sequence[Group]) -> Recording:
    text: list[str] = []
    line = Recorder(bus.kind.build(bus.settings, groups).make_line(bus.settings), text.append)
    return Recording(bus, groups, bus.kind.build(bus.settings, groups, line=line), text)


async def _try(bus: Bus, group: Group) -> Case | None:
    """Read a group once; return the case of its fault if it has one."""
    recording = _start(bus, [group])
    async with opened(recording.driver, url_of(bus)):
        assert isinstance(recording.driver, Polled)
        try:
            await recording.driver.read(group)
        except DriverError as error:
            return _fault(recording, group, error, 0)
    return None


def _fault(recording: Recording, group: Group, error: DriverError, since: int) -> Case:
    return Case(
        name=f"{recording.bus.name}-{group.name}-fault",
        bus=recording.bus,
        groups=[group],
        line="".join(recording.text[since:]),
        error=type(error).__name__,
        detail=str(error),
    )


async def _poll(bus: Bus, groups: Sequence[ScanGroup], seconds: float, stop: asyncio.Event, tell: Tell) -> list[Case]:
    """Read groups at their pace until the time is over, or a read fails: that one becomes a case of its own."""
    recording = _start(bus, [scan_group.group for scan_group in groups])
    loop = asyncio.get_running_loop()
    began = loop.time()
    due = [(began, order, scan_group) for order, scan_group in enumerate(groups)]
    async with opened(recording.driver, url_of(bus)):
        assert isinstance(recording.driver, Polled)
        while due[0][0] < began + seconds and len(recording.scans) < SCANS_MOST:
            at, order, scan_group = due[0]
            await wait_for(stop, max(0.0, at - loop.time()))
            if stop.is_set():
                break
            since = len(recording.text)
            try:
                recording.scans.append(await recording.driver.read(scan_group.group))
            except DriverError as error:
                fault = _fault(recording, scan_group.group, error, since)
                del recording.text[since:]
                return [recording.case(bus.name), fault]
            tell(loop.time() - began)
            heapq.heapreplace(due, (max(at + (scan_group.poll_s or 1.0), loop.time()), order, scan_group))
    return [recording.case(bus.name)]


async def _hear(bus: Bus, seconds: float, stop: asyncio.Event) -> Case:
    """Take what instruments say by themselves."""
    recording = _start(bus, [scan_group.group for scan_group in bus.groups])
    driver = recording.driver
    error: DriverError | None = None

    async def take() -> None:
        nonlocal error
        assert isinstance(driver, Streaming)
        try:
            async for scan in driver.scans():
                recording.scans.append(scan)
                if len(recording.scans) >= SCANS_MOST:
                    stop.set()
        except DriverError as fault:
            error = fault
            stop.set()

    async with opened(driver, url_of(bus)):
        task = asyncio.create_task(take())
        await wait_for(stop, seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        case = recording.case(bus.name)
    if error is None or case.scans:
        return case
    return msgspec.structs.replace(case, error=type(error).__name__, detail=str(error))
