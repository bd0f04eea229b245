"""Reads a configuration document into something that can run, or into the list of its mistakes.

document -> entries -> (profile merged in) -> driver models -> references checked -> Configuration
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from drivers import profile as profiles
from drivers.base import DriverKind, Group, Polled, find
from drivers.errors import SettingsError
from edge.mistakes import Mistakes, read_struct, suggest
from edge.places import Place
from edge.settings import (
    AlarmRule,
    BootSettings,
    Bus,
    BusEntry,
    Configuration,
    Device,
    DeviceEntry,
    GatewaySettings,
    GroupEntry,
    HealthSettings,
    OutputEntry,
    ScanGroup,
    SpoolSettings,
    TagEntry,
    UplinkSettings,
)
from wire.twin import TagInfo

BOOT_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "gateway": GatewaySettings,
    "uplink": UplinkSettings,
    "spool": SpoolSettings,
    "health": HealthSettings,
}
FLEET_TABLES = ("bus", "device", "alarm", "output")
"""The tables that the fleet's desired configuration may hold; the others are boot settings."""

LEVEL_ORDER = ("low-low", "low", "high", "high-high")


def read_boot(document: Mapping[str, Any], mistakes: Mistakes) -> BootSettings | None:
    """Read the boot settings of a file. Returns None if anything was wrong; what, is in ``mistakes``."""
    for key in document:
        if key not in BOOT_TABLES and key not in FLEET_TABLES:
            mistakes.add((key,), f"unknown table '{key}'", suggest(key, [*BOOT_TABLES, *FLEET_TABLES]))
    read: dict[str, Any] = {}
    for name, model in BOOT_TABLES.items():
        if name in document:
            read[name] = read_struct(model, document[name], (name,), mistakes)
        elif name in ("gateway", "uplink"):
            mistakes.add((), f"the table [{name}] is missing", f"add [{name}] with its settings")
    return None if mistakes else BootSettings(**read)


def read_configuration(document: Mapping[str, Any], mistakes: Mistakes) -> Configuration | None:
    """Read what is to be acquired. Returns None if anything was wrong; what, is in ``mistakes``."""
    reader = _Reader(mistakes)
    reader.read_buses(_tables(document, "bus", mistakes))
    reader.read_devices(_tables(document, "device", mistakes))
    for place, table in _tables(document, "alarm", mistakes):
        reader.read_alarm(table, place)
    for place, table in _tables(document, "output", mistakes):
        reader.read_output(table, place)
    reader.check_references()
    if mistakes:
        return None
    kept = {name: document[name] for name in FLEET_TABLES if name in document}
    return reader.build(kept)


def read_desired(document: Mapping[str, Any], mistakes: Mistakes) -> Configuration | None:
    """Read what the fleet wants, which is applied whole: a table that it may not rule is a mistake too."""
    for key in document:
        if key not in FLEET_TABLES:
            mistakes.add((key,), f"the fleet cannot set '{key}'", suggest(key, FLEET_TABLES))
    return read_configuration(document, mistakes)


def _tables(document: Mapping[str, Any], name: str, mistakes: Mistakes) -> list[tuple[Place, Any]]:
    entries = document.get(name, [])
    if not isinstance(entries, list):
        mistakes.add((name,), f"'{name}' must be a list of tables", f"write [[{name}]] with two brackets")
        return []
    return [((name, index), entry) for index, entry in enumerate(entries)]


class _BusDraft(msgspec.Struct):
    """A bus while its devices are being read."""

    place: Place
    kind: DriverKind
    settings: msgspec.Struct | None
    groups: list[ScanGroup] = []
    has_device: bool = False


