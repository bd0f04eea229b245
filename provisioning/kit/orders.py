"""From what was chosen on site, as the book has it, to what a gateway is given."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from provisioning.errors import RequestError
from provisioning.kit.book import Book
from provisioning.kit.documents import Bundle, Order, Slot, sign_order
from provisioning.kit.file import Kit, Secrets
from provisioning.signing import read_private_key
from wire.topics import is_gateway

SITE = "site"
"""The kind of a line that says what a gateway is to be."""


def pick_slot(kit: Kit, book: Book, gateway: str) -> Slot:
    """Return a gateway's claim: its own, the spare one that it has, or the next spare. Raises RequestError."""
    if not is_gateway(gateway):
        raise RequestError("gateway", f"'{gateway}' is not a gateway name", hint="use 7 to 63 of a-z, 0-9 and '-'")
    taken = {
        str(line.detail.get("claim_sha256")): line.gateway for line in book.lines(kit.grant.kit) if line.kind == SITE
    }
    by_right = [slot for slot in kit.grant.slots if gateway in {slot.gateway, taken.get(slot.claim_sha256)}]
    spare = [slot for slot in kit.grant.slots if not slot.gateway and slot.claim_sha256 not in taken]
    if not by_right and not spare:
        raise RequestError(
            "claim-unknown", f"the kit has no claim for '{gateway}'", hint="make a kit that names it, or has --spare"
        )
    return (by_right or spare)[0]


def choose_site(kit: Kit, book: Book, gateway: str, chosen: dict[str, Any], by: str, now_ns: int) -> Order:
    """Write into the book what a gateway is to be. ``chosen`` are fields of `Order`; empty ones are the claim's.

    Raises RequestError, TemplateError; then nothing is written.
    """
    slot = pick_slot(kit, book, gateway)
    fields = {key: value for key, value in chosen.items() if value not in (None, "")}
    for name in ("title", "site", "template"):
        fields.setdefault(name, getattr(slot, name))
    if fields["site"]:
        place = kit.site(fields["site"])
        fields.setdefault("sector", place.sector)
    order = _make(kit, gateway, "", fields, by, now_ns)
    kit.render(order)
    book.add(kit.grant.kit, SITE, gateway, by, now_ns, {"claim_sha256": slot.claim_sha256, **fields})
    return order


def make_bundle(kit: Kit, secrets: Secrets, book: Book, gateway: str, by: str, now_ns: int) -> Bundle:
    """Make the signed bundle of what was chosen for a gateway last. Raises RequestError, TemplateError."""
    lines = [line for line in book.lines(kit.grant.kit, gateway) if line.kind == SITE]
    if not lines:
        raise RequestError(
            "site", f"nobody has chosen site and template of '{gateway}'", hint="first: fengsui-provision site"
        )
    detail = dict(lines[-1].detail)
    code = secrets.codes.get(str(detail.pop("claim_sha256", "")))
    if code is None:
        raise RequestError("claim-unknown", f"the kit has no claim for '{gateway}'", hint="is it the kit of this book?")
    order = kit.render(_make(kit, gateway, code, detail, by, now_ns))
    return sign_order(order, kit.signed, read_private_key(secrets.laptop_key))


def _make(kit: Kit, gateway: str, code: str, fields: dict[str, Any], by: str, now_ns: int) -> Order:
    told = {"kit": kit.grant.kit, "gateway": gateway, "claim": code, "made_ns": now_ns, "made_by": by, **fields}
    try:
        return msgspec.convert({"id": uuid.uuid4().hex, **told}, Order)
    except msgspec.ValidationError as error:
        raise RequestError("site", f"this cannot be an order: {error}", hint="correct what was given") from error
