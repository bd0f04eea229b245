"""miniSEED 2 and 3: packets into records and back. The format itself is libmseed's work (pymseed).

Records hold 512 octets in version 2, up to 4096 in version 3; samples are in Steim2, or 32-bit integers where two
neighbours differ by more than Steim2 can say (30 bits). Version 2 says times to the microsecond; version 3, which
carries what is not in its fixed header as JSON, to the nanosecond. What `wire.record.WaveFlag` has beyond both is
written as the flags of SEED 2.4, chapter 8.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from mmap import mmap
from typing import Final, Literal, NamedTuple

from pymseed import DataEncoding, MS3Record, nslc2sourceid, sourceid2nslc
from pymseed.exceptions import PymseedError

from seismic.errors import SeismicError
from seismic.packet import Packet, spell_ns
from seismic.sampleclock import NS
from wire.record import WaveFlag

Version = Literal[2, 3]

RECORD_OCTETS: Final = 512
RECORD_OCTETS_3: Final = 4096
"""So that a packet is one record of version 3, however strong the motion."""

MICROSECOND_NS = 1_000

SIGN: Final = b"MS\x03"
HEAD: Final = struct.Struct("<2sBBIHHBBBBdIIBBHI")
"""The fixed head of miniSEED 3 (docs.fdsn.org/projects/miniseed3): sign, version, flags, ns, year, day of the year,
hour, minute, second, encoding, samples a second (if negative the period), samples, CRC-32C, publication, lengths of the
source identifier, the extra headers and the samples."""

YEAR_MOST = 9999
RATE_MOST = 1e6

QUALITY = "/FDSN/Time/Quality"
EXTRAS: dict[WaveFlag, str] = {
    WaveFlag.CLIPPED: "/FDSN/Flags/DigitizerClipping",
    WaveFlag.SPIKES: "/FDSN/Flags/Spikes",
    WaveFlag.DEAD: "/FDSN/Flags/Glitches",
    WaveFlag.GAP_BEFORE: "/FDSN/Flags/MissingData",
    WaveFlag.EVENT: "/FDSN/Event/InProgress",
}
HEADER_FLAGS = WaveFlag.TIME_QUESTIONABLE | WaveFlag.CLOCK_LOCKED
"""Those of miniSEED 3's fixed header, moved by one bit: there 0x01 says that calibration signals are present."""


def write(packets: Iterable[Packet], version: Version = 3) -> bytes:
    """Write packets one behind another, those that continue each other in common records. Raises SeismicError."""
    return b"".join(record for packet in join(packets) for record in records(packet, version))


def records(packet: Packet, version: Version = 3) -> list[bytes]:
    """Write one packet as records of its own, in version 2 often two where the motion is strong.

    Raises SeismicError if a sample is no int32 or the stream has no name for miniSEED. A packet that nobody knew the
    UTC of gets the time since its boot, in 1970.
    """
    counts = packet.counts if isinstance(packet.counts, array) else array("i", packet.counts)
    start_ns = packet.mono_ns if packet.start_ns is None else packet.start_ns
    header = MS3Record(reclen=RECORD_OCTETS if version == 2 else RECORD_OCTETS_3, encoding=DataEncoding.STEIM2)
    header.formatversion = version
    header.sourceid = sourceid(packet.stream)
    header.starttime = start_ns if version == 3 else round(start_ns / MICROSECOND_NS) * MICROSECOND_NS
    header.samprate = packet.rate_hz
    header.pubversion = 1
    _mark(header, packet)
    try:
        return list(header.generate(counts, "i"))
    except PymseedError:
        header.encoding = DataEncoding.INT32
    try:
        return list(header.generate(counts, "i"))
    except PymseedError as error:
        raise SeismicError(f"samples of {packet.stream} cannot be written as miniSEED: {error}") from error


def read(octets: bytes) -> list[Packet]:
    """Read records of either version, a packet each. Raises SeismicError at the first that is none, or no integers."""
    return list(each(octets))


def each(octets: bytes) -> Iterator[Packet]:
    """Read records one by one; see `read`."""
    try:
        for record in MS3Record.from_buffer(octets, unpack_data=True):
            if record.numsamples:
                yield _packet(record)
    except (PymseedError, ValueError) as error:
        raise SeismicError(f"this is no miniSEED: {error}") from error


class Span(NamedTuple):
    """Where a record of miniSEED 3 stands within octets, and what of time it holds, in ns UTC."""

    at: int
    end: int
    start_ns: int
    end_ns: int


def spans(octets: bytes | mmap) -> Iterator[Span]:
    """Find the records of miniSEED 3 by their heads, without a look at their samples or their CRC.

    What is none, as a torn record, is passed over up to the next that looks like one.
    """
    at, length = 0, len(octets)
    while at + HEAD.size <= length:
        span = _span(octets, at, length)
        if span is not None:
            yield span
            at = span.end
        elif (at := octets.find(SIGN, at + 1)) < 0:
            return


