"""Acquisition: the cadence of every bus, what a fault means, and bad samples where there are no good ones.

`edge.schedule` says when, `edge.silence` says who is left alone. Every due scan ends as exactly one of good, bad or
missed. While the line is down or a device silent its scans are bad without asking, so that others are not held up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from drivers.base import Group, Scan, bad_scan
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError, SettingsError
from edge.hurrying import Ask, Hurries
from edge.line import Line
from edge.schedule import NS, Schedule
from edge.trial import Sight, bus_place, device_place
from wire.health import GroupHealth
from wire.sample import Quality

log = logging.getLogger(__name__)
Sink = Callable[[Scan], None]
Journal = Callable[[str, str], None]
"""Takes an event and its detail for the fleet to keep."""
HURRY_OVER = "hurry-over"
"""The event that a group is read as configured again."""

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 10.0
BAD = int(Quality.BAD)
CONFIRMED = 2
"""A fault is journalled when it has come this often in a row: one lost reply is no event."""

QUALITY_OF: tuple[tuple[type[DriverError], Quality], ...] = (
    (LinkTimeoutError, Quality.BAD_TIMEOUT),
    (LinkError, Quality.BAD_LINK),
    (FrameError, Quality.BAD_FRAME),
    (DeviceError, Quality.BAD_DEVICE),
    (SettingsError, Quality.BAD_CONFIG),
)


class GroupCount(msgspec.Struct):
    """What became of a group's scans, and when the last good one was made, on the monotonic clock."""

    good: int = 0
    bad: int = 0
    missed: int = 0
    good_ns: int = 0


