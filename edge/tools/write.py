"""``fengsui-edge write``: set one tag, after showing what is there and asking; then say what holds."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from drivers.base import Driver, Group, Polled, Writable
from drivers.errors import DriverError, LinkError
from edge.errors import ConfigurationError, EdgeError
from edge.settings import Bus
from edge.tools.acquire import opened, url_of
from edge.tools.target import Target, add_config, load_configuration, narrow
from edge.tools.terminal import ask, note, print_json
from edge.tools.words import format_quality, format_value, parse_value
from wire.sample import Quality, Value, is_good
from wire.twin import TagInfo

EXAMPLES = """\
  fengsui-edge write siren.switch on
  fengsui-edge write siren.switch off --yes"""

STATUS = "it holds what was written; 1 it does not, or nothing was written"


class Held(msgspec.Struct, frozen=True):
    """What a tag holds."""

    value: Value
    quality: int

    def format(self, unit: str) -> str:
        """Show it."""
        return format_value(self.value, unit) if is_good(self.quality) else format_quality(self.quality)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("tag", help="full name of the tag: <device>.<tag>")
    parser.add_argument("value", help="true, false, on, off, a number, or a word")
    parser.add_argument("--yes", action="store_true", help="do not ask: for scripts")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Write, unless the answer is no. Returns 1 if nothing was written or something else holds now."""
    target = narrow(load_configuration(options.config), options.tag)
    info = target.tags.get(options.tag)
    if info is None or len(target.tags) > 1:
        raise ConfigurationError(f"'{options.tag}' is no tag\n    write its full name: <device>.<tag>")
    value = parse_value(options.value)
    _check(target, info, value)
    if not options.yes and not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked: this is no terminal\n    add --yes to write all the same")
    return _write(target.buses[0], info, value, options)


def _check(target: Target, info: TagInfo, value: Value) -> None:
    if not target.buses[0].kind.writable:
        raise ConfigurationError(f"driver {target.buses[0].kind.kind} cannot write '{info.name}'")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = info.low, info.high
        if (low is not None and value < low) or (high is not None and value > high):
            raise ConfigurationError(f"{value:g} is outside the range {low} to {high} of '{info.name}'")
    for output in target.configuration.outputs:
        if output.tag == info.name:
            note(f"Alarms switch this tag as output '{output.name}': a running agent may set it again.")


def _write(bus: Bus, info: TagInfo, value: Value, options: argparse.Namespace) -> int:
    group = next(group.group for group in bus.groups if info.name in group.group.tags)
    before = asyncio.run(_look(bus, group, info.name))
    title = "" if info.title == info.name.partition(".")[2] else f" {info.title}"
    note(f"{info.name}{title}\n  on     device {info.device}, bus {bus.name} ({url_of(bus)})")
    note(f"  now    {before.format(info.unit)}\n  write  {format_value(value, info.unit)}")
    # The line is free while a person thinks.
    if not options.yes and not ask("Write it?"):
        raise EdgeError("nothing was written")
    after, fault = asyncio.run(_set(bus, group, info.name, value))
    return _tell(info, value, before, after, fault, options.json)


async def _look(bus: Bus, group: Group, tag: str) -> Held:
    driver = bus.kind.build(bus.settings, (group,))
    async with opened(driver, url_of(bus)):
        return await _held(driver, group, tag)


async def _set(bus: Bus, group: Group, tag: str, value: Value) -> tuple[Held, DriverError | None]:
    """Write and read back. Raises LinkError; the instrument's own refusal is returned."""
    driver = bus.kind.build(bus.settings, (group,))
    fault: DriverError | None = None
    async with opened(driver, url_of(bus)):
        assert isinstance(driver, Writable)
        try:
            await driver.write(group, tag, value)
        except LinkError:
            raise
        except DriverError as error:
            fault = error
        return await _held(driver, group, tag), fault


def _tell(info: TagInfo, value: Value, before: Held, after: Held, fault: DriverError | None, as_json: bool) -> int:
    holds = fault is None and is_good(after.quality) and _is_same(after.value, value)
    if as_json:
        error = {"error": str(fault), "hint": fault.hint} if fault else {}
        print_json(
            {"tag": info.name, "before": before.value, "written": value, "after": after.value, "holds": holds, **error}
        )
        return 0 if holds else 1
    if fault:
        note(f"  failed {fault}" + (f"\n         {fault.hint}" if fault.hint else ""))
    print(f"  {'holds' if holds else 'HOLDS'}  {after.format(info.unit)}" + ("" if holds else ": not what was written"))
    return 0 if holds else 1


async def _held(driver: Driver, group: Group, tag: str) -> Held:
    assert isinstance(driver, Polled)
    try:
        scan = await driver.read(group)
    except LinkError as error:
        raise LinkError(f"what {tag} holds cannot be read: {error}", hint=error.hint) from error
    except DriverError:
        return Held(None, int(Quality.BAD_DEVICE))
    index = group.tags.index(tag)
    return Held(scan.values[index], scan.quality[index])


def _is_same(held: Value, wanted: Value) -> bool:
    """The instrument rounds to what its register can hold; the driver has compared the registers themselves."""
    if isinstance(held, str | None) or isinstance(wanted, str | None):
        return held == wanted
    return abs(held - wanted) <= max(abs(wanted), 1.0) * 0.01
