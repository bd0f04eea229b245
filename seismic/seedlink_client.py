"""The client's side of one SeedLink connection: version 4, and 3 where the server has no better. Pure.

    session = Session(wanted, sequences)
    send(session.begin())
    for each in session.feed(octets): bytes -> send them; Carried -> a packet

It sends one command at a time and takes up each station behind the packet that was the last one to come.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

import msgspec

from seismic import seedlink
from seismic.errors import SeismicError
from seismic.seedlink import Carried


class Wanted(msgspec.Struct, frozen=True):
    """A station ``NET_STA`` and which of its streams: ``LOC_B_S_SS``, ``*`` and ``?`` allowed. None: all of them."""

    station: str
    streams: tuple[str, ...] = ()


class RefusedError(SeismicError):
    """The server does not give what is wanted. Asking again will not help; somebody must look at it."""


class Session:
    """One connection. ``sequences`` tells of each station the last packet that came, on earlier connections too.

    `sequences` stays up to date with the packets that `feed` has given; hand it to the next connection.
    """

    def __init__(self, wanted: Sequence[Wanted], sequences: Mapping[str, int], agent: str = "fengsui") -> None:
        self.sequences = dict(sequences)
        self.version = 3
        self.is_streaming = False
        self.hello: seedlink.Hello | None = None
        self._wanted = wanted
        self._agent = agent
        self._octets = bytearray()
        self._talk = self._converse()
        self._awaited = 2
        """Lines of the answer that is awaited: HELLO has two."""

    def begin(self) -> bytes:
        """Return what to say first."""
        return next(self._talk)

    def feed(self, octets: bytes) -> Iterator[bytes | Carried]:
        """Take octets of the server; yield what to send, and packets.

        Raises RefusedError if the server will not give it, SeismicError if it speaks no SeedLink: close the connection.
        """
        self._octets += octets
        while (found := self._packet() if self.is_streaming else self._answer()) is not None:
            yield found

    def close(self) -> None:
        """Let go of what is held: the connection is closed."""
        self._octets = bytearray()
        self._talk.close()

    def _answer(self) -> bytes | None:
        if len(self._octets) > 2 * seedlink.LINE_MOST:
            raise SeismicError("the server's answer has no end", hint="is it a SeedLink server?")
        lines = self._octets.split(b"\r\n", self._awaited)
        if len(lines) <= self._awaited:
            return None
        self._octets = lines.pop()
        self._awaited = 1
        return self._talk.send([bytes(line) for line in lines])

    def _converse(self) -> Generator[bytes, list[bytes], None]:
        """Yield commands one by one; each gets the lines that answer it, but END, behind which packets come."""
        first, second = yield seedlink.format_command("HELLO")
        self.hello = seedlink.parse_hello(first, second)
        if any(version.startswith("4.") for version in self.hello.versions):
            answer = yield seedlink.format_command("SLPROTO", "4.0")
            self.version = 4 if _is_ok(answer) else 3
        if self.version == 4:
            yield seedlink.format_command("USERAGENT", self._agent)
        for wanted in self._wanted:
            for command in self._commands(wanted):
                answer = yield command
                if not _is_ok(answer):
                    text = b" ".join(answer).decode("ascii", "replace")
                    raise RefusedError(
                        f"the server answers '{text}' to '{command.decode().strip()}'",
                        hint="are station and channel those of the server?",
                    )
        self.is_streaming = True
        yield seedlink.format_command("END")

    def _commands(self, wanted: Wanted) -> Iterator[bytes]:
        is_4, last = self.version == 4, self.sequences.get(wanted.station)
        network, station = wanted.station.split("_", 1)
        yield seedlink.format_command("STATION", *([wanted.station] if is_4 else [station, network]))
        for stream in wanted.streams:
            yield seedlink.format_command("SELECT", stream if is_4 else _select_3(stream))
        if last is None:
            yield seedlink.format_command("DATA")
        elif is_4:
            yield seedlink.format_command("DATA", str(last + 1))
        else:
            yield seedlink.format_command("DATA", f"{last + 1 & seedlink.SEQUENCE_3_MOST:06X}")

    def _packet(self) -> Carried | None:
        if self._octets.startswith((b"END", b"ERROR")):
            raise SeismicError(f"the server says {bytes(self._octets[:80])!r} and sends no more")
        if len(self._octets) < len(b"ERROR"):
            return None
        found = (seedlink.parse_packet if self.version == 4 else seedlink.parse_packet_3)(self._octets)
        if found is None:
            return None
        packet, end = found
        del self._octets[:end]
        if self.version == 3 and packet.sequence is not None:
            packet = msgspec.structs.replace(packet, station=_station_3(packet.payload))
        if packet.sequence is not None and packet.subformat == seedlink.DATA:
            self.sequences[packet.station] = packet.sequence
        return packet


def _is_ok(lines: Sequence[bytes]) -> bool:
    return lines[0].split()[:1] == [b"OK"]


def _select_3(stream: str) -> str:
    """Write ``LOC_B_S_SS`` as version 3 does, ``LLCCC``. Not every server can be told that the location is empty."""
    location, _, channel = stream.partition("_")
    codes = channel.replace("_", "")
    return codes if location in ("*", "") else f"{location}{codes}"


def _station_3(record: bytes) -> str:
    """Tell the station of a miniSEED 2 record by its fixed header."""
    return f"{record[18:20].decode('ascii', 'replace').strip()}_{record[8:13].decode('ascii', 'replace').strip()}"