class Collector:
    """Runs one bus: reads it for ever and hands every scan to ``sink``, in the same step that produced it."""

    def __init__(
        self,
        line: Line,
        sink: Sink,
        *,
        mono_ns: Callable[[], int],
        jitter: random.Random,
        journal: Journal,
        calmed: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self.line = line
        self.counts = {scan_group.group.name: GroupCount() for scan_group in line.bus.groups}
        self._groups = {scan_group.group.name: scan_group.group for scan_group in line.bus.groups}
        self._sink = sink
        self._mono_ns = mono_ns
        self._jitter = jitter
        self._journal = journal
        self._calmed = calmed
        self._hurries = Hurries(line.bus.groups)
        self._has_new_pace = False
        self._waking: asyncio.Future[None] | None = None
        self._schedule: Schedule | None = None
        self._came: Counter[str] = Counter()
        self._retry_ns = 0
        self._backoff_s = BACKOFF_FIRST_S
        self._breaks = 0

    def groups(self) -> dict[str, GroupHealth]:
        """The accounting of every group: what was due by the schedule, or came by itself, and what became of it."""
        due = self._came if self._schedule is None else self._schedule.passed()
        return {
            name: GroupHealth(due=due[name], good=count.good, bad=count.bad, missed=count.missed)
            for name, count in self.counts.items()
        }

    def sights(self) -> dict[str, Sight]:
        """How the line and each of its devices look, by their places."""
        bad = self.line.silence.bad_devices
        counts: dict[str, list[GroupCount]] = {}
        for name, group in self._groups.items():
            counts.setdefault(group.device_name, []).append(self.counts[name])
        found = {
            device_place(device, self.line.name): Sight(
                good_ns=max(count.good_ns for count in own),
                is_asked=self.line.is_streaming or any(count.good + count.bad + count.missed for count in own),
                is_failing=device in bad or not self.line.is_up,
            )
            for device, own in counts.items()
        }
        found[bus_place(self.line.name)] = Sight(
            good_ns=self._mono_ns() if self.line.is_up else max(sight.good_ns for sight in found.values()),
            is_asked=any(sight.is_asked for sight in found.values()),
            is_failing=not self.line.is_up,
        )
        return found

    @property
    def hurries(self) -> Hurries:
        """What is asked of this bus. To be asked only; it is changed by `hurry` and `calm`."""
        return self._hurries

    def device_of(self, group: str) -> str:
        """The device that a group is read from."""
        return self._groups[group].device_name

    def hurry(self, asks: Mapping[str, Ask]) -> None:
        """Read groups more densely for a while, as far as the line can bear. Not for a line that speaks by itself."""
        self._hurries.ask(asks, self._mono_ns())
        self._wake()

    def calm(self, names: Iterable[str]) -> None:
        """Read groups as configured again."""
        self._tell_over(self._hurries.stop(names, self._mono_ns()))
        self._wake()

    def _wake(self) -> None:
        """The next due time may come sooner than the one that is waited for."""
        self._has_new_pace = True
        if self._waking is not None and not self._waking.done():
            self._waking.set_result(None)

    def _tell_over(self, names: Sequence[str]) -> None:
        if names:
            self._calmed(names)
        for name in names:
            self._journal(HURRY_OVER, f"{name} every {self._hurries.period_s(name):g} s again")

    async def run(self) -> None:
        """Acquire until cancelled. Run again after a failure, it goes on where it was: what it slept over is missed."""
        try:
            if self.line.is_streaming:
                await self._listen()
            else:
                await self._poll()
        finally:
            await self.line.close()

    async def _poll(self) -> None:
        if self._schedule is None:
            self._schedule = Schedule(self.line.bus.groups, self._mono_ns(), self._jitter)
        schedule = self._schedule
        while True:
            now_ns = self._mono_ns()
            if self._has_new_pace or now_ns >= self._hurries.due_ns:
                self._take_pace(schedule, now_ns)
            if now_ns < schedule.due_ns:
                await self._rest((schedule.due_ns - now_ns) / NS)
                if self._has_new_pace:
                    continue
                now_ns = self._mono_ns()
            scan_group, missed = schedule.take(now_ns)
            self.counts[scan_group.group.name].missed += missed
            await self._scan(scan_group.group, now_ns)
            schedule.done()

    def _take_pace(self, schedule: Schedule, now_ns: int) -> None:
        """Lay the due times by what is granted now."""
        self._has_new_pace = False
        if now_ns >= self._hurries.due_ns:
            self._tell_over(self._hurries.end(now_ns))
        for name in self.counts:
            schedule.pace(name, self._hurries.granted.get(name), now_ns)

    async def _rest(self, seconds: float) -> None:
        """Sleep, or until there is another pace."""
        loop = asyncio.get_running_loop()
        self._waking = waking = loop.create_future()
        timer = loop.call_later(seconds, _end_rest, waking)
        try:
            await waking
        finally:
            timer.cancel()
            self._waking = None

    async def _scan(self, group: Group, now_ns: int) -> None:
        quality = Quality.BAD_LINK if now_ns < self._retry_ns else self.line.silence.holds(group, now_ns)
        if quality is not None:
            self._hand_over(bad_scan(group, now_ns, quality))
            return
        try:
            scan = await self.line.read(group)
        except DriverError as error:
            self._fail(group, error, now_ns)
        except Exception as error:  # a bug of the driver: a fault of one device, not the end of the bus
            log.debug("driver %s", self.line.bus.kind.kind, exc_info=error)
            self._fail(group, FrameError(f"the driver broke down: {type(error).__name__}: {error}"), now_ns)
        else:
            self._hurries.note(group.name, self._mono_ns() - now_ns)
            self._note_answer(group)
            self._hand_over(scan)

    def _fail(self, group: Group, error: DriverError, began_ns: int) -> None:
        quality = quality_of(error)
        if quality is Quality.BAD_LINK:
            self._note_break(error)
        else:
            self._note_fault(group, error, quality, began_ns)
        self._hand_over(bad_scan(group, self._mono_ns(), quality))

    def _note_break(self, error: DriverError) -> None:
        """The line is down: announce it once, and decide when to try again."""
        self._breaks += 1
        if self._breaks == 1:
            log.warning("bus %s: %s. %s", self.line.name, error, error.hint or "It is tried again.")
        if self._breaks == CONFIRMED:
            self._journal("bus-down", f"{self.line.name}: {error}")
        pause_s = self._backoff_s * (1 + 0.2 * self._jitter.random())
        self._retry_ns = self._mono_ns() + round(pause_s * NS)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MOST_S)

    def _note_fault(self, group: Group, error: DriverError, quality: Quality, began_ns: int) -> None:
        """A device fails: announce it once. `Silence` decides when it is asked again."""
        now_ns = self._mono_ns()
        is_own = isinstance(error, DeviceError)
        count = self.line.silence.fail(group, quality, now_ns - began_ns, now_ns, is_own=is_own)
        if count == 1:
            log.warning("device %s on bus %s: %s. %s", group.device_name, self.line.name, error, error.hint)
        if count == CONFIRMED:
            self._journal("device-fault", f"{group.device_name} on {self.line.name}: {error}")

    def _note_answer(self, group: Group) -> None:
        if self._breaks:
            log.info("bus %s is back", self.line.name)
            if self._breaks >= CONFIRMED:
                self._journal("bus-up", self.line.name)
            self._breaks = 0
            self._backoff_s = BACKOFF_FIRST_S
        failed = self.line.silence.answer(group)
        if failed:
            log.info("device %s on bus %s answers again", group.device_name, self.line.name)
        if failed >= CONFIRMED:
            self._journal("device-well", f"{group.device_name} on {self.line.name}")

    async def _listen(self) -> None:
        while True:
            try:
                await self.line.listen(self._hear)
            except DriverError as error:
                self._note_end(error)
            await asyncio.sleep(self._backoff_s)

    def _note_end(self, error: DriverError) -> None:
        """What speaks by itself has stopped: nobody on the line has values."""
        quality, now_ns = quality_of(error), self._mono_ns()
        if quality is Quality.BAD_LINK:
            self._note_break(error)
        for group in self._groups.values():
            self._came[group.name] += 1
            if quality is not Quality.BAD_LINK:
                self._note_fault(group, error, quality, now_ns)
            self._hand_over(bad_scan(group, now_ns, quality))

    def _hear(self, scan: Scan) -> None:
        self._came[scan.group] += 1
        self._note_answer(self._groups[scan.group])
        self._hand_over(scan)

    def _hand_over(self, scan: Scan) -> None:
        self._sink(scan)  # before it is counted: a scan over which this breaks down is due still
        count = self.counts[scan.group]
        if scan.quality[0] < BAD or min(scan.quality) < BAD:
            count.good += 1
            count.good_ns = scan.mono_ns
        else:
            count.bad += 1


def _end_rest(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)


def quality_of(error: DriverError) -> Quality:
    """Tell what quality a scan has that ended in this error."""
    return next((quality for kind, quality in QUALITY_OF if isinstance(error, kind)), Quality.BAD)
