"""A technician's scan: whatever was scanned, what is said on site becomes the claim's, and the gateway gets in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.orm import Session

from fleet.claims import enrolment, journal, service
from fleet.claims.models import Claim, Enrolment, Kind
from fleet.claims.service import Intended
from fleet.errors import ConflictError, NotFoundError
from fleet.gateways import service as gateways

UNKNOWN = "no gateway shows this code now, and no label has it"
NAME_MOST = 63
NUMBER_LETTERS = 4


def take(session: Session, code: str, key: str, intended: Intended, by: str, now_ns: int) -> Claim:
    """Make the claim of a local code, or complete a label's. ``intended`` has a name if the technician chose one.

    ``key`` is the fingerprint that goes with a local code, "" if none is known. Raises NotFoundError for a code that
    nobody made and no gateway shows, InvalidError, or ConflictError.
    """
    secret_hash = service.hash_typed(code)
    claim = service.find(session, secret_hash)
    if claim is None:
        if not key:
            raise NotFoundError(
                UNKNOWN,
                hint="compare the letters; is the gateway switched on and connected to the network?",
            )
        name = intended.gateway or propose_name(session, intended.site)
        return service.scan_local(session, code, key, replace(intended, gateway=name), by, now_ns)
    if claim.kind == Kind.LOCAL.value and key and claim.key != key:
        raise ConflictError("this code belongs to another gateway", hint="scan it again at the gateway itself")
    _complete(session, claim, intended, by, now_ns)
    return claim


def _complete(session: Session, claim: Claim, intended: Intended, by: str, now_ns: int) -> None:
    if claim.used_ns is None and claim.expires_ns is not None and now_ns >= claim.expires_ns:
        raise ConflictError("this claim has expired", hint="ask whoever runs the fleet for a new label")
    if claim.gateway and intended.gateway not in {"", claim.gateway}:
        raise ConflictError(f"it is the code of '{claim.gateway}'", hint="leave the name as it is proposed")
    name = claim.gateway or intended.gateway or propose_name(session, intended.site or claim.site_key or "")
    service.check_intended(session, replace(intended, gateway=name))
    waiting = sa.select(Enrolment.id).where(Enrolment.claim_id == claim.id, Enrolment.verdict == "")
    number = session.scalar(waiting.where(Enrolment.reason == enrolment.UNASSIGNED))
    if number is not None:
        service.approve(session, number, replace(intended, gateway=name), by, now_ns)
    elif claim.gateway != name:
        service.check_free(session, name)
    claim.gateway = name
    service.describe(claim, intended)
    journal.note(session, "claim-completed", now_ns, gateway=name, claim_id=claim.id, by=by)
    if service.is_in(session, claim, now_ns):
        enrolment.furnish(session, claim, name, now_ns)


def propose_name(session: Session, site: str) -> str:
    """Return the next free name of a site: ``gw-yufu-chem-0002``."""
    return propose_names(session, [site])[site]


def propose_names(session: Session, sites: Sequence[str]) -> dict[str, str]:
    """Return the next free name of each site."""
    taken = {row.name for row in gateways.list_all(session)}
    taken |= set(session.scalars(sa.select(Claim.gateway).where(Claim.gateway.is_not(None), Claim.used_ns.is_(None))))
    return {site: _find_free(site, taken) for site in sites}


def _find_free(site: str, taken: set[str]) -> str:
    stem = f"gw-{site or 'new'}"[: NAME_MOST - NUMBER_LETTERS - 1]
    return next(name for number in count(1) if (name := f"{stem}-{number:0{NUMBER_LETTERS}}") not in taken)
