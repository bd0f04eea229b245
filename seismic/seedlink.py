"""SeedLink, versions 3 and 4: packets, commands, selectors and times, parsed and formatted side by side.

Sources: docs.fdsn.org/projects/seedlink (version 4, which defines commands, errors and INFO in JSON); version 3, which
nobody has specified, is as SeisComP's and EarthScope's servers speak it. Server and client are in
`seismic.seedlink_server` and `seismic.seedlink_client`: state machines that take octets and give octets.

    version 4   "SE", format, subformat, u32 length, u64 sequence (little endian), u8 length of the station's id, the id
                ``NET_STA``, the payload
    version 3   "SL", 6 hexadecimal digits of sequence, a miniSEED 2 record of 512 octets
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from seismic.errors import SeismicError
from seismic.miniseed import RECORD_OCTETS, sourceid

PORT, TLS_PORT = 18000, 18500

HEAD_4: Final = struct.Struct("<2sccIQB")
HEAD_3_OCTETS: Final = 8
SIGN_4, SIGN_3 = b"SE", b"SL"
INFO_3 = b"SLINFO  "
INFO_3_MORE = b"SLINFO *"
SEQUENCE_3_MOST: Final = (1 << 24) - 1
SEQUENCE_MOST: Final = (1 << 64) - 1

PAYLOAD_MOST: Final = 1 << 14
"""Octets of a payload that we take: a record has hundreds to thousands."""

LINE_MOST: Final = 4096
"""Octets of a command; the specification says 255, but a token for AUTH is longer."""

FORMAT_2, FORMAT_3, FORMAT_JSON = "2", "3", "J"
DATA, INFO, ERROR = "D", "I", "E"

OK = b"OK\r\n"
END = b"END"

UNSUPPORTED, UNEXPECTED, UNAUTHORIZED, LIMIT, ARGUMENTS, AUTH = (
    "UNSUPPORTED", "UNEXPECTED", "UNAUTHORIZED", "LIMIT", "ARGUMENTS", "AUTH",
)  # fmt: skip


class Carried(msgspec.Struct, frozen=True):
    """One packet on the line. ``station`` is ``NET_STA``, empty in version 3, where the record itself tells it.

    ``sequence`` is None for an answer to INFO in version 3; ``more`` says that another packet goes on with it.
    """

    station: str
    sequence: int | None
    payload: bytes
    format: str = FORMAT_3
    subformat: str = DATA
    more: bool = False


def format_packet(packet: Carried) -> bytes:
    """Write a packet in version 4."""
    station = packet.station.encode("ascii")
    codes = packet.format.encode("ascii"), packet.subformat.encode("ascii")
    return (
        HEAD_4.pack(SIGN_4, *codes, len(packet.payload), packet.sequence or 0, len(station)) + station + packet.payload
    )


def parse_packet(octets: bytes | bytearray | memoryview, at: int = 0) -> tuple[Carried, int] | None:
    """Read a packet in version 4 at an offset: it and where it ends, None if it is not all there yet.

    Raises SeismicError if none starts there.
    """
    view = memoryview(octets)[at:]
    if len(view) < HEAD_4.size:
        if not SIGN_4.startswith(bytes(view[:2])):
            raise SeismicError(f"{bytes(view[:2])!r} starts no SeedLink packet")
        return None
    sign, form, subform, length, sequence, station_octets = HEAD_4.unpack(view[: HEAD_4.size])
    if sign != SIGN_4 or not (form + subform).isalnum() or length > PAYLOAD_MOST:
        raise SeismicError(f"{bytes(view[: HEAD_4.size])!r} is no head of a SeedLink packet")
    start = HEAD_4.size + station_octets
    if len(view) < start + length:
        return None
    station = _ascii(bytes(view[HEAD_4.size : start]))
    payload = bytes(view[start : start + length])
    return Carried(station, sequence, payload, _ascii(form), _ascii(subform)), at + start + length


def format_packet_3(sequence: int, record: bytes) -> bytes:
    """Write a packet in version 3: the low 24 bits of its sequence, and a record of miniSEED 2. Raises SeismicError."""
    if len(record) != RECORD_OCTETS:
        raise SeismicError(f"SeedLink 3 carries records of {RECORD_OCTETS} octets, not {len(record)}")
    return SIGN_3 + b"%06X" % (sequence & SEQUENCE_3_MOST) + record


def format_packets_3(sequence: int, records: Sequence[bytes]) -> bytes:
    """Write the records of one packet in version 3.

    All but the last carry the sequence before, so that a client that was cut off among them asks for all of them again.
    """
    last = len(records) - 1
    return b"".join(format_packet_3(sequence - (at < last), record) for at, record in enumerate(records))


def parse_packet_3(octets: bytes | bytearray | memoryview, at: int = 0) -> tuple[Carried, int] | None:
    """Read a packet in version 3 at an offset, as `parse_packet` does."""
    view = memoryview(octets)[at:]
    if not SIGN_3.startswith(bytes(view[:2])):
        raise SeismicError(f"{bytes(view[:2])!r} starts no SeedLink packet")
    end = HEAD_3_OCTETS + RECORD_OCTETS
    if len(view) < end:
        return None
    head, payload = bytes(view[:HEAD_3_OCTETS]), bytes(view[HEAD_3_OCTETS:end])
    if head.startswith(INFO_3[:6]):
        return Carried("", None, payload, FORMAT_2, INFO, more=head.endswith(b"*")), at + end
    if not re.fullmatch(rb"SL[0-9A-Fa-f]{6}", head):
        raise SeismicError(f"{head!r} is no head of a SeedLink packet")
    return Carried("", int(head[2:], 16), payload, FORMAT_2, DATA), at + end


def widen(sequence: int, newest: int) -> int:
    """Tell which sequence up to the next one (``newest`` + 1) version 3 means by its low 24 bits."""
    return newest + 1 - ((newest + 1 - sequence) & SEQUENCE_3_MOST)


class Command(msgspec.Struct, frozen=True):
    """One command: its word in capitals and what follows it."""

    word: str
    arguments: tuple[str, ...] = ()


def parse_command(line: bytes) -> Command:
    """Read a command from its line without the end. Raises SeismicError if it is empty or no ASCII."""
    words = _ascii(line).split()
    if not words:
        raise SeismicError("a command without a word")
    return Command(words[0].upper(), tuple(words[1:]))


def format_command(word: str, *arguments: str) -> bytes:
    """Write a command with the end of its line."""
    return " ".join((word, *arguments)).encode("ascii") + b"\r\n"


def format_error(code: str, text: str = "") -> bytes:
    """Write the answer of version 4 that refuses a command; version 3 knows no more than the word."""
    return f"ERROR {code} {text}".rstrip().encode("ascii", "replace") + b"\r\n"


class Lines:
    """Puts lines together from pieces. CR, LF or both end one; empty ones are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, octets: bytes) -> list[bytes]:
        """Take octets, return the lines that they complete. Raises SeismicError if one grows beyond `LINE_MOST`."""
        self._rest += octets
        *lines, rest = re.split(rb"[\r\n]", bytes(self._rest))
        self._rest = bytearray(rest)
        if any(len(line) > LINE_MOST for line in (*lines, rest)):
            self._rest.clear()
            raise SeismicError(f"a line of more than {LINE_MOST} octets")
        return [line for line in lines if line.strip()]