def is_sound(record: bytes) -> bool:
    """Tell whether octets are one record whose CRC is right."""
    try:
        return len(list(MS3Record.from_buffer(record))) == 1
    except PymseedError:
        return False


def is_rate(rate_hz: float) -> bool:
    """Tell whether a number of samples a second, or of seconds a sample, can be one."""
    return 1 / RATE_MOST <= rate_hz <= RATE_MOST


def join(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Put packets that continue each other together, within half a sample, as long as nothing else about them differs.

    The packets of several streams may be mixed; each stream's are taken in the order they come.
    """
    open_: dict[str, list[Packet]] = {}
    for packet in packets:
        run = open_.setdefault(packet.stream, [])
        if run and not _continues(run, packet):
            yield _joined(run)
            run.clear()
        run.append(packet)
    yield from (_joined(run) for run in open_.values())


def sourceid(stream: str) -> str:
    """Name a stream ``NET.STA.LOC.CHA`` as FDSN does, ``FDSN:NET_STA_LOC_B_S_SS``. Raises SeismicError."""
    codes = stream.split(".")
    if len(codes) != 4:
        raise SeismicError(f"'{stream}' names no stream: it takes NET.STA.LOC.CHA")
    try:
        return nslc2sourceid(*codes)
    except ValueError as error:
        raise SeismicError(f"'{stream}' names no stream: {error}") from error


def stream_of(source: str) -> str:
    """Name a stream as we do by its FDSN source identifier. Raises SeismicError if it is none."""
    try:
        return ".".join(sourceid2nslc(source))
    except ValueError as error:
        raise SeismicError(f"'{source}' is no FDSN source identifier") from error


def _span(octets: bytes | mmap, at: int, length: int) -> Span | None:
    sign, version, _, ns, year, day, hour, minute, second, _, rate, samples, _, _, source, extra, data = HEAD.unpack(
        octets[at : at + HEAD.size]
    )
    end = at + HEAD.size + source + extra + data
    if sign != b"MS" or version != 3 or end > length or not 1 <= year <= YEAR_MOST:
        return None
    if not is_rate(abs(rate)):
        return None
    start_ns = ((_year_s(year) + (day - 1) * 86_400) + hour * 3600 + minute * 60 + second) * NS + ns
    period_s = 1 / rate if rate > 0 else -rate
    return Span(at, end, start_ns, start_ns + round(samples * period_s * NS))


@cache
def _year_s(year: int) -> int:
    return (date(year, 1, 1) - date(1970, 1, 1)).days * 86_400


def _mark(header: MS3Record, packet: Packet) -> None:
    flags = WaveFlag(packet.flags)
    if packet.start_ns is None:
        flags |= WaveFlag.TIME_QUESTIONABLE
    header.flags = int(flags & HEADER_FLAGS) << 1
    if packet.timing >= 0:
        header.set_extra_header(QUALITY, packet.timing)
    for flag in flags & ~HEADER_FLAGS:
        header.set_extra_header(EXTRAS[flag], value=True)


def _packet(record: MS3Record) -> Packet:
    if record.sampletype != "i":
        raise SeismicError(f"{record.sourceid} holds no integers", hint="only counts of a digitiser are read")
    if not is_rate(record.samprate):
        raise SeismicError(f"{record.sourceid} has {record.samprate} samples a second")
    flags = WaveFlag(record.flags >> 1) & HEADER_FLAGS
    for flag, name in EXTRAS.items():
        if record.get_extra_header(name):
            flags |= flag
    timing = record.get_extra_header(QUALITY)
    return Packet(
        stream_of(record.sourceid),
        record.starttime,
        0,
        record.samprate,
        array("i", record.datasamples),
        -1 if timing is None else int(timing),
        int(flags),
    )


def _continues(run: list[Packet], packet: Packet) -> bool:
    first, last = run[0], run[-1]
    if last.end_ns is None or packet.start_ns is None or first.start_ns is None or packet.rate_hz != first.rate_hz:
        return False
    if (packet.timing, packet.flags) != (last.timing, last.flags & ~WaveFlag.GAP_BEFORE):
        return False
    half_ns = spell_ns(0.5, packet.rate_hz)
    due_ns = first.start_ns + spell_ns(sum(len(before.counts) for before in run), first.rate_hz)
    return abs(packet.start_ns - due_ns) <= half_ns and abs(packet.start_ns - last.end_ns) <= half_ns


def _joined(run: list[Packet]) -> Packet:
    counts = array("i")
    for packet in run:
        counts.extend(packet.counts)
    first = run[0]
    return Packet(first.stream, first.start_ns, first.mono_ns, first.rate_hz, counts, first.timing, first.flags)
