"""The broker that `fengsui-fleet serve` brings along: amqtt with our rules of who may do what.

Good for a district on one machine and for a demonstration. A larger fleet runs Mosquitto or EMQX and names it with
``broker_url`` (docs/operate/broker.md). Either way a broker holds nothing that may not be lost: no session is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker as AmqttBroker
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, BrokerError, MQTTError, NoDataError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session
from amqtt.utils import gen_client_id
from cryptography import x509
from cryptography.x509.oid import NameOID
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as DatabaseSession

from fleet.authority.store import find
from fleet.bootstrap import Services, bootstrap
from fleet.certificates import service as certificates
from fleet.errors import SetupError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.settings import PACKET_MOST_OCTETS, Settings, load
from provisioning.authority import Purpose
from wire.errors import WireError
from wire.topics import ROOT, is_gateway, may_publish, may_subscribe, parse_topic

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
"""For the TLS handshake, and again for the CONNECT after it."""
LOOK_EVERY_S = 5.0
"""Between two looks at who was refused, and whose certificate was revoked: a live connection ends within that."""
HOW_TO_CERTIFY = "run: fengsui-fleet ca init, and: fengsui-fleet ca server HOST --out DIR/broker"


def may_sign_in(settings: Settings, known: bool | None, client_id: str, user: str, password: str) -> bool:
    """Decide on a sign-in. ``known``: whether the database holds that gateway and token, None to skip gateways.

    A service signs in as the fleet's own user, a gateway with its name as user and client id.
    """
    if user == settings.broker_user:
        # As octets: of text, only ASCII can be compared in constant time.
        return hmac.compare_digest(_octets(password), _octets(settings.broker_password))
    return settings.gateway_tokens and bool(known) and client_id == user


def may_sign_in_by_certificate(settings: Settings, name: str, *, is_known: bool, client_id: str, user: str) -> bool:
    """Decide on a sign-in by a certificate that the authority issued. ``name`` is its CN.

    It is the gateway's name, its client id, and its user name if it gives one.
    """
    return is_known and is_gateway(name) and name != settings.broker_user and client_id == name and user in {"", name}


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def may_use(settings: Settings, user: str, topic: str, action: Action) -> bool:
    """Decide on a topic: services use all of ours, gateways send below their own ``up`` and read their own ``down``."""
    if user == settings.broker_user:
        return topic.startswith(f"{ROOT}/")
    if action == Action.PUBLISH:
        try:
            parse_topic(topic)
        except WireError:
            return False
        return may_publish(user, topic)
    return may_subscribe(user, topic)


@dataclass(frozen=True)
class Identity:
    """What a certificate says of who shows it: its CN and its serial number, in hexadecimal."""

    name: str
    serial: str


def read_identity(session: Session) -> Identity | None:
    """Read the certificate that TLS has checked; None of a connection without."""
    if session.ssl_object is None:
        return None
    certificate = x509.load_der_x509_certificate(session.ssl_object.getpeercert(binary_form=True))
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if len(names) == 1 else ""
    return Identity(name, f"{certificate.serial_number:x}")


def is_let_in(session: DatabaseSession, shown: Identity) -> bool:
    """Tell whether a gateway is registered, and its certificate not revoked."""
    return session.get(Gateway, shown.name) is not None and not certificates.find_revoked(session, [shown.serial])


@dataclass
class PluginConfig:
    """What the broker hands to our plugins."""

    data_dir: str
    mqtt: str
    database_url: str


class SignIn(BaseAuthPlugin):  # type: ignore[misc]
    """Asks the database at each sign-in, so that a gateway registered now may connect now."""

    Config = PluginConfig

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._services = _services(self.config)

    async def authenticate(self, *, session: Session) -> bool:
        """Let services and registered gateways in. A last will is held to the same rules as any message."""
        shown = read_identity(session)
        if shown is not None:
            admitted, user = await self._admit_certificate(session, shown), shown.name
            session.username = user  # what it may do follows from the certificate
        else:
            user = session.username or ""
            admitted = await self._admit_password(session, user)
        if admitted and session.will_flag:
            admitted = may_use(self._services.settings, user, session.will_topic or "", Action.PUBLISH)
        if not admitted:
            log.warning("refused the sign-in of '%s' from %s", user[:64], session.remote_address)
        return admitted

    async def _admit_certificate(self, session: Session, shown: Identity) -> bool:
        is_known = await asyncio.to_thread(self._ask, lambda database: is_let_in(database, shown))
        return may_sign_in_by_certificate(
            self._services.settings,
            shown.name,
            is_known=is_known,
            client_id=session.client_id or "",
            user=session.username or "",
        )

    async def _admit_password(self, session: Session, user: str) -> bool:
        password, settings, known = session.password or "", self._services.settings, None
        if user != settings.broker_user:
            known = await asyncio.to_thread(self._ask, lambda database: gateways.check_token(database, user, password))
        return may_sign_in(settings, known, session.client_id or "", user, password)

    def _ask(self, question: Callable[[DatabaseSession], bool]) -> bool:
        try:
            with self._services.database.reading() as session:
                return question(session)
        except SQLAlchemyError as error:
            log.error("cannot check a sign-in, the database does not answer: %s", error)
            return False

    async def close(self) -> None:
        """Close the database."""
        self._services.close()


class TopicRules(BaseTopicPlugin):  # type: ignore[misc]
    """Keeps every gateway to its own topics."""

    Config = PluginConfig

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._settings = _services(self.config).settings

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Decide on one topic of one client."""
        if session is None or topic is None or action is None:
            return False
        if action == Action.RECEIVE:
            return True  # decided when it subscribed
        return may_use(self._settings, session.username or "", topic, action)


