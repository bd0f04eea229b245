"""Tells brokers what was revoked: the list in a file, and the end of a live connection."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from fleet.authority.store import find, to_datetime
from fleet.bootstrap import Services
from fleet.certificates import service
from fleet.errors import SetupError
from fleet.settings import Settings
from provisioning import authority
from provisioning.authority import Purpose
from provisioning.errors import KeyFileError
from provisioning.keys import PUBLIC, dump_key, make_key, write_file

log = logging.getLogger(__name__)

EVERY_S = 5.0
RELOAD_WITHIN_S = 30.0
TAKE_OVER_WITHIN_S = 10.0
TAKE_OVER_LIFETIME = timedelta(minutes=5)


def publish_crl(services: Services) -> Path:
    """Make the list of revoked certificates anew, and have an external broker read it.

    Returns its file, ``ca/gateways.crl``. Raises SetupError.
    """
    path = find(services.settings, Purpose.GATEWAYS, "crl")
    with services.database.reading() as session:
        octets = service.make_crl(session, services.authority, services.clock())
    try:
        write_file(path, octets, PUBLIC)
    except KeyFileError as error:
        raise SetupError(str(error), hint=error.hint) from error
    _reload(services.settings)
    return path


def _reload(settings: Settings) -> None:
    """Have a broker that is not our own read the list: one that `serve` runs by SIGHUP, another by its command."""
    command = settings.broker_reload
    try:
        if settings.broker_program:
            _signal_supervised(settings.data_dir / "mosquitto" / "pid")
        if not command:
            return
        subprocess.run(command, check=True, capture_output=True, timeout=RELOAD_WITHIN_S)  # noqa: S603 (own setting)
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(
            f"the broker was not told of what was revoked: {error}",
            hint="see broker_reload in fleet.toml",
        ) from error


def _signal_supervised(pid_file: Path) -> None:
    """Send SIGHUP to the Mosquitto that `serve` runs. Before it runs there is nobody to tell."""
    try:
        pid = int(pid_file.read_text("ascii"))
        if "mosquitto" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        log.info("no broker runs that was to be told of what was revoked")


class Announcer:
    """Tells brokers of what was revoked, whoever did it: by the command line, a page, or a claim that replaced it.

    `run` until cancelled, or `announce` once. What could not be told is tried again.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._fault = ""

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            try:
                await self.announce()
                self._fault = ""
            except (SetupError, SQLAlchemyError) as error:
                if str(error) != self._fault:
                    log.error("brokers are not told of what was revoked: %s. It is tried again", error)
                self._fault = str(error)
            await asyncio.sleep(EVERY_S)

    async def announce(self) -> int:
        """Tell once. Returns how many gateways were to be cut off.

        Raises SetupError for one that was not, once all others were tried; or SQLAlchemyError.
        """
        untold = await asyncio.to_thread(self._find)
        if untold:
            await asyncio.to_thread(publish_crl, self._services)
        failed: SetupError | None = None
        for gateway, serials in untold.items():
            try:
                await take_over(self._services, gateway)
                await asyncio.to_thread(self._note, serials)
            except SetupError as error:
                failed = error
        if failed is not None:
            raise failed
        return len(untold)

    def _find(self) -> dict[str, list[str]]:
        with self._services.database.reading() as session:
            return service.find_untold(session)

    def _note(self, serials: list[str]) -> None:
        with self._services.database.writing() as session:
            service.note_told(session, serials, self._services.clock())


async def take_over(services: Services, gateway: str) -> None:
    """End the live connection of a gateway at an external broker, which goes on with whoever is connected: of two that
    have one client id the newer stays. Ours has a certificate of that name for five minutes, and leaves at once.

    Raises SetupError if it does not come about. Our own broker sees to it by itself.
    """
    import aiomqtt  # here alone: every command imports this module

    parts = urlsplit(services.settings.gateways_broker())
    if parts.scheme != "mqtts" or not (services.settings.broker_url or services.settings.broker_program):
        return
    key, issuer = make_key(), services.authority.gateways
    made = authority.issue_gateway(issuer, gateway, key.public_key(), to_datetime(services.clock()), TAKE_OVER_LIFETIME)
    chain = authority.to_pem([made, *issuer.intermediates])
    context = ssl.create_default_context(cadata=authority.to_pem([services.authority.services.root]).decode())
    with tempfile.TemporaryDirectory() as folder:  # the standard library reads certificates from files only
        write_file(Path(folder, "key"), dump_key(key))
        write_file(Path(folder, "crt"), chain, PUBLIC)
        context.load_cert_chain(Path(folder, "crt"), Path(folder, "key"))
    try:
        async with (
            asyncio.timeout(TAKE_OVER_WITHIN_S),
            aiomqtt.Client(
                parts.hostname or "",
                parts.port or 8883,
                identifier=gateway,
                tls_context=context,
                protocol=aiomqtt.ProtocolVersion.V311,
                clean_session=True,
            ),
        ):
            log.info("took over the connection of %s, which was revoked", gateway)
    except (aiomqtt.MqttError, OSError, TimeoutError) as error:
        raise SetupError(
            f"{gateway} may still be connected: {error}", hint="is gateways_broker_url right? Else restart the broker"
        ) from error
