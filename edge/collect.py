"""Acquisition: the cadence of every bus, what a fault means, and bad samples where there are no good ones.

Due times are on a fixed grid per group (start + k x poll_s), so that nothing drifts. Every due scan ends as exactly one
of good, bad or missed. A device that stays silent costs one time-out, then is asked rarely; its other scans are bad
without asking, so that it does not stall the line for the others.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Callable, Iterable

import msgspec

from drivers.base import Group, Scan, bad_scan
from drivers.errors import DeviceError, DriverError, FrameError, LinkError, LinkTimeoutError, SettingsError
from edge.line import Line
from edge.settings import ScanGroup
from wire.health import GroupHealth
from wire.sample import Quality, is_bad

log = logging.getLogger(__name__)
Sink = Callable[[Scan], None]

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 10.0
SILENT_POLL_S = 10.0
"""How often a silent device is asked."""
EXCHANGE_MOST_S = 30.0

QUALITY_OF: tuple[tuple[type[DriverError], Quality], ...] = (
    (LinkTimeoutError, Quality.BAD_TIMEOUT),
    (LinkError, Quality.BAD_LINK),
    (FrameError, Quality.BAD_FRAME),
    (DeviceError, Quality.BAD_DEVICE),
    (SettingsError, Quality.BAD_CONFIG),
)


class GroupCount(msgspec.Struct):
    """What became of a group's scans: due = good + bad + missed."""

    due: int = 0
    good: int = 0
    bad: int = 0
    missed: int = 0

    def health(self) -> GroupHealth:
        """The count as a message."""
        return GroupHealth(due=self.due, good=self.good, bad=self.bad, missed=self.missed)


class Collector:
    """Runs one bus: reads it for ever and hands every scan to ``sink``, in the same step that produced it."""

    def __init__(self, line: Line, sink: Sink, *, mono_ns: Callable[[], int], jitter: random.Random) -> None:
        self.line = line
        self._mono_ns = mono_ns
        self.counts = {scan_group.group.name: GroupCount() for scan_group in line.bus.groups}
        self._sink = sink
        self._jitter = jitter
        self._silent_until: dict[str, float] = {}
        self._retry_at = 0.0
        self._backoff_s = BACKOFF_FIRST_S

    async def run(self) -> None:
        """Acquire until cancelled."""
        try:
            if self.line.is_streaming:
                await self._listen()
            else:
                await self._poll()
        finally:
            await self.line.close()

    def _now(self) -> float:
        return self._mono_ns() / 1e9

    async def _poll(self) -> None:
        schedule: list[tuple[float, int, ScanGroup]] = []
        for order, group in enumerate(self.line.bus.groups):
            period = group.poll_s or 1.0
            heapq.heappush(schedule, (self._now() + self._jitter.random() * min(period, 1.0), order, group))
        while True:
            due, order, group = schedule[0]
            await asyncio.sleep(max(0.0, due - self._now()))
            await self._scan(group)
            period = group.poll_s or 1.0
            missed = max(0, int((self._now() - due) / period))
            count = self.counts[group.group.name]
            count.due += missed
            count.missed += missed
            heapq.heapreplace(schedule, (due + (missed + 1) * period, order, group))

    async def _scan(self, scan_group: ScanGroup) -> None:
        group = scan_group.group
        now = self._now()
        if now < self._retry_at:
            self._hand_over(bad_scan(group, self._mono_ns(), Quality.BAD_LINK))
            return
        if now < self._silent_until.get(group.device_name, 0.0):
            self._hand_over(bad_scan(group, self._mono_ns(), Quality.BAD_TIMEOUT))
            return
        try:
            async with self.line.use(), asyncio.timeout(EXCHANGE_MOST_S):
                scan = await self.line.polled.read(group)
        except TimeoutError:
            self._fail(group, LinkTimeoutError(f"no end of the exchange after {EXCHANGE_MOST_S:g} s"), now)
            return
        except DriverError as error:
            self._fail(group, error, now)
            return
        except Exception as error:  # a bug of the driver: a fault of one device, not the end of the bus
            if group.device_name not in self.line.bad_devices:
                log.debug("driver %s", self.line.bus.kind.kind, exc_info=error)
            self._fail(group, FrameError(f"the driver broke down: {type(error).__name__}: {error}"), now)
            return
        self._note_recovery(group.device_name)
        self._hand_over(scan)

    def _fail(self, group: Group, error: DriverError, now: float) -> None:
        self._note_fault((group.device_name,), error, now)
        self._hand_over(bad_scan(group, self._mono_ns(), quality_of(error)))

    def _note_fault(self, devices: Iterable[str], error: DriverError, now: float) -> None:
        """Announce a fault once, and decide when to try again."""
        if isinstance(error, LinkError) and not isinstance(error, LinkTimeoutError):
            if self._backoff_s == BACKOFF_FIRST_S:
                log.warning("bus %s: %s. %s", self.line.name, error, error.hint or "It is tried again.")
            self._retry_at = now + self._backoff_s * (1 + 0.2 * self._jitter.random())
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_MOST_S)
            return
        for device in devices:
            if device not in self.line.bad_devices:
                self.line.bad_devices.add(device)
                log.warning("device %s on bus %s: %s. %s", device, self.line.name, error, error.hint)
            if isinstance(error, LinkTimeoutError):
                self._silent_until[device] = now + SILENT_POLL_S

    def _note_recovery(self, device: str) -> None:
        if self._backoff_s > BACKOFF_FIRST_S:
            self._backoff_s = BACKOFF_FIRST_S
            log.info("bus %s is back", self.line.name)
        if device in self.line.bad_devices:
            self.line.bad_devices.discard(device)
            self._silent_until.pop(device, None)
            log.info("device %s on bus %s answers again", device, self.line.name)

    async def _listen(self) -> None:
        device_of = {scan_group.group.name: scan_group.group.device_name for scan_group in self.line.bus.groups}
        while True:
            try:
                async with self.line.use():
                    async for scan in self.line.streaming.scans():
                        self._note_recovery(device_of[scan.group])
                        self._hand_over(scan)
                    raise LinkError("the line ended")
            except DriverError as error:
                self._note_fault(device_of.values(), error, self._now())
                for scan_group in self.line.bus.groups:
                    self._hand_over(bad_scan(scan_group.group, self._mono_ns(), quality_of(error)))
            await asyncio.sleep(self._backoff_s)

    def _hand_over(self, scan: Scan) -> None:
        count = self.counts[scan.group]
        count.due += 1
        if all(is_bad(quality) for quality in scan.quality):
            count.bad += 1
        else:
            count.good += 1
        self._sink(scan)


def quality_of(error: DriverError) -> Quality:
    """Tell what quality a scan has that ended in this error."""
    return next((quality for kind, quality in QUALITY_OF if isinstance(error, kind)), Quality.BAD)
