"""SeedLink: lines, then packets that carry records of miniSEED; those of version 3 have a CRC-32C."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from seismic import miniseed
from seismic.errors import SeismicError
from seismic.packet import Packet
from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, crc_low_first, found, scaled
from wire.sample import Value

HEAD_3_OCTETS, RECORD_2_OCTETS = 8, 512


def _records(heard: bytes) -> Iterator[Packet]:
    places = [(span.at, span.end) for span in _spans(heard)]
    places += [(at, at + RECORD_2_OCTETS) for at in (at + HEAD_3_OCTETS for at in found(heard, b"SL"))]
    for start, end in places:
        try:
            yield from miniseed.read(heard[start:end])
        except SeismicError:
            continue


def _spans(heard: bytes) -> Iterator[miniseed.Span]:
    """Every place that looks like a head, whatever the one before claims for itself."""
    for at in found(heard, miniseed.SIGN):
        span = next(miniseed.spans(heard[at:]), None)
        if span is not None and span.at == 0:
            yield span._replace(at=at, end=at + span.end)


def _heard(talk: Talk, _: GroupTable) -> list[list[Packet]]:
    """All records at once: a scan of several channels stands on one of each."""
    return [list(_records(bytes(talk.heard)))]


def _values(packets: list[Packet], group: GroupTable, tag: Tag) -> Iterator[Value]:
    station = group.device["station"].replace("_", ".")
    stream = f"{station}.{tag.get('location', '')}.{tag['channel']}"
    return (scaled(count, tag) for packet in packets if packet.stream == stream for count in packet.counts)


def _mend(data: bytes) -> bytes:
    mended = bytearray(data)
    for span in _spans(data):
        struct.pack_into("<I", mended, span.at + 28, 0)
        crc = crc_low_first(mended[span.at : span.end], 0x82F63B78, 0xFFFFFFFF) ^ 0xFFFFFFFF
        struct.pack_into("<I", mended, span.at + 28, crc)
    return bytes(mended)


WIRE = Wire(_heard, _values, chunkwise(_mend))
