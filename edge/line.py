"""One owner per line: the driver of a bus, opened when needed, used by one task at a time.

Polls and writes share the line; they take turns in the order they asked, so a write goes before the next poll.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar, cast

from drivers.base import Confirming, Driver, Group, Kept, Polled, Scan, Streaming, Writable, taken
from drivers.errors import DriverError, LinkError, LinkTimeoutError, SettingsError
from edge.deadline import Deadline
from edge.settings import Bus
from edge.silence import Silence
from wire.sample import Value

EXCHANGE_MOST_S = 30.0
"""No driver waits this long: one that does is broken off."""
WRITE_TIMEOUT_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Line:
    """A bus in operation. ``fault`` is the last error, empty while the line is well."""

    def __init__(self, bus: Bus, kept: Kept = taken) -> None:
        groups = tuple(scan_group.group for scan_group in bus.groups)
        self.bus = bus
        self.name = bus.name
        self.driver: Driver = bus.kind.build(bus.settings, groups)
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

    async def read(self, group: Group) -> Scan:
        """Read a group. Raises what the driver raises."""
        return await self._exchange("reading", EXCHANGE_MOST_S, self._polled.read, group)

    async def listen(self, take: Callable[[Scan], None]) -> None:
        """Hand over what the instruments say, until the line ends: always with a DriverError."""

        async def hear() -> None:
            async for scan in self._streaming.scans():
                take(scan)
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
