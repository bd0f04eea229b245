"""Reads the tables of a configuration, one by one, into a draft: bus, device, group, tag, alarm, output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from drivers import profile as profiles
from drivers.base import DriverKind, Group, Polled, find, kinds
from drivers.errors import SettingsError
from edge import template as templates
from edge.alarm_settings import OUTPUT_FAULT, AlarmRule, TemplateEntry
from edge.draft import BusDraft, Draft, TagDraft
from edge.expansion import Setting, expand_tag, expand_tags
from edge.merging import GroupTable, Placed, merge_groups, merge_tags
from edge.mistakes import fields_of, read_struct, suggest
from edge.output_settings import OutputEntry
from edge.places import Place
from edge.settings import (
    BusEntry,
    Check,
    Component,
    DerivedEntry,
    Device,
    DeviceEntry,
    GroupEntry,
    MeasuredEntry,
    Report,
    ScanGroup,
    TagEntry,
)
from edge.template import Template
from wire.twin import TagInfo


def tables_of(document: Mapping[str, Any], name: str, place: Place, draft: Draft) -> list[tuple[Place, Any]]:
    """List the tables of a name with their places; anything but a list is a mistake."""
    entries = document.get(name, [])
    if not isinstance(entries, list):
        hint = f"write [[{name}]] with two brackets"
        draft.mistakes.add((*place, name), f"'{name}' must be a list of tables", hint)
        return []
    return [((*place, name, index), entry) for index, entry in enumerate(entries)]


def read_bus(table: Any, place: Place, draft: Draft) -> None:
    """Read a [[bus]] and its driver's settings."""
    kind = _find_driver(table, place, draft)
    if kind is None:
        if isinstance(table, Mapping):
            draft.broken_buses.add(str(table.get("name")))
        return
    entry = read_struct(BusEntry, table, place, draft.mistakes, also_known=fields_of(kind.settings))
    settings = read_struct(kind.settings, table, place, draft.mistakes, also_known=fields_of(BusEntry))
    name = entry.name if entry else str(table.get("name"))  # its devices are checked all the same
    if name in draft.buses:
        draft.mistakes.add(place, f"a second bus is called '{name}'", "give it a name of its own")
    draft.buses[name] = BusDraft(place, kind, settings, [])


def _find_driver(table: Any, place: Place, draft: Draft) -> DriverKind | None:
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(kind, str):
        draft.mistakes.add(place, "'kind' is missing: it names the driver", 'add: kind = "modbus"')
        return None
    try:
        return find(kind)
    except SettingsError as error:
        draft.mistakes.add((*place, "kind"), str(error), suggest(kind, kinds()))
        return None


def read_device(table: Any, place: Place, draft: Draft) -> None:
    """Read a [[device]] with its profile, groups, tags and their rules."""
    bus = _bus_of(table, place, draft)
    if bus is None:
        _note_broken(table, draft)
        return
    bus.has_device = True
    entry = read_struct(DeviceEntry, table, place, draft.mistakes, also_known=fields_of(bus.kind.device))
    if entry is None:
        _note_broken(table, draft)
        return
    profile = _profile_of(entry, bus, place, draft)
    values = {**(profile.device if profile else {}), **table}
    device = read_struct(bus.kind.device, values, place, draft.mistakes, also_known=fields_of(DeviceEntry))
    if entry.name in draft.devices:
        draft.mistakes.add(place, f"a second device is called '{entry.name}'", "give it a name of its own")
    draft.devices[entry.name] = Device(name=entry.name, title=entry.title, bus=entry.bus, profile=entry.profile)
    groups = merge_groups(profile.group if profile else [], entry.group, place)
    if not groups and not (entry.profile and profile is None):
        draft.mistakes.add(place, f"device '{entry.name}' has nothing to read", "add [[device.group]] or a profile")
    for group in groups:
        _read_group(group, entry.name, device, bus, draft)
    own = [((*place, "derived", index), tag) for index, tag in enumerate(entry.derived)]
    for tag_place, tag in merge_tags([(place, tag) for tag in (profile.derived if profile else [])], own):
        _read_derived(tag, tag_place, entry.name, draft)


def _note_broken(table: Any, draft: Draft) -> None:
    if isinstance(table, Mapping):
        draft.broken.add(str(table.get("name")))


