"""Gateways by certificate, at our own broker and at Mosquitto: who gets in, and who is cut off."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from edge.broker import BrokerClient
from fleet import broker, mosquitto
from fleet.authority.store import to_datetime
from fleet.bootstrap import Services, bootstrap
from fleet.certificates import publishing
from fleet.certificates import service as certificates
from fleet.certificates.publishing import Announcer
from fleet.errors import SetupError
from fleet.gateways import service as gateways
from fleet.mosquitto import Doors
from fleet.settings import Settings
from provisioning import authority
from provisioning.authority import Purpose
from provisioning.keys import PUBLIC, dump_key, fingerprint, make_key, write_file
from tests.fleet import broker_fixtures as brokers
from tests.fleet import edge
from tests.fleet.broker_fixtures import client, has_mosquitto, receive
from tests.fleet.identity import found_authority
from tests.servers import free_port, running
from wire.topics import Down, Up, down_filter, format_topic

OTHER = "gw-other-0001"
NS = 1_000_000_000


class Site:
    """A broker that runs, the fleet whose gateways it lets in, and what they show to it."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services, self.folder = services, folder

    def issue(self, name: str, key: EllipticCurvePrivateKey | None = None, label: str = "") -> ssl.SSLContext:
        key = key or make_key()
        with self.services.database.writing() as session:
            row = certificates.issue(session, self.services.authority, name, key.public_key(), self.services.clock())
            chain = row.pem.encode()
        return self.context(label or name, key, chain)

    def context(self, label: str, key: EllipticCurvePrivateKey, chain: bytes) -> ssl.SSLContext:
        root = self.folder / "root.pem"
        root.write_bytes(authority.to_pem([self.services.authority.services.root]))
        context = ssl.create_default_context(cafile=root)
        write_file(self.folder / f"{label}.key", dump_key(key))
        write_file(self.folder / f"{label}.crt", chain, PUBLIC)
        context.load_cert_chain(self.folder / f"{label}.crt", self.folder / f"{label}.key")
        return context

    @property
    def secure(self) -> tuple[str, int]:
        host, port = self.services.settings.mqtts.split(":")
        return host, int(port)

    @asynccontextmanager
    async def gateway(self, context: ssl.SSLContext, name: str = edge.GATEWAY, **more: Any) -> Any:
        host, port = self.secure
        more = {"timeout": 5, **more}
        async with BrokerClient(
            host, port, identifier=name, tls_context=context, protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True, **more,
        ) as connected:  # fmt: skip
            yield connected

    @asynccontextmanager
    async def service(self, role: str = "fleet:test") -> Any:
        settings = self.services.settings
        async with client(settings, settings.broker_user, settings.broker_password, role) as connected:
            yield connected

    def revoke(self, name: str) -> None:
        with self.services.database.writing() as session:
            certificates.revoke(session, name, "stolen", "admin", self.services.clock())
        publishing.publish_crl(self.services)


def make_services(settings: Settings) -> Services:
    """A fleet on the machine's clock, for that is the brokers', with an authority and two gateways."""
    plain, secure = free_port(), free_port()
    settings = msgspec.structs.replace(settings, mqtt=f"127.0.0.1:{plain}", mqtts=f"127.0.0.1:{secure}")
    made = bootstrap(settings)
    found_authority(made)
    key, issuer = make_key(), made.authority.services
    server = authority.issue_server(issuer, ["127.0.0.1"], key.public_key(), authority_time(made))
    write_file(settings.data_dir / settings.mqtts_key_file, dump_key(key))
    write_file(settings.data_dir / settings.mqtts_cert_file, authority.to_pem([server, *issuer.intermediates]), PUBLIC)
    with made.database.writing() as session:
        for name in (edge.GATEWAY, OTHER):
            gateways.register(session, name, "", None, made.clock())
    return made


def authority_time(services: Services) -> datetime:
    return to_datetime(services.clock())


@contextmanager
def run_mosquitto(services: Services) -> Iterator[subprocess.Popen[bytes]]:
    settings, folder = services.settings, services.settings.data_dir / "mosquitto"
    folder.mkdir()
    *_, config = mosquitto.write_files(services, folder, Doors(settings.mqtts, settings.mqtt))
    (folder / mosquitto.PASSWORDS).touch(mode=0o600)
    words = ["mosquitto_passwd", "-b", str(folder / mosquitto.PASSWORDS)]
    subprocess.run([*words, settings.broker_user, settings.broker_password], check=True, capture_output=True)
    with config.open("a") as more:
        more.write("user root\n" if os.geteuid() == 0 else "")
    program = (
        "mosquitto"
        if subprocess.run(["which", "mosquitto"], capture_output=True).returncode == 0
        else ("/usr/sbin/mosquitto")
    )
    with running([program, "-c", str(config)], int(settings.mqtt.split(":")[1])) as process:
        yield process


