"""Application data of GB/T 26875.3-2011, chapter 8: what a packet tells of whom. Pure.

kind(1) number of objects(1), then of each object its contents and the time at which they were so(6)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from drivers.errors import FrameError
from drivers.gb26875.packet import read_time

What = Literal["system", "component", "analogue", "operation", "transmitter", "transmitter_operation"]

TIME_OCTETS = 6
DESCRIPTION_OCTETS = 31


class Kind(msgspec.Struct, frozen=True):
    """Contents of one kind of object: octets, and where its fields lie (offset and octets)."""

    what: What
    octets: int
    fields: Mapping[str, tuple[int, int]]


_SYSTEM = {"system_type": (0, 1), "system": (1, 1)}
_COMPONENT = {**_SYSTEM, "component_type": (2, 1), "component": (3, 4)}

KINDS: Mapping[int, Kind] = {
    1: Kind("system", 4, {**_SYSTEM, "state": (2, 2)}),
    2: Kind("component", 40, {**_COMPONENT, "state": (7, 2)}),
    3: Kind("analogue", 10, {**_COMPONENT, "quantity": (7, 1), "number": (8, 2)}),
    4: Kind("operation", 4, {**_SYSTEM, "state": (2, 1), "operator": (3, 1)}),
    21: Kind("transmitter", 1, {"state": (0, 1)}),
    24: Kind("transmitter_operation", 2, {"state": (0, 1), "operator": (1, 1)}),
}
"""By type (table 3). Others tell versions, configurations and times, and carry no tag."""

IDENTITY = ("system_type", "system", "component_type", "component")
"""Fields that say of whom an object tells."""

FIELDS: Mapping[What, Mapping[str, tuple[int, int]]] = {kind.what: kind.fields for kind in KINDS.values()}

DESCRIPTION_AT = 9

_STATES = ("normal", "fire", "fault", "shielded", "supervised", "started", "feedback", "delayed")
_OPERATIONS = ("reset", "silenced", "manual_alarm", "alarm_cleared", "self_test", "duty_answered", "test")

STATES: Mapping[What, tuple[str, ...]] = {
    "system": (
        *_STATES, "mains_fault", "battery_fault", "bus_fault", "manual", "configuration_changed", "reset",
    ),
    "component": (*_STATES, "power_fault"),
    "operation": _OPERATIONS,
    "transmitter": ("normal", "fire", "fault", "mains_fault", "battery_fault", "link_fault", "line_fault"),
    "transmitter_operation": _OPERATIONS,
}  # fmt: skip
"""Names of the bits of ``state``, from bit 0 (8.2): ``normal`` is 0 while tested, ``manual`` 0 while automatic."""

NUMBERS: Mapping[What, tuple[str, ...]] = {
    "component": ("component",),
    "operation": ("operator",),
    "transmitter_operation": ("operator",),
}
"""Fields that are a value as they stand."""

DESCRIPTION = "description"
RESET = 0x01
"""The bit of an operation by which a panel was reset."""

QUANTITIES: Mapping[str, tuple[int, float]] = {
    "events": (1, 1.0),
    "height": (2, 0.01),
    "temperature": (3, 0.1),
    "pressure_mpa": (4, 0.1),
    "pressure_kpa": (5, 0.1),
    "gas": (6, 0.1),
    "seconds": (7, 1.0),
    "voltage": (8, 0.1),
    "current": (9, 0.1),
    "flow": (10, 0.1),
    "air_flow": (11, 0.1),
    "wind_speed": (12, 1.0),
}
"""Types of analogue values (table 6) and their smallest step in m, degC, MPa, kPa, %LEL, s, V, A, L/s, m3/min, m/s."""


class Object(msgspec.Struct, frozen=True):
    """One object: whole numbers by name, words about a component, and since when it is so (None: it does not say)."""

    what: What
    fields: Mapping[str, int]
    since: datetime | None
    description: str = ""


def read_objects(application: bytes) -> list[Object]:
    """Read application data; none of a type that carries no tag. Raises FrameError if the octets do not add up."""
    if not application:
        return []
    kind = KINDS.get(application[0])
    if kind is None:
        return []
    count, body = (application[1] if len(application) > 1 else 0), application[2:]
    sizes = (kind.octets + TIME_OCTETS, kind.octets)  # some transmitters leave the time out
    size = next((size for size in sizes if len(body) == count * size), 0)
    if not count or not size:
        raise FrameError(f"{count} objects of type {application[0]} do not fit {len(body)} octets")
    return [_object(kind, body[at : at + size]) for at in range(0, len(body), size)]


def _object(kind: Kind, octets: bytes) -> Object:
    fields = {name: int.from_bytes(octets[at : at + size], "little") for name, (at, size) in kind.fields.items()}
    if "number" in fields:
        at, size = kind.fields["number"]
        fields["number"] = int.from_bytes(octets[at : at + size], "little", signed=True)
    since = read_time(octets[kind.octets :]) if len(octets) > kind.octets else None
    return Object(kind.what, fields, since, _description(octets) if kind.what == "component" else "")


def _description(octets: bytes) -> str:
    words = octets[DESCRIPTION_AT : DESCRIPTION_AT + DESCRIPTION_OCTETS]
    text = words.partition(b"\0")[0].decode("gb18030", "replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()
