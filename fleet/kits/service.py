"""Kits: made and signed by the fleet, and the books of what was done on site.

The laptop makes the codes and sends their hashes; what it could not tell at the time - which gateway took a spare
claim, which template and variables - comes with its book.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.authority.store import Authority, fingerprint, to_datetime
from fleet.claims import service as claims
from fleet.claims.models import Claim
from fleet.claims.service import Intended
from fleet.configs import service as configs
from fleet.configs import templates
from fleet.errors import ConflictError, FleetError, InvalidError, NotFoundError
from fleet.kits.models import Kit, SiteEntry
from fleet.sites.models import Site
from provisioning import authority
from provisioning.keys import make_key
from provisioning.kit.documents import CONTENT, GRANT, Content, Form, Grant, Place, Slot
from provisioning.kit.signed import SIGNER, Signed, sign
from provisioning.signing import read_public_key

DAYS_MOST = 30
CLAIMS_MOST = 200
DAY_NS = 86_400_000_000_000
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{7,62}")
SITE = "site"
"""The kind of an entry that says what a gateway is to be."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a laptop asks for. ``laptop_key`` is its Ed25519 key in PEM."""

    kit: str
    laptop_key: str
    sites: tuple[str, ...]
    claims: tuple[Slot, ...]
    days: int = 7


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a book, as it is sent."""

    id: str
    kind: str
    gateway: str
    at_ns: int
    by: str
    detail: dict[str, Any]


def add(session: Session, wanted: Wanted, account: str, now_ns: int) -> Kit:
    """Add a kit and its claims; asked again by the same laptop after a lost answer, it is the same kit.

    Raises InvalidError, NotFoundError or ConflictError.
    """
    _check(session, wanted)
    hashes = [slot.claim_sha256 for slot in wanted.claims]
    known = session.get(Kit, wanted.kit)
    if known is not None:
        if (known.account, known.laptop_key, known.claims) != (account, wanted.laptop_key, hashes):
            raise ConflictError(f"there is a kit '{wanted.kit}' already", hint="make a kit with another name")
        return known
    for slot in wanted.claims:
        intended = Intended(gateway=slot.gateway, title=slot.title, site=slot.site, template=slot.template)
        claims.add(session, slot.claim_sha256, intended, account, now_ns, wanted.days)
    kit = Kit(
        id=wanted.kit,
        account=account,
        laptop_key=wanted.laptop_key,
        sites=list(wanted.sites),
        claims=hashes,
        made_ns=now_ns,
        expires_ns=now_ns + wanted.days * DAY_NS,
    )
    session.add(kit)
    session.flush()
    return kit


def _check(session: Session, wanted: Wanted) -> None:
    if not ID_PATTERN.fullmatch(wanted.kit):
        raise InvalidError(f"'{wanted.kit}' is no kit's name", hint="use 8 to 63 of a-z, 0-9 and '-'")
    if not 1 <= wanted.days <= DAYS_MOST:
        raise InvalidError(f"a kit cannot last {wanted.days} days", hint=f"1 to {DAYS_MOST}")
    if len(wanted.claims) > CLAIMS_MOST:
        raise InvalidError(f"{len(wanted.claims)} claims in one kit", hint=f"at most {CLAIMS_MOST}")
    try:
        read_public_key(wanted.laptop_key.encode())
    except ValueError as error:
        raise InvalidError(f"the laptop's key is none: {error}", hint="an Ed25519 key in PEM") from error
    for key in wanted.sites:
        if session.get(Site, key) is None:
            raise NotFoundError(f"there is no site '{key}'", hint=f"run: fengsui-fleet site add {key}")
    for slot in wanted.claims:
        if slot.site and slot.site not in wanted.sites:
            raise InvalidError(f"site '{slot.site}' is not in the kit", hint=f"add it: --site {slot.site}")


def get(session: Session, kit_id: str) -> Kit:
    """Return a kit. Raises NotFoundError."""
    kit = session.get(Kit, kit_id)
    if kit is None:
        raise NotFoundError(f"there is no kit '{kit_id}'")
    return kit


def list_newest(session: Session, limit: int = 100) -> Sequence[Kit]:
    """Return the newest kits."""
    return session.scalars(sa.select(Kit).order_by(Kit.made_ns.desc(), Kit.id).limit(limit)).all()


def make_grant(kit: Kit, known: Authority, session: Session, url: str, broker: str) -> Grant:
    """Say what a kit may do."""
    rows = session.scalars(sa.select(Claim).where(Claim.secret_hash.in_(kit.claims)).order_by(Claim.id))
    return Grant(
        kit=kit.id,
        url=url,
        ca_sha256=fingerprint(known.services.root),
        made_ns=kit.made_ns,
        expires_ns=kit.expires_ns,
        made_by=kit.account,
        laptop_key=kit.laptop_key,
        broker=broker,
        slots=tuple(
            Slot(
                claim_sha256=row.secret_hash,
                gateway=row.gateway or "",
                title=row.title,
                site=row.site_key or "",
                template=row.template,
            )
            for row in rows
        ),
    )


def make_content(kit: Kit, known: Authority, session: Session, command_key: str) -> Content:
    """Gather what a kit carries."""
    sites = session.scalars(sa.select(Site).where(Site.key.in_(kit.sites)).order_by(Site.key))
    return Content(
        kit=kit.id,
        sites=tuple(Place(key=s.key, title=s.title, sector=s.sector, lat=s.lat, lon=s.lon) for s in sites),
        templates=tuple(
            Form(key=t.key, version=t.version, title=t.title, sector=t.sector, document=t.document)
            for t in templates.list_newest(session)
        ),
        services_ca=authority.to_pem([known.services.root]).decode(),
        gateways_ca=authority.to_pem([known.gateways.root]).decode(),
        command_key=command_key,
    )


def sign_parts(known: Authority, grant: Grant, content: Content, now_ns: int) -> tuple[Signed, Signed]:
    """Sign both parts by a key that is made for this and forgotten. Raises AuthorityError."""
    key = make_key()
    leaf = authority.issue_service(known.services, SIGNER, key.public_key(), to_datetime(now_ns))
    chain = authority.to_pem([leaf, *known.services.chain]).decode()
    return (
        sign(GRANT, msgspec.json.encode(grant), key, chain),
        sign(CONTENT, msgspec.json.encode(content), key, chain),
    )


def take(session: Session, kit: Kit, entries: Sequence[Entry], now_ns: int) -> list[str]:
    """Take lines of a book; those that are known already count once. Returns the ids of all that the fleet has now.

    Raises ConflictError for an id that stands in another book.
    """
    for entry in entries:
        known = session.get(SiteEntry, entry.id)
        if known is None:
            outcome = _act(session, kit, entry, now_ns)
            fields = msgspec.structs.asdict(entry)
            session.add(SiteEntry(kit=kit.id, received_ns=now_ns, outcome=outcome, **fields))
            session.flush()
        elif known.kit != kit.id:
            raise ConflictError(f"entry '{entry.id}' is of another kit", hint="has the book been copied?")
    return [entry.id for entry in entries]


def list_entries(session: Session, kit_id: str) -> Sequence[SiteEntry]:
    """Return what was done with a kit, as it was done. Raises NotFoundError."""
    get(session, kit_id)
    return session.scalars(
        sa.select(SiteEntry).where(SiteEntry.kit == kit_id).order_by(SiteEntry.at_ns, SiteEntry.id)
    ).all()


def _act(session: Session, kit: Kit, entry: Entry, now_ns: int) -> str:
    """Do what follows from an entry. Returns why it could not be done; the entry is kept all the same."""
    if entry.kind != SITE:
        return ""
    try:
        with session.begin_nested():
            _settle(session, kit, entry, now_ns)
    except FleetError as error:
        return str(error)[:500]
    return ""


def _settle(session: Session, kit: Kit, entry: Entry, now_ns: int) -> None:
    """Have the claim, or the gateway that used it and has no configuration yet, be what was chosen on site."""
    claim_hash = str(entry.detail.get("claim_sha256", ""))
    claim = claims.find(session, claim_hash) if claim_hash in kit.claims else None
    if claim is None:
        raise InvalidError("the claim is not of this kit")
    if claim.gateway not in {None, entry.gateway}:
        raise ConflictError(f"the claim is for gateway '{claim.gateway}'")
    intended = _read_intended(entry)
    if intended.site and intended.site not in kit.sites:
        raise InvalidError(f"site '{intended.site}' is not in the kit")
    claims.check_intended(session, intended)
    claim.gateway, claim.title = intended.gateway, intended.title or claim.title
    claim.site_key = intended.site or claim.site_key
    claim.template, claim.variables = intended.template or claim.template, intended.variables
    if intended.lat is not None:
        claim.lat, claim.lon = intended.lat, intended.lon
    is_in = claims.is_in(session, claim, now_ns)
    if is_in and claim.template and configs.latest(session, intended.gateway) is None:
        templates.apply(session, intended.gateway, claim.template, claim.variables, kit.account, now_ns)


def _read_intended(entry: Entry) -> Intended:
    names = ("title", "site", "template", "variables", "lat", "lon")
    told = {name: entry.detail[name] for name in names if entry.detail.get(name) is not None}
    try:
        return msgspec.convert({"gateway": entry.gateway, **told}, Intended)
    except msgspec.ValidationError as error:
        raise InvalidError(f"this is no site entry: {error}") from error
