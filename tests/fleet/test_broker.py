"""One small suite over both brokers: who may sign in, who may send and read what, and the whole conversation."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import msgspec
import pytest
import sqlalchemy as sa

from edge.supervise import end
from fleet.bootstrap import Services, bootstrap
from fleet.configs import service as configs
from fleet.gateways import service as gateways
from fleet.ingest import Ingest
from fleet.readings.models import Record
from fleet.settings import Settings
from tests.fleet import edge
from tests.fleet.broker_fixtures import client, has_mosquitto, mosquitto, own_broker, receive, until, with_broker_port
from wire.codec import KINDS, decode, encode
from wire.conversation import Ack, Greet, Refused, Welcome
from wire.record import Lane
from wire.topics import Down, Up, down_filter, format_topic, parse_topic
from wire.twin import Desired

OTHER = "gw-other-0001"


class Site:
    """A running broker, and the tokens of two gateways registered there."""

    def __init__(self, settings: Settings, tokens: dict[str, str]) -> None:
        self.settings = settings
        self.tokens = tokens

    def gateway(self, name: str = edge.GATEWAY, identifier: str | None = None) -> object:
        return client(self.settings, name, self.tokens[name], identifier)


@pytest.fixture(
    scope="module",
    params=[
        "own",
        pytest.param(
            "mosquitto",
            marks=[pytest.mark.peer, pytest.mark.skipif(not has_mosquitto(), reason="mosquitto is not installed")],
        ),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Iterator[Site]:
    """One of each kind for all tests; of its database only the conversation makes use."""
    folder, tokens = tmp_path_factory.mktemp(request.param), {}
    shutil.copyfile(migrated_sqlite, folder / "fleet.db")
    services = bootstrap(Settings(data_dir=folder, broker_password="service-secret", secret_key="signing-key"))
    with services.database.writing() as session:
        for name in (edge.GATEWAY, OTHER):
            tokens[name] = gateways.register(session, name, "", None, services.clock())[1]
    settings = with_broker_port(services)
    running = own_broker(settings) if request.param == "own" else mosquitto(settings, tokens)
    with running as in_effect:
        yield Site(in_effect, tokens)
    services.close()


async def test_a_wrong_token_or_an_unknown_name_is_refused(site: Site) -> None:
    for name, token in ((edge.GATEWAY, "wrong"), ("gw-stranger", "x"), (edge.GATEWAY, site.tokens[OTHER])):
        with pytest.raises(aiomqtt.MqttError):
            async with client(site.settings, name, token):
                pass


async def test_a_refused_stranger_does_not_cut_off_the_gateway_whose_name_it_uses(site: Site) -> None:
    user, password = site.settings.broker_user, site.settings.broker_password
    async with client(site.settings, user, password) as service, site.gateway() as gateway:  # type: ignore[attr-defined]
        await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
        for _ in range(3):
            with pytest.raises(aiomqtt.MqttError):
                async with client(site.settings, edge.GATEWAY, "wrong"):
                    pass
        await service.publish(format_topic(edge.GATEWAY, Down.GREET), b"still there", qos=1)
        assert (await receive(gateway)).payload == b"still there"


async def test_a_newer_connection_takes_over_from_the_older(site: Site) -> None:
    user, password = site.settings.broker_user, site.settings.broker_password
    async with client(site.settings, user, password) as service:
        with suppress(aiomqtt.MqttError):  # the older one ends badly, as it should
            async with site.gateway() as older:  # type: ignore[attr-defined]
                await older.subscribe(down_filter(edge.GATEWAY), qos=1)
                async with site.gateway() as newer:  # type: ignore[attr-defined]
                    await newer.subscribe(down_filter(edge.GATEWAY), qos=1)
                    await service.publish(format_topic(edge.GATEWAY, Down.GREET), b"to the newer", qos=1)
                    assert (await receive(newer)).payload == b"to the newer"
                    with pytest.raises(aiomqtt.MqttError):
                        await receive(older)


async def test_a_gateway_sends_and_reads_only_below_its_own_name(site: Site) -> None:
    user, password = site.settings.broker_user, site.settings.broker_password
    async with client(site.settings, user, password) as service, site.gateway() as gateway:  # type: ignore[attr-defined]
        await service.subscribe("fs/1/+/up/+", qos=1)
        for forbidden in (format_topic(OTHER, Up.HELLO), format_topic(edge.GATEWAY, Down.GREET), "elsewhere"):
            await gateway.publish(forbidden, b"forged", qos=0)
        await gateway.publish(format_topic(edge.GATEWAY, Up.HELLO), b"own", qos=1)
        received = await receive(service)
        assert (str(received.topic), received.payload) == (format_topic(edge.GATEWAY, Up.HELLO), b"own")
    async with site.gateway() as gateway, site.gateway(OTHER) as other:  # type: ignore[attr-defined]
        with suppress(aiomqtt.MqttError):  # refused, or silently never served: both are right
            await other.subscribe(down_filter(edge.GATEWAY), qos=1)
            await other.subscribe("#", qos=1)
        await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
        async with client(site.settings, user, password, "fleet-x") as service:
            await service.publish(format_topic(edge.GATEWAY, Down.GREET), b"secret", qos=1)
        assert (await receive(gateway)).payload == b"secret"
        with pytest.raises(TimeoutError):
            await receive(other, timeout_s=0.3)


class Conversation:
    """The edge's end, message by message."""

    def __init__(self, connected: aiomqtt.Client) -> None:
        self._client = connected

    async def say(self, kind: Up, message: object) -> None:
        await self._client.publish(format_topic(edge.GATEWAY, kind), encode(message), qos=1)  # type: ignore[arg-type]

    async def hear(self) -> object:
        message = await receive(self._client, timeout_s=20)  # a worker may still be starting
        return decode(message.payload, KINDS[parse_topic(str(message.topic)).kind])


