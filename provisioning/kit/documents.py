"""What is in a kit and in a bundle, and how it is checked. JSON, field by field as below. Pure.

The fleet signs a `Grant`: for so long, this laptop's key may take these gateways in by these claims. The laptop signs
an `Order` for one gateway, and hands it over with the grant as a `Bundle`: who knows the fleet's root can check both.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provisioning.codes import hash_code
from provisioning.errors import RequestError
from provisioning.kit.signed import FOREIGN_HINT, Signed, verify
from provisioning.signing import read_public_key

FORMAT = 1
GRANT = b"fengsui-kit-grant"
CONTENT = b"fengsui-kit-content"
ORDER = b"fengsui-site-order"
"""What each signature begins with."""

Name = Annotated[str, msgspec.Meta(max_length=63)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Kind = TypeVar("Kind", bound=msgspec.Struct)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A site. Position in degrees, WGS 84."""

    key: Name
    title: Text = ""
    sector: Text = ""
    lat: float | None = None
    lon: float | None = None


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration template: its newest version, as `provisioning.template` reads it."""

    key: Name
    version: int
    title: Text = ""
    sector: Text = ""
    document: str


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A claim of the kit: the SHA-256 of its code, and the gateway that it is for, "" if that is said on site."""

    claim_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    gateway: Name = ""
    title: Text = ""
    site: Name = ""
    template: Name = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet lets a kit do. Times are UTC in ns since 1970; ``laptop_key`` is Ed25519 in PEM."""

    kit: Name
    url: str
    ca_sha256: str
    made_ns: int
    expires_ns: int
    made_by: str
    laptop_key: str
    broker: str = ""
    slots: tuple[Slot, ...] = ()
    format: int = FORMAT


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet gives along: sites, templates, the roots of both hierarchies and the key of commands, in PEM."""

    kit: Name
    sites: tuple[Place, ...] = ()
    templates: tuple[Form, ...] = ()
    services_ca: str = ""
    gateways_ca: str = ""
    command_key: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway is to become. ``claim`` is the code itself; ``config`` is what was rendered of the template."""

    id: Name
    kit: Name
    gateway: Name
    claim: Annotated[str, msgspec.Meta(max_length=100)]
    made_ns: int
    made_by: Text = ""
    title: Text = ""
    site: Name = ""
    sector: Text = ""
    template: Name = ""
    variables: dict[str, Any] = {}
    config: dict[str, Any] = {}
    lat: float | None = None
    lon: float | None = None


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """An order in JSON, the laptop's signature of it (Ed25519), and the fleet's grant for that laptop."""

    grant: Signed
    order: bytes
    signature: bytes


def sign_order(order: Order, grant: Signed, key: Ed25519PrivateKey) -> Bundle:
    """Make a bundle of an order."""
    octets = msgspec.json.encode(order)
    return Bundle(grant=grant, order=octets, signature=key.sign(ORDER + b"\0" + octets))


def read_grant(signed: Signed, anchor_sha256: str, now_ns: int) -> Grant:
    """Check a grant. ``now_ns`` is the newest that UTC is known to be. Raises RequestError, ``expired`` among them."""
    grant = decode(verify(GRANT, signed, anchor_sha256), Grant)
    if grant.format != FORMAT:
        raise RequestError("format", f"a kit of format {grant.format}, this release reads {FORMAT}", hint="update")
    if now_ns >= grant.expires_ns:
        raise RequestError("expired", "the kit has expired", hint="make another: fengsui-provision kit make")
    return grant


def read_bundle(bundle: Bundle, anchor_sha256: str, gateway: str, now_ns: int) -> tuple[Grant, Order]:
    """Check all of a bundle for the gateway of this name, "" if it has none yet.

    Raises RequestError: ``foreign``, ``signature``, ``expired``, ``other-gateway``, ``claim-unknown``, ``unreadable``.
    """
    grant = read_grant(bundle.grant, anchor_sha256, now_ns)
    try:
        read_public_key(grant.laptop_key.encode()).verify(bundle.signature, ORDER + b"\0" + bundle.order)
    except (InvalidSignature, ValueError) as error:
        raise RequestError("signature", "the laptop's signature does not hold", hint=FOREIGN_HINT) from error
    order = decode(bundle.order, Order)
    if order.kit != grant.kit or order.made_ns > grant.expires_ns:
        raise RequestError("signature", "the order is not of this kit", hint=FOREIGN_HINT)
    if gateway and order.gateway != gateway:
        raise RequestError(
            "other-gateway", f"this is for gateway '{order.gateway}', not '{gateway}'", hint="make one for this gateway"
        )
    find_slot(grant, order)
    return grant, order


def find_slot(grant: Grant, order: Order) -> Slot:
    """Return the claim of the grant that an order uses. Raises RequestError."""
    wanted = hash_code(order.claim)
    for slot in grant.slots:
        if slot.claim_sha256 == wanted and slot.gateway in {"", order.gateway}:
            return slot
    raise RequestError("claim-unknown", "the fleet gave no such claim to this kit", hint=FOREIGN_HINT)


def decode(octets: bytes, kind: type[Kind]) -> Kind:
    """Read JSON. Raises RequestError."""
    try:
        return msgspec.json.decode(octets, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "unreadable", f"this cannot be read: {error}", hint="is the file whole? Copy it again"
        ) from error