def _services(config: PluginConfig) -> Services:
    return bootstrap(load(Path(config.data_dir), {"mqtt": config.mqtt, "database_url": config.database_url}))


class BoundedReader(ReaderAdapter):  # type: ignore[misc]
    """Reads no packet that is larger than any of ours: its connection ends before its octets take up memory."""

    def __init__(self, reader: ReaderAdapter) -> None:
        self._reader = reader

    async def read(self, n: int = -1) -> bytes:
        """Read so many octets. Raises AMQTTError for more than a packet may have, which ends the connection."""
        if n > PACKET_MOST_OCTETS:
            log.warning("a packet of more than %d octets: its connection is closed", PACKET_MOST_OCTETS)
            raise AMQTTError("packet too large")
        return await self._reader.read(n)  # type: ignore[no-any-return]

    def feed_eof(self) -> None:
        """Tell that nothing more comes."""
        self._reader.feed_eof()


class Broker(AmqttBroker):  # type: ignore[misc]
    """amqtt, less three ways for a stranger to harm a gateway whose name he knows.

    Left alone, amqtt deletes the session of a client id, puts the newcomer in its place and even gives it the
    newcomer's user name, all before it has checked who is asking. Here that waits until he is authenticated; then the
    older connection is closed, as MQTT demands. A connection that never says CONNECT is closed as well.
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._refused: list[str] = []

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                handler, session = await BrokerProtocolHandler.init_from_connect(reader, writer, self.plugins_manager)
        except (TimeoutError, AMQTTError, MQTTError, NoDataError) as error:
            await writer.close()
            raise AMQTTError(f"no CONNECT from {remote_address}:{remote_port}") from error
        session.clean_session = True  # nothing is kept for a client that is away
        session.client_id = session.client_id or gen_client_id()
        session.parent = 0
        return handler, session

    async def _authenticate(self, session: Session, listener: ListenerConfig) -> bool:
        if not await super()._authenticate(session, listener):
            # amqtt files it under its client id all the same: under a name of its own it displaces nobody.
            session.client_id = gen_client_id()
            self._refused.append(session.client_id)
            return False
        former = self._sessions.get(session.client_id)
        await self._delete_session(session.client_id)
        if former is not None:
            await former[1].handle_connection_closed()
            await self._stop_handler(former[1])
        return True

    async def _client_connected(self, listener_name: str, reader: ReaderAdapter, writer: WriterAdapter) -> None:
        # A connection reset in the handshake would otherwise be an unhandled exception of its task.
        with suppress(ConnectionError):
            await super()._client_connected(listener_name, BoundedReader(reader), writer)

    async def _create_server_instance(
        self,
        listener_name: str,
        _listener_type: ListenerType,
        address: str | None,
        port: int,
        ssl_context: ssl.SSLContext | None,
    ) -> asyncio.Server:
        """Listen. amqtt's own way leaves a minute for a TLS handshake, which a crowd of strangers can hold open."""
        return await asyncio.start_server(
            partial(self.stream_connected, listener_name=listener_name),
            address,
            port,
            reuse_address=True,
            ssl=ssl_context,
            ssl_handshake_timeout=CONNECT_WITHIN_S if ssl_context else None,
        )

    @staticmethod
    def _create_ssl_context(listener: ListenerConfig) -> ssl.SSLContext:
        """Only who shows a certificate of the authority's gets in where we speak TLS."""
        context = AmqttBroker._create_ssl_context(listener)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        return context  # type: ignore[no-any-return]

    @property
    def identities(self) -> dict[str, Identity]:
        """Who is connected by a certificate, by client id."""
        found = {client_id: read_identity(session) for client_id, (session, _) in self._sessions.items()}
        return {client_id: shown for client_id, shown in found.items() if shown is not None}

    async def cut(self, client_id: str) -> None:
        """End a live connection."""
        session, handler = self._sessions[client_id]
        log.warning("cut the connection of %s: its certificate was revoked", session.client_id)
        await self._delete_session(client_id)
        await handler.handle_connection_closed()
        await self._stop_handler(handler)

    def forget_refused(self) -> None:
        """Drop what amqtt has filed of refused sign-ins."""
        for client_id in self._refused:
            self._sessions.pop(client_id, None)
        self._refused.clear()


