"""One owner per line: the driver of a bus, opened when needed, used by one task at a time.

Polls and writes share the line; they take turns in the order they asked, so a write goes before the next poll.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar, cast

from drivers.base import Confirming, Driver, Group, Kept, Polled, Scan, Streaming, Writable, taken
from drivers.errors import DriverError, LinkError, LinkTimeoutError, SettingsError
from drivers.recorder import Recorder
from edge.deadline import Deadline
from edge.settings import Bus
from edge.silence import Silence
from wire.sample import Value

EXCHANGE_MOST_S = 30.0
"""No driver waits this long: one that does is broken off."""
WRITE_TIMEOUT_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Watcher(Protocol):
    """Is told what passes on a line and what comes of it. It never waits and raises nothing: acquisition goes first."""

    def write(self, text: str) -> None:
        """Take what a `Recorder` writes."""

    def begin(self, group: str) -> None:
        """A group is read from now on; "" for what instruments say by themselves."""

    def give(self, scan: Scan) -> None:
        """This came of what has passed."""

    def fail(self, error: DriverError) -> None:
        """Nothing came of it."""

    def over(self, why: str) -> None:
        """The line will not be used any more."""


class Line:
    """A bus in operation. ``fault`` is the last error, empty while the line is well."""

    def __init__(self, bus: Bus, kept: Kept = taken) -> None:
        groups = tuple(scan_group.group for scan_group in bus.groups)
        self.bus = bus
        self.name = bus.name
        self._recorder = Recorder(bus.kind.make_line(bus.settings))
        self.driver: Driver = bus.kind.build(bus.settings, groups, line=self._recorder)
        if isinstance(self.driver, Confirming):
            self.driver.kept = kept
        self.is_streaming = isinstance(self.driver, Streaming)
        self._polled, self._streaming = cast("Polled", self.driver), cast("Streaming", self.driver)
        self.silence = Silence(groups)
        self.is_up = False
        self.fault = ""
        self.busy_s = 0.0
        self._lock = asyncio.Lock()
        self._deadline = Deadline()
        self._watcher: Watcher | None = None

    @property
    def is_watched(self) -> bool:
        """Whether what passes is written down."""
        return self._watcher is not None

    def watch(self, watcher: Watcher) -> None:
        """Tell one watcher what passes from now on, until `unwatch`. Whoever uses the line notices nothing."""
        self._watcher = watcher
        if self.is_streaming:
            watcher.begin("")
        self._recorder.start(watcher.write)

    def unwatch(self) -> None:
        """Tell nobody any more."""
        self._recorder.stop()
        self._watcher = None

    def retire(self, why: str) -> None:
        """Tell who watches that this line will not be used any more."""
        if self._watcher is not None:
            self._watcher.over(why)

    async def read(self, group: Group) -> Scan:
        """Read a group. Raises what the driver raises."""
        work = self._polled.read if self._watcher is None else self._read_watched
        return await self._exchange("reading", EXCHANGE_MOST_S, work, group)

    async def _read_watched(self, group: Group) -> Scan:
        watcher = self._watcher
        if watcher is None:  # it went while this waited for its turn
            return await self._polled.read(group)
        watcher.begin(group.name)
        try:
            scan = await self._polled.read(group)
        except DriverError as error:
            watcher.fail(error)
            raise
        watcher.give(scan)
        return scan

    async def listen(self, take: Callable[[Scan], None]) -> None:
        """Hand over what the instruments say, until the line ends: always with a DriverError."""

        async def hear() -> None:
            if self._watcher is not None:
                self._watcher.begin("")
            async for scan in self._streaming.scans():
                take(scan)
                if self._watcher is not None:
                    self._watcher.give(scan)
            raise LinkError("the line ended")

        await self._exchange("listening", math.inf, hear)

    async def write(self, tag: str, value: Value) -> None:
        """Set a tag of this bus. Raises DriverError."""
        driver = self.driver
        if not isinstance(driver, Writable):
            raise SettingsError(f"driver {self.bus.kind.kind} cannot write", hint="use a writable tag for the output")
        group = next(g.group for g in self.bus.groups if tag in g.group.tags)
        await self._exchange(f"writing '{tag}'", WRITE_TIMEOUT_S, driver.write, group, tag, value)
        self.silence.lift(group)

    async def _exchange(
        self, what: str, most_s: float, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Own the line for one exchange, opened. Errors pass through.

        A link error closes it, and so does whatever tears an exchange in the middle: its late answer must not be taken
        for that of the next.
        """
        async with self._lock:
            began = time.monotonic()
            try:
                if not self.is_up:
                    await self._open()
                with self._deadline.within(most_s):
                    return await work(*args, **kwargs)
            except LinkError as error:
                if not isinstance(error, LinkTimeoutError):
                    await self.close(str(error))
                raise
            except DriverError:
                raise
            except TimeoutError as error:
                await self.close("an exchange was broken off")
                raise LinkTimeoutError(f"bus {self.name}: {what} took over {most_s:g} s") from error
            except BaseException:
                await self.close("an exchange was broken off")
                raise
            finally:
                self.busy_s += time.monotonic() - began

    async def _open(self) -> None:
        try:
            await self.driver.open()
        except DriverError as error:
            self.fault = str(error)
            raise
        self.is_up = True
        self.fault = ""

    async def close(self, fault: str = "") -> None:
        """Close the driver; the next use opens it again."""
        self.is_up = False
        self.fault = fault
        await self.driver.close()
