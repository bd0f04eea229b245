"""StationXML 1.2 and the text form of what stations there are: pure.

Source: FDSN StationXML 1.2, docs.fdsn.org/projects/stationxml. A channel's response is flat: its sensitivity in counts
per m/s2 (or m/s), as the gateway's configuration says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

import msgspec

from fleet.waveforms.fdsn import BLANK, LEVELS, write_time

NAMESPACE = "http://www.fdsn.org/xml/station/1"
SCHEMA_VERSION = "1.2"
UNITS = {"g": ("m/s**2", 9.80665), "gal": ("m/s**2", 0.01), "m/s2": ("m/s**2", 1.0), "m/s": ("m/s", 1.0)}
"""{unit of a configuration: (unit of StationXML, how much of it one is)}; standard gravity after CGPM 1901."""
AT_HZ = 1.0
"""Frequency at which the sensitivity is stated: within the band of every accelerometer."""
COUNTS = "counts"


class Channel(msgspec.Struct, frozen=True):
    """One component. ``sensitivity`` is in counts per ``unit``; ``rate_hz`` is None while nobody has seen data."""

    code: str
    sensitivity: float
    unit: str
    azimuth: float
    dip: float
    rate_hz: float | None

    @property
    def input_unit(self) -> str:
        """Unit of ground motion as StationXML names it."""
        return UNITS[self.unit][0]

    @property
    def gain(self) -> float:
        """Counts per `input_unit`."""
        return self.sensitivity / UNITS[self.unit][1]


class Station(msgspec.Struct, frozen=True):
    """One instrument: codes, position (degrees, WGS 84; m above the sea) and components."""

    network: str
    station: str
    location: str
    title: str
    latitude: float
    longitude: float
    elevation_m: float
    channels: tuple[Channel, ...]


def write_xml(stations: Sequence[Station], level: str, source: str, now_ns: int) -> bytes:
    """Write stations down to a level: network, station, channel or response."""
    root = ET.Element("FDSNStationXML", xmlns=NAMESPACE, schemaVersion=SCHEMA_VERSION)
    _add(root, "Source", source)
    _add(root, "Created", write_time(now_ns))
    depth = LEVELS.index(level)
    for network, inside in groupby(_sort(stations), key=lambda one: one.network):
        node = ET.SubElement(root, "Network", code=network)
        if depth >= LEVELS.index("station"):
            for _, places in groupby(inside, key=lambda one: one.station):
                _add_station(node, list(places), depth)
    octets: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return octets


def _sort(stations: Iterable[Station]) -> list[Station]:
    return sorted(stations, key=lambda one: (one.network, one.station, one.location))


def _add(parent: ET.Element, name: str, text: object, **attributes: str) -> ET.Element:
    node = ET.SubElement(parent, name, attributes)
    node.text = str(text)
    return node


def _add_station(parent: ET.Element, places: Sequence[Station], depth: int) -> None:
    first = places[0]
    node = ET.SubElement(parent, "Station", code=first.station)
    _add_position(node, first)
    _add(ET.SubElement(node, "Site"), "Name", first.title or first.station)
    if depth >= LEVELS.index("channel"):
        for place in places:
            for channel in place.channels:
                _add_channel(node, place, channel, with_stages=depth >= LEVELS.index("response"))


def _add_position(node: ET.Element, place: Station) -> None:
    for name, value in (
        ("Latitude", place.latitude), ("Longitude", place.longitude), ("Elevation", place.elevation_m),
    ):  # fmt: skip
        _add(node, name, repr(float(value)))


def _add_channel(parent: ET.Element, place: Station, channel: Channel, *, with_stages: bool) -> None:
    node = ET.SubElement(parent, "Channel", code=channel.code, locationCode=place.location)
    _add_position(node, place)
    for name, value in (("Depth", 0.0), ("Azimuth", channel.azimuth), ("Dip", channel.dip)):
        _add(node, name, repr(float(value)))
    if channel.rate_hz is not None:
        _add(node, "SampleRate", repr(float(channel.rate_hz)))
    response = ET.SubElement(node, "Response")
    sensitivity = ET.SubElement(response, "InstrumentSensitivity")
    _add_gain(sensitivity, channel)
    _add_units(sensitivity, channel)
    if with_stages:
        _add_stage(response, channel)


def _add_gain(node: ET.Element, channel: Channel) -> None:
    _add(node, "Value", repr(channel.gain))
    _add(node, "Frequency", AT_HZ)


def _add_units(node: ET.Element, channel: Channel) -> None:
    for name, unit in (("InputUnits", channel.input_unit), ("OutputUnits", COUNTS)):
        _add(ET.SubElement(node, name), "Name", unit)


def _add_stage(response: ET.Element, channel: Channel) -> None:
    stage = ET.SubElement(response, "Stage", number="1")
    flat = ET.SubElement(stage, "PolesZeros")
    _add_units(flat, channel)
    _add(flat, "PzTransferFunctionType", "LAPLACE (RADIANS/SECOND)")
    _add(flat, "NormalizationFactor", 1.0)
    _add(flat, "NormalizationFrequency", AT_HZ)
    _add_gain(ET.SubElement(stage, "StageGain"), channel)


HEADS = {
    "network": "#Network | Description | StartTime | EndTime | TotalStations",
    "station": "#Network | Station | Latitude | Longitude | Elevation | SiteName | StartTime | EndTime",
    "channel": "#Network | Station | Location | Channel | Latitude | Longitude | Elevation | Depth | Azimuth | Dip"
    " | SensorDescription | Scale | ScaleFreq | ScaleUnits | SampleRate | StartTime | EndTime",
}


def write_text(stations: Sequence[Station], level: str) -> bytes:
    """Write stations as lines of a table, as the station service does: network, station or channel."""
    rows: list[Sequence[object]] = []
    for network, inside in groupby(_sort(stations), key=lambda one: one.network):
        places = list(inside)
        if level == "network":
            rows.append((network, "", "", "", len({one.station for one in places})))
        for name, group in groupby(places, key=lambda one: one.station):
            rows += _write_rows(name, list(group), level)
    lines = [HEADS[level], *("|".join(str(field) for field in row) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def _write_rows(name: str, places: Sequence[Station], level: str) -> list[Sequence[object]]:
    first = places[0]
    position = (first.latitude, first.longitude, first.elevation_m)
    title = first.title.replace("|", " ").replace("\n", " ") or name
    if level == "station":
        return [(first.network, name, *position, title, "", "")]
    return [
        (
            place.network, name, place.location or BLANK, channel.code, place.latitude, place.longitude,
            place.elevation_m, 0.0, channel.azimuth, channel.dip, "", repr(channel.gain), AT_HZ, channel.input_unit,
            "" if channel.rate_hz is None else channel.rate_hz, "", "",
        )
        for place in places
        for channel in place.channels
        if level == "channel"
    ]  # fmt: skip
