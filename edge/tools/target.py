"""What a tool is pointed at: a part of a configuration file, or an address and what is known of the instrument there.

An address becomes a configuration of one bus and one device, so that both are read by the same code.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from drivers import profile as profiles
from drivers.base import Driver, DriverKind, find, kinds
from drivers.bits import width
from drivers.errors import SettingsError
from edge.configuration import read_configuration
from edge.errors import ConfigurationError, EdgeError
from edge.mistakes import Mistakes, suggest
from edge.settings import Bus, Configuration, ScanGroup
from edge.tools.document import load
from wire.twin import TagInfo

CONFIG = Path("/etc/fengsui/gateway.toml")
"""The configuration of an installed gateway."""

SHELF = profiles.Shelf(CONFIG.parent / profiles.OWN_FOLDER)
"""Profiles of the gateway's operator."""

BUS, GROUP = "line", "values"
POLL_S = 1.0
COUNT_MOST = 2000
NEAR = 3
"""How many names that may be meant are told."""

LINE_OPTIONS: Mapping[str, tuple[type, str]] = {
    "baud": (int, "bits per second"),
    "parity": (str, "N, E or O"),
    "stop_bits": (int, "1 or 2"),
    "timeout_s": (float, "seconds that an instrument may take"),
}
SOURCE_OPTIONS: Mapping[str, tuple[type, str]] = {
    "function": (int, "1 coils, 2 inputs, 3 holding, 4 input registers"),
    "address": (int, "first address, from 0"),
    "type": (str, "u16, i16, u32, f32, ..."),
    "order": (str, "ABCD, CDAB, BADC or DCBA"),
    "scale": (float, "factor"),
}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Buses with only the groups that are meant, and the tags of them that are."""

    buses: tuple[Bus, ...]
    tags: Mapping[str, TagInfo]
    configuration: Configuration


def add_config(parser: argparse.ArgumentParser) -> None:
    """Let the command line name a configuration file."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"configuration (default: {CONFIG})")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Let the command line say what is there: for addresses only."""
    add_config(parser)
    there = parser.add_argument_group("at an address")
    there.add_argument("--kind", help=f"the driver: {', '.join(kinds())}")
    there.add_argument("--profile", metavar="NAME", help="what the instrument is; a name, or a file of your own")
    there.add_argument("--unit", type=int, metavar="N", help="its address on the line")
    there.add_argument("--count", type=int, metavar="N", help="how many values, one after another")
    for name, (kind, text) in {**LINE_OPTIONS, **SOURCE_OPTIONS}.items():
        there.add_argument(f"--{name.removesuffix('_s').replace('_', '-')}", dest=name, type=kind, help=text)
    there.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of the bus, device or tag"
    )


def is_address(name: str) -> bool:
    """Tell an address from a name in a configuration."""
    return "://" in name


def resolve(name: str, options: argparse.Namespace) -> Target:
    """Find what is meant: all of the configuration if ``name`` is empty. Raises ConfigurationError, EdgeError."""
    if is_address(name):
        return _whole(read_document(describe(name, options)))
    return narrow(load_configuration(options.config), name)


def load_configuration(path: Path | None) -> Configuration:
    """Read the configuration file that was named, or that of the installed gateway."""
    if path is None and not CONFIG.exists():
        raise ConfigurationError("which configuration?", "add --config FILE, or give an address: rtu:///dev/ttyUSB0")
    return load(path or CONFIG)[1]


def narrow(configuration: Configuration, name: str) -> Target:
    """Keep what a bus, device or tag of this name needs. Raises ConfigurationError if there is none."""
    tags = {tag.name: tag for tag in configuration.tags}
    if not name:
        return _whole(configuration)
    buses = []
    for bus in configuration.buses:
        groups = tuple(
            scan_group
            for scan_group in bus.groups
            if name in {bus.name, scan_group.group.device_name, *scan_group.group.tags}
        )
        if groups:
            buses.append(msgspec.structs.replace(bus, groups=groups))
    if not buses:
        raise _no_such(configuration, name)
    read = [tag for bus in buses for scan_group in bus.groups for tag in scan_group.group.tags]
    meant = [name] if name in tags else read
    return Target(buses=tuple(buses), tags={tag: tags[tag] for tag in meant}, configuration=configuration)


def _no_such(configuration: Configuration, name: str) -> ConfigurationError:
    """Say what there is instead: a tag only where its device or most of its name is right, for there are many."""
    device, _, _ = name.partition(".")
    own = [tag for scan_group in _groups(configuration) for tag in scan_group.group.tags]
    if name in {tag.name for tag in configuration.tags}:
        return ConfigurationError(
            f"'{name}' is computed by the agent: no instrument has it", f"name what it is computed from: {device}"
        )
    near = difflib.get_close_matches(name, own, n=1) or [tag for tag in own if tag.partition(".")[0] == device]
    known = near or [bus.name for bus in configuration.buses] + [each.name for each in configuration.devices]
    return ConfigurationError(f"there is no bus, device or tag '{name}'", suggest(name, known))


def _groups(configuration: Configuration) -> list[ScanGroup]:
    return [scan_group for bus in configuration.buses for scan_group in bus.groups]


def _whole(configuration: Configuration) -> Target:
    read = [tag for scan_group in _groups(configuration) for tag in scan_group.group.tags]
    infos = {tag.name: tag for tag in configuration.tags}
    return Target(buses=configuration.buses, tags={name: infos[name] for name in read}, configuration=configuration)


