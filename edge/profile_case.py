"""Runs a profile against captured bytes. A case is a folder with ``line.txt``, the bytes as `drivers.replay` reads
them, and ``case.toml``, what they mean:

    about = "a reading, and one with the humidity sensor unplugged"
    profile = "generic_sht20"

    [settings]                    # the line, as in [[bus]]
    url = "rtu:///dev/ttyS0"

    [device]                      # what a site sets, as in [[device]]
    unit = 1

    [[reading]]                   # the groups in the order they are read, or in which the instrument speaks
    group = "climate"
    values = { temperature = 30.5, humidity = "none" }
    quality = { humidity = "BAD_SENSOR" }      # GOOD where left out
"""

from __future__ import annotations

import asyncio
import math
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import Driver, Scan
from drivers.errors import DriverError, LinkError
from drivers.replay import Replay, Step, parse_capture
from edge.profile_report import NONE, CaseReport, Comparison
from edge.settings import Bus, Configuration
from wire.sample import Quality, Value
from wire.twin import TagInfo

CASE_FILE, LINE_FILE = "case.toml", "line.txt"
LIMIT_S = 30.0

SAME = 1e-5
"""Two values this close, relative to each other, are one: no display shows more."""


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[reading]]: what one scan of one group must give, by tag name."""

    group: str
    values: dict[str, Any]
    quality: dict[str, str] = {}


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``case.toml`` says."""

    about: str
    profile: str
    reading: list[Reading]
    settings: dict[str, Any] = {}
    device: dict[str, Any] = {}


Configure = Callable[[Case], Configuration]
"""Makes the profile the one device of a configuration, with the case's settings. Raises ValueError if it cannot."""


def case_folders(folder: Path) -> tuple[Path, ...]:
    """List the cases in a folder, which may be a case itself."""
    if (folder / CASE_FILE).is_file():
        return (folder,)
    return tuple(file.parent for file in sorted(folder.glob(f"*/{CASE_FILE}")))


def run_case(folder: Path, profile: str, configure: Configure) -> CaseReport:
    """Replay one case through the profile's driver. What goes wrong is in the report."""
    about, found = "", list[Comparison]()
    try:
        case = _read_case(folder / CASE_FILE, profile)
        about = case.about
        steps = parse_capture((folder / LINE_FILE).read_text("utf-8-sig"))
        asyncio.run(_compare(configure(case), case, steps, found))
    except TimeoutError:
        fault = f"no answer within {LIMIT_S:g} s: the capture lacks something"
    except LinkError:
        fault = "the capture ends before the last reading"
    except DriverError as error:
        fault = f"{error} {error.hint}".rstrip()
    except (OSError, ValueError) as error:  # no file, no TOML, no capture, or requests that the capture does not answer
        fault = str(error)
    else:
        fault = ""
    return CaseReport(folder.name, about, tuple(found), fault)


def _read_case(file: Path, profile: str) -> Case:
    case = msgspec.convert(tomllib.loads(file.read_text("utf-8-sig")), Case)
    if case.profile != profile:
        raise ValueError(f"the case is for profile '{case.profile}', not '{profile}'")
    return case


async def _compare(configuration: Configuration, case: Case, steps: tuple[Step, ...], found: list[Comparison]) -> None:
    bus = configuration.buses[0]
    infos = {tag.name: tag for tag in configuration.tags}
    line = Replay(steps, hangs_up=True)
    driver: Driver = bus.kind.build(bus.settings, tuple(group.group for group in bus.groups), line=line)
    async with asyncio.timeout(LIMIT_S):
        await driver.open()
        try:
            async for reading, scan in _scans(driver, bus, case):
                found += _compare_scan(reading, scan, [infos[tag] for tag in configuration.columns[scan.group]])
        finally:
            await driver.close()
    if not line.is_done:
        raise ValueError("the capture holds more than was read: add a [[reading]] for it")


async def _scans(driver: Any, bus: Bus, case: Case) -> AsyncIterator[tuple[Reading, Scan]]:
    """Acquire what the case expects: groups that are asked in its order, or what the instrument says."""
    groups = {group.group.name.partition(".")[2]: group.group for group in bus.groups}
    stream = None if hasattr(driver, "read") else driver.scans()
    for reading in case.reading:
        group = groups.get(reading.group)
        if group is None:
            raise ValueError(f"the profile has no group '{reading.group}': it has {', '.join(groups)}")
        scan = await driver.read(group) if stream is None else await anext(stream)
        if scan.group != group.name:
            raise ValueError(f"group '{scan.group.partition('.')[2]}' came where '{reading.group}' is expected")
        yield reading, scan


def _compare_scan(reading: Reading, scan: Scan, tags: list[TagInfo]) -> list[Comparison]:
    names = [tag.name.partition(".")[2] for tag in tags]
    if odd := set(names) ^ reading.values.keys():
        raise ValueError(f"'{min(odd)}' is not both a tag of group '{reading.group}' and in the case's reading of it")
    return [
        _compare_value(reading, name, tag, scan.values[index], Quality(scan.quality[index]).name)
        for index, (name, tag) in enumerate(zip(names, tags, strict=True))
    ]


def _compare_value(reading: Reading, name: str, tag: TagInfo, value: Value, quality: str) -> Comparison:
    expected = None if reading.values[name] == NONE else reading.values[name]
    expected_quality = reading.quality.get(name, Quality.GOOD.name)
    same = is_same(value, expected) and quality == expected_quality
    return Comparison(name, tag.title, tag.unit, value, quality, expected, expected_quality, same)


def is_same(value: Value, expected: Value) -> bool:
    """Tell whether two values are one; true is not 1, and no value is not 0."""
    if isinstance(value, bool | str | None) or isinstance(expected, bool | str | None):
        return value == expected and type(value) is type(expected)
    return math.isclose(value, expected, rel_tol=SAME, abs_tol=SAME * SAME)
