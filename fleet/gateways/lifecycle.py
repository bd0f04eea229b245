"""What becomes of a gateway after it got in: it moves, and is retired. Its history stays."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import closing
from fleet.certificates import service as certificates
from fleet.claims import journal
from fleet.claims.models import Claim, Enrolment
from fleet.errors import ConflictError, InvalidError
from fleet.gateways import service
from fleet.gateways.models import Gateway
from fleet.sites import service as sites
from fleet.sites.service import check_position

WHY_MOST = 500


def retire(session: Session, name: str, why: str, by: str, now_ns: int) -> Gateway:
    """Take a gateway out of service: its identity ends, its alarms are closed, nobody watches it or waits for it.

    It comes back by a new claim only. Raises InvalidError without a reason, NotFoundError, or ConflictError if it is
    retired already.
    """
    why = why.strip()[:WHY_MOST]
    if not why:
        raise InvalidError("say why", hint="the reason stays in the journal")
    gateway = find_in_service(session, name)
    if certificates.list_of_gateway(session, name):
        certificates.revoke(session, name, why, by, now_ns)
    else:
        service.void_token(session, name)
        gateway.barred_ns = now_ns
    gateway.retired_ns = now_ns
    _refuse_who_waits(session, name, by, now_ns)
    closing.close_all(session, name, why, by, now_ns)
    journal.note(session, "retired", now_ns, gateway=name, by=by, detail=why)
    session.flush()
    return gateway


def move(session: Session, name: str, site: str, lat: float | None, lon: float | None, by: str, now_ns: int) -> Gateway:
    """Have a gateway stand at another site, at this position in degrees or one yet unknown. All its history goes along.

    Raises NotFoundError, InvalidError, or ConflictError if it stands there already or is retired.
    """
    check_position(lat, lon)
    gateway = find_in_service(session, name)
    sites.get(session, site)
    if gateway.site_key == site:
        raise ConflictError(f"gateway '{name}' stands at '{site}' already")
    before = gateway.site_key or "no site"
    gateway.site_key, gateway.lat, gateway.lon = site, lat, lon
    journal.note(session, "moved", now_ns, gateway=name, by=by, detail=f"{before} -> {site}")
    session.flush()
    return gateway


def find_in_service(session: Session, name: str) -> Gateway:
    """Return a gateway that nobody else changes meanwhile. Raises NotFoundError, or ConflictError if it is retired."""
    gateway = service.get_to_change(session, name)
    if gateway.retired_ns is not None:
        raise ConflictError(f"gateway '{name}' is retired", hint="it comes back by a new claim")
    return gateway


def _refuse_who_waits(session: Session, name: str, by: str, now_ns: int) -> None:
    """Let nobody in by what was said before: unused claims end, and keys that wait for the name are refused."""
    unused = sa.update(Claim).where(Claim.gateway == name, Claim.used_ns.is_(None))
    session.execute(unused.values(gateway=None, expires_ns=now_ns))
    waiting = sa.update(Enrolment).where(Enrolment.gateway == name, Enrolment.verdict.in_(("", "approved")))
    session.execute(waiting.values(verdict="refused", decided_by=by, decided_ns=now_ns))
