"""The kit file: what the fleet signed, and the secrets that the laptop made for it, sealed. JSON, 0600."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from provisioning.errors import RequestError
from provisioning.keys import read_file, write_file
from provisioning.kit.documents import CONTENT, Content, Form, Grant, Order, Place, decode, read_grant
from provisioning.kit.sealed import Sealed, seal, unseal
from provisioning.kit.signed import Signed, verify
from provisioning.template import render

Picked = TypeVar("Picked")
KIT_MOST_OCTETS = 64 * 1024 * 1024


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """{SHA-256 of a code: the code}, and the laptop's key (PKCS #8, Ed25519)."""

    codes: dict[str, str]
    laptop_key: bytes


class KitFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in the file. ``anchor`` is the fleet's root by SHA-256: whoever opens the kit compares it."""

    anchor: str
    grant: Signed
    content: Signed
    secrets: Sealed


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """A kit that was checked. ``signed`` is the grant as gateways want to see it."""

    grant: Grant
    content: Content
    signed: Signed

    def site(self, key: str) -> Place:
        """Return a site. Raises RequestError."""
        return _pick("site", key, {site.key: site for site in self.content.sites})

    def template(self, key: str) -> Form:
        """Return a template. Raises RequestError."""
        return _pick("template", key, {form.key: form for form in self.content.templates})

    def render(self, order: Order) -> Order:
        """Return an order with the configuration that its template makes of its variables. Raises TemplateError."""
        if not order.template:
            return order
        form = self.template(order.template)
        return msgspec.structs.replace(order, config=render(form.key, form.document, order.variables))


def _pick(what: str, key: str, known: dict[str, Picked]) -> Picked:
    if key in known:
        return known[key]
    raise RequestError(what, f"there is no {what} '{key}' in the kit", hint=f"it has: {', '.join(known) or 'none'}")


def write_kit(path: Path, anchor: str, grant: Signed, content: Signed, secrets: Secrets, passphrase: str) -> None:
    """Write a kit. Raises RequestError, KeyFileError."""
    sealed = seal(msgspec.json.encode(secrets), passphrase, grant.signature)
    file = KitFile(anchor=anchor, grant=grant, content=content, secrets=sealed)
    write_file(path, msgspec.json.encode(file))


def read_kit_file(path: Path) -> KitFile:
    """Read a kit's file without checking what is in it. Raises RequestError, KeyFileError."""
    octets = read_file(path, hint="name the file that 'fengsui-provision kit make' wrote")
    if len(octets) > KIT_MOST_OCTETS:
        raise RequestError("unreadable", f"{path} is no kit: it is too large", hint="name the file of a kit")
    return decode(octets, KitFile)


def check_kit(file: KitFile, now_ns: int, anchor: str = "") -> Kit:
    """Check signatures and time. ``anchor`` is the fleet's SHA-256 if it is known otherwise. Raises RequestError."""
    grant = read_grant(file.grant, anchor or file.anchor, now_ns)
    content = decode(verify(CONTENT, file.content, anchor or file.anchor), Content)
    if content.kit != grant.kit:
        raise RequestError("signature", "the parts of this kit are of two kits", hint="make it anew")
    if {grant.ca_sha256} != {text.replace(":", "").lower() for text in (file.anchor, anchor) if text}:
        raise RequestError("foreign", "the kit names another fleet than the one that signed it", hint="make it anew")
    return Kit(grant=grant, content=content, signed=file.grant)


def open_secrets(file: KitFile, passphrase: str) -> Secrets:
    """Open what only the passphrase opens. Raises RequestError."""
    return decode(unseal(file.secrets, passphrase, file.grant.signature), Secrets)