def _bus_of(table: Any, place: Place, draft: Draft) -> BusDraft | None:
    name = table.get("bus") if isinstance(table, Mapping) else None
    if not isinstance(name, str):
        draft.mistakes.add(place, "'bus' is missing: it names the line the device is on", 'add: bus = "..."')
        return None
    if name not in draft.buses:
        if name not in draft.broken_buses:  # a bus with mistakes of its own is reported once, where it stands
            draft.has_lost_device = True
            draft.mistakes.add((*place, "bus"), f"there is no bus '{name}'", suggest(name, draft.buses))
        return None
    return draft.buses[name]


def _profile_of(entry: DeviceEntry, bus: BusDraft, place: Place, draft: Draft) -> profiles.Profile | None:
    if not entry.profile:
        return None
    try:
        profile = profiles.load(entry.profile, draft.shelf)
    except SettingsError as error:
        known = profiles.names(draft.shelf)
        hint = error.hint if entry.profile in known else suggest(entry.profile, known)
        draft.mistakes.add((*place, "profile"), str(error), hint)
        return None
    if profile.kind != bus.kind.kind:
        message = f"profile '{entry.profile}' is for {profile.kind}, but bus '{entry.bus}' is {bus.kind.kind}"
        draft.mistakes.add((*place, "profile"), message, f"put the device on a bus of kind {profile.kind}")
        return None
    return profile


def _read_group(
    group_table: GroupTable, device: str, settings: msgspec.Struct | None, bus: BusDraft, draft: Draft
) -> None:
    place = group_table.place
    entry = read_struct(GroupEntry, group_table.table, place, draft.mistakes)
    name = f"{device}.{entry.name if entry else group_table.table.get('name')}"
    if name in draft.groups:
        draft.mistakes.add(place, f"a second group is called '{name}'", "group names are unique in a device")
    draft.groups.add(name)
    is_polled = hasattr(bus.kind.build, Polled.read.__name__)
    poll_s = entry.poll_s if entry and is_polled else None
    read = _read_tags(group_table.tags, name, poll_s, bus, draft)
    if entry is None or len(read) < len(group_table.tags):
        draft.broken.add(device)
    if entry is None:
        return
    if is_polled and poll_s is None:
        hint = f"'poll_s' is missing: {bus.kind.kind} is asked, not listened to"
        draft.mistakes.add(place, hint, "add: poll_s = 1.0")
    if not group_table.tags:
        draft.mistakes.add(place, f"group '{entry.name}' has no tags", "add [[device.group.tag]]")
    if settings is None or len(read) < len(group_table.tags):
        return
    tags, sources = tuple(read), tuple(read.values())
    group = Group(name=name, device_name=device, device=settings, tags=tags, sources=sources)
    bus.groups.append(ScanGroup(group=group, poll_s=poll_s))


def _read_tags(
    tables: Iterable[Placed], group: str, poll_s: float | None, bus: BusDraft, draft: Draft
) -> dict[str, msgspec.Struct]:
    """Read the tags of a group. Returns the sources of those with nothing wrong, by full name."""
    read: dict[str, msgspec.Struct] = {}
    for place, table in tables:
        entry = read_struct(MeasuredEntry, table, place, draft.mistakes, also_known=fields_of(bus.kind.source))
        source = read_struct(bus.kind.source, table, place, draft.mistakes, also_known=fields_of(MeasuredEntry))
        if entry is None or source is None:
            continue
        tag = _make_tag(entry, place, group, draft)
        tag.bus, tag.poll_s = bus, poll_s
        if entry.motion:
            tag.component = read_struct(Component, entry.motion, (*place, "motion"), draft.mistakes)
        read[tag.info.name] = source
    return read


def _read_derived(table: Any, place: Place, device: str, draft: Draft) -> None:
    entry = read_struct(DerivedEntry, table, place, draft.mistakes)
    if entry is None:
        draft.broken.add(device)
        return
    _make_tag(entry, place, f"{device}.", draft).entry = entry


def _make_tag(entry: TagEntry, place: Place, group: str, draft: Draft) -> TagDraft:
    """Note a tag with its rules. ``group`` is the full name of its group, or of its device and a dot."""
    device, _, group_name = group.partition(".")
    name = f"{device}.{entry.name}"
    if name in draft.tags:
        draft.mistakes.add(place, f"a second tag is called '{name}'", "tag names are unique in a device")
    info = TagInfo(
        name=name,
        title=entry.title or entry.name,
        unit=entry.unit,
        device=device,
        group=group_name,
        low=entry.low,
        high=entry.high,
    )
    check = read_struct(Check, entry.check, (*place, "check"), draft.mistakes) if entry.check else None
    report = read_struct(Report, entry.report, (*place, "report"), draft.mistakes) if entry.report else None
    draft.tags[name] = TagDraft(place=place, info=info, check=check, report=report)
    _read_tag_alarms(entry, place, info, draft)
    return draft.tags[name]


