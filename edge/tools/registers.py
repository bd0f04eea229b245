"""The registers that a value was made of, read in the same request: what a technician compares with the manual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from drivers.base import Group, Scan
from drivers.modbus.model import Device, Source
from drivers.modbus.place import Span, column

MARK = "#"
"""No tag of a configuration has it in its name."""


def with_registers(group: Group) -> Group:
    """Add each register of a Modbus group as a tag of its own. Groups of other drivers stay as they are."""
    device = group.device
    if not isinstance(device, Device):
        return group
    spans = dict.fromkeys(span for source in group.sources if (span := _span(source, device)))
    added = {
        name: Source(function=span.function, address=address + device.base)  # type: ignore[arg-type] # 1 to 4
        for span in spans
        for address, name in _names(span)
    }
    return msgspec.structs.replace(group, tags=(*group.tags, *added), sources=(*group.sources, *added.values()))


def registers_of(group: Group, scan: Scan) -> Mapping[str, str]:
    """Show the registers of each tag of a scan as hex: {tag: "4148 0000"}; empty unless read `with_registers`."""
    device = group.device
    if not isinstance(device, Device) or not group.tags[-1].startswith(MARK):
        return {}
    read = dict(zip(group.tags, scan.values, strict=True))
    return {
        tag: " ".join(_hex(read[name]) for _, name in _names(span))
        for tag, source in zip(group.tags, group.sources, strict=True)
        if not tag.startswith(MARK) and (span := _span(source, device))
    }


def _span(source: msgspec.Struct, device: Device) -> Span | None:
    return column(source, device).span if isinstance(source, Source) else None


def _names(span: Span) -> Sequence[tuple[int, str]]:
    addresses = range(span.address, span.end)
    return [(address, f"{MARK}{span.function}-{address}") for address in addresses]


def _hex(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:04X}" if isinstance(value, int) else "----"