NEEDS_MOSQUITTO = [
    pytest.mark.peer,
    pytest.mark.skipif(not has_mosquitto(), reason="mosquitto is not installed"),
]


KINDS = ["own", pytest.param("supervised", marks=NEEDS_MOSQUITTO), pytest.param("mosquitto", marks=NEEDS_MOSQUITTO)]


@pytest.fixture(scope="module", params=KINDS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Iterator[Site]:
    """One of each kind for all tests: what they issue and revoke adds up, as it does in a fleet."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copyfile(migrated_sqlite, folder / "fleet.db")
    made = make_services(Settings(data_dir=folder, broker_password="service-secret", secret_key="signing-key"))
    if request.param == "supervised":
        supervised = msgspec.structs.replace(made.settings, broker_program="mosquitto")
        made = dataclasses.replace(made, settings=supervised)
    place = Site(made, folder)
    if request.param != "mosquitto":
        with brokers.own_broker(made.settings, look_every_s=0.5):
            yield place
    else:
        with run_mosquitto(made) as process:
            settings, hangup = made.settings, ("kill", "-HUP", str(process.pid))
            told = {"broker_url": f"mqtt://{settings.mqtt}", "gateways_broker_url": f"mqtts://{settings.mqtts}"}
            external = msgspec.structs.replace(settings, broker_reload=hangup, **told)
            place.services = dataclasses.replace(made, settings=external)
            yield place
    made.close()


async def is_refused(site: Site, context: ssl.SSLContext, name: str = edge.GATEWAY, **more: Any) -> bool:
    try:
        async with site.gateway(context, name, **more) as connected:
            await connected.subscribe(down_filter(name), qos=1)
    except (aiomqtt.MqttError, OSError):
        return True
    return False


async def test_gateway_gets_in_by_its_certificate_and_is_heard_and_told(site: Site) -> None:
    async with site.service() as fleet, site.gateway(site.issue(edge.GATEWAY)) as gateway:
        await fleet.subscribe("fs/1/+/up/+", qos=1)
        await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
        await gateway.publish(format_topic(edge.GATEWAY, Up.HELLO), b"own", qos=1)
        assert (await receive(fleet)).payload == b"own"
        await fleet.publish(format_topic(edge.GATEWAY, Down.GREET), b"told", qos=1)
        assert (await receive(gateway)).payload == b"told"


async def test_nobody_gets_in_without_a_certificate_or_by_one_of_a_foreign_authority(site: Site) -> None:
    good = site.issue(edge.GATEWAY)
    bare = ssl.create_default_context(cafile=site.folder / "root.pem")
    assert await is_refused(site, bare)
    assert await is_refused(site, bare, username=edge.GATEWAY, password="guessed")
    key = make_key()
    foreign = authority.make_root(Purpose.GATEWAYS, make_key(), "Fengsui", authority_time(site.services))
    alien = authority.issue_gateway(foreign, edge.GATEWAY, key.public_key(), authority_time(site.services))
    assert await is_refused(site, site.context("alien", key, authority.to_pem([alien])))
    assert not await is_refused(site, good), "the others are turned away, and it is not"


async def test_certificate_of_a_service_is_none_of_a_gateway(site: Site) -> None:
    key = make_key()
    issuer = site.services.authority.services
    made = authority.issue_service(issuer, edge.GATEWAY, key.public_key(), authority_time(site.services))
    assert await is_refused(site, site.context("service", key, authority.to_pem([made, *issuer.intermediates])))


def sign(site: Site, key: EllipticCurvePrivateKey, name: str, ends: timedelta) -> bytes:
    """What the authority would not issue, by its own key."""
    issuer, now = site.services.authority.gateways, authority_time(site.services)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)] if name else []
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - authority.BACKDATED)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(issuer.key, SHA256())
    )
    return authority.to_pem([made, *issuer.intermediates])


@pytest.mark.parametrize(("hours", "is_good"), [(1, True), (-1, False)])
async def test_expired_certificate_is_refused(site: Site, hours: int, is_good: bool) -> None:
    key = make_key()
    context = site.context("expired", key, sign(site, key, edge.GATEWAY, timedelta(hours=hours)))
    assert await is_refused(site, context) is not is_good


async def test_a_gateway_sends_and_reads_only_below_its_own_name(site: Site) -> None:
    async with (
        site.service() as fleet,
        site.gateway(site.issue(edge.GATEWAY)) as gateway,
        site.gateway(site.issue(OTHER), OTHER) as other,
    ):
        await fleet.subscribe("fs/#", qos=1)
        for forbidden in (format_topic(OTHER, Up.HELLO), format_topic(edge.GATEWAY, Down.GREET), "elsewhere"):
            await gateway.publish(forbidden, b"forged", qos=0)
        await gateway.publish(format_topic(edge.GATEWAY, Up.HELLO), b"own", qos=1)
        assert (await receive(fleet)).payload == b"own"
        with suppress(aiomqtt.MqttError):  # refused, or silently never served: both are right
            await other.subscribe(down_filter(edge.GATEWAY), qos=1)
        with suppress(aiomqtt.MqttError):
            await other.subscribe("#", qos=1)
        await fleet.publish(format_topic(edge.GATEWAY, Down.GREET), b"secret", qos=1)
        with pytest.raises((TimeoutError, aiomqtt.MqttError)):
            await receive(other, timeout_s=0.5)


async def test_last_will_is_held_to_the_same_rules(site: Site) -> None:
    will = aiomqtt.Will(format_topic(OTHER, Up.HELLO), b"forged", qos=1)
    context = site.issue(edge.GATEWAY)
    async with site.service() as fleet:
        await fleet.subscribe("fs/#", qos=1)
        with suppress(aiomqtt.MqttError):
            async with site.gateway(context, will=will) as gateway:
                gateway._client.socket().shutdown(socket.SHUT_RDWR)
                await asyncio.sleep(0.3)
        with pytest.raises(TimeoutError):
            await receive(fleet, timeout_s=1.0)


async def test_another_gateways_client_id_displaces_nobody(site: Site) -> None:
    async with site.service() as fleet, site.gateway(site.issue(edge.GATEWAY)) as gateway:
        await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
        with suppress(aiomqtt.MqttError):
            async with site.gateway(site.issue(OTHER), edge.GATEWAY) as thief:
                await thief.subscribe(down_filter(edge.GATEWAY), qos=1)
        await fleet.publish(format_topic(edge.GATEWAY, Down.GREET), b"still there", qos=1)
        assert (await receive(gateway)).payload == b"still there"


async def test_user_name_of_another_gives_none_of_its_rights(site: Site) -> None:
    async with site.service() as fleet:
        await fleet.subscribe("fs/#", qos=1)
        with suppress(aiomqtt.MqttError):
            async with site.gateway(site.issue(OTHER), OTHER, username=edge.GATEWAY, password="x") as thief:
                await thief.publish(format_topic(edge.GATEWAY, Up.HELLO), b"forged", qos=1)
        with pytest.raises(TimeoutError):
            await receive(fleet, timeout_s=1.0)


ODD = ["fleet", "+", "#", "gw-yufu-0001/up", "GW-YUFU-0001", "gw-\u202e-0001", ""]


async def test_certificate_of_an_odd_name_is_of_no_use(site: Site) -> None:
    async def forge(number: int, odd: str) -> None:
        key = make_key()
        context = site.context(f"odd{number}", key, sign(site, key, odd, authority.GATEWAY_LIFETIME))
        with suppress(aiomqtt.MqttError, OSError):
            async with site.gateway(context, odd or "none", timeout=2) as thief:
                await thief.publish(format_topic(edge.GATEWAY, Up.HELLO), f"forged by '{odd}'".encode(), qos=0)
                await asyncio.sleep(0.2)

    async with site.service() as fleet:
        await fleet.subscribe("fs/#", qos=1)
        await asyncio.gather(*(forge(number, odd) for number, odd in enumerate(ODD)))
        with pytest.raises(TimeoutError):
            pytest.fail(repr((await receive(fleet, timeout_s=0.5)).payload))


async def test_revoked_gateway_gets_in_no_more(site: Site) -> None:
    context = site.issue(edge.GATEWAY)
    assert not await is_refused(site, context)
    site.revoke(edge.GATEWAY)
    for _ in range(50):
        if await is_refused(site, context):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("it still gets in")
    assert not await is_refused(site, site.issue(OTHER), OTHER)


async def stay_until_cut(site: Site, context: ssl.SSLContext) -> None:
    async with site.gateway(context) as gateway:
        await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
        site.revoke(edge.GATEWAY)
        await Announcer(site.services).announce()
        await receive(gateway, timeout_s=15)


async def test_live_connection_of_a_revoked_gateway_is_cut(site: Site) -> None:
    """Our own broker looks by itself, every few seconds; at Mosquitto the authority takes the connection over."""
    async with site.gateway(site.issue(OTHER), OTHER) as other:
        await other.subscribe(down_filter(OTHER), qos=1)
        context = site.issue(edge.GATEWAY)
        with pytest.raises(aiomqtt.MqttError):
            await stay_until_cut(site, context)
        assert await is_refused(site, context), "nor does it come back"
        async with site.service() as fleet:
            await fleet.publish(format_topic(OTHER, Down.GREET), b"still there", qos=1)
            assert (await receive(other)).payload == b"still there"


async def test_identity_that_a_claim_has_replaced_is_cut_while_its_successor_stays(site: Site) -> None:
    await Announcer(site.services).announce()  # of whom others revoked
    old = site.issue(edge.GATEWAY)
    key = make_key()
    new = site.issue(edge.GATEWAY, key, "new")
    with site.services.database.writing() as session:
        kept = fingerprint(key.public_key())
        now_ns = site.services.clock()
        certificates.revoke(session, edge.GATEWAY, "replaced by a new identity", "", now_ns, keep_key=kept)
    assert await Announcer(site.services).announce() == 1
    assert await Announcer(site.services).announce() == 0, "once is enough"
    for _ in range(100):
        if await is_refused(site, old):
            break
        await asyncio.sleep(0.1)
    assert await is_refused(site, old)
    assert not await is_refused(site, new)


async def test_message_that_is_too_large_harms_nobody(site: Site) -> None:
    context = site.issue(edge.GATEWAY)
    async with site.service() as fleet:
        await fleet.subscribe("fs/1/+/up/hello", qos=1)
        with suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with site.gateway(context) as gateway:
                gateway._client.publish(format_topic(edge.GATEWAY, Up.BATCH), bytes(8 * 1024 * 1024), qos=1)
                await receive(gateway, timeout_s=3)  # nothing comes: it is cut off, or its message is dropped
        async with site.gateway(context) as gateway:
            await gateway.publish(format_topic(edge.GATEWAY, Up.HELLO), b"well", qos=1)
        assert (await receive(fleet)).payload == b"well"


async def send_beginning_of_a_giant(site: Site) -> None:
    async with site.gateway(site.issue(edge.GATEWAY)) as gateway:
        topic = format_topic(edge.GATEWAY, Up.BATCH).encode()
        # PUBLISH, a remaining length of 256 MiB (MQTT 3.1.1, 2.2.3), the topic, and then nothing
        gateway._client.socket().send(b"\x30\xff\xff\xff\x7f" + len(topic).to_bytes(2, "big") + topic)
        await receive(gateway, timeout_s=10)


async def test_packet_that_says_it_is_too_large_ends_its_connection_before_its_octets_come(site: Site) -> None:
    async with site.gateway(site.issue(OTHER), OTHER) as other:
        await other.subscribe(down_filter(OTHER), qos=1)
        with pytest.raises(aiomqtt.MqttError):
            await send_beginning_of_a_giant(site)
        async with site.service() as fleet:
            await fleet.publish(format_topic(OTHER, Down.GREET), b"still there", qos=1)
            assert (await receive(other)).payload == b"still there"


@asynccontextmanager
async def broker_here(settings: Settings) -> AsyncIterator[None]:
    """Run our own broker in this process."""
    brokers.save(settings)
    ready = asyncio.Event()
    serving = asyncio.create_task(broker.run(settings, ready))
    try:
        await asyncio.wait_for(ready.wait(), 20)
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_stranger_who_never_begins_the_handshake_is_sent_away(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "CONNECT_WITHIN_S", 0.3)
    made = make_services(services.settings)
    async with broker_here(made.settings):
        host, port = made.settings.mqtts.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    made.close()


async def test_a_token_opens_nothing_once_tokens_are_switched_off(services: Services) -> None:
    made = make_services(services.settings)
    with made.database.writing() as session:
        _, token = gateways.register(session, "gw-token-0001", "", None, made.clock())
    for is_open in (True, False):
        settings = msgspec.structs.replace(made.settings, gateway_tokens=is_open)
        async with broker_here(settings):
            let_in = True
            try:
                async with client(settings, "gw-token-0001", token):
                    pass
            except aiomqtt.MqttError:
                let_in = False
            assert let_in is is_open
            async with client(settings, settings.broker_user, settings.broker_password, "fleet:test"):
                pass
    made.close()


async def test_crowd_that_never_says_who_it_is_keeps_no_gateway_out(site: Site) -> None:
    context = site.issue(edge.GATEWAY)
    idle = [socket.create_connection(site.secure, 5) for _ in range(100)]
    try:
        assert not await is_refused(site, context)
    finally:
        for one in idle:
            one.close()


async def test_one_that_cannot_be_cut_off_keeps_no_other_from_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_services(services.settings)
    site = Site(made, made.settings.data_dir)
    for name in (edge.GATEWAY, OTHER):
        site.issue(name)
        site.revoke(name)
    tried = []

    async def take_over(_services: Services, gateway: str) -> None:
        tried.append(gateway)
        if gateway == edge.GATEWAY:
            raise SetupError("the broker is away", hint="")

    monkeypatch.setattr(publishing, "take_over", take_over)
    with pytest.raises(SetupError):
        await Announcer(site.services).announce()
    assert sorted(tried) == sorted((edge.GATEWAY, OTHER))
    with site.services.database.reading() as session:
        assert set(certificates.find_untold(session)) == {edge.GATEWAY}, "it is tried again"
    made.close()