async def test_the_conversation_from_hello_to_ack(site: Site) -> None:
    services = bootstrap(site.settings)
    ingest = Ingest(services)
    running = asyncio.create_task(ingest.run())
    try:
        await until(lambda: ingest.health()["ok"])
        async with site.gateway() as gateway:  # type: ignore[attr-defined]
            await gateway.subscribe(down_filter(edge.GATEWAY), qos=1)
            talk = Conversation(gateway)
            await talk.say(Up.BATCH, edge.batch("stale", 1, edge.scan(1, 1.0, 1.0)))
            assert isinstance(await talk.hear(), Greet)
            await talk.say(Up.HELLO, edge.hello())
            welcome = await talk.hear()
            assert isinstance(welcome, Welcome)
            await talk.say(Up.BATCH, edge.batch(welcome.session, 1, *(edge.scan(n, 1.0, 2.0) for n in range(1, 301))))
            assert await talk.hear() == Ack(session=welcome.session, epoch="e1", lane=Lane.MEASUREMENTS, committed=300)
            await talk.say(Up.BATCH, edge.batch(welcome.session, 500, edge.scan(1, 1.0, 1.0), round=2))
            refused = await talk.hear()
            assert isinstance(refused, Refused)
            assert (refused.round, refused.expected) == (2, 301)
            await talk.say(Up.REPORTED, edge.reported(version=0))
            with services.database.writing() as session:
                configs.put(session, edge.GATEWAY, {"bus": []}, 0, "admin", services.clock())
            assert await talk.hear() == Desired(version=1, config={"bus": []})
        with services.database.reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Record)) == 300
    finally:
        await end(running)
        services.close()


async def test_a_batch_of_half_a_megabyte_that_does_not_compress_arrives(site: Site) -> None:
    user, password = site.settings.broker_user, site.settings.broker_password
    noise = secrets.token_bytes(512 * 1024)
    async with client(site.settings, user, password) as service, site.gateway() as gateway:  # type: ignore[attr-defined]
        await service.subscribe("fs/1/+/up/batch", qos=1)
        await gateway.publish(format_topic(edge.GATEWAY, Up.BATCH), noise, qos=1)
        assert (await receive(service)).payload == noise


async def test_ingest_comes_back_after_the_broker_was_away(services: Services) -> None:
    with services.database.writing() as session:
        gateways.register(session, edge.GATEWAY, "", None, services.clock())
    settings = with_broker_port(services)
    again = bootstrap(msgspec.structs.replace(settings))
    ingest = Ingest(again)
    running = asyncio.create_task(ingest.run())
    try:
        await asyncio.sleep(0.1)
        assert ingest.health() == {"ok": False, "database": True, "broker": False}
        broker = own_broker(settings)
        await asyncio.to_thread(broker.__enter__)
        await until(lambda: ingest.health()["ok"], timeout_s=15)
        await asyncio.to_thread(broker.__exit__, None, None, None)
        await until(lambda: not ingest.health()["ok"])
    finally:
        await end(running)
        again.close()
