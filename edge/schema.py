"""Writes the JSON Schema of a configuration and the settings page of the manual, both from the models.

``python -m edge.schema`` writes, ``python -m edge.schema --check`` compares only. The fleet, which may run a newer or
older release than a gateway, checks a desired configuration against the schema of the gateway's release.

JSON Schema cannot follow a device to its bus, so a device fits if it fits any driver. A device with a profile may leave
out whatever the profile brings. What else `edge.configuration` checks (names that refer to each other, the order of
limits), a schema cannot say.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import DriverKind, find, kinds
from edge.alarm_settings import COMMANDED, OUTPUT_FAULT, AlarmRule, TemplateEntry
from edge.configuration import BOOT_TABLES
from edge.mistakes import example
from edge.output_settings import OutputEntry
from edge.release import RELEASE
from edge.settings import BusEntry, Check, Component, DerivedEntry, DeviceEntry, GroupEntry, MeasuredEntry, Report
from edge.stations.settings import ChannelEntry, CoincidenceEntry, StationEntry, StructureEntry
from seismic.settings import AnalyserSettings, TriggerSettings
from wire.schema import format_schema, keep

Model = type[msgspec.Struct]

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = Path(__file__).parent / "schemas" / "configuration.json"
PAGE_FILE = ROOT / "docs" / "operate" / "settings.md"
PUBLISHED = ROOT / "fleet" / "configs" / "schemas"
"""Where the fleet finds the schema of each release: one file for each, and those of earlier releases stay."""

FLEET_MODELS: Mapping[str, Model] = {
    "[[bus]]": BusEntry,
    "[[device]]": DeviceEntry,
    "[[device.group]]": GroupEntry,
    "[[device.group.tag]]": MeasuredEntry,
    "[device.group.tag.check]": Check,
    "[device.group.tag.report]": Report,
    "[device.group.tag.motion]": Component,
    "[[device.derived]]": DerivedEntry,
    "[[station]]": StationEntry,
    "[[station.channels]]": ChannelEntry,
    "[station.analyser]": AnalyserSettings,
    "[station.analyser.trigger]": TriggerSettings,
    "[station.coincidence]": CoincidenceEntry,
    "[station.structure]": StructureEntry,
    "[[template]]": TemplateEntry,
    "[[alarm]]": AlarmRule,
    "[[output]]": OutputEntry,
}


TABLES_OF_TAGS = ("check", "report", "motion")
"""Keys of a tag that are tables of models of their own."""


def files() -> dict[Path, str]:
    """Make every generated file of the agent: path and text."""
    schema = format_schema(configuration_schema())
    return {SCHEMA_FILE: schema, PUBLISHED / f"{RELEASE}.json": schema, PAGE_FILE: settings_page()}


def configuration_schema() -> dict[str, Any]:
    """Make the schema of a whole file; ``$defs/desired`` is that of what the fleet may send."""
    drivers = [find(kind) for kind in kinds()]
    boot = {name: _table(model) for name, model in BOOT_TABLES.items()}
    alarm = _table(AlarmRule) | {
        "anyOf": [{"required": ["tag"]}, {"properties": {"level": {"enum": ["combined", OUTPUT_FAULT, COMMANDED]}}}]
    }
    desired = {
        "bus": _array({"oneOf": [_bus(driver) for driver in drivers]}),
        "device": _array({"anyOf": [device_table(driver, has_profile=p) for driver in drivers for p in (False, True)]}),
        "station": _array(_station()),
        "template": _array({**_table(TemplateEntry), "additionalProperties": True}),
        "alarm": _array({"$ref": "#/$defs/alarm"}),
        "output": _array(_table(OutputEntry)),
    }
    return {
        "title": "Configuration of a Fengsui gateway",
        "type": "object",
        "properties": {**boot, **desired},
        "required": ["gateway", "uplink"],
        "additionalProperties": False,
        "$defs": {
            **{name: part for driver in drivers for name, part in held_models(driver).items()},
            "alarm": alarm,
            "tag_alarm": _without(_table(AlarmRule), "tag"),
            "check": _table(Check),
            "report": _table(Report),
            "motion": _table(Component),
            "derived": _with_rules(_table(DerivedEntry)),
            "derived_of_profile": _with_rules({**_table(DerivedEntry), "required": ["name"]}),
            "desired": {
                "title": "Desired configuration",
                "type": "object",
                "properties": desired,
                "additionalProperties": False,
            },
        },
    }


def _bus(driver: DriverKind) -> dict[str, Any]:
    table = _table(BusEntry, driver.settings, kind=driver.kind)
    table["properties"]["kind"] = {"const": driver.kind}
    return table


def device_table(driver: DriverKind, *, has_profile: bool) -> dict[str, Any]:
    """Make the schema of a [[device]] on a bus of this driver; one with a profile may leave out what that brings."""
    tag = _with_rules(_table(MeasuredEntry, driver.source, kind=driver.kind))
    group = _table(GroupEntry)
    group["properties"]["tag"] = _array(tag)
    if hasattr(driver.build, "read"):
        group["required"] = [*group["required"], "poll_s"]
    device = _table(DeviceEntry, driver.device, kind=driver.kind)
    device["properties"]["group"] = _array(group)
    derived = "derived_of_profile" if has_profile else "derived"
    device["properties"]["derived"] = _array({"$ref": f"#/$defs/{derived}"})
    device["title"] = f"Device on a bus of kind {driver.kind}"
    if has_profile:
        tag["required"] = group["required"] = ["name"]
        device["title"] += ", with a profile"
        device["required"] = ["name", "bus", "profile"]
        device["properties"]["profile"] = {"type": "string", "minLength": 1}
    else:
        device["required"] = [*device["required"], "group"]
        device["properties"]["profile"] = {"const": ""}
    return device


def _station() -> dict[str, Any]:
    """Make the schema of a [[station]], whose parts are tables of their own."""
    table = _table(StationEntry)
    analyser = _table(AnalyserSettings)
    analyser["properties"]["trigger"] = _table(TriggerSettings)
    table["properties"] |= {"channels": _array(_table(ChannelEntry)) | {"minItems": 1}, "analyser": analyser}
    for key, model in (("coincidence", CoincidenceEntry), ("structure", StructureEntry)):
        table["properties"][key] = {"anyOf": [_table(model), {"type": "object", "maxProperties": 0}]}  # empty: none
    return table


def _with_rules(tag: dict[str, Any]) -> dict[str, Any]:
    """Give a tag's table its rules, which are tables of their own."""
    rules = {"alarm": _array({"$ref": "#/$defs/tag_alarm"})}
    rules |= {name: {"$ref": f"#/$defs/{name}"} for name in TABLES_OF_TAGS if name in tag["properties"]}
    return {**tag, "properties": {**tag["properties"], **rules}}


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _table(*models: Model, kind: str = "") -> dict[str, Any]:
    """One table that several models read: the agent's own keys and the driver's."""
    table: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for model in models:
        part = _schema(model, kind)
        table["properties"].update(part["properties"])
        table["required"] = [*table["required"], *part["required"]]
    return table


