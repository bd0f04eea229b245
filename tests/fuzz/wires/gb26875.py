"""GB/T 26875.3-2011: ``@@``, a length at octet 24, that many octets behind octet 27, the sum of all, ``##``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, found, scaled
from wire.sample import Value

_KINDS = {1: ("system", 4), 2: ("component", 40), 3: ("analogue", 10), 4: ("operation", 4), 21: ("transmitter", 1)}
"""By type: what it is of, and its octets without the time."""

_WELL = ["normal", "fire", "fault", "shielded", "supervised", "started", "feedback", "delayed"]
_BITS = {
    "system": [*_WELL, "mains_fault"],
    "component": [*_WELL, "power_fault"],
    "operation": ["reset", "silenced", "manual_alarm"],
    "transmitter": ["normal", "fire", "fault", "mains_fault"],
}
_QUANTITIES = {"temperature": (3, 0.1), "pressure_mpa": (4, 0.1), "200": (200, 1)}


def _objects(talk: Talk, group: GroupTable) -> Iterator[dict[str, Any]]:
    wanted = group.device.get("address", "").lower()
    for at in found(talk.heard, b"@@"):
        packet = bytes(talk.heard[at:])
        if len(packet) < 30:
            continue
        end = 27 + packet[24] + 256 * packet[25]
        if packet[end + 1 : end + 3] != b"##" or sum(packet[2:end]) % 256 != packet[end] or packet[26] != 2:
            continue
        if wanted in {"", packet[12:18][::-1].hex()} and end > 28 and packet[27] in _KINDS:
            yield from _told(*_KINDS[packet[27]], packet[28], packet[29:end])


def _told(what: str, size: int, count: int, body: bytes) -> Iterator[dict[str, Any]]:
    step = size + 6 if len(body) == count * (size + 6) else size
    for at in range(0, len(body), step) if len(body) == count * step else ():
        octets = body[at : at + size]
        one: dict[str, Any] = {"what": what, "octets": octets}
        if what in {"component", "analogue"}:
            one |= {"component_type": octets[2], "component": int.from_bytes(octets[3:7], "little")}
        if what != "transmitter":
            one |= {"system_type": octets[0], "system": octets[1]}
        yield one


def _values(one: dict[str, Any], _: GroupTable, tag: Tag) -> Iterator[Value]:
    names = ("what", "system_type", "system", "component_type", "component")
    if any(one.get(name) != tag[name] for name in names if name in tag):
        return
    what, octets, value = one["what"], one["octets"], tag["value"]
    if what == "analogue":
        kind, step = _QUANTITIES[value]
        if octets[7] == kind:
            yield scaled(int.from_bytes(octets[8:10], "little", signed=True) * step, tag)
    elif value in _BITS[what]:
        at = {"system": 2, "component": 7, "operation": 2, "transmitter": 0}[what]
        yield bool(int.from_bytes(octets[at : at + 2], "little") >> _BITS[what].index(value) & 1)
    elif value == "description":
        words = octets[9:40].split(b"\0")[0].decode("gb18030", "replace")
        yield "".join(letter for letter in words if letter.isprintable()).strip()
    else:
        yield octets[3] if value == "operator" else one[value]


def _mend(data: bytes) -> bytes:
    """Put the right length and sum into a chunk that begins and ends like a packet."""
    if len(data) < 30 or data[:2] != b"@@" or data[-2:] != b"##":
        return data
    body = data[2:24] + (len(data) - 30).to_bytes(2, "little") + data[26:-3]
    return b"@@" + body + bytes((sum(body) % 256,)) + b"##"


WIRE = Wire(_objects, _values, chunkwise(_mend))