class Hello(msgspec.Struct, frozen=True):
    """What a server says of itself: ``software`` names it, ``versions`` are the protocols it speaks."""

    software: str
    organization: str
    versions: tuple[str, ...] = ("3.1", "4.0")


def format_hello(hello: Hello) -> bytes:
    """Write the two lines that answer HELLO."""
    newest = max(hello.versions)
    offers = " ".join(f"SLPROTO:{version}" for version in hello.versions)
    first = f"SeedLink v{newest} ({hello.software}) :: {offers} CAP BATCH NSWILDCARD"
    return f"{first}\r\n{hello.organization}\r\n".encode("ascii", "replace")


def parse_hello(first: bytes, second: bytes) -> Hello:
    """Read the answer to HELLO. A server that names no protocol speaks version 3."""
    software, _, offers = first.decode("ascii", "replace").partition("::")
    versions = tuple(offer.partition(":")[2] for offer in offers.split() if offer.startswith("SLPROTO:"))
    return Hello(software.strip(), second.decode("ascii", "replace").strip(), versions or ("3.1",))


class Selector(msgspec.Struct, frozen=True):
    """Which streams of a station: patterns (``*``, ``?``) of a stream's id ``LOC_B_S_SS`` and its format's codes.

    ``format`` matches from the beginning. ``filter`` says what to turn the payload into: ``native``, ``2`` or ``3``.
    """

    stream: str
    format: str = ""
    is_excluding: bool = False
    filter: str = ""

    def matches(self, stream: str, form: str) -> bool:
        """Tell whether it matches a stream's id and its format with subformat."""
        return fnmatchcase(stream, self.stream) and fnmatchcase(form, self.format + "*")