def _read_tag_alarms(entry: TagEntry, place: Place, info: TagInfo, draft: Draft) -> None:
    """Read the rules of a tag: those of its template, less the ones that it gives itself."""
    names = [alarm.get("name") or alarm.get("level") for alarm in entry.alarm]  # whatever a file holds there
    for rule in _expand_template(entry.template, (*place, "template"), info, draft) if entry.template else []:
        if (rule.get("name") or rule["level"]) not in names:
            read_alarm({**rule, "tag": info.name}, (*place, "template"), draft)
    for index, alarm in enumerate(entry.alarm):
        alarm_place = (*place, "alarm", index)
        if "tag" in alarm:
            draft.mistakes.add((*alarm_place, "tag"), "an alarm below a tag is about that tag", "remove: tag")
        else:
            read_alarm({**alarm, "tag": info.name}, alarm_place, draft)


def _expand_template(given: str | dict[str, Any], place: Place, info: TagInfo, draft: Draft) -> list[dict[str, Any]]:
    """Make the rules of a tag's template."""
    table = {"name": given} if isinstance(given, str) else given
    template = _find_template(table.get("name"), place, draft)
    if template is None:
        return []
    if template.tags > 1:
        hint = "write a [[template]] of its own, with: of = [...]"
        draft.mistakes.add(place, f"template '{template.name}' takes {template.tags} tags, not one", hint)
        return []
    parameters = {key: value for key, value in table.items() if key != "name"}
    return expand_tag(Setting(template=template, given=parameters, place=place, mistakes=draft.mistakes), info)


def _find_template(name: Any, place: Place, draft: Draft) -> Template | None:
    if not isinstance(name, str):
        draft.mistakes.add(place, "'name' is missing: it names the template", 'add: name = "gas-h2s"')
        return None
    if name in templates.names():
        return templates.load(name)
    draft.mistakes.add(place, f"there is no template '{name}'", suggest(name, templates.names()))
    return None


def read_template(table: Any, place: Place, draft: Draft) -> None:
    """Read a [[template]]: its rules for each of its tags, or one rule of them all."""
    template = _find_template(table.get("name") if isinstance(table, Mapping) else None, place, draft)
    if template is None:
        return
    own = fields_of(TemplateEntry)
    parameters = {key: value for key, value in table.items() if key not in own}
    entry = read_struct(TemplateEntry, table, place, draft.mistakes, also_known=parameters)
    if entry is None:
        return
    setting = Setting(template=template, given=parameters, place=place, mistakes=draft.mistakes)
    if template.tags > 1:
        for rule in expand_tags(setting, entry.of, entry.called):
            read_alarm(rule, place, draft)
        return
    if entry.called:
        message = f"template '{template.name}' makes alarms of its tags, which have their names"
        draft.mistakes.add((*place, "called"), message, "remove: called")
    for name in entry.of:
        if name in draft.tags:
            for rule in expand_tag(setting, draft.tags[name].info):
                read_alarm({**rule, "tag": name}, place, draft)
        elif name.partition(".")[0] not in draft.broken:
            draft.mistakes.add((*place, "of"), f"there is no tag '{name}'", suggest(name, draft.tags))


def read_alarm(table: Any, place: Place, draft: Draft) -> None:
    """Read an alarm rule. One given apart replaces the one of the same name that came with its tag."""
    rule = read_struct(AlarmRule, table, place, draft.mistakes)
    if rule is None:
        return
    known = draft.alarms.get(rule.name)
    if known and known[0][0] == place[0]:
        draft.mistakes.add(place, f"a second alarm is called '{rule.name}'", "give each a name of its own: name = ...")
    draft.alarms[rule.name] = (place, rule)


def read_output(table: Any, place: Place, draft: Draft) -> None:
    """Read a local output."""
    output = read_struct(OutputEntry, table, place, draft.mistakes)
    if output is None:
        return
    if output.name in draft.outputs:
        draft.mistakes.add(place, f"a second output is called '{output.name}'", "give it a name of its own")
    draft.outputs[output.name] = (place, output)
    fault = AlarmRule(level=OUTPUT_FAULT, label=output.name, priority=1, title=output.title)
    draft.alarms.setdefault(fault.name, (place, fault))
