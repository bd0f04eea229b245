"""Does the fleet's broker take a new certificate? Asked before the uplink signs in by it.

Only TLS is spoken: a sign-in over MQTT would end this gateway's own session. A broker that does not take the
certificate says so by an alert; one that takes it waits for MQTT (RFC 8446, 4.4.2.4 and 6.2).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from enum import StrEnum

from edge.identity import IdentityFolder
from edge.settings import UplinkSettings
from edge.trust import UnusableIdentityError, explain, make_context
from provisioning.errors import KeyFileError
from provisioning.keys import PUBLIC, write_file
from wire.claim import Issued

CONNECT_S = 10.0
ALERT_S = 3.0
"""So long an alert of the other end may be on its way."""


class Answer(StrEnum):
    """What a probe can tell: ``unknown`` if the broker was not reached."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Probe:
    """Asks the broker that an identity names. ``is_synced`` and ``floor_ns`` are as for `edge.trust.make_context`."""

    def __init__(self, identity: IdentityFolder, is_synced: Callable[[], bool]) -> None:
        self._certificate, self._ca = identity.probed_cert_file, identity.probed_ca_file
        self._key = identity.key_file
        self._is_synced = is_synced

    def ask(self, issued: Issued) -> tuple[Answer, str]:
        """Return what the broker does with a certificate, and why in words. Blocks for some seconds at most."""
        try:
            broker = UplinkSettings(url=issued.broker)
        except ValueError as error:
            return Answer.REFUSED, str(error)
        if not broker.is_tls:
            return Answer.TAKEN, ""
        try:
            write_file(self._certificate, issued.certificate.encode(), PUBLIC)
            write_file(self._ca, issued.ca.encode(), PUBLIC)
            files = self._ca, self._certificate, self._key
            context = make_context(*files, is_synced=self._is_synced(), floor_ns=issued.time_ns)
            return _shake_hands(context, broker.host, broker.port)
        except KeyFileError as error:
            return Answer.UNKNOWN, str(error)
        except (UnusableIdentityError, ssl.SSLError) as error:
            return Answer.REFUSED, explain(error)
        except OSError as error:
            return Answer.UNKNOWN, str(error)
        finally:
            self._certificate.unlink(missing_ok=True)
            self._ca.unlink(missing_ok=True)


def _shake_hands(context: ssl.SSLContext, host: str, port: int) -> tuple[Answer, str]:
    """Raises ssl.SSLError for a certificate that is not taken, another OSError if the broker is not reached."""
    with (
        socket.create_connection((host, port), CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.settimeout(ALERT_S)
        try:
            is_closed = not secure.recv(1)
        except TimeoutError:
            return Answer.TAKEN, ""
    return (Answer.REFUSED, "the other end hung up without a word") if is_closed else (Answer.TAKEN, "")
