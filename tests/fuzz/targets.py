"""What is fuzzed: every driver, on the settings of each of its cases."""

from __future__ import annotations

from drivers.base import kinds
from tests.drivers.cases import Case, load_all
from tests.fuzz import oracles, upload_oracles
from tests.fuzz.oracles import Mender, Oracle

WIRES: dict[str, tuple[Oracle, Mender]] = {
    "frames": (oracles.anything, oracles.as_it_is),
    "frames_polled": (oracles.anything, oracles.as_it_is),
    "gb26875": (upload_oracles.holds_fire_packet, upload_oracles.mend_fire),
    "hj212": (upload_oracles.holds_hj212_packet, upload_oracles.mend_hj212),
    "modbus:ascii": (oracles.holds_ascii_frame, oracles.mend_ascii),
    "modbus:rtu": (oracles.holds_rtu_frame, oracles.mend_rtu),
    "modbus:rtu+tcp": (oracles.holds_rtu_frame, oracles.mend_rtu),
    "modbus:tcp": (oracles.anything, oracles.as_it_is),
    "nmea": (oracles.holds_nmea_sentence, oracles.mend_nmea),
    "raspberry_shake": (upload_oracles.holds_shake_datagram, oracles.as_it_is),
    "witmotion": (oracles.holds_witmotion_frame, oracles.mend_witmotion),
}
"""By driver, or by driver and scheme where the frames differ."""


def wire_of(case: Case) -> tuple[Oracle, Mender]:
    """Find what judges and what mends a case's wire. Raises KeyError for a driver that has none yet."""
    scheme = str(case.settings["url"]).partition("://")[0]
    return WIRES.get(f"{case.kind}:{scheme}") or WIRES[case.kind]


def cases_of(kind: str) -> list[Case]:
    """The cases of a driver that give scans."""
    return [case for case in load_all() if case.kind == kind and case.scan]


def all_kinds() -> tuple[str, ...]:
    """Every driver."""
    return kinds()