class _Reader:
    """Gathers what was read; the tables refer to each other by name."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._buses: dict[str, _BusDraft] = {}
        self._broken_buses: set[str] = set()
        self._has_lost_device = False
        self._devices: dict[str, Device] = {}
        self._groups: set[str] = set()
        self._broken: set[str] = set()
        """Devices with mistakes: that one of their tags is missing follows from those."""
        self._tags: dict[str, TagInfo] = {}
        self._tag_buses: dict[str, _BusDraft] = {}
        self._alarms: dict[str, tuple[Place, AlarmRule]] = {}
        self._outputs: dict[str, tuple[Place, OutputEntry]] = {}

    def read_buses(self, tables: Iterable[tuple[Place, Any]]) -> None:
        """Read every [[bus]] and its driver's settings."""
        for place, table in tables:
            kind = self._find_driver(table, place)
            if kind is None:
                if isinstance(table, Mapping):
                    self._broken_buses.add(str(table.get("name")))
                continue
            entry = read_struct(BusEntry, table, place, self._mistakes, also_known=_names(kind.settings))
            settings = read_struct(kind.settings, table, place, self._mistakes, also_known=_names(BusEntry))
            name = entry.name if entry else str(table.get("name"))  # its devices are checked all the same
            if name in self._buses:
                self._mistakes.add(place, f"a second bus is called '{name}'", "give it a name of its own")
            self._buses[name] = _BusDraft(place, kind, settings, [])

    def _find_driver(self, table: Any, place: Place) -> DriverKind | None:
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if not isinstance(kind, str):
            self._mistakes.add(place, "'kind' is missing: it names the driver", 'add: kind = "modbus"')
            return None
        try:
            return find(kind)
        except SettingsError as error:
            self._mistakes.add((*place, "kind"), str(error), error.hint)
            return None

    def read_devices(self, tables: Iterable[tuple[Place, Any]]) -> None:
        """Read every [[device]] with its profile, groups, tags and their alarms."""
        for place, table in tables:
            self._read_device(table, place)

    def _read_device(self, table: Any, place: Place) -> None:
        bus = self._bus_of(table, place)
        if bus is None:
            self._note_broken(table)
            return
        bus.has_device = True
        entry = read_struct(DeviceEntry, table, place, self._mistakes, also_known=_names(bus.kind.device))
        if entry is None:
            self._note_broken(table)
            return
        profile = self._profile_of(entry, bus, place)
        values = {**(profile.device if profile else {}), **table}
        device = read_struct(bus.kind.device, values, place, self._mistakes, also_known=_names(DeviceEntry))
        if entry.name in self._devices:
            self._mistakes.add(place, f"a second device is called '{entry.name}'", "give it a name of its own")
        self._devices[entry.name] = Device(name=entry.name, title=entry.title, bus=entry.bus, profile=entry.profile)
        groups = merge_groups(profile.group if profile else [], entry.group, place)
        if not groups and not (entry.profile and profile is None):
            self._mistakes.add(place, f"device '{entry.name}' has nothing to read", "add [[device.group]] or a profile")
        for group in groups:
            self._read_group(group, entry, device, bus)

    def _note_broken(self, table: Any) -> None:
        if isinstance(table, Mapping):
            self._broken.add(str(table.get("name")))

    def _bus_of(self, table: Any, place: Place) -> _BusDraft | None:
        name = table.get("bus") if isinstance(table, Mapping) else None
        if not isinstance(name, str):
            self._mistakes.add(place, "'bus' is missing: it names the line the device is on", 'add: bus = "..."')
            return None
        if name not in self._buses:
            if name not in self._broken_buses:  # a bus with mistakes of its own is reported once, where it stands
                self._has_lost_device = True
                self._mistakes.add((*place, "bus"), f"there is no bus '{name}'", suggest(name, self._buses))
            return None
        return self._buses[name]

    def _profile_of(self, entry: DeviceEntry, bus: _BusDraft, place: Place) -> profiles.Profile | None:
        if not entry.profile:
            return None
        try:
            profile = profiles.load(entry.profile)
        except SettingsError as error:
            self._mistakes.add((*place, "profile"), str(error), suggest(entry.profile, profiles.names()))
            return None
        if profile.kind != bus.kind.kind:
            message = f"profile '{entry.profile}' is for {profile.kind}, but bus '{entry.bus}' is {bus.kind.kind}"
            self._mistakes.add((*place, "profile"), message, f"put the device on a bus of kind {profile.kind}")
            return None
        return profile

    def _read_group(
        self, group_table: GroupTable, device: DeviceEntry, settings: msgspec.Struct | None, bus: _BusDraft
    ) -> None:
        place = group_table.place
        entry = read_struct(GroupEntry, group_table.table, place, self._mistakes)
        name = f"{device.name}.{entry.name if entry else group_table.table.get('name')}"
        if name in self._groups:
            self._mistakes.add(place, f"a second group is called '{name}'", "group names are unique in a device")
        self._groups.add(name)
        tags = [self._read_tag(tag, tag_place, device, name, bus) for tag_place, tag in group_table.tags]
        read = [tag for tag in tags if tag is not None]
        if entry is None or len(read) < len(tags):
            self._broken.add(device.name)
        if entry is None:
            return
        is_polled = hasattr(bus.kind.build, Polled.read.__name__)
        if is_polled and entry.poll_s is None:
            self._mistakes.add(
                place, f"'poll_s' is missing: {bus.kind.kind} is asked, not listened to", "add: poll_s = 1.0"
            )
        if not tags:
            self._mistakes.add(place, f"group '{entry.name}' has no tags", "add [[device.group.tag]]")
        if settings is None or len(read) < len(tags):
            return
        group = Group(
            name=name,
            device_name=device.name,
            device=settings,
            tags=tuple(name for name, _ in read),
            sources=tuple(source for _, source in read),
        )
        bus.groups.append(ScanGroup(group=group, poll_s=entry.poll_s if is_polled else None))

    def _read_tag(
        self, table: Any, place: Place, device: DeviceEntry, group: str, bus: _BusDraft
    ) -> tuple[str, msgspec.Struct] | None:
        entry = read_struct(TagEntry, table, place, self._mistakes, also_known=_names(bus.kind.source))
        source = read_struct(bus.kind.source, table, place, self._mistakes, also_known=_names(TagEntry))
        if entry is None or source is None:
            return None
        name = f"{device.name}.{entry.name}"
        if name in self._tags:
            self._mistakes.add(place, f"a second tag is called '{name}'", "tag names are unique in a device")
        self._tags[name] = TagInfo(
            name=name,
            title=entry.title or entry.name,
            unit=entry.unit,
            device=device.name,
            group=group.partition(".")[2],
            low=entry.low,
            high=entry.high,
        )
        self._tag_buses[name] = bus
        for index, alarm in enumerate(entry.alarm):
            alarm_place = (*place, "alarm", index)
            if "tag" in alarm:
                self._mistakes.add((*alarm_place, "tag"), "an alarm below a tag is about that tag", "remove: tag")
            else:
                self.read_alarm({**alarm, "tag": name}, alarm_place)
        return name, source

    def read_alarm(self, table: Any, place: Place) -> None:
        """Read an alarm rule. One given apart replaces the one of the same name that came with its tag."""
        rule = read_struct(AlarmRule, table, place, self._mistakes)
        if rule is None:
            return
        known = self._alarms.get(rule.name)
        if known and known[0][0] == place[0]:
            self._mistakes.add(place, f"a second alarm is called '{rule.name}'", "a tag has one alarm per level")
        self._alarms[rule.name] = (place, rule)

    def read_output(self, table: Any, place: Place) -> None:
        """Read a local output."""
        output = read_struct(OutputEntry, table, place, self._mistakes)
        if output is None:
            return
        if output.name in self._outputs:
            self._mistakes.add(place, f"a second output is called '{output.name}'", "give it a name of its own")
        self._outputs[output.name] = (place, output)

    def check_references(self) -> None:
        """Check what can only be told when everything is read."""
        for place, output in self._outputs.values():
            if output.tag not in self._tags:
                self._report_missing(output.tag, place)
            elif not self._tag_buses[output.tag].kind.writable:
                kind = self._tag_buses[output.tag].kind.kind
                self._mistakes.add((*place, "tag"), f"driver {kind} cannot write '{output.tag}'", "use a modbus coil")
        for place, rule in self._alarms.values():
            self._check_alarm(place, rule)
        self._check_limit_order()
        for name, bus in self._buses.items():
            self._check_bus(name, bus)

    def _report_missing(self, tag: str, place: Place) -> None:
        if tag.partition(".")[0] not in self._broken:
            self._mistakes.add((*place, "tag"), f"there is no tag '{tag}'", suggest(tag, self._tags))

    def _check_alarm(self, place: Place, rule: AlarmRule) -> None:
        tag = self._tags.get(rule.tag)
        if tag is None:
            self._report_missing(rule.tag, place)
            return
        for output in rule.outputs:
            if output not in self._outputs:
                self._mistakes.add(
                    (*place, "outputs"), f"there is no output '{output}'", suggest(output, self._outputs)
                )
        beyond = (tag.low is not None and rule.limit < tag.low) or (tag.high is not None and rule.limit > tag.high)
        if beyond:
            message = f"limit {rule.limit:g} is outside the range {tag.low} to {tag.high} of '{rule.tag}'"
            self._mistakes.add((*place, "limit"), message, "such an alarm could never be raised")

    def _check_limit_order(self) -> None:
        by_tag: dict[str, list[tuple[Place, AlarmRule]]] = {}
        for place, rule in self._alarms.values():
            by_tag.setdefault(rule.tag, []).append((place, rule))
        for rules in by_tag.values():
            rules.sort(key=lambda entry: LEVEL_ORDER.index(entry[1].level))
            for (_, lower), (place, upper) in pairwise(rules):
                if lower.limit >= upper.limit:
                    message = f"{upper.level} at {upper.limit:g} is not above {lower.level} at {lower.limit:g}"
                    self._mistakes.add(
                        (*place, "limit"), f"'{upper.tag}': {message}", f"order the limits: {' < '.join(LEVEL_ORDER)}"
                    )

    def _check_bus(self, name: str, bus: _BusDraft) -> None:
        if bus.settings is None:
            return
        if not bus.has_device and not self._has_lost_device:
            self._mistakes.add(bus.place, f"bus '{name}' has no device", "add a [[device]] on it, or remove the bus")
        if not bus.groups:
            return
        try:
            bus.kind.build(bus.settings, tuple(scan_group.group for scan_group in bus.groups))
        except SettingsError as error:
            self._mistakes.add(bus.place, f"bus '{name}': {error}", error.hint)

    def build(self, document: dict[str, Any]) -> Configuration:
        """Tie everything together once nothing is wrong."""
        limits: dict[str, dict[str, float]] = {}
        for _, rule in self._alarms.values():
            limits.setdefault(rule.tag, {})[rule.level] = rule.limit
        buses = [
            Bus(name=name, kind=bus.kind, settings=bus.settings, groups=tuple(bus.groups))
            for name, bus in self._buses.items()
            if bus.settings is not None
        ]
        return Configuration(
            document=document,
            buses=tuple(buses),
            devices=tuple(self._devices.values()),
            tags=tuple(msgspec.structs.replace(tag, limits=limits.get(tag.name, {})) for tag in self._tags.values()),
            alarms=tuple(rule for _, rule in self._alarms.values()),
            outputs=tuple(output for _, output in self._outputs.values()),
        )


