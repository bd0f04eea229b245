"""Reads groups once, as a tool does: no cadence, no backoff, each fault in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from drivers.base import Driver, Group, Polled, Scan, Streaming, bad_scan
from drivers.errors import DriverError, LinkError, LinkTimeoutError
from drivers.transport import Transport
from edge.collect import quality_of
from edge.settings import Bus
from edge.tools.ports import with_holder
from edge.tools.registers import MARK, registers_of, with_registers
from edge.tools.words import Reading, reason_of
from wire.sample import quality_class
from wire.twin import TagInfo

LISTEN_S = 10.0
"""How long an instrument that speaks by itself is waited for."""


class Fault(msgspec.Struct, frozen=True):
    """Why a group was not read."""

    device: str
    error: str
    hint: str = ""


class Result(msgspec.Struct, frozen=True):
    """What one reading of one group gave."""

    group: Group
    scan: Scan
    fault: Fault | None = None


@asynccontextmanager
async def opened(driver: Driver | Transport, url: str) -> AsyncIterator[None]:
    """Hold a driver or a bare line open. Raises DriverError, which names the program that has the port."""
    try:
        await driver.open()
        yield
    except LinkError as error:
        raise with_holder(error, url) from error
    finally:
        await driver.close()


async def read_bus(bus: Bus, listen_s: float = LISTEN_S) -> list[Result]:
    """Read every group of a bus once, with the registers where it has any. Raises LinkError, SettingsError."""
    groups = [with_registers(scan_group.group) for scan_group in bus.groups]
    driver = bus.kind.build(bus.settings, groups)
    async with opened(driver, url_of(bus)):
        if isinstance(driver, Streaming):
            return await _listen(driver, groups, listen_s)
        assert isinstance(driver, Polled)
        return [result async for result in ask(driver, groups)]


def url_of(bus: Bus) -> str:
    """The address of a bus."""
    return str(getattr(bus.settings, "url", ""))


async def ask(driver: Polled, groups: Sequence[Group]) -> AsyncIterator[Result]:
    """Read groups in turn; of a device that stays silent no further one is asked. Raises LinkError."""
    silent: dict[str, DriverError] = {}
    for group in groups:
        error = silent.get(group.device_name)
        try:
            if error is None:
                yield Result(group, await driver.read(group))
                continue
        except LinkTimeoutError as timeout:
            error = silent[group.device_name] = timeout
        except LinkError:
            raise
        except DriverError as fault:
            error = fault
        yield failed(group, error)


async def _listen(driver: Streaming, groups: Sequence[Group], listen_s: float) -> list[Result]:
    heard: dict[str, Scan] = {}
    error: DriverError = LinkTimeoutError(f"nothing came within {listen_s:g} s", hint="check baud, wires and power")
    stream = driver.scans()
    try:
        async with asyncio.timeout(listen_s):
            async for scan in stream:
                heard[scan.group] = scan
                if len(heard) == len(groups):
                    break
    except TimeoutError:
        pass
    except LinkTimeoutError as timeout:
        error = timeout
    return [Result(group, heard[group.name]) if group.name in heard else failed(group, error) for group in groups]


def failed(group: Group, error: DriverError) -> Result:
    """Make the result of a group that was not read."""
    fault = Fault(group.device_name, str(error), error.hint)
    return Result(group, bad_scan(group, 0, quality_of(error)), fault)


def readings(results: Iterable[Result], tags: Mapping[str, TagInfo]) -> list[Reading]:
    """Tell what was read of each of these tags."""
    found = []
    for result in results:
        registers = {} if result.fault else registers_of(result.group, result.scan)
        for tag, value, quality in zip(result.group.tags, result.scan.values, result.scan.quality, strict=True):
            if tag.startswith(MARK) or tag not in tags:
                continue
            found.append(
                Reading(
                    tag=tag,
                    title=tags[tag].title,
                    value=value,
                    unit=tags[tag].unit,
                    quality=quality_class(quality),
                    reason=reason_of(quality),
                    code=int(quality),
                    registers=registers.get(tag, ""),
                )
            )
    return found


def faults(results: Iterable[Result]) -> list[Fault]:
    """List what went wrong, each once."""
    return list(dict.fromkeys(result.fault for result in results if result.fault))
