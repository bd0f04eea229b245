"""Gateways at the door: who gets a certificate, who waits, who is turned away.

Anybody may ask, so what is learned of a stranger is not kept. What must be kept - a claim that is bound to its first
key, an alarm about a second one - is kept whatever the answer is: these functions return their answers, and raise
RequestError only where nothing has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.authority.store import Authority
from fleet.certificates import service as certificates
from fleet.certificates.models import Certificate
from fleet.claims import journal, replacing, service
from fleet.claims.models import Claim, Enrolment, Kind
from fleet.commissioning import checks as commissioning
from fleet.configs import service as configs
from fleet.configs import templates
from fleet.errors import InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from provisioning.codes import hash_code
from provisioning.errors import RequestError
from provisioning.keys import fingerprint
from provisioning.requests import read_request
from wire.claim import Enrol, Renew

UNSCANNED = "unscanned"
"""Nobody has scanned the local code yet."""
UNASSIGNED = "unassigned"
"""The claim is known, and nobody has said yet which gateway this is."""
IN_USE = "in-use"
"""The gateway has a working identity by another key."""
LAPSED = "lapsed"
"""The certificate expired too long ago to be renewed without asking anybody."""

UNKNOWN = "this claim is not known"
UNKNOWN_HINT = "compare it with the label; was the label imported into this fleet?"


@dataclass(frozen=True)
class Waits:
    """Somebody has to act first. ``key`` is the fingerprint of a stranger's key, who is kept nowhere else.

    ``has_begun``: nobody was told of it before; ``gateway`` is the name that it waits for, "" if none.
    """

    reason: str
    key: str = ""
    gateway: str = ""
    has_begun: bool = False


@dataclass(frozen=True)
class TurnedAway:
    """No way in. ``name`` is the word for the reason, ``gateway`` whose name the claim or the key has, "" if none."""

    name: str
    message: str
    hint: str
    gateway: str = ""


Outcome = Certificate | Waits | TurnedAway

CLAIM_USED = TurnedAway(
    "claim-used", "this claim belongs to another key", "was the gateway's storage replaced? Make it a new claim"
)
CLAIM_EXPIRED = TurnedAway("claim-expired", "this claim has expired", "make the gateway a new claim")
KEY_REVOKED = TurnedAway("key-revoked", "this key was revoked", "remove the gateway's identity and make it a new claim")
REPLACED = TurnedAway(
    "already-replaced", "another gateway took the place that this claim is for", "make the gateway a new claim"
)
REFUSED = TurnedAway("refused", "somebody decided that this gateway does not get in", "ask whoever runs the fleet")


def enrol(session: Session, authority: Authority, asked: Enrol, address: str, now_ns: int) -> Outcome:
    """Answer a gateway that presents a claim and a request. Raises RequestError for what is none, or is not known."""
    secret_hash = hash_code(asked.claim)
    key = read_request(asked.csr.encode())
    name = fingerprint(key)
    claim = service.find(session, secret_hash)
    if asked.kind == Kind.LOCAL.value and (claim is None or claim.kind != Kind.LOCAL.value):
        return Waits(UNSCANNED, name)
    if claim is None or claim.kind != asked.kind:
        raise RequestError("claim-unknown", UNKNOWN, hint=UNKNOWN_HINT)
    turned_away = _is_unwanted(session, name) or _bind(session, claim, name, address, now_ns)
    due = None if turned_away else replacing.find_due(session, claim, name)
    if due is not None and replacing.is_replaced(due, claim.gateway or ""):
        turned_away = REPLACED
    if turned_away is not None:
        turned_away = replace(turned_away, gateway=claim.gateway or "")
    outcome = turned_away or _admit(session, authority, claim, key, address, now_ns, due)
    _tell_technician(session, claim, asked, outcome, now_ns)
    if due is not None and isinstance(outcome, Certificate):
        replacing.tell(session, claim, address, now_ns)
    return outcome


def _tell_technician(session: Session, claim: Claim, asked: Enrol, outcome: Outcome, now_ns: int) -> None:
    match outcome:
        case Certificate():
            commissioning.note_asked(session, claim.id, asked.checks, "", outcome.not_after_ns, now_ns)
        case Waits():
            commissioning.note_asked(session, claim.id, asked.checks, outcome.reason, None, now_ns)
        case TurnedAway():
            # Another key may ask: what it says of itself is not this gateway's.
            commissioning.note_asked(session, claim.id, (), outcome.name, None, now_ns)


def _is_unwanted(session: Session, key: str) -> TurnedAway | None:
    """Turn a key away that was revoked or refused, before it spends a claim on that."""
    if certificates.is_revoked_key(session, key):
        return KEY_REVOKED
    refused = sa.select(Enrolment.id).where(Enrolment.key == key, Enrolment.verdict == "refused")
    return REFUSED if session.scalar(refused) is not None else None


def _bind(session: Session, claim: Claim, key: str, address: str, now_ns: int) -> TurnedAway | None:
    """Bind a claim to the first key that presents it. One statement does it, so that of two only one comes first."""
    if claim.used_ns is None and claim.expires_ns is not None and now_ns >= claim.expires_ns:
        return CLAIM_EXPIRED
    free = sa.or_(Claim.key.is_(None), Claim.key == key)
    first = sa.update(Claim).where(Claim.id == claim.id, Claim.used_ns.is_(None), free)
    bound = session.execute(first.values(key=key, used_ns=now_ns), execution_options={"synchronize_session": False})
    session.refresh(claim)
    if bound.rowcount:  # type: ignore[attr-defined]
        journal.note(session, "claim-used", now_ns, gateway=claim.gateway or "", claim_id=claim.id, key=key, by=address)
    elif claim.key != key:
        _note_contest(session, claim, key, address, now_ns)
        return CLAIM_USED
    return None


def _note_contest(session: Session, claim: Claim, key: str, address: str, now_ns: int) -> None:
    claim.contested_ns = now_ns
    gateway = claim.gateway or ""
    journal.note(session, "claim-contested", now_ns, gateway=gateway, claim_id=claim.id, key=key, by=address)
    about = gateway if gateway and session.get(Gateway, gateway) is not None else own.FLEET
    own.raise_alarm(session, about, own.CLAIM, f"{key[:16]}, {address}", now_ns, str(claim.id))


def _admit(
    session: Session,
    authority: Authority,
    claim: Claim,
    key: EllipticCurvePublicKey,
    address: str,
    now_ns: int,
    replaced: Gateway | None,
) -> Outcome:
    name = fingerprint(key)
    if not claim.gateway:
        return _queue(session, Enrolment(key=name, claim_id=claim.id, reason=UNASSIGNED), address, now_ns)
    others = certificates.live_keys(session, claim.gateway, now_ns) - {name}
    is_in_use = bool(others) or _speaks_by_token(session, claim.gateway)
    if is_in_use and not _is_approved(session, name, IN_USE):
        waits = Enrolment(key=name, claim_id=claim.id, gateway=claim.gateway, reason=IN_USE)
        return _queue(session, waits, address, now_ns)
    if session.get(Gateway, claim.gateway) is None:
        gateways.register(session, claim.gateway, claim.title, claim.site_key, now_ns)
    if replaced is not None:
        replacing.take_over(session, replaced, claim, now_ns)
    furnish(session, claim, claim.gateway, now_ns)
    if others:
        certificates.revoke(session, claim.gateway, "replaced by a new identity", address, now_ns, keep_key=name)
    elif is_in_use:
        gateways.void_token(session, claim.gateway)
    return _issue(session, authority, claim.gateway, key, address, now_ns)


def _speaks_by_token(session: Session, name: str) -> bool:
    """Tell whether a gateway of an earlier release has that name: whoever makes a claim for it would replace it."""
    gateway = session.get(Gateway, name)
    speaks = gateway is not None and gateway.last_seen_ns is not None and gateway.retired_ns is None
    return speaks and not certificates.list_of_gateway(session, name)


def furnish(session: Session, claim: Claim, name: str, now_ns: int) -> None:
    """Give a gateway the position of its claim, and its first configuration if it never had one.

    A template that was changed since and refuses the variables must not keep the gateway out: the journal tells.
    """
    gateway = gateways.get(session, name)
    if claim.lat is not None:
        gateway.lat, gateway.lon = claim.lat, claim.lon
    if not claim.template or configs.latest(session, name) is not None:
        return
    try:
        templates.apply(session, name, claim.template, claim.variables, claim.made_by, now_ns)
    except (InvalidError, NotFoundError) as error:
        journal.note(session, "template-refused", now_ns, gateway=name, claim_id=claim.id, detail=str(error)[:500])


def _is_approved(session: Session, key: str, reason: str) -> bool:
    """Tell whether somebody has let a key in that waited for this reason."""
    approved = sa.select(Enrolment.id).where(
        Enrolment.key == key, Enrolment.reason == reason, Enrolment.verdict == "approved"
    )
    return session.scalar(approved) is not None


def _issue(
    session: Session, authority: Authority, gateway: str, key: EllipticCurvePublicKey, address: str, now_ns: int
) -> Certificate:
    row = certificates.issue(session, authority, gateway, key, now_ns)
    session.execute(sa.delete(Enrolment).where(Enrolment.key == row.key))  # it waits no longer
    if row.issued_ns == now_ns:
        journal.note(session, "issued", now_ns, gateway=gateway, key=row.key, by=address, detail=row.serial)
    return row


def _queue(session: Session, asks: Enrolment, address: str, now_ns: int) -> Waits:
    """Have a key wait for somebody's word; one that waits already only moves its time."""
    row = session.scalar(sa.select(Enrolment).where(Enrolment.key == asks.key))
    has_begun = row is None or row.reason != asks.reason
    if row is None:
        row = asks
        row.asked_ns = now_ns
        session.add(row)
        journal.note(
            session, "enrolment-asked", now_ns, gateway=row.gateway or "", key=row.key, by=address, detail=row.reason
        )
    if row.verdict == "approved":  # for something else: what is asked now was never looked at
        row.verdict, row.decided_by, row.decided_ns = "", "", None
    row.reason, row.address, row.seen_ns = asks.reason, address[:64], now_ns
    session.flush()
    return Waits(row.reason, gateway=row.gateway or "", has_begun=has_begun)


def renew(session: Session, authority: Authority, asked: Renew, address: str, now_ns: int) -> Outcome:
    """Answer a gateway whose key has a certificate. Whoever signs by that key may have another: it is good to no other.

    Raises RequestError for what is no request, or a key that the gateway does not have.
    """
    key = read_request(asked.csr.encode())
    name = fingerprint(key)
    known = certificates.newest_of_key(session, name)
    if known is None or known.gateway != asked.gateway:
        raise RequestError("key-unknown", "this key has no identity here", hint="enrol by a claim")
    if (turned_away := _is_unwanted(session, name)) is not None:
        return replace(turned_away, gateway=asked.gateway)
    if now_ns >= known.not_after_ns + certificates.RENEWABLE_FOR_NS and not _is_approved(session, name, LAPSED):
        return _queue(session, Enrolment(key=name, gateway=asked.gateway, reason=LAPSED), address, now_ns)
    return _issue(session, authority, asked.gateway, key, address, now_ns)