def _schema(model: Model, kind: str = "") -> dict[str, Any]:
    """The part of one model. It refers to those it holds as `held_models` of its driver names them."""
    (ref,), parts = msgspec.json.schema_components((model,), ref_template=_ref_template(kind))
    part: dict[str, Any] = parts[ref["$ref"].removeprefix(_ref_template(kind).format(name=""))]
    return part


def held_models(driver: DriverKind) -> dict[str, Any]:
    """Make the definitions of the models that a driver's own hold. Two drivers may have models of one name."""
    own = (driver.settings, driver.device, driver.source)
    refs, parts = msgspec.json.schema_components(own, ref_template=_ref_template(driver.kind))
    tables = {ref["$ref"].removeprefix(_ref_template(driver.kind).format(name="")) for ref in refs}
    return {f"{driver.kind}_{name}": part for name, part in parts.items() if name not in tables}


def _ref_template(kind: str) -> str:
    return f"#/$defs/{kind}_{{name}}"


def _without(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {
        **table,
        "properties": {name: value for name, value in table["properties"].items() if name != key},
        "required": [name for name in table["required"] if name != key],
    }


class Row(msgspec.Struct, frozen=True):
    """One setting as the manual shows it. ``default`` is empty where it must be given."""

    name: str
    value: str
    default: str
    meaning: str


def rows(model: Model) -> list[Row]:
    """Describe every setting of a model."""
    described = _schema(model)["properties"]
    return [
        Row(
            field.encode_name,
            example(field.type),
            "" if field.required else _format_default(field),
            _meaning(described[field.encode_name]),
        )
        for field in msgspec.structs.fields(model)
    ]


def _meaning(part: Mapping[str, Any]) -> str:
    """Find the description; that of a bounded optional number stands with the number."""
    parts = [part, *part.get("anyOf", ())]
    return next((str(one["description"]) for one in parts if "description" in one), "")


def _format_default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else []
    match value:
        case None | "" | () | []:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case msgspec.Struct():
            return "{}"
        case _:
            return str(value)


def settings_page() -> str:
    """Make the settings page of the manual."""
    words = [
        "<!-- generated by: python -m edge.schema -->",
        "# Settings of a gateway",
        "How the file is built, with an example: [configuration](../understand/configuration.md). "
        "`fengsui-edge check FILE` explains every mistake in one. "
        "A value may be a range: `a number from 0.01 to 60` stands for one such number.",
        "## Boot settings",
        "Identity, paths and addresses of this one gateway. The fleet never changes them.",
    ]
    for name, model in BOOT_TABLES.items():
        words += [f"### [{name}]", _table_of(rows(model))]
    words += ["## What is acquired", "Seeds version 0; afterwards the fleet's desired configuration rules."]
    for title, model in FLEET_MODELS.items():
        words += [f"### {title}", _table_of(rows(model))]
    words += ["## Drivers", "Keys that a driver adds to the tables above, by the bus's `kind`."]
    for kind in kinds():
        words += _driver_words(find(kind))
    return "\n\n".join(words) + "\n"


def _driver_words(driver: DriverKind) -> Iterable[str]:
    yield f"### {driver.kind}"
    for table, model in (("bus", driver.settings), ("device", driver.device), ("device.group.tag", driver.source)):
        if settings := rows(model):
            yield f"#### {driver.kind}: [[{table}]]"
            yield _notes(model)
            yield _table_of(settings)


def _notes(model: Model) -> str:
    """The model's docstring: its first line as it is, the rest as laid out there."""
    first, _, rest = inspect.cleandoc(model.__doc__ or "").partition("\n\n")
    return f"{first}\n\n```text\n{rest}\n```" if rest else first


def _table_of(settings: Iterable[Row]) -> str:
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for row in settings:
        default = f"`{row.default}`" if row.default not in ("", "none") else row.default or "must be given"
        lines.append(f"| `{row.name}` | {_cell(row.value)} | {default} | {_cell(row.meaning)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(keep(files(), "edge.schema", shared=[PUBLISHED]))
