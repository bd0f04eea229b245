"""Asks who is on a line, device by device, or only listens. Nothing is ever written to an instrument."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from drivers.base import Driver, DriverKind, Group, Polled, Scannable, find
from drivers.errors import DeviceError, FrameError, LinkTimeoutError
from drivers.transport import Transport
from edge.tools.acquire import opened
from edge.tools.interrupt import wait_for

BAUDS = (9600, 4800, 19200, 38400, 115200)
PARITIES = ("N", "E", "O")
"""What instruments are set to, the common ones first."""

MODBUS = "modbus"
ANY_UNIT = (1, 255, 0)
"""The first candidates at a socket: who says the same of itself at all of them answers whatever the unit."""

FAILED = 4
"""The exception of an instrument that has failed, and of some gateways where none is."""

SERIAL_TIMEOUT_S, SOCKET_TIMEOUT_S = 0.3, 1.0

Answer = tuple[msgspec.Struct, dict[str, str]]
"""A device that answers, and what it says of itself."""


class Variant(msgspec.Struct, frozen=True):
    """A serial line's settings; a socket has none."""

    baud: int | None = None
    parity: str | None = None

    def keys(self) -> dict[str, Any]:
        """Those of a [[bus]]."""
        return {key: value for key, value in (("baud", self.baud), ("parity", self.parity)) if value is not None}

    def format(self, data_bits: int = 8, stop_bits: int = 1) -> str:
        """Show as usual: 9600 8N1."""
        return f"{self.baud} {data_bits}{self.parity}{stop_bits}" if self.baud else ""


class Asking(msgspec.Struct):
    """How asking goes: ``tell`` gets the name of who is asked, ``stop`` ends it after the exchange under way."""

    stop: asyncio.Event
    tell: Callable[[str], None] = lambda _name: None
    asked: int = 0
    noise: list[str] = []
    """Where something came that was no answer."""
    failing: list[str] = []
    """Who answers only that it has failed."""
    folds: bool = False
    """Whether one was found that answers whatever the unit."""


def variants(
    settings: msgspec.Struct, bauds: Sequence[int], parities: Sequence[str], *, is_serial: bool
) -> list[Variant]:
    """List the line settings to try; those that the driver starts from first, parity by parity."""
    if not is_serial:
        return [Variant()]
    first = Variant(getattr(settings, "baud", None), getattr(settings, "parity", None))
    tried = [Variant(baud, parity) for parity, baud in itertools.product(parities, bauds)]
    return sorted(tried, key=lambda variant: variant != first)


def units_of(text: str) -> tuple[int, ...]:
    """Read which units are meant: ``1-32``, ``3``, ``1,3,8-10``. Raises ValueError."""
    units: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[0] < 0 or numbers[-1] > 255:
            raise ValueError(f"'{part}' names no units")
        units += numbers
    return tuple(dict.fromkeys(units))


def devices_of(kind: DriverKind, settings: msgspec.Struct, units: Sequence[int] | None) -> list[msgspec.Struct]:
    """List the devices to ask: the driver's candidates, those with a unit only if it is among ``units``."""
    driver = kind.build(settings, ())
    if not isinstance(driver, Scannable):
        return []
    return [
        device for device in driver.candidates() if units is None or not hasattr(device, "unit") or device.unit in units
    ]


async def ask_line(
    kind: DriverKind,
    settings: msgspec.Struct,
    url: str,
    devices: Sequence[msgspec.Struct],
    asking: Asking,
    *,
    folds: bool,
) -> list[Answer]:
    """Ask devices in turn with one line setting and return those that answer, with what they say of themselves.

    With ``folds`` an instrument that answers whatever the unit is found once. Raises LinkError.
    """
    probes = {name_of(device): _probes(device) for device in devices} if kind.kind == MODBUS else {}
    driver = kind.build(settings, tuple(probe for of_device in probes.values() for probe in of_device))
    first = len(ANY_UNIT) if folds else 0
    async with opened(driver, url):
        found = [answer async for answer in _ask(driver, devices[:first], probes, settings, asking)]
        asking.folds = folds and len(found) == first and all(told == found[0][1] for _, told in found)
        if asking.folds:
            return found[:1]
        return found + [answer async for answer in _ask(driver, devices[first:], probes, settings, asking)]


async def _ask(
    driver: Driver,
    devices: Sequence[msgspec.Struct],
    probes: Mapping[str, Sequence[Group]],
    settings: msgspec.Struct,
    asking: Asking,
) -> AsyncIterator[Answer]:
    assert isinstance(driver, Scannable)
    for device in devices:
        if asking.stop.is_set():
            return
        name = name_of(device)
        asking.tell(name)
        asking.asked += 1
        if name in probes and not await _answers(driver, probes[name], asking, settings):
            continue
        identity = await driver.identify(device)
        if identity is not None:
            yield device, identity


def _probes(device: msgspec.Struct) -> tuple[Group, ...]:
    """One register each, the holding one first: any answer, even a refusal, shows that somebody is there."""
    name = name_of(device)
    sources = [msgspec.convert({"function": function, "address": 0}, find(MODBUS).source) for function in (3, 4)]
    return tuple(
        Group(name=f"{name} {number}", device_name=name, device=device, tags=(name,), sources=(source,))
        for number, source in enumerate(sources)
    )


async def _answers(driver: Driver, probes: Sequence[Group], asking: Asking, settings: msgspec.Struct) -> bool:
    """Tell whether somebody is there. Silence costs one time-out; only after a failure the second probe is tried."""
    assert isinstance(driver, Polled)
    name = probes[0].device_name
    for probe in probes:
        try:
            await driver.read(probe)
        except DeviceError as error:
            if error.code == FAILED:
                continue
        except LinkTimeoutError:
            return False
        except FrameError:
            where = Variant(getattr(settings, "baud", None), getattr(settings, "parity", None)).format()
            asking.noise.append(f"{where} {name}".strip())
            return False
        return True
    asking.failing.append(name)
    return False


def name_of(device: msgspec.Struct) -> str:
    """Name a device by what tells it from others on its line: ``unit 3``."""
    return next((f"{key} {value}" for key, value in address_of(device).items()), "the instrument")


def address_of(device: msgspec.Struct) -> dict[str, Any]:
    """The key of a [[device]] that holds its address on the line, with its value."""
    return {key: getattr(device, key) for key in ("unit", "address") if hasattr(device, key)}


async def listen(line: Transport, seconds: float, stop: asyncio.Event, url: str) -> bytes:
    """Hear what is said on a line without asking. Raises LinkError."""
    heard = bytearray()

    async def collect() -> None:
        while True:
            heard.extend(await line.read())

    async with opened(line, url):
        task = asyncio.create_task(collect())
        await wait_for(stop, seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return bytes(heard)
