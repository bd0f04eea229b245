"""The whole way: a gateway's own enrolment code against the fleet's own door, over TLS; then OpenSSL as a broker."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from werkzeug.serving import make_server

from edge.clock import SystemClock
from edge.enrolment import Enrolment
from edge.identity import IdentityFolder
from edge.trust import make_context
from fleet.app import create_app
from fleet.authority import store
from fleet.bootstrap import Services, bootstrap
from fleet.certificates import service as certificates
from fleet.claims import service as claims
from fleet.claims.service import Intended
from provisioning import authority
from provisioning.keys import dump_key, make_key
from tests.edge.fleet import ScriptedFleet
from tests.fleet.conftest import Clock
from tests.fleet.identity import GATEWAY, add_claim, found_authority
from tests.servers import find_mosquitto, free_port, running

NS = 1_000_000_000
DAY_NS = 86_400 * NS


class Door:
    """The fleet's door on a free port, under a certificate of its own authority."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.ca_sha256 = store.fingerprint(services.authority.services.root)
        key, issuer = make_key(), services.authority.services
        certificate = authority.issue_server(
            issuer, ["127.0.0.1"], key.public_key(), store.to_datetime(services.clock())
        )
        self.cert_file, self.key_file = folder / "door.crt", folder / "door.key"
        self.cert_file.write_bytes(authority.to_pem([certificate, *issuer.intermediates]))
        self.key_file.write_bytes(dump_key(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        app = create_app(services)
        self._server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def door(services: Services, tmp_path: Path) -> Iterator[Door]:
    found_authority(services)
    door = Door(services, tmp_path)
    yield door
    door.close()


def gateway(tmp_path: Path, door: Door, claim: str, name: str = "gateway", **more: str) -> Enrolment:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    said = {"url": door.url, "ca_sha256": door.ca_sha256, "claim": claim, **more}
    (folder / "enrol.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in said.items()))
    return Enrolment(folder / "enrol.toml", folder / "data")


def clock_at(now_ns: int, *, is_synced: bool) -> SystemClock:
    return SystemClock(wall_ns=lambda: now_ns, is_synced=lambda: is_synced)


def get_in(enrolment: Enrolment, machine: SystemClock) -> list[str]:
    """Enrol once, and return what people were told."""
    told: list[str] = []

    async def run() -> None:
        keeper = enrolment.keeper(machine, lambda event, detail: told.append(f"{event}: {detail}"))
        async with asyncio.timeout(30):
            await keeper.enrol()

    asyncio.run(run())
    return told


YEAR_NS = 365 * DAY_NS


@pytest.mark.parametrize(
    "shift_ns",
    [
        pytest.param(0, id="right clock"),
        pytest.param(-1_790_000_000 * NS, id="1970"),
        pytest.param(-YEAR_NS, id="a year behind"),
        pytest.param(YEAR_NS, id="a year ahead"),
    ],
)
def test_a_gateway_gets_in_whatever_its_clock_says(
    tmp_path: Path,
    door: Door,
    clock: Clock,
    shift_ns: int,
) -> None:
    enrolment = gateway(tmp_path, door, add_claim(door.services))
    machine = clock_at(clock.now_ns + shift_ns, is_synced=False)
    assert get_in(enrolment, machine) == [f"enrolled: as {GATEWAY}"]
    folder = enrolment.identity
    issued = folder.read()
    assert issued is not None
    assert issued.gateway == GATEWAY
    assert folder.key_file.stat().st_mode & 0o777 == 0o600
    assert enrolment.identity.defaults()["uplink"]["url"] == issued.broker


def test_a_fleet_whose_certificate_is_another_is_never_told_the_claim(tmp_path: Path, door: Door) -> None:
    enrolment = gateway(tmp_path, door, add_claim(door.services), ca_sha256="0" * 64)
    told: list[str] = []

    async def run() -> None:
        keeper = enrolment.keeper(SystemClock(), lambda event, detail: told.append(f"{event}: {detail}"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await keeper.enrol()

    asyncio.run(run())
    assert "is not the fleet that is meant" in told[0]
    assert "ca_sha256" in told[0]
    assert enrolment.identity.read() is None
    with door.services.database.reading() as session:
        assert not certificates.list_of_gateway(session, GATEWAY)


def test_openssl_as_a_broker_lets_the_gateway_in_until_it_is_revoked(
    tmp_path: Path,
    door: Door,
    clock: Clock,
) -> None:
    enrolment = gateway(tmp_path, door, add_claim(door.services))
    get_in(enrolment, clock_at(clock.now_ns, is_synced=False))
    identity, issuer = enrolment.identity, door.services.authority.gateways
    trusted = tmp_path / "gateways.pem"
    trusted.write_bytes(authority.to_pem(issuer.chain))
    assert greet(door, trusted, identity, clock, tmp_path) is True
    with door.services.database.writing() as session:
        certificates.revoke(session, GATEWAY, "stolen", "admin", clock.now_ns)
    assert greet(door, trusted, identity, clock, tmp_path) is False


def greet(door: Door, trusted: Path, identity: IdentityFolder, clock: Clock, tmp_path: Path) -> bool:
    """Whether `openssl s_server`, with our list of what was revoked, takes the gateway's certificate."""
    with door.services.database.reading() as session:
        (tmp_path / "list.pem").write_bytes(certificates.make_crl(session, door.services.authority, clock.now_ns))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    at = str(clock.now_ns // NS)
    words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-naccept", "1", "-rev", "-tls1_2"]
    words += ["-cert", str(door.cert_file), "-cert_chain", str(door.cert_file), "-key", str(door.key_file)]
    words += ["-CAfile", str(trusted), "-Verify", "3", "-verify_return_error", "-attime", at]
    words += ["-crl_check", "-CRL", str(tmp_path / "list.pem"), "-crl_download"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ})
    assert server.stdout is not None
    try:
        while b"ACCEPT" not in server.stdout.readline():
            assert server.poll() is None
        context = make_context(
            identity.ca_file, identity.cert_file, identity.key_file, is_synced=False, floor_ns=clock.now_ns
        )
        plain = socket.create_connection(("127.0.0.1", port), 10)
        try:
            with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"hello\n")
                return secure.recv(100).startswith(b"olleh")
        except (ssl.SSLError, ConnectionError):
            return False
    finally:
        server.kill()
        server.communicate()


def test_a_server_whose_certificate_expired_before_the_floor_is_none_of_ours(
    tmp_path: Path,
    door: Door,
    clock: Clock,
) -> None:
    enrolment = gateway(tmp_path, door, add_claim(door.services))
    get_in(enrolment, clock_at(clock.now_ns, is_synced=False))
    assert [shakes_hands(door, enrolment, clock.now_ns + days * DAY_NS) for days in (0, 89, 91)] == [True, True, False]


def shakes_hands(door: Door, enrolment: Enrolment, floor_ns: int) -> bool:
    host, _, port = door.url.removeprefix("https://").partition(":")
    context = make_context(enrolment.identity.ca_file, None, None, is_synced=False, floor_ns=floor_ns)
    with socket.create_connection((host, int(port)), 10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            return "expired" not in str(error)
    return True


@contextmanager
def mosquitto(door: Door, folder: Path, secure: int) -> Iterator[int]:
    """Mosquitto with the rules for gateways, and a second door for a scripted fleet."""
    program = find_mosquitto()
    assert program is not None
    plain = free_port()
    trusted, crl, acl, config = (folder / name for name in ("gateways.pem", "gateways.crl", "acl", "mosquitto.conf"))
    trusted.write_bytes(authority.to_pem(door.services.authority.gateways.chain))
    with door.services.database.reading() as session:
        crl.write_bytes(certificates.make_crl(session, door.services.authority, door.services.clock()))
    acl.write_text("pattern write fs/1/%u/up/#\npattern read fs/1/%u/down/#\n")
    config.write_text(
        f"per_listener_settings true\nuser root\n"
        f"listener {secure} 127.0.0.1\ncafile {trusted}\ncrlfile {crl}\n"
        f"certfile {door.cert_file}\nkeyfile {door.key_file}\n"
        f"require_certificate true\nuse_identity_as_username true\nacl_file {acl}\n"
        f"listener {plain} 127.0.0.1\nallow_anonymous true\n"
    )
    with running([program, "-c", str(config)], plain):
        yield plain


BARE = '[health]\nlisten = ""\n'


@asynccontextmanager
async def fleet_and_agent(
    tmp_path: Path, services: Services, config: str, claim: Callable[[Services], str]
) -> AsyncIterator[tuple[Services, ScriptedFleet, Enrolment]]:
    """A fleet with its door, a broker for gateways alone, and an agent that has nothing but an ``enrol.toml``."""
    secure = free_port()
    told = msgspec.structs.replace(services.settings, gateways_broker_url=f"mqtts://127.0.0.1:{secure}")
    services = bootstrap(told)  # the broker's clock is the machine's
    found_authority(services)
    door = Door(services, tmp_path)
    try:
        with mosquitto(door, tmp_path, secure) as plain:
            box = gateway(tmp_path, door, claim(services))
            (tmp_path / "gateway/gateway.toml").write_text(config.format(secure=secure))
            words = [sys.executable, "-m", "edge.cli", "run", "--config", str(tmp_path / "gateway/gateway.toml")]
            async with ScriptedFleet(plain) as fleet:
                agent = await asyncio.create_subprocess_exec(*words, "--data", str(tmp_path / "gateway/data"))
                try:
                    async with asyncio.timeout(60):
                        yield services, fleet, box
                finally:
                    agent.terminate()
                    await agent.wait()
    finally:
        door.close()
        services.close()


async def hello_of(fleet: ScriptedFleet) -> str:
    while not fleet.hellos:
        fleet.changed.clear()
        await fleet.changed.wait()
    return fleet.hellos[0].gateway


needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.mark.peer
@needs_mosquitto
async def test_a_box_with_nothing_but_a_claim_says_hello_under_mutual_tls(tmp_path: Path, services: Services) -> None:
    async with fleet_and_agent(tmp_path, services, BARE, add_claim) as (_, fleet, _):
        assert await hello_of(fleet) == GATEWAY


NAMED = f"""
[gateway]
id = "{GATEWAY}"

[uplink]
url = "mqtts://127.0.0.1:{{secure}}"

[health]
listen = ""
"""


@pytest.mark.peer
@needs_mosquitto
async def test_an_agent_runs_before_its_local_code_is_scanned_and_enrols_beside(
    tmp_path: Path, services: Services
) -> None:
    async with fleet_and_agent(tmp_path, services, NAMED, lambda _: "") as (fleets, fleet, box):
        made = (box.identity.key_file, tmp_path / "gateway/data/spool.sqlite3")
        while not all(path.exists() for path in made):  # noqa: ASYNC110 (another process makes them)
            await asyncio.sleep(0.05)
        code, key = box.identity.local_code(), box.identity.fingerprint()
        with fleets.database.writing() as session:
            claims.scan_local(session, code, key, Intended(gateway=GATEWAY), "technician", fleets.clock())
        assert await hello_of(fleet) == GATEWAY
