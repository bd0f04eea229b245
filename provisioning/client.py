"""How a gateway speaks at the fleet's door: HTTPS, one exchange at a time. Blocks; the agent calls it from a thread."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.errors import ProvisioningError, RequestError
from wire.claim import Enrol, Issued, Refusal, Renew, Waiting

TIMEOUT_S = 20.0
ANSWER_MOST_OCTETS = 256 * 1024
PATHS: dict[type[Enrol] | type[Renew], str] = {Enrol: "/enrol", Renew: "/enrol/renew"}
Message = TypeVar("Message", Issued, Waiting, Refusal)


class DoorError(ProvisioningError):
    """The fleet cannot be reached, or what answers is not the fleet. The gateway tries again later."""

    name = "unreachable"


def read_url(text: str) -> SplitResult:
    """Read the fleet's address. Raises ValueError: a claim goes over HTTPS, or does not leave the machine."""
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0:
        raise ValueError(f"'{text}' is not the fleet's address: write https://host")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(f"'{text}' would show the claim to everybody on the way: write https://host")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetch_ca(url: str, sha256: str) -> bytes:
    """Fetch the certificate to trust, as PEM; nobody can pass off another, since its SHA-256 is known beforehand.

    Raises DoorError.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the SHA-256 says whether it is the right one
    status, body = exchange(url, "GET", "/enrol/ca", b"", context)
    if status != 200:
        raise DoorError(f"{url} gives no certificate to trust: status {status}", hint="is an authority made there?")
    try:
        certificate = x509.load_pem_x509_certificate(body)
    except ValueError as error:
        raise DoorError(f"{url} gives no certificate to trust: {error}", hint="is this the fleet's address?") from error
    if not is_certificate(body, sha256):
        found = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
        raise DoorError(
            f"{url} is not the fleet that is meant: its certificate's SHA-256 is {found}",
            hint="compare ca_sha256 in enrol.toml with what 'fengsui-fleet ca show' prints",
        )
    return certificate.public_bytes(Encoding.PEM)


def is_certificate(pem: bytes, sha256: str) -> bool:
    """Tell whether this is the certificate in PEM that has this SHA-256, with or without colons."""
    try:
        octets = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        return False
    return hashlib.sha256(octets).hexdigest() == sha256.replace(":", "").lower()


def ask(url: str, asked: Enrol | Renew, context: ssl.SSLContext | None) -> Issued | Waiting:
    """Ask for an identity. ``context`` trusts the fleet's authority.

    Raises RequestError where the fleet refuses, by the fleet's own word; DoorError where it was not reached.
    """
    status, body = exchange(url, "POST", PATHS[type(asked)], msgspec.json.encode(asked), context)
    if status == 200:
        return _decode(url, body, Issued)
    if status == 202:
        return _decode(url, body, Waiting)
    if status >= 500:
        raise DoorError(f"{url} cannot answer now: status {status}", hint="it is asked again; see the fleet's log")
    refusal = _decode(url, body, Refusal)
    if not refusal.name:
        raise DoorError(f"{url} answers as no fleet does: status {status}", hint="is this the fleet's address?")
    raise RequestError(refusal.name, refusal.error, hint=refusal.hint)


def _decode(url: str, body: bytes, kind: type[Message]) -> Message:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DoorError(f"{url} answers as no fleet does: {error}", hint="is this the fleet's address?") from error


def exchange(
    url: str,
    method: str,
    path: str,
    body: bytes,
    context: ssl.SSLContext | None,
    headers: Mapping[str, str] = MappingProxyType({}),
    most_octets: int = ANSWER_MOST_OCTETS,
) -> tuple[int, bytes]:
    """Ask once. Returns status and body, of which no more is read than an answer has. Raises DoorError."""
    parts = read_url(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    )
    try:
        connection.request(method, parts.path.rstrip("/") + path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(most_octets)
    except (OSError, http.client.HTTPException) as error:
        raise DoorError(f"{url}: {error or type(error).__name__}", hint="check the link and enrol.toml") from error
    finally:
        connection.close()
