"""What a SeedLink server answers to INFO: JSON in version 4, XML within records of text in version 3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec
from pymseed import DataEncoding, MS3Record

from seismic import seedlink
from seismic.miniseed import RECORD_OCTETS
from seismic.seedlink import ARGUMENTS, DATA, ERROR, FORMAT_2, FORMAT_3, FORMAT_JSON, INFO, Carried, Hello
from seismic.seedlink_server import ITEMS_3, ITEMS_4, Ask

TEXT_OCTETS = 256
"""Of a record of text, so that its header surely leaves room."""

FORMATS: dict[str, Any] = {
    FORMAT_2: {"mimetype": "application/vnd.fdsn.mseed", "subformat": {DATA: "data"}},
    FORMAT_3: {"mimetype": "application/vnd.fdsn.mseed3", "subformat": {DATA: "data"}},
    FORMAT_JSON: {"mimetype": "application/json", "subformat": {INFO: "SeedLink info", ERROR: "SeedLink error"}},
}
CAPABILITIES = ("SLPROTO:4.0", "SLPROTO:3.1", "TIME")
CAPABILITIES_3 = ("dialup", "multistation", "window-extraction", *(f"info:{item.lower()}" for item in ITEMS_3))


class StreamInfo(msgspec.Struct, frozen=True):
    """What a server has of one stream, ``NET.STA.LOC.CHA``: from when to when, in ns UTC."""

    stream: str
    start_ns: int
    end_ns: int


class StationInfo(msgspec.Struct, frozen=True):
    """What a server has of one station, ``NET_STA``. ``next_sequence`` is the one behind the newest."""

    station: str
    description: str
    first_sequence: int
    next_sequence: int
    streams: tuple[StreamInfo, ...] = ()


def answer(ask: Ask, hello: Hello, stations: Iterable[StationInfo], now_ns: int) -> bytes:
    """Answer INFO about those of ``stations`` that it asks for. Empty stations are enough for ID and CAPABILITIES."""
    chosen = [station for station in map(_of(ask), stations) if fnmatchcase(station.station, ask.station)]
    return _answer_4(ask, hello, chosen) if ask.version == 4 else _answer_3(ask, hello, chosen, now_ns)


def catalogue(stations: Iterable[StationInfo]) -> bytes:
    """Answer CAT: a line for each station, then END."""
    lines = ("{1} {0} {2}".format(*each.station.split("_", 1), each.description) for each in stations)
    return "".join(f"{line}\r\n" for line in (*lines, "END")).encode("ascii", "replace")


def _of(ask: Ask) -> Any:
    def narrowed(station: StationInfo) -> StationInfo:
        streams = tuple(each for each in station.streams if _is_asked(ask, each)) if ask.item == "STREAMS" else ()
        return msgspec.structs.replace(station, streams=streams)

    return narrowed


def _is_asked(ask: Ask, stream: StreamInfo) -> bool:
    return ask.stream.matches(seedlink.ids(stream.stream)[1], FORMAT_3 + DATA)


def _answer_4(ask: Ask, hello: Hello, stations: Sequence[StationInfo]) -> bytes:
    software = seedlink.format_hello(hello).partition(b"\r")[0].decode("ascii")
    body: dict[str, Any] = {"software": software, "organization": hello.organization}
    form = INFO
    if ask.item not in ITEMS_4:
        form, body["error"] = ERROR, {"code": ARGUMENTS, "message": f"INFO takes one of {', '.join(ITEMS_4)}"}
    elif ask.item == "CAPABILITIES":
        body["capability"] = list(CAPABILITIES)
    elif ask.item == "FORMATS":
        body |= {"format": FORMATS, "filter": {}}
    elif ask.item in ("STATIONS", "STREAMS"):
        body |= {"format": FORMATS, "station": [_station_4(station) for station in stations]}
    return seedlink.format_packet(Carried("", 0, msgspec.json.encode(body), FORMAT_JSON, form))


def _station_4(station: StationInfo) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": station.station,
        "description": station.description,
        "start_seq": station.first_sequence,
        "end_seq": station.next_sequence,
        "backfill": -1,
    }
    if station.streams:
        body["stream"] = [
            {
                "id": seedlink.ids(each.stream)[1],
                "format": FORMAT_3,
                "subformat": DATA,
                "origin": "native",
                "start_time": seedlink.format_time(each.start_ns),
                "end_time": seedlink.format_time(each.end_ns),
            }
            for each in station.streams
        ]
    return body


def _answer_3(ask: Ask, hello: Hello, stations: Sequence[StationInfo], now_ns: int) -> bytes:
    software = seedlink.format_hello(hello).partition(b" ::")[0].decode("ascii")
    root = Element("seedlink", software=software, organization=hello.organization, started=_time_3(now_ns))
    if ask.item not in ITEMS_3:
        SubElement(root, "error", message=f"INFO takes one of {', '.join(ITEMS_3)}")
    if ask.item == "CAPABILITIES":
        for name in CAPABILITIES_3:
            SubElement(root, "capability", name=name)
    for station in stations if ask.item in ("STATIONS", "STREAMS") else ():
        _add_station_3(root, station)
    return b"".join(_packets_3(tostring(root, encoding="ascii", xml_declaration=True), now_ns))


def _add_station_3(root: Element, station: StationInfo) -> None:
    network, name = station.station.split("_", 1)
    node = SubElement(
        root,
        "station",
        name=name,
        network=network,
        description=station.description,
        begin_seq=f"{station.first_sequence & seedlink.SEQUENCE_3_MOST:06X}",
        end_seq=f"{station.next_sequence & seedlink.SEQUENCE_3_MOST:06X}",
        stream_check="enabled",
    )
    for each in station.streams:
        _, _, location, channel = each.stream.split(".")
        SubElement(
            node,
            "stream",
            location=location,
            seedname=channel,
            type=DATA,
            begin_time=_time_3(each.start_ns),
            end_time=_time_3(each.end_ns),
        )


def _time_3(at_ns: int) -> str:
    return seedlink.format_time(at_ns).replace("-", "/").replace("T", " ")[:-3]


def _packets_3(text: bytes, now_ns: int) -> Iterable[bytes]:
    header = MS3Record(reclen=RECORD_OCTETS, encoding=DataEncoding.TEXT)
    header.formatversion = 2
    header.sourceid = "FDSN:SL_INFO__I_N_F"
    header.starttime = now_ns
    for at in range(0, len(text), TEXT_OCTETS):
        is_last = at + TEXT_OCTETS >= len(text)
        for record in header.generate(text[at : at + TEXT_OCTETS], "t"):
            yield (seedlink.INFO_3 if is_last else seedlink.INFO_3_MORE) + record