def describe(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Write the configuration document of one device at an address."""
    profile = load_profile(options.profile) if options.profile else None
    kind = find(options.kind or (profile.kind if profile else guess_kind(url)))
    given = {key: getattr(options, key) for key in (*LINE_OPTIONS, *SOURCE_OPTIONS, "unit")}
    given |= dict(_setting(pair) for pair in options.set)
    given = {key: value for key, value in given.items() if value is not None}
    bus, device, source = ({key: given.pop(key) for key in names_of(model) if key in given} for model in _models(kind))
    if given:
        known = sorted({name for model in _models(kind) for name in names_of(model)})
        key = next(iter(given))
        raise ConfigurationError(f"driver {kind.kind} knows no '{key}'", suggest(key, known))
    if not source and not profile:
        raise ConfigurationError("what shall be read there?", "add --profile NAME, or --address 0 --count 10")
    own = {"group": [_group(kind, source, options)]} if source else {}
    if profile:
        return document(kind, url, profile, bus, {**device, **own})
    return _document(kind, url, bus, {**device, **own})


def document(
    kind: DriverKind, url: str, profile: profiles.Profile, bus: Mapping[str, Any], device: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the configuration document of one device with a profile."""
    tables = {"group": [*profile.group, *device.get("group", [])], "derived": profile.derived}
    return _document(kind, url, bus, {**profile.device, **device, **tables})


def _document(kind: DriverKind, url: str, bus: Mapping[str, Any], device: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bus": [{"name": BUS, "kind": kind.kind, "url": url, **bus}],
        "device": [{"name": f"unit-{device['unit']}" if "unit" in device else "device", "bus": BUS, **device}],
    }


def read_document(table: Mapping[str, Any]) -> Configuration:
    """Read a document of ours. Raises ConfigurationError with every mistake."""
    mistakes = Mistakes()
    configuration = read_configuration(table, mistakes)
    if configuration is None:
        raise ConfigurationError("\n".join(f"{found.message}\n    {found.hint}".rstrip() for found in mistakes.found))
    return configuration


def load_profile(name: str) -> profiles.Profile:
    """Read a profile by its name, or from a file of the technician's own. Raises SettingsError, EdgeError."""
    if not name.endswith(profiles.SUFFIX):
        known = profiles.names(SHELF)
        if name not in known:
            near = [each for each in known if name.lower() in each]
            near = near or difflib.get_close_matches(name, known, cutoff=0.4)
            meant = f"did you mean {' or '.join(near[:NEAR])}? " if near else ""
            raise SettingsError(f"there is no profile '{name}'", f"{meant}all of them: fengsui-edge profile list")
        return profiles.load(name, SHELF)
    path = Path(name)
    try:
        return profiles.parse(path.read_text("utf-8-sig"), path.name.removesuffix(profiles.SUFFIX))
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", hint="name a profile that is there") from error
    except UnicodeDecodeError as error:
        raise EdgeError(f"{path} is not UTF-8", hint="save the file as UTF-8") from error


def guess_kind(url: str) -> str:
    """Tell which driver an address is for: Modbus where it takes it, else the only one that does."""
    if _takes(find("modbus"), url):
        return "modbus"
    takers = takers_of(url)
    if len(takers) == 1:
        return takers[0]
    if not takers:
        build(find("modbus"), {"url": url})  # raises, and says what is wrong with the address
    raise SettingsError(f"which driver speaks at {url}?", hint=f"add --kind: {', '.join(takers)}")


def takers_of(url: str) -> list[str]:
    """List the kinds of driver that take an address."""
    return [kind for kind in kinds() if _takes(find(kind), url)]


def _takes(kind: DriverKind, url: str) -> bool:
    try:
        build(kind, {"url": url})
    except SettingsError:
        return False
    return True


def build(kind: DriverKind, settings: Mapping[str, Any]) -> Driver:
    """Make a driver without groups, not yet open. Raises SettingsError."""
    try:
        return kind.build(msgspec.convert(settings, kind.settings), ())
    except msgspec.ValidationError as error:
        raise SettingsError(f"{kind.kind}: {error}") from error


def is_serial(url: str) -> bool:
    """Tell a serial port from a socket."""
    parts = urlsplit(url)
    return not parts.netloc and parts.path.startswith("/")


def _group(kind: DriverKind, source: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    count = options.count or 1
    if not 1 <= count <= COUNT_MOST:
        raise ConfigurationError(f"--count {count} is not from 1 to {COUNT_MOST}", "write --count 10")
    if count == 1 and "address" not in source:
        return {"name": GROUP, "poll_s": POLL_S, "tag": [{"name": "value", **source}]}
    first, step = int(source.get("address", 0)), _step(kind, source)
    addresses = range(first, first + count * step, step)
    return {
        "name": GROUP,
        "poll_s": POLL_S,
        "tag": [{"name": f"a{address}", "title": "", **source, "address": address} for address in addresses],
    }


def _step(kind: DriverKind, source: Mapping[str, Any]) -> int:
    """How many addresses a value takes."""
    name = source.get("type", "u16")
    if kind.kind != "modbus" or source.get("function") in (1, 2) or name in ("bool", "string"):
        return 1
    try:
        return width(name) // 2
    except (KeyError, ValueError):
        return 1  # no type: the driver's model says so


def _setting(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise ConfigurationError(f"'{pair}' is no KEY=VALUE", "write --set talker=WI")
    try:
        return key, msgspec.toml.decode(f"value = {text}")["value"]
    except msgspec.DecodeError:
        return key, text  # a word needs no quotes here


def _models(kind: DriverKind) -> tuple[type[msgspec.Struct], ...]:
    return kind.settings, kind.device, kind.source


def names_of(model: type[msgspec.Struct]) -> tuple[str, ...]:
    """List the keys of a model."""
    return tuple(field.encode_name for field in msgspec.structs.fields(model))
