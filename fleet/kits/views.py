"""The API of kits: a technician's laptop takes one along, and brings back what was done."""

from __future__ import annotations

from typing import Any

import msgspec
from apiflask import Schema
from apiflask.fields import Dict, Integer, List, Nested, String
from apiflask.validators import Length, Range, Regexp

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.commands.keys import load_key
from fleet.errors import InvalidError, SetupError
from fleet.kits import service
from provisioning.errors import AuthorityError
from provisioning.kit.documents import Slot
from provisioning.signing import write_public_key

blueprint = make_blueprint("kits")

NAME = Length(max=63)
TEXT = Length(max=500)
ENTRIES_MOST = 200
DETAIL_MOST_OCTETS = 64 * 1024
PRINTABLE = Regexp(r"^[^\x00-\x1f\x7f\ud800-\udfff]*$")


class SlotIn(Schema):
    """A claim: the SHA-256 of its code, and what its gateway is to be as far as that is known."""

    claim_sha256 = String(required=True, validate=Regexp(r"^[0-9a-f]{64}$"))
    gateway = String(load_default="", validate=NAME)
    title = String(load_default="", validate=[TEXT, PRINTABLE])
    site = String(load_default="", validate=NAME)
    template = String(load_default="", validate=NAME)


class KitIn(Schema):
    """A kit that is wanted. ``url`` is where gateways find the fleet."""

    kit = String(required=True, validate=Regexp(r"^[a-z0-9][a-z0-9-]{7,62}$"))
    laptop_key = String(required=True, validate=Length(max=500))
    url = String(required=True, validate=[Length(max=500), PRINTABLE])
    sites = List(String(validate=NAME), required=True, validate=Length(min=1, max=100))
    claims = List(Nested(SlotIn), load_default=list, validate=Length(max=service.CLAIMS_MOST))
    days = Integer(load_default=7, validate=Range(1, service.DAYS_MOST))


class SignedOut(Schema):
    """What the fleet signed: octets and signature in base64, the signer's chain in PEM."""

    body = String()
    signature = String()
    chain = String()


class PartsOut(Schema):
    """The two parts of a kit, as `provisioning.kit` reads them."""

    grant = Nested(SignedOut)
    content = Nested(SignedOut)


class KitOut(Schema):
    """A kit. Times are UTC in ns."""

    id = String()
    account = String()
    sites = List(String())
    made_ns = Integer()
    expires_ns = Integer()


class EntryIn(Schema):
    """A line of a laptop's book. ``id`` is its own, so that it counts once however often it is sent."""

    id = String(required=True, validate=Regexp(r"^[0-9a-f]{32}$"))
    kind = String(required=True, validate=Regexp(r"^[a-z][a-z-]{0,31}$"))
    gateway = String(load_default="", validate=[NAME, PRINTABLE])
    at_ns = Integer(required=True, strict=True, validate=Range(0, INT_MAX))
    by = String(load_default="", validate=[NAME, PRINTABLE])
    detail = Dict(load_default=dict, keys=String())


class EntriesIn(Schema):
    """Lines of a book."""

    entries = List(Nested(EntryIn), required=True, validate=Length(max=ENTRIES_MOST))


class TakenOut(Schema):
    """The ids of the lines that the fleet has now."""

    taken = List(String())


class EntryOut(Schema):
    """What was done on site. ``outcome`` says why the fleet could not act on it."""

    id = String()
    kind = String()
    gateway = String()
    at_ns = Integer()
    by = String()
    detail = Dict()
    received_ns = Integer()
    outcome = String()


@blueprint.get("/kits")
@blueprint.output(KitOut(many=True))
def list_kits() -> Any:
    """List the newest kits."""
    with reading() as session:
        return service.list_newest(session)


@blueprint.post("/kits")
@blueprint.input(KitIn)
@blueprint.output(PartsOut)
def make_kit(json_data: dict[str, Any]) -> Any:
    """Make a kit with fresh claims. The codes stay on the laptop: it sends their SHA-256."""
    services, account = find_services(), find_account()
    slots = tuple(Slot(**slot) for slot in json_data["claims"])
    wanted = service.Wanted(
        kit=json_data["kit"],
        laptop_key=json_data["laptop_key"],
        sites=tuple(dict.fromkeys(json_data["sites"])),
        claims=slots,
        days=json_data["days"],
    )
    detail = {"sites": wanted.sites, "claims": len(slots), "days": wanted.days}
    try:
        known = services.authority
        with changing("kit.make", wanted.kit, **detail) as session:
            kit = service.add(session, wanted, account.name, services.clock())
            grant = service.make_grant(kit, known, session, json_data["url"], services.settings.gateways_broker_url)
            command_key = write_public_key(load_key(services.settings.data_dir)).decode()
            content = service.make_content(kit, known, session, command_key)
            parts = service.sign_parts(known, grant, content, services.clock())
    except (SetupError, AuthorityError) as error:
        raise InvalidError(f"this fleet signs no kits: {error}", hint=error.hint) from error
    return dict(zip(("grant", "content"), msgspec.to_builtins(parts), strict=True))


@blueprint.get("/kits/<kit>/entries")
@blueprint.output(EntryOut(many=True))
def list_entries(kit: str) -> Any:
    """Show what was done on site with a kit."""
    with reading() as session:
        return service.list_entries(session, kit)


@blueprint.post("/kits/<kit>/entries")
@blueprint.input(EntriesIn)
@blueprint.output(TakenOut)
def take_entries(kit: str, json_data: dict[str, Any]) -> Any:
    """Take lines of a laptop's book. Sent again they count once."""
    services = find_services()
    entries = [_read_entry(entry) for entry in json_data["entries"]]
    with changing("kit.sync", kit, entries=len(entries)) as session:
        taken = service.take(session, service.get(session, kit), entries, services.clock())
    return {"taken": taken}


def _read_entry(entry: dict[str, Any]) -> service.Entry:
    """Read a line of a book. Half a letter and NUL, which no database takes, are refused; NaN becomes null."""
    try:
        octets = msgspec.json.encode(entry["detail"])
    except ValueError as error:
        raise InvalidError(f"entry '{entry['id']}' cannot be kept: {error}", hint="correct its detail") from error
    if b"\\u0000" in octets:
        raise InvalidError(f"entry '{entry['id']}' cannot be kept: a letter is NUL", hint="correct its detail")
    if len(octets) > DETAIL_MOST_OCTETS:
        raise InvalidError(f"entry '{entry['id']}' is too large", hint=f"at most {DETAIL_MOST_OCTETS} octets of detail")
    return service.Entry(**entry | {"detail": msgspec.json.decode(octets)})