async def run(settings: Settings, ready: asyncio.Event | None = None) -> None:
    """Serve until cancelled. Raises SetupError when an address cannot be had, or a certificate not be used."""
    plugin = {"data_dir": str(settings.data_dir), "mqtt": settings.mqtt, "database_url": settings.database_url}
    config = BrokerConfig(
        listeners=make_listeners(settings),
        plugins={"fleet.broker.SignIn": plugin, "fleet.broker.TopicRules": plugin},
    )
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions.core").setLevel(logging.WARNING)  # tells every step of every connection
    broker = Broker(config)
    where = " and ".join(filter(None, (settings.mqtt, settings.mqtts)))
    try:
        await broker.start()
    except BrokerError as error:
        raise SetupError(
            f"the broker cannot listen at {where}: {error.__cause__ or error}",
            hint="is another broker running? Choose another with --mqtt, or use that one with --broker-url",
        ) from error
    log.info("broker listens at %s", where)
    if ready is not None:
        ready.set()
    services = bootstrap(settings)
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            broker.forget_refused()
            await cut_revoked(broker, services)
    finally:
        services.close()
        await broker.shutdown()


def make_listeners(settings: Settings) -> dict[str, ListenerConfig]:
    """Say where the broker listens. Raises SetupError where a certificate is missing."""
    found = {"default": ListenerConfig(bind=settings.mqtt)}
    if settings.mqtts:
        files = {
            "cafile": find(settings, Purpose.GATEWAYS, "crt"),
            "certfile": settings.data_dir / settings.mqtts_cert_file,
            "keyfile": settings.data_dir / settings.mqtts_key_file,
        }
        for name, path in files.items():
            if not path.is_file():
                raise SetupError(f"the broker's TLS needs {path}, which is not there ({name})", hint=HOW_TO_CERTIFY)
        found["gateways"] = ListenerConfig(bind=settings.mqtts, ssl=True, **{k: str(path) for k, path in files.items()})
    return found


async def cut_revoked(broker: Broker, services: Services) -> None:
    """End the live connections of certificates that were revoked meanwhile."""
    connected = broker.identities
    if not connected:
        return
    try:
        revoked = await asyncio.to_thread(_find_revoked, services, [shown.serial for shown in connected.values()])
    except SQLAlchemyError as error:
        log.error("cannot look for revoked certificates, the database does not answer: %s", error)
        return
    for client_id, shown in connected.items():
        if shown.serial in revoked and broker.identities.get(client_id) == shown:
            await broker.cut(client_id)


def _find_revoked(services: Services, serials: Sequence[str]) -> set[str]:
    with services.database.reading() as session:
        return certificates.find_revoked(session, serials)


if __name__ == "__main__":
    from fleet.cli import main

    sys.exit(main(["broker", *sys.argv[1:]]))
