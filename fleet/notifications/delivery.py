"""Hand a message to a contact, each kind in its own way. Whatever goes wrong is one error with one sentence."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
import httpx
import msgspec

from fleet.notifications import cap
from fleet.notifications.decide import NS
from fleet.notifications.message import Message, write_subject, write_text
from fleet.notifications.rules import Contact, Rules

TIMEOUT_S = 20.0
"""How long a contact may take, from the connection to the answer."""

ANSWER_SHOWN = 200
"""Octets of a refusal that are read and shown."""


class UndeliveredError(Exception):
    """A contact did not take a message, or did not say so. The program notes it and sends the same again later."""


class Errand(msgspec.Struct, frozen=True):
    """A message on its way. ``earlier`` are the CAP alerts before it; ``now_ns`` is the time of this try, UTC in ns."""

    rules: Rules
    contact: Contact
    message: Message
    now_ns: int
    earlier: tuple[str, ...] = ()


async def deliver(client: httpx.AsyncClient, errand: Errand) -> None:
    """Send. Returns when the contact has taken it; raises UndeliveredError for anything else.

    Without an answer nobody knows whether it arrived: the same comes again under the same key.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await SEND[errand.contact.kind](client, errand)
    except TimeoutError as error:
        raise UndeliveredError(f"no answer within {TIMEOUT_S:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise UndeliveredError(f"{type(error).__name__}: {error}") from error


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a request: HMAC-SHA256 over the timestamp, a full stop and the body, in hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def write_webhook(errand: Errand) -> bytes:
    """The body of a webhook. ``subject`` and ``text`` are for people, the rest for programs."""
    message, language = errand.message, errand.contact.language
    document = {
        "v": 1,
        "contact": errand.contact.name,
        "subject": write_subject(message, language),
        "text": write_text(message, language),
        **msgspec.to_builtins(message, str_keys=True),
    }
    return msgspec.json.encode(document)


async def _post_webhook(client: httpx.AsyncClient, errand: Errand) -> None:
    await _post(client, errand, write_webhook(errand), "application/json")


async def _post_cap(client: httpx.AsyncClient, errand: Errand) -> None:
    body = cap.write_alert(errand.contact, errand.message, errand.earlier)
    await _post(client, errand, body, "application/cap+xml")


async def _post(client: httpx.AsyncClient, errand: Errand, body: bytes, media_type: str) -> None:
    timestamp = str(errand.now_ns // NS)
    headers = {
        "Content-Type": media_type,
        "Idempotency-Key": errand.message.key,
        "X-Fengsui-Timestamp": timestamp,
    }
    if secret := errand.rules.secret(errand.contact.secret_file):
        headers["X-Fengsui-Signature"] = f"sha256={sign(secret, timestamp, body)}"
    # A redirect would carry alarms to where nobody said they should go.
    url = errand.contact.url
    async with client.stream("POST", url, content=body, headers=headers, follow_redirects=False) as response:
        if not response.is_success:
            words = (await anext(response.aiter_bytes(ANSWER_SHOWN), b"")).decode("utf-8", "replace")
            raise UndeliveredError(f"answered {response.status_code}: {' '.join(words.replace(chr(0), '').split())}")


def write_mail(errand: Errand, sender: str) -> EmailMessage:
    """The e-mail: plain text. Its Message-ID is made of the key, so that a mailbox knows it again."""
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, errand.contact.address
    mail["Subject"] = write_subject(errand.message, errand.contact.language)
    mail["Date"] = format_datetime(datetime.fromtimestamp(errand.message.made_ns // NS, UTC))
    mail["Message-ID"] = f"<{errand.message.key}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(write_text(errand.message, errand.contact.language))
    return mail


async def _mail(_client: httpx.AsyncClient, errand: Errand) -> None:
    server = errand.rules.mail
    if server is None:
        raise UndeliveredError("no mail server is told: add a table [mail] with host and sender")
    await aiosmtplib.send(
        write_mail(errand, server.sender),
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        username=server.user or None,
        password=errand.rules.secret(server.password_file) or None,
        timeout=TIMEOUT_S,
    )


SEND: dict[str, Callable[[httpx.AsyncClient, Errand], Awaitable[None]]] = {
    "webhook": _post_webhook,
    "email": _mail,
    "cap": _post_cap,
}