_SELECT_4 = re.compile(r"(!?)([A-Z0-9_*?-]+)(?:\.([A-Z0-9*?]{1,2}))?(?::([A-Za-z0-9]+))?")
_SELECT_3 = re.compile(r"(!?)(?:([A-Z0-9?-]{2}):?)?([A-Z0-9?]{3})?(?:\.([A-Z?]))?")


def parse_selector(text: str) -> Selector:
    """Read what follows SELECT in version 4. Raises SeismicError if it is no selector."""
    match = _SELECT_4.fullmatch(text)
    if match is None or (match[1] and match[4]):
        raise SeismicError(f"'{text}' selects no stream: it takes [!]LOC_B_S_SS[.format][:filter]")
    return Selector(match[2], match[3] or "", bool(match[1]), match[4] or "")


def parse_selector_3(text: str) -> Selector:
    """Read what follows SELECT in version 3, ``[!][LL][CCC][.T]``, where - stands for a space. Raises SeismicError."""
    match = _SELECT_3.fullmatch(text)
    if match is None or text in ("", "!"):
        raise SeismicError(f"'{text}' selects no stream: it takes [!][LL][CCC][.T]")
    location = "*" if match[2] is None else match[2].replace("-", "")
    channel = "*" if match[3] is None else "_".join(match[3])
    return Selector(f"{location}_{channel}", f"?{match[4]}" if match[4] else "", bool(match[1]))


def is_selected(selectors: Iterable[Selector], stream: str, form: str) -> bool:
    """Tell whether a stream is wanted: a selector matches, or there are only excluding ones, and none excludes it."""
    selectors = tuple(selectors)
    if any(each.is_excluding and each.matches(stream, form) for each in selectors):
        return False
    wanted = [each for each in selectors if not each.is_excluding]
    return not wanted or any(each.matches(stream, form) for each in wanted)


def ids(stream: str) -> tuple[str, str]:
    """Turn ``NET.STA.LOC.CHA`` into the ids of station ``NET_STA`` and stream ``LOC_B_S_SS``. Raises SeismicError."""
    network, station, rest = sourceid(stream).removeprefix("FDSN:").split("_", 2)
    return f"{network}_{station}", rest


_TIME_4 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")
_TIME_3 = re.compile(r"(\d{4}),(\d{1,2}),(\d{1,2}),(\d{1,2}),(\d{1,2}),(\d{1,2})(?:[.,](\d{1,9}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> int:
    """Read a time of version 4 (2019-07-06T03:19:37.5Z) or 3 (2019,7,6,3,19,37) in ns UTC. Raises SeismicError."""
    match = _TIME_4.fullmatch(text) or _TIME_3.fullmatch(text)
    if match is None:
        raise SeismicError(f"'{text}' is no time: it takes 2019-07-06T03:19:37Z or 2019,7,6,3,19,37")
    *fields, fraction = match.groups("")
    try:
        year, month, day, hour, minute, second = map(int, fields)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise SeismicError(f"'{text}' is no time: {error}") from error
    return (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + int(fraction.ljust(9, "0") or 0)


def format_time(at_ns: int) -> str:
    """Write a time of version 4, to the microsecond."""
    moment = _EPOCH + timedelta(microseconds=at_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_time_3(at_ns: int) -> str:
    """Write a time of version 3, to the second."""
    moment = _EPOCH + timedelta(seconds=at_ns // 10**9)
    return f"{moment.year},{moment.month},{moment.day},{moment.hour},{moment.minute},{moment.second}"


def _ascii(octets: bytes) -> str:
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError as error:
        raise SeismicError(f"{octets[:32]!r} is no ASCII") from error
