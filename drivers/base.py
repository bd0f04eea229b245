"""The driver contract. A driver turns bytes from one line into scans; it never sleeps between polls, retries, logs
failures or knows MQTT. `edge.collect` owns cadence, backoff and bad quality.

A module ``drivers/<kind>.py`` defines one class ``Driver`` that fits `Polled` or `Streaming`. The module's name is the
``kind`` in the configuration; there is no registry to edit. The class carries three frozen msgspec models:

    Settings  the line: port, baud, host, time-out          [[bus]]
    Device    one instrument on that line: unit id, gaps    [[device]]
    Source    where one tag lives on the instrument         [[device.group.tag]]
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec

import drivers
from drivers.errors import SettingsError
from drivers.replay import Renumber
from drivers.transport import Transport
from seismic.packet import TimeQuality
from wire.sample import Quality, Value

Clock = Callable[[], int]
"""Monotonic time in ns. Injected, so that tests own it."""

Kept = Callable[[], Awaitable[bool]]
"""Makes all scans that were yielded so far durable; False if that is not possible now."""

CONTRACT_MODULES = frozenset(
    {
        "base",
        "bits",
        "errors",
        "framing",
        "lines",
        "profile",
        "profiles",
        "recorder",
        "replay",
        "stream",
        "timeline",
        "transport",
    }
)
"""Modules of this package that are not drivers. A driver is a module, or a package where one file would be too long."""


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model of a driver that needs no settings at that level."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A scan group as a driver sees it: which tags are read together.

    ``name`` is unique on the gateway. ``tags`` and ``sources`` run in parallel; ``sources[i]`` is an instance of the
    driver's ``Source`` and ``device`` one of its ``Device``.
    """

    name: str
    device_name: str
    device: msgspec.Struct
    tags: tuple[str, ...]
    sources: tuple[msgspec.Struct, ...]


class Scan(msgspec.Struct, frozen=True):
    """One reading of one group, as columns. ``values[i]`` belongs to ``group.tags[i]``; it was read at ``mono_ns``.

    ``clock`` is how the instrument's own clock, where it has one worth more than ours, says UTC: ``mono_ns`` plus its
    offset, to the sample.
    """

    group: str
    mono_ns: int
    values: tuple[Value, ...]
    quality: tuple[int, ...]
    clock: TimeQuality | None = None

    def sample(self, index: int) -> Sample:
        """Return the view of one value."""
        return Sample(self.group, index, self.mono_ns, self.values[index], self.quality[index])


class Sample(msgspec.Struct, frozen=True):
    """One value of a scan."""

    group: str
    index: int
    mono_ns: int
    value: Value
    quality: int


def bad_scan(group: Group, mono_ns: int, quality: Quality) -> Scan:
    """Make the scan that says "no value, and why"."""
    width = len(group.tags)
    return Scan(group.name, mono_ns, (None,) * width, (int(quality),) * width)


class Driver(Protocol):
    """What every driver has. The constructor does no I/O: ``Driver(settings, groups, clock=time.monotonic_ns)``.

    It raises SettingsError if the groups cannot be read by it.
    Drivers also take ``line``, a `drivers.transport.Transport` to use instead of the one that the settings name.
    """

    Settings: ClassVar[type[msgspec.Struct]]
    Device: ClassVar[type[msgspec.Struct]]
    Source: ClassVar[type[msgspec.Struct]]

    @staticmethod
    def make_line(settings: Any) -> Transport:
        """Make the line that the settings name, not yet open: what the driver uses unless it was given another.

        Raises SettingsError for an address that is none. Apart, so that a recorder can be put around the line.
        """
        ...

    async def open(self) -> None:
        """Open the line. Raises LinkError when it cannot be had, SettingsError when it never will be."""
        ...

    async def close(self) -> None:
        """Close the line. May be called twice, before `open`, and while another call waits: that call then ends."""
        ...


