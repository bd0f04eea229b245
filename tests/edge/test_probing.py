"""A renewed certificate is shown to the broker before the uplink depends on it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge import enrolment
from edge.identity import IdentityFolder
from edge.probing import Answer, Probe
from provisioning import authority
from provisioning.authority import Issuer, Purpose
from provisioning.keys import dump_key, make_key
from provisioning.requests import read_request
from tests.edge.test_enrolment import GATEWAY, NOW_NS, PUBLIC, Chance, ScriptedDoor, clock_at, give
from tests.provisioning.test_authority import found
from wire.claim import Issued

NOW = datetime.now(UTC)
DAY_NS = 86_400_000_000_000


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return found(now=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path)


class Broker:
    """The TLS of a broker that wants certificates: shakes hands, and waits for MQTT that never comes."""

    def __init__(self, context: ssl.SSLContext, *, hangs_up: bool = False) -> None:
        self._context = context
        self._hangs_up = hangs_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.url = f"mqtts://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    if not self._hangs_up:
                        secure.recv(1)
            except OSError:
                continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def broker(tmp_path: Path, issuer: Issuer, trusts: Issuer, newest: ssl.TLSVersion, **options) -> Iterator[Broker]:
    key = make_key()
    leaf = authority.issue_server(issuer, ["127.0.0.1"], key.public_key(), NOW)
    (tmp_path / "server.pem").write_bytes(authority.to_pem([leaf, *issuer.intermediates]))
    (tmp_path / "server.key").write_bytes(dump_key(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(cadata=authority.to_pem([trusts.root]).decode())
    context.verify_mode = ssl.CERT_REQUIRED
    running = Broker(context, **options)
    try:
        yield running
    finally:
        running.close()


def identity(issuer: Issuer, folder: IdentityFolder, servers: Issuer, url: str) -> Issued:
    leaf = authority.issue_gateway(issuer, GATEWAY, read_request(folder.request().encode()), NOW)
    return Issued(
        gateway=GATEWAY,
        certificate=authority.to_pem([leaf, *issuer.intermediates]).decode(),
        ca=authority.to_pem([servers.root]).decode(),
        broker=url,
        command_key=PUBLIC,
        time_ns=int(NOW.timestamp()) * 1_000_000_000,
    )


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_broker_says_which_certificate_it_takes(
    tmp_path: Path, folder: IdentityFolder, issuer: Issuer, newest: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.probing.ALERT_S", 0.3)
    servers, foreign = found(Purpose.SERVICES, NOW), found(now=NOW)
    probe = Probe(folder, lambda: False)
    with broker(tmp_path, servers, issuer, newest) as running:
        assert probe.ask(identity(issuer, folder, servers, running.url)) == (Answer.TAKEN, "")
        answer, why = probe.ask(identity(foreign, folder, servers, running.url))
        assert answer is Answer.REFUSED
        assert "does not know the authority" in why
    assert not folder.probed_cert_file.exists()
    assert not folder.probed_ca_file.exists()


def test_broker_that_is_not_ours_or_hangs_up_takes_nothing(
    tmp_path: Path, folder: IdentityFolder, issuer: Issuer
) -> None:
    servers, others = found(Purpose.SERVICES, NOW), found(Purpose.SERVICES, NOW)
    probe = Probe(folder, lambda: False)
    with broker(tmp_path, servers, issuer, ssl.TLSVersion.TLSv1_3, hangs_up=True) as running:
        assert probe.ask(identity(issuer, folder, others, running.url))[0] is Answer.REFUSED
        answer, why = probe.ask(identity(issuer, folder, servers, running.url))
        assert answer is Answer.REFUSED
        assert "hung up" in why


def test_broker_that_is_not_reached_says_nothing(folder: IdentityFolder, issuer: Issuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mqtts://127.0.0.1:{server.getsockname()[1]}"
    probe = Probe(folder, lambda: False)
    assert probe.ask(identity(issuer, folder, issuer, url))[0] is Answer.UNKNOWN
    assert probe.ask(identity(issuer, folder, issuer, "nowhere"))[0] is Answer.REFUSED
    assert probe.ask(identity(issuer, folder, issuer, "mqtt://127.0.0.1:1")) == (Answer.TAKEN, "")


class Uplink:
    """Connected as long as the identity in use is one that its broker lets in."""

    def __init__(self, *lets_in: Issued) -> None:
        self._lets_in = lets_in
        self.taken: list[Issued] = []

    def take(self, issued: Issued) -> None:
        self.taken.append(issued)

    def is_connected(self) -> bool:
        return not self.taken or self.taken[-1] in self._lets_in


async def renew(
    folder: IdentityFolder, uplink: Uplink, later: Issued, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str]]:
    """Run a keeper whose certificate is due until it has asked the fleet and settled. Returns what it told."""
    for name, seconds in (("SETTLE_S", 0.05), ("SETTLE_LOOK_S", 0.01), ("PROBE_S", 0.05), ("LOOK_S", 0.0)):
        monkeypatch.setattr(enrolment, name, seconds)
    told: list[tuple[str, str]] = []
    script = iter(answers)
    settled = asyncio.Event()

    class Settles(Chance):
        """The pause after a renewal is where the test ends."""

        def random(self) -> float:
            return 0.5

    async def sleep(seconds: float, real=asyncio.sleep) -> None:
        if seconds >= enrolment.RENEWED_PAUSE_S:
            settled.set()
        await real(min(seconds, 0.01))

    monkeypatch.setattr(enrolment.asyncio, "sleep", sleep)
    keeper = enrolment.Keeper(
        ScriptedDoor(later, later),
        folder,
        clock_at(NOW_NS + 11 * DAY_NS),
        Settles(),
        lambda *line: told.append(line),
        "",
        lambda _: (next(script, answers[-1]), "an alert"),
    )
    task = asyncio.create_task(keeper.run(uplink.take, uplink.is_connected))
    try:
        await asyncio.wait_for(settled.wait(), 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return told


async def test_certificate_that_the_broker_takes_is_used(
    issuer: Issuer, folder: IdentityFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.keep(give(issuer, folder))
    later = give(issuer, folder, time_ns=NOW_NS + DAY_NS)
    uplink = Uplink(later)
    told = await renew(folder, uplink, later, [Answer.UNKNOWN, Answer.TAKEN], monkeypatch)
    assert [event for event, _ in told] == ["renewed"]
    assert folder.read() == later


async def test_certificate_that_the_broker_refuses_is_not_used(
    issuer: Issuer, folder: IdentityFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = give(issuer, folder)
    folder.keep(before)
    later = give(issuer, folder, time_ns=NOW_NS + DAY_NS)
    uplink = Uplink(before)
    told = await renew(folder, uplink, later, [Answer.REFUSED], monkeypatch)
    assert [event for event, _ in told] == ["renewal-refused"]
    assert uplink.taken == []
    assert folder.read() == before


async def test_certificate_that_does_not_let_the_gateway_in_gives_way_to_the_one_before(
    issuer: Issuer, folder: IdentityFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = give(issuer, folder)
    folder.keep(before)
    later = give(issuer, folder, time_ns=NOW_NS + DAY_NS)
    uplink = Uplink(before)
    told = await renew(folder, uplink, later, [Answer.UNKNOWN], monkeypatch)
    assert [event for event, _ in told] == ["renewed", "renewal-returned"]
    assert uplink.taken == [later, before]
    assert folder.read() == before
