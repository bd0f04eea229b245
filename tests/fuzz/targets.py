"""What is fuzzed: every driver, on the settings of each of its cases and on each of its framings."""

from __future__ import annotations

from functools import cache

import msgspec

from drivers.base import kinds
from tests.drivers.cases import Case, load_all
from tests.fuzz.wires import davis, declared, gb26875, hj212, modbus, nmea, raspberry_shake, sdi12, witmotion, wxt530
from tests.fuzz.wires.base import Wire

WIRES: dict[str, Wire] = {
    "davis": davis.WIRE,
    "frames": declared.WIRE,
    "frames_polled": declared.WIRE,
    "gb26875": gb26875.WIRE,
    "hj212": hj212.WIRE,
    "modbus:ascii": modbus.ASCII,
    "modbus:ascii+tcp": modbus.ASCII,
    "modbus:rtu": modbus.RTU,
    "modbus:rtu+tcp": modbus.RTU,
    "modbus:tcp": modbus.TCP,
    "modbus:tls": modbus.TCP,
    "nmea": nmea.WIRE,
    "raspberry_shake": raspberry_shake.WIRE,
    "sdi12": sdi12.WIRE,
    "witmotion": witmotion.WIRE,
    "wxt530": wxt530.WIRE,
}
"""By driver, or by driver and scheme where the frames differ."""

ALSO_OVER = {
    "modbus:tcp": ("tls://127.0.0.1:802",),
    "modbus:ascii": ("ascii+tcp://127.0.0.1:4001",),
    "modbus:rtu": ("rtu+tcp://127.0.0.1:4001",),
}
"""Lines that carry the same octets as a capture's own: its case is run on each of them too."""


def target_of(case: Case) -> str:
    """Name the entry of `WIRES` that a case belongs to."""
    scheme = str(case.settings["url"]).partition("://")[0]
    return f"{case.kind}:{scheme}" if f"{case.kind}:{scheme}" in WIRES else case.kind


def wire_of(case: Case) -> Wire:
    """Find what judges and what mends a case's wire. Raises KeyError for a driver that has none yet."""
    return WIRES[target_of(case)]


@cache
def all_cases() -> tuple[Case, ...]:
    """The cases that give scans, on each line that they can come over."""
    cases = [case for case in load_all() if case.scan and case.kind in kinds()]
    others = [_over(case, url) for case in cases for url in ALSO_OVER.get(target_of(case), ())]
    return (*cases, *others)


def _over(case: Case, url: str) -> Case:
    scheme = url.partition("://")[0]
    return msgspec.structs.replace(case, name=f"{case.name}-{scheme}", settings=case.settings | {"url": url})


def cases_of(kind: str) -> list[Case]:
    """The cases of one driver."""
    return [case for case in all_cases() if case.kind == kind]


def all_kinds() -> tuple[str, ...]:
    """Every driver."""
    return kinds()