@runtime_checkable
class Polled(Driver, Protocol):
    """An instrument that answers when asked."""

    async def read(self, group: Group) -> Scan:
        """Read all tags of a group. One call at a time per driver.

        Raises LinkError, LinkTimeoutError, FrameError or DeviceError when the group as a whole has no values; a
        single tag without a value is a bad quality in the scan instead.
        """
        ...


@runtime_checkable
class Streaming(Driver, Protocol):
    """An instrument that speaks by itself."""

    faults: int
    """Frames dropped since `open` because they were garbled."""

    def scans(self) -> AsyncIterator[Scan]:
        """Yield a scan for each message, until the line fails with LinkError. Garbled frames are counted, dropped."""
        ...


@runtime_checkable
class Confirming(Protocol):
    """A streaming driver whose instruments forget what was confirmed to them, and repeat what was not."""

    kept: Kept
    """Awaited before each confirmation, which is left out if it says False. Set by the owner of the line."""


@runtime_checkable
class Writable(Protocol):
    """A driver that can also set something."""

    async def write(self, group: Group, tag: str, value: Value) -> None:
        """Set one tag of a group. Raises what `Polled.read` raises."""
        ...


@runtime_checkable
class Scannable(Protocol):
    """A driver that can tell who is on its line. Open the line first; one call at a time."""

    def candidates(self) -> Sequence[msgspec.Struct]:
        """List the devices worth asking, as instances of its ``Device``, the likely ones first."""
        ...

    async def identify(self, device: msgspec.Struct) -> dict[str, str] | None:
        """Ask one device who it is: {"vendor": ..., "model": ..., ...}, empty if it only shows that it is there.

        None: nobody there. Raises LinkError when the line is down, never for a device that is silent or refuses.
        """
        ...


class DriverKind(msgspec.Struct, frozen=True):
    """A driver as found by its name: the class and its three models.

    ``renumber`` is a static method that only a driver has that numbers what it sends: it makes a conversation that was
    recorded from its middle one that begins with `Driver.open`, so that it can be replayed.
    """

    kind: str
    build: Callable[..., Driver]
    settings: type[msgspec.Struct]
    device: type[msgspec.Struct]
    source: type[msgspec.Struct]
    writable: bool
    make_line: Callable[[Any], Transport]
    renumber: Renumber | None = None


def kinds() -> tuple[str, ...]:
    """List the driver kinds that are installed."""
    names = (module.name for module in pkgutil.iter_modules(drivers.__path__))
    return tuple(sorted(name for name in names if name not in CONTRACT_MODULES))


def find(kind: str) -> DriverKind:
    """Load a driver by its kind. Raises SettingsError with the known kinds if there is none."""
    if kind in CONTRACT_MODULES or kind.startswith("_") or not kind.isidentifier():
        raise SettingsError(f"'{kind}' is not a driver", hint=f"use one of: {', '.join(kinds())}")
    try:
        module = importlib.import_module(f"drivers.{kind}")
    except ModuleNotFoundError as error:
        if error.name != f"drivers.{kind}":
            raise
        raise SettingsError(f"there is no driver '{kind}'", hint=f"use one of: {', '.join(kinds())}") from error
    driver = module.Driver
    return DriverKind(
        kind,
        driver,
        driver.Settings,
        driver.Device,
        driver.Source,
        writable=hasattr(driver, "write"),
        make_line=driver.make_line,
        renumber=getattr(driver, "renumber", None),
    )


async def taken() -> bool:
    """Take a scan as kept once it was yielded: for a driver that is used alone."""
    return True


def system_clock() -> int:
    """Monotonic time in ns of the running machine."""
    return time.monotonic_ns()


__all__: Sequence[str] = (
    "Clock", "Confirming", "Driver", "DriverKind", "Empty", "Group", "Kept", "Polled", "Sample", "Scan", "Scannable",
    "Streaming", "Writable", "bad_scan", "find", "kinds", "system_clock", "taken",
)  # fmt: skip
