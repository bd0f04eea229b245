"""The broker that `fengsui-fleet serve` brings along: amqtt with our rules of who may do what.

Good for a district on one machine and for a demonstration. A larger fleet runs Mosquitto or EMQX and names it with
``broker_url`` (docs/operate/broker.md). Either way a broker holds nothing that may not be lost: no session is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker as AmqttBroker
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError, BrokerError, MQTTError, NoDataError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session
from amqtt.utils import gen_client_id
from sqlalchemy.exc import SQLAlchemyError

from fleet.bootstrap import Services, bootstrap
from fleet.errors import SetupError
from fleet.gateways import service as gateways
from fleet.settings import Settings, load
from wire.errors import WireError
from wire.topics import ROOT, may_publish, may_subscribe, parse_topic

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
FORGET_EVERY_S = 5.0


def may_sign_in(settings: Settings, known: bool | None, client_id: str, user: str, password: str) -> bool:
    """Decide on a sign-in. ``known``: whether the database holds that gateway and token, None to skip gateways.

    A service signs in as the fleet's own user, a gateway with its name as user and client id.
    """
    if user == settings.broker_user:
        # As octets: of text, only ASCII can be compared in constant time.
        return hmac.compare_digest(_octets(password), _octets(settings.broker_password))
    return bool(known) and client_id == user


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
        user, password, settings = session.username or "", session.password or "", self._services.settings
        known = None
        if user != settings.broker_user:
            known = await asyncio.to_thread(self._is_registered, user, password)
        admitted = may_sign_in(settings, known, session.client_id or "", user, password)
        if admitted and session.will_flag:
            admitted = may_use(settings, user, session.will_topic or "", Action.PUBLISH)
        if not admitted:
            log.warning("refused the sign-in of '%s' from %s", user[:64], session.remote_address)
        return admitted

    def _is_registered(self, name: str, token: str) -> bool:
        try:
            with self._services.database.reading() as session:
                return gateways.check_token(session, name, token)
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
            await super()._client_connected(listener_name, reader, writer)

    def forget_refused(self) -> None:
        """Drop what amqtt has filed of refused sign-ins."""
        for client_id in self._refused:
            self._sessions.pop(client_id, None)
        self._refused.clear()


async def run(settings: Settings, ready: asyncio.Event | None = None) -> None:
    """Serve until cancelled. Raises SetupError when the address cannot be had."""
    plugin = {"data_dir": str(settings.data_dir), "mqtt": settings.mqtt, "database_url": settings.database_url}
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind=settings.mqtt)},
        plugins={"fleet.broker.SignIn": plugin, "fleet.broker.TopicRules": plugin},
    )
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions.core").setLevel(logging.WARNING)  # tells every step of every connection
    broker = Broker(config)
    try:
        await broker.start()
    except BrokerError as error:
        raise SetupError(
            f"the broker cannot listen at {settings.mqtt}: {error.__cause__ or error}",
            hint="is another broker running? Choose another with --mqtt, or use that one with --broker-url",
        ) from error
    log.info("broker listens at %s", settings.mqtt)
    if ready is not None:
        ready.set()
    try:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            broker.forget_refused()
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    from fleet.cli import main

    sys.exit(main(["broker", *sys.argv[1:]]))
