"""The SeedLink server against clients that others wrote: obspy's (version 3) and seedlink-client (version 4)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import seedlink_client
from seedlink_client import SeedLink

from fleet.accounts import service as accounts
from fleet.accounts import tokens
from fleet.accounts.models import Role
from fleet.bootstrap import Services
from fleet.sites import service as sites
from fleet.waveforms import server as serving
from fleet.waveforms.server import Server
from seismic import miniseed
from tests.fleet.conftest import Clock, both_databases
from tests.fleet.judge import SLClient, SLPacket
from tests.fleet.waves import NS, STREAM, Station, counts, packet, record
from tests.servers import free_port

NORTH = "XX.RS001.00.HNN"
OTHER = "XX.RS002.00.HNZ"
WITHIN_S = 20.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest) -> str:
    return both_databases(request)


class Running:
    """A server in a thread of its own, at one port for all its lives."""

    def __init__(self, services: Services, **changes: Any) -> None:
        self.port = free_port()
        self.services = services
        settings = msgspec.structs.replace(services.settings, seedlink=f"127.0.0.1:{self.port}", **changes)
        object.__setattr__(services, "settings", settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.server: Server

    def start(self) -> None:
        ready = threading.Event()

        async def main() -> None:
            self.server = Server(self.services)
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self.server.run())
            await self.server.is_listening.wait()
            ready.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

        self._thread = threading.Thread(target=lambda: asyncio.run(main()))
        self._thread.start()
        assert ready.wait(WITHIN_S)

    def stop(self) -> None:
        if self._thread is not None:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(WITHIN_S)
            assert not self._thread.is_alive()
            self._thread = None

    def value(self, name: str, **labels: str) -> float:
        return self.server.registry.get_sample_value(f"fengsui_seedlink_{name}", labels) or 0.0


@pytest.fixture
def station(services: Services) -> Station:
    return Station(services)


@pytest.fixture
def running(services: Services) -> Iterator[Running]:
    serving_one = Running(services)
    serving_one.start()
    yield serving_one
    serving_one.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class Client4:
    """seedlink-client in a thread; keeps the samples of each record by its number."""

    def __init__(self, port: int, stations: str = "*", selectors: str = "", **options: Any) -> None:
        self.got: list[tuple[str, int, str, array[int]]] = []
        self.link = SeedLink("127.0.0.1", port, timeout=WITHIN_S, **options)
        self._stations, self._selectors = stations, selectors
        self._thread: threading.Thread | None = None

    def start(self, seqnum: int | None = None, **how: Any) -> None:
        self.link.connect()
        assert self.link.protocol is seedlink_client.Protocol.V4
        if not self.link.streams:
            self.link.add_stream(self._stations, self._selectors or None, seqnum=seqnum, **how)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # the test cuts the line under it
            for sent in self.link.collect(reconnect=False):
                (read,) = miniseed.read(sent.payload)
                self.got.append((sent.station_id, sent.seqnum or 0, read.stream, read.counts))  # type: ignore[arg-type]

    def cut(self) -> None:
        """Break the connection, as a line does."""
        if (sock := self.link._sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(WITHIN_S)
        self.link.close()

    def samples(self, stream: str = STREAM) -> list[int]:
        return [value for _, _, name, some in list(self.got) if name == stream for value in some]


def samples(numbers: Sequence[int], size: int = 100) -> list[int]:
    return [value for n in numbers for value in counts(n, size)]


def test_seedlink_client_streams_live_and_goes_on_after_cuts_without_gap_or_double(
    station: Station, running: Running
) -> None:
    """Loud packets of 400 samples become several records each, and the line is cut at any of them."""
    client = Client4(running.port, "XX_RS001", "*:2")
    sent = 0
    client.start(all_data=True)
    for life in range(6):
        station.send(*(record(sent + n, samples=400, rate_hz=200.0, counts=loud(sent + n)) for n in range(5)))
        sent += 5
        until(lambda life=life: len(client.got) >= 7 * life + 3)  # in the middle of packets, wherever it stops
        if life % 2:
            running.stop()
            client.cut()
            running.start()
        else:
            client.cut()
        client.start()
    until(lambda: len(client.samples()) >= sent * 400)
    client.cut()
    assert client.samples() == [value for n in range(sent) for value in loud(n)]
    numbers = [seq for _, seq, _, _ in client.got]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 2 * sent


def loud(number: int) -> array[int]:
    import random

    noise = random.Random(number)
    return array("i", [noise.randrange(-(2**24), 2**24) for _ in range(400)])


def test_a_client_who_goes_on_from_any_record_of_a_packet_gets_exactly_the_rest(
    station: Station, running: Running
) -> None:
    station.send(*(record(n, samples=400, rate_hz=200.0, counts=loud(n)) for n in range(3)))
    whole = Client4(running.port, "XX_RS001", "*:2")
    whole.start(seqnum=0)
    until(lambda: len(whole.samples()) == 1200)
    whole.cut()
    for index, (_, seq, _, _) in enumerate(whole.got):
        rest = Client4(running.port, "XX_RS001", "*:2")
        rest.start(seqnum=seq)
        until(lambda rest=rest, index=index: len(rest.got) >= len(whole.got) - index - 1)
        time.sleep(0.05)
        rest.cut()
        assert rest.got == whole.got[index + 1 :]


def test_a_client_of_all_stations_goes_on_from_one_number(station: Station, running: Running) -> None:
    client = Client4(running.port, "*")
    client.start(all_data=True)
    for n in range(6):
        station.send(record(n), record(n, stream=OTHER), record(n, stream=NORTH))
        until(lambda n=n: len(client.samples(NORTH)) >= 100 * (n + 1))
        client.cut()
        client.start()
    station.send(record(6), record(6, stream=OTHER), record(6, stream=NORTH))
    until(lambda: len(client.samples(NORTH)) >= 700)
    client.cut()
    for stream in (STREAM, OTHER, NORTH):
        assert client.samples(stream) == samples(range(7)), stream


def test_selectors_and_windows_choose_what_is_sent(station: Station, running: Running) -> None:
    station.send(*(record(n, stream=stream) for n in range(10) for stream in (STREAM, NORTH, OTHER)))
    only = Client4(running.port, "XX_RS001", "00_H_N_N")
    only.start(all_data=True)
    until(lambda: len(only.samples(NORTH)) == 1000)
    only.cut()
    assert {stream for _, _, stream, _ in only.got} == {NORTH}
    window = Client4(running.port, "XX_RS00?")
    window.link.set_timewindow(iso(2.5), iso(5.0))
    window.start()
    assert window._thread is not None
    until(lambda: len(window.samples(OTHER)) == 300)
    window.cut()
    assert window.samples() == samples([2, 3, 4])


def iso(seconds: float) -> str:
    from seismic.seedlink import format_time
    from tests.fleet.conftest import START_NS

    return format_time(START_NS + round(seconds * NS))


def test_a_fetch_ends_by_itself(station: Station, running: Running) -> None:
    station.send(*(record(n) for n in range(5)))
    link = SeedLink("127.0.0.1", running.port, timeout=WITHIN_S, dialup=True)
    link.connect()
    link.add_stream("XX_RS001", all_data=True)
    got = [value for sent in link.collect() for (read,) in [miniseed.read(sent.payload)] for value in read.counts]
    link.close()
    assert got == samples(range(5))


def test_what_comes_while_nobody_looks_and_live_without_a_number_starts_at_the_next(
    station: Station, running: Running
) -> None:
    station.send(record(0))
    until(lambda: running.server.next_seq > 1)
    client = Client4(running.port, "XX_RS001")
    client.start()
    until(lambda: running.value("clients") == 1)
    time.sleep(0.3)
    station.send(record(1))
    until(lambda: len(client.got) == 1)
    client.cut()
    assert client.samples() == samples([1])


def test_information_in_both_versions_parses(station: Station, running: Running) -> None:
    station.send(record(0), record(0, stream=OTHER))
    time.sleep(0.3)
    link = SeedLink("127.0.0.1", running.port, timeout=WITHIN_S)
    link.connect()
    told = {level: json.loads(link.info(level)) for level in ("ID", "FORMATS", "CAPABILITIES", "STREAMS")}
    link.close()
    assert [one["id"] for one in told["STREAMS"]["station"]] == ["XX_RS001", "XX_RS002"]
    assert told["STREAMS"]["station"][0]["stream"][0]["id"] == "00_H_N_Z"
    old = SeedLink("127.0.0.1", running.port, timeout=WITHIN_S, protocol=seedlink_client.Protocol.V3)
    old.connect()
    assert "RS002" in str(old.info("STREAMS"))
    old.close()


@pytest.mark.filterwarnings("ignore")  # its own: it leaves its sockets open, and more
def test_obspys_client_streams_live_and_goes_on_by_number_after_a_cut(station: Station, running: Running) -> None:
    class Client(SLClient):
        def __init__(self) -> None:
            super().__init__()
            self.slconn.set_sl_address(f"127.0.0.1:{running.port}")
            self.multiselect = "XX_RS001:HN?"
            # It does not see that a line has ended: it gives one up that brought nothing for so long.
            self.slconn.netto, self.slconn.netdly, self.slconn.timeout = 2, 1, WITHIN_S
            self.got: list[int] = []
            self.numbers: list[int] = []

        def packet_handler(self, _count: int, slpack: Any) -> bool:
            if slpack is None or slpack in (SLPacket.SLNOPACKET, SLPacket.SLERROR):
                return False
            if slpack.get_type() in (SLPacket.TYPE_SLINF, SLPacket.TYPE_SLINFT):
                return False
            self.got += [int(value) for value in slpack.get_trace().data]
            self.numbers.append(slpack.get_sequence_number())
            return False

    station.send(record(0, samples=400, rate_hz=200.0, counts=loud(0)))
    until(lambda: running.server.has_station("XX_RS001"))
    client = Client()
    client.initialize()
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    until(lambda: running.value("clients") == 1)
    time.sleep(0.5)
    sent = 1
    for _ in range(3):
        station.send(*(record(sent + n, samples=400, rate_hz=200.0, counts=loud(sent + n)) for n in range(4)))
        sent += 4
        until(lambda sent=sent: len(client.got) >= 400 * (sent - 4))
        running.stop()
        running.start()
    until(lambda sent=sent: len(client.got) >= 400 * (sent - 1))
    client.slconn.terminate()
    thread.join(WITHIN_S)
    assert client.got == [value for n in range(1, sent) for value in loud(n)]
    assert client.numbers == sorted(set(client.numbers))
    gc.collect()


# who may


def test_a_client_of_a_foreign_network_is_sent_away(services: Services) -> None:
    away = Running(services, seedlink_networks=("192.0.2.0/24",))
    away.start()
    try:
        with socket.create_connection(("127.0.0.1", away.port), WITHIN_S) as line:
            assert line.recv(10) == b""
        assert away.value("refused_total", why="network") == 1
    finally:
        away.stop()


def make_certificate(folder: Path) -> None:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "web.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "web.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_who_signs_in_by_tls_sees_the_own_sites_alone(services: Services, clock: Clock, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    with services.database.writing() as session:
        for key in ("own-plant", "foreign-plant"):
            sites.add(session, key, key, "earthquake", None, None)
        accounts.add(session, "mine", "correct-horse", Role.ENTERPRISE, clock())
        accounts.set_sites(session, "mine", ["own-plant"])
        token = tokens.make(session, "mine", "client", ["read"], 1, clock())
    Station(services, "gw-own-0001", "own-plant").send(record(0))
    Station(services, "gw-foreign-0001", "foreign-plant").send(record(0, stream=OTHER))
    port = free_port()
    secure = Running(
        services, seedlink_networks=(), seedlink_tls=f"127.0.0.1:{port}", http_cert_file="web.crt",
        http_key_file="web.key",
    )  # fmt: skip
    secure.start()
    try:
        for auth in (("mine", "correct-horse"), token):
            client = Client4(port, "*", tls=True, tls_noverify=True, auth=auth)
            client.start(all_data=True)
            until(lambda client=client: len(client.got) == 1)
            time.sleep(0.3)
            client.cut()
            assert [stream for _, _, stream, _ in client.got] == [STREAM]
        wrong = SeedLink("127.0.0.1", port, timeout=WITHIN_S, tls=True, tls_noverify=True, auth=("mine", "wrong-horse"))
        with pytest.raises(seedlink_client.SeedLinkAuthError):
            wrong.connect()
        stranger = SeedLink("127.0.0.1", port, timeout=WITHIN_S, tls=True, tls_noverify=True)
        stranger.connect()
        assert json.loads(stranger.info("STATIONS"))["station"] == []
        stranger.add_stream("*", all_data=True)
        with pytest.raises(seedlink_client.SeedLinkError):
            list(stranger.collect(reconnect=False))
        stranger.close()
        assert secure.value("refused_total", why="sign-in") == 1
    finally:
        secure.stop()


# hostile clients


def talk(port: int, octets: bytes, enough: int = 1) -> bytes:
    with socket.create_connection(("127.0.0.1", port), WITHIN_S) as line:
        line.settimeout(WITHIN_S)
        line.sendall(octets)
        got = b""
        while got.count(b"\n") < enough and (part := line.recv(65536)):
            got += part
        return got


def test_ten_thousand_commands_are_answered_one_by_one(running: Running) -> None:
    line = socket.create_connection(("127.0.0.1", running.port), WITHIN_S)
    sender = threading.Thread(target=lambda: line.sendall(b"HELLO\r\n" * 10_000))
    sender.start()
    got = 0
    while got < 20_000:
        got += line.recv(65536).count(b"\n")
    sender.join()
    line.close()
    assert got == 20_000


def test_half_a_line_and_an_endless_line_end(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SPEAK_WITHIN_S", 0.2)
    with socket.create_connection(("127.0.0.1", running.port), WITHIN_S) as line:
        line.sendall(b"HEL")
        assert line.recv(10) == b""
    assert b"ERROR" in talk(running.port, b"X" * 100_000)
    assert running.value("refused_total", why="slow") == 1


def test_nothing_is_said_first(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), WITHIN_S) as line:
        line.settimeout(0.5)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.sendall(b"HELLO\r\n")
        line.settimeout(WITHIN_S)
        assert line.recv(4096).startswith(b"SeedLink v")


def test_more_clients_than_there_may_be_are_sent_away_and_those_who_leave_make_room(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PER_ADDRESS_MOST", 3)
    lines = [socket.create_connection(("127.0.0.1", running.port), WITHIN_S) for _ in range(3)]
    until(lambda: running.value("clients") == 3)
    with socket.create_connection(("127.0.0.1", running.port), WITHIN_S) as more:
        assert more.recv(1) == b""
    for line in lines:
        line.close()
    until(lambda: running.value("clients") == 0)
    assert talk(running.port, b"HELLO\r\n").startswith(b"SeedLink")


def test_a_client_that_reads_nothing_is_cut_off_and_holds_no_memory(
    station: Station, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "TAKE_WITHIN_S", 0.5)
    some = [packet(n, samples=400, rate_hz=200.0, counts=loud(n)) for n in range(500)]
    from seismic.packet import to_record

    station.send(*map(to_record, some))
    until(lambda: running.server.next_seq > 500)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", running.port))
    line.sendall(b"SLPROTO 4.0\r\nSTATION *\r\nDATA ALL\r\nEND\r\n")
    until(lambda: running.value("refused_total", why="slow") == 1)
    assert running.value("octets_total") < 500_000
    line.close()
    until(lambda: running.value("clients") == 0)


def test_garbage_gets_an_error_and_no_more(running: Running) -> None:
    assert b"ERROR" in talk(running.port, b"\xff\xfe\x00garbage\r\n")
    assert b"ERROR" in talk(running.port, b"SLPROTO 4.0\r\nDATA\r\n", 2)
    assert b"ERROR UNEXPECTED" in talk(running.port, b"SLPROTO 4.0\r\nAUTH USERPASS a b\r\n", 2)


# the program


def test_the_program_is_killed_and_a_client_goes_on_with_its_next_life(services: Services, station: Station) -> None:
    import subprocess
    import sys

    from fleet.settings import save
    from tests.servers import wait_for_port

    port = free_port()
    save(msgspec.structs.replace(services.settings, seedlink=f"127.0.0.1:{port}", seedlink_metrics=""))
    command = [sys.executable, "-m", "fleet.cli", "seedlink", "--data", str(services.settings.data_dir)]
    client = Client4(port, "XX_RS001", "*:2")
    for life in range(3):
        program = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port, WITHIN_S)
            client.start(all_data=True)
            numbers = range(5 * life, 5 * life + 5)
            station.send(*(record(n, samples=400, rate_hz=200.0, counts=loud(n)) for n in numbers))
            until(lambda life=life: len(client.samples()) >= 2000 * life + 1000)
        finally:
            program.kill()
            program.wait(WITHIN_S)
            client.cut()
    got = client.samples()
    assert got == [value for n in range(15) for value in loud(n)][: len(got)]
    assert len(got) >= 5000
