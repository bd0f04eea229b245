"""Reads a configuration document into something that can run, or into the list of its mistakes.

document -> tables (profile merged in, driver models) -> draft -> references checked -> Configuration
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.profile import INSTALLED_ONLY, Shelf
from edge.draft import Draft, TagDraft
from edge.local.settings import LocalSettings
from edge.mistakes import Mistakes, read_struct, suggest
from edge.output_settings import OutputSettings
from edge.references import check_references
from edge.settings import (
    BootSettings,
    Bus,
    Configuration,
    DerivedEntry,
    DerivedGroup,
    DerivedTag,
    GatewaySettings,
    HealthSettings,
    SpoolSettings,
    TwinSettings,
    UpdateSettings,
    UplinkSettings,
)
from edge.stations.reading import make_stations, read_station
from edge.stations.settings import RingSettings
from edge.tables import read_alarm, read_bus, read_device, read_output, read_template, tables_of

BOOT_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "gateway": GatewaySettings,
    "uplink": UplinkSettings,
    "spool": SpoolSettings,
    "ring": RingSettings,
    "health": HealthSettings,
    "outputs": OutputSettings,
    "local": LocalSettings,
    "twin": TwinSettings,
    "update": UpdateSettings,
}
FLEET_TABLES = ("bus", "device", "station", "template", "alarm", "output")
"""The tables that the fleet's desired configuration may hold; the others are boot settings."""

READERS = {
    "bus": read_bus,
    "device": read_device,
    "station": read_station,
    "template": read_template,
    "alarm": read_alarm,
    "output": read_output,
}
"""How each of them is read, in order: what comes later refers to what came before."""
DERIVED = "derived"
"""How the names of derived groups begin."""


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


def read_configuration(
    document: Mapping[str, Any], mistakes: Mistakes, shelf: Shelf = INSTALLED_ONLY
) -> Configuration | None:
    """Read what is to be acquired. Returns None if anything was wrong; what, is in ``mistakes``.

    ``shelf`` has the profiles that a device may name beside the installed ones.
    """
    draft = Draft(mistakes, shelf)
    for name, read in READERS.items():
        for place, table in tables_of(document, name, (), draft):
            read(table, place, draft)
    check_references(draft)
    derived = [] if mistakes else _group_derived(draft)
    if mistakes:
        return None
    kept = msgspec.msgpack.encode({name: document[name] for name in FLEET_TABLES if name in document})
    return _build(draft, derived, kept)


def read_desired(
    document: Mapping[str, Any], mistakes: Mistakes, shelf: Shelf = INSTALLED_ONLY
) -> Configuration | None:
    """Read what the fleet wants, which is applied whole: a table that it may not rule is a mistake too."""
    for key in document:
        if key not in FLEET_TABLES:
            mistakes.add((key,), f"the fleet cannot set '{key}'", suggest(key, FLEET_TABLES))
    return read_configuration(document, mistakes, shelf)


def _group_derived(draft: Draft) -> list[DerivedGroup]:
    """Put derived tags of the same device and input groups together: one reading completes them all."""
    members: dict[tuple[str, tuple[str, ...]], list[DerivedTag]] = {}
    for tag in draft.tags.values():
        if tag.entry is None:
            continue
        device = tag.info.device
        made = _make_derived(tag, tag.entry)
        inputs = tuple(dict.fromkeys(draft.tags[of].info.group for of in made.of))
        group = "-".join((DERIVED, *sorted(inputs)))
        if f"{device}.{group}" in draft.groups:
            hint = "give your group another name"
            draft.mistakes.add(tag.place, f"group '{device}.{group}' is the one of derived tags", hint)
        tag.info = msgspec.structs.replace(tag.info, group=group)
        members.setdefault((f"{device}.{group}", tuple(f"{device}.{of}" for of in sorted(inputs))), []).append(made)
    return [DerivedGroup(name=name, inputs=inputs, tags=tuple(tags)) for (name, inputs), tags in members.items()]


def _make_derived(tag: TagDraft, entry: DerivedEntry) -> DerivedTag:
    return DerivedTag(
        name=tag.info.name,
        formula=entry.formula,
        of=tuple(f"{tag.info.device}.{name}" for name in entry.of),
        window_s=entry.window_s,
        kind=entry.kind,
        wrap=entry.wrap,
    )


def _build(draft: Draft, derived: list[DerivedGroup], document: bytes) -> Configuration:
    """Tie everything together once nothing is wrong."""
    buses = [
        Bus(name=name, kind=bus.kind, settings=bus.settings, groups=tuple(bus.groups))
        for name, bus in draft.buses.items()
        if bus.settings is not None
    ]
    return Configuration(
        document=document,
        buses=tuple(buses),
        devices=tuple(draft.devices.values()),
        tags=tuple(tag.info for tag in draft.tags.values()),
        alarms=tuple(rule for _, rule in draft.alarms.values()),
        outputs=tuple(output for _, output in draft.outputs.values()),
        derived=tuple(derived),
        stations=tuple(make_stations(draft)),
        checks={name: tag.check for name, tag in draft.tags.items() if tag.check is not None},
        reports={name: tag.report for name, tag in draft.tags.items() if tag.report is not None},
    )
