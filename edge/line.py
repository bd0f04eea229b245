"""One owner per line: the driver of a bus, opened when needed, used by one task at a time.

Polls and writes share the line through `Line.use`; a write that waits goes before the next poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.base import Driver, Polled, Streaming, Writable
from drivers.errors import DriverError, LinkError, LinkTimeoutError, SettingsError
from edge.settings import Bus
from wire.sample import Value

WRITE_TIMEOUT_S = 10.0


class Line:
    """A bus in operation. ``fault`` is the last error, empty while the line is well."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.driver: Driver = bus.kind.build(bus.settings, tuple(scan_group.group for scan_group in bus.groups))
        self.is_up = False
        self.fault = ""
        self.busy_s = 0.0
        self.bad_devices: set[str] = set()
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The bus's name."""
        return self.bus.name

    @property
    def is_streaming(self) -> bool:
        """Whether the instruments speak by themselves."""
        return isinstance(self.driver, Streaming)

    @property
    def polled(self) -> Polled:
        """The driver as one that is asked."""
        assert isinstance(self.driver, Polled)
        return self.driver

    @property
    def streaming(self) -> Streaming:
        """The driver as one that is listened to."""
        assert isinstance(self.driver, Streaming)
        return self.driver

    @asynccontextmanager
    async def use(self) -> AsyncIterator[None]:
        """Own the line for one exchange, opened. Errors pass through.

        A link error closes it, and so does whatever tears an exchange in the middle: its late answer must not be taken
        for that of the next.
        """
        async with self._lock:
            began = time.monotonic()
            try:
                await self.open()
                yield
            except LinkError as error:
                if not isinstance(error, LinkTimeoutError):
                    await self.close(str(error))
                raise
            except DriverError:
                raise
            except BaseException:
                await self.close("an exchange was broken off")
                raise
            finally:
                self.busy_s += time.monotonic() - began

    async def open(self) -> None:
        """Open the driver unless it is open."""
        if not self.is_up:
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

    async def write(self, tag: str, value: Value) -> None:
        """Set a tag of this bus. Raises DriverError."""
        driver = self.driver
        if not isinstance(driver, Writable):
            raise SettingsError(f"driver {self.bus.kind.kind} cannot write", hint="use a writable tag for the output")
        group = next(g.group for g in self.bus.groups if tag in g.group.tags)
        try:
            async with self.use(), asyncio.timeout(WRITE_TIMEOUT_S):
                await driver.write(group, tag, value)
        except TimeoutError as error:
            raise LinkTimeoutError(f"bus {self.name}: writing '{tag}' took over {WRITE_TIMEOUT_S:g} s") from error