def _names(model: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(model))


class GroupTable(msgspec.Struct):
    """A group as profile and file make it together. What a profile brought has the place of the device."""

    table: dict[str, Any]
    place: Place
    tags: list[tuple[Place, dict[str, Any]]]
    is_own: bool


def merge_groups(base: list[dict[str, Any]], own: list[dict[str, Any]], device: Place) -> list[GroupTable]:
    """Merge a device's own groups into those of its profile, by name: its keys win, its tags are added or changed."""
    merged = [GroupTable(group, device, [(device, tag) for tag in group.get("tag", [])], False) for group in base]
    for index, table in enumerate(own):
        place: Place = (*device, "group", index)
        group = GroupTable(table, place, [((*place, "tag", n), tag) for n, tag in enumerate(_tags_of(table))], True)
        same = next((known for known in merged if not known.is_own and _is_same(known.table, table)), None)
        if same is None:
            merged.append(group)
        else:
            group.table = {**same.table, **table}
            group.tags = _merge_tags(same.tags, group.tags)
            merged[merged.index(same)] = group
    return merged


def _merge_tags(
    base: list[tuple[Place, dict[str, Any]]], own: list[tuple[Place, dict[str, Any]]]
) -> list[tuple[Place, dict[str, Any]]]:
    merged = list(base)
    for place, tag in own:
        same = next((known for known in base if known in merged and _is_same(known[1], tag)), None)
        if same is None:
            merged.append((place, tag))
        else:
            merged[merged.index(same)] = (place, {**same[1], **tag})
    return merged


def _tags_of(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tags of a group as far as they are any; what they are instead is told when the group is read."""
    tags = table.get("tag", [])
    return [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []


def _is_same(known: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    return isinstance(table.get("name"), str) and known.get("name") == table.get("name")
