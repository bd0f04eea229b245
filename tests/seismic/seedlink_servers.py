"""A SeedLink server for tests: our session around records in memory, on a free port of the loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from seismic import miniseed, seedlink, seedlink_info
from seismic.packet import Packet
from seismic.seedlink_server import Ask, Catalogue, Close, Say, Session, Start, Step, Wanted

HELLO = seedlink.Hello("Fengsui test", "District of tests")
NOW_NS = 1_562_383_177_000_000_000


class Server:
    """Serves packets, numbered from ``first``; hangs up after ``cut_after`` of them."""

    def __init__(self, packets: Sequence[Packet], first: int = 1, cut_after: int | None = None) -> None:
        self.packets = packets
        self.first = first
        self.cut_after = cut_after
        self.heard: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._connection = self._socket
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for each in (self._socket, self._connection):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                self._connection, _ = self._socket.accept()
            except OSError:
                return
            with self._connection, suppress(OSError):
                self._talk(self._connection)

    def _talk(self, connection: socket.socket) -> None:
        session = Session(HELLO, lambda _: True)
        while octets := connection.recv(4096):
            self.heard.append(octets)
            for step in session.feed(octets):
                if isinstance(step, Close) or not self._do(connection, step):
                    return

    def _do(self, connection: socket.socket, step: Step) -> bool:
        if isinstance(step, Say):
            connection.sendall(step.octets)
        elif isinstance(step, Ask):
            connection.sendall(seedlink_info.answer(step, HELLO, self.stations(), NOW_NS))
        elif isinstance(step, Catalogue):
            connection.sendall(seedlink_info.catalogue(self.stations()))
        elif isinstance(step, Start):
            return self._stream(connection, step)
        return True

    def _stream(self, connection: socket.socket, start: Start) -> bool:
        sent = 0
        for sequence, packet in enumerate(self.packets, self.first):
            station, stream = seedlink.ids(packet.stream)
            wanted = next((each for each in start.wanted if _fits(each, station)), None)
            if wanted is None or not seedlink.is_selected(wanted.selectors, stream, "3D"):
                continue
            newest = self.first + len(self.packets) - 1
            from_ = wanted.sequence or 0
            if sequence < (seedlink.widen(from_, newest) if start.version == 3 and from_ else from_):
                continue
            if sent == self.cut_after:
                self.cut_after = None
                return False
            sent += 1
            if start.version == 4:
                (record,) = miniseed.records(packet, 3)
                connection.sendall(seedlink.format_packet(seedlink.Carried(station, sequence, record)))
            else:
                connection.sendall(seedlink.format_packets_3(sequence, miniseed.records(packet, 2)))
        if start.is_fetch:
            connection.sendall(seedlink.END)
        return True

    def stations(self) -> list[seedlink_info.StationInfo]:
        streams = {packet.stream: packet for packet in self.packets}
        stations = {seedlink.ids(stream)[0] for stream in streams}
        return [
            seedlink_info.StationInfo(
                station,
                f"station {station}",
                self.first,
                self.first + len(self.packets),
                tuple(
                    seedlink_info.StreamInfo(stream, packet.start_ns or 0, packet.end_ns or 0)
                    for stream, packet in streams.items()
                    if seedlink.ids(stream)[0] == station
                ),
            )
            for station in sorted(stations)
        ]


def _fits(wanted: Wanted, station: str) -> bool:
    return seedlink.Selector(wanted.station).matches(station, "")


@contextmanager
def serving(packets: Sequence[Packet], first: int = 1, cut_after: int | None = None) -> Iterator[Server]:
    server = Server(packets, first, cut_after)
    try:
        yield server
    finally:
        server.close()
