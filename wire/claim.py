"""How a gateway gets its identity: what it asks over HTTPS, and what it is answered. JSON, field by field as below."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wire.checklist import Check

CLAIM_MOST = 100
CSR_MOST = 8192
CHECKS_MOST = 16
"""Letters; a request for a P-256 key takes about 400."""


class Enrol(msgspec.Struct, frozen=True, kw_only=True):
    """POST ``/enrol``: a claim code, and a certificate signing request (PKCS #10 in PEM) that proves the key.

    ``kind``: the code of a label, made in the fleet or the factory, or one that the gateway made itself. ``checks`` is
    what the gateway has checked so far, for the technician who waits; nothing is decided by it.
    """

    claim: Annotated[str, msgspec.Meta(max_length=CLAIM_MOST)]
    csr: Annotated[str, msgspec.Meta(max_length=CSR_MOST)]
    kind: Literal["label", "local"] = "label"
    checks: Annotated[tuple[Check, ...], msgspec.Meta(max_length=CHECKS_MOST)] = ()


class Renew(msgspec.Struct, frozen=True, kw_only=True):
    """POST ``/enrol/renew``: a request signed by the key that the gateway is registered with. No claim is needed."""

    gateway: Annotated[str, msgspec.Meta(max_length=63)]
    csr: Annotated[str, msgspec.Meta(max_length=CSR_MOST)]


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """Status 200: the identity. Certificates and keys are PEM.

    ``certificate`` is the gateway's own, followed by its issuer's; ``ca`` is what the gateway trusts; ``command_key``
    is the key by which it knows the fleet's commands; ``time_ns`` is the fleet's UTC.
    """

    gateway: str
    certificate: str
    ca: str
    broker: str
    command_key: str
    time_ns: int
    renew_after_s: int = 10 * 86_400
    renewable_for_s: int = 180 * 86_400


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Status 202: somebody has to act first. ``reason`` is one of the words in docs/operate/identity.md."""

    reason: str
    retry_s: float


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Any other status: ``name`` is one of the words in docs/operate/identity.md, the others are for people."""

    name: str = ""
    error: str = ""
    hint: str = ""
