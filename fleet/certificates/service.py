"""Certificates of gateways: issue, renew, revoke, and the list of what was revoked."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.orm import Session

from fleet.authority.store import Authority, to_datetime
from fleet.certificates.models import Certificate
from fleet.errors import InvalidError, NotFoundError
from fleet.gateways import service as gateways
from provisioning import authority as issuing
from provisioning.authority import RENEW_AFTER, RENEWABLE_FOR, Issuer, Revoked
from provisioning.keys import fingerprint

NS = 1_000_000_000
RENEW_AFTER_NS = int(RENEW_AFTER.total_seconds()) * NS
RENEWABLE_FOR_NS = int(RENEWABLE_FOR.total_seconds()) * NS
FRESH_NS = RENEW_AFTER_NS // 2
"""A gateway that asks again before that gets what it got: an answer may have been lost on its way."""
KEPT_IN_LIST_NS = 86_400 * NS
"""How long a revoked certificate stays in the list after its expiry, for brokers whose clock is slow."""


def issue(
    session: Session, authority: Authority, gateway: str, key: EllipticCurvePublicKey, now_ns: int
) -> Certificate:
    """Issue a certificate, or return the key's newest one while that is fresh."""
    issuer = authority.gateways
    known = newest_of_key(session, fingerprint(key))
    if known is not None and known.gateway == gateway and _is_fresh(known, issuer, now_ns):
        return known
    made = issuing.issue_gateway(issuer, gateway, key, to_datetime(now_ns))
    row = Certificate(
        serial=f"{made.serial_number:x}",
        gateway=gateway,
        key=fingerprint(key),
        issued_ns=now_ns,
        not_after_ns=int(made.not_valid_after_utc.timestamp()) * NS,
        pem=issuing.to_pem([made, *issuer.intermediates]).decode(),
    )
    session.add(row)
    holder = gateways.get(session, gateway)
    holder.barred_ns = holder.retired_ns = None
    session.flush()
    return row


def _is_fresh(row: Certificate, issuer: Issuer, now_ns: int) -> bool:
    """Tell whether a certificate is new, and of the intermediate that issues now."""
    is_of_issuer = row.pem.encode().endswith(issuing.to_pem(issuer.intermediates))
    return is_of_issuer and 0 <= now_ns - row.issued_ns < FRESH_NS


def newest_of_key(session: Session, key: str) -> Certificate | None:
    """Return the certificate that a key got last. ``key`` is its fingerprint."""
    query = sa.select(Certificate).where(Certificate.key == key)
    return session.scalars(query.order_by(Certificate.issued_ns.desc()).limit(1)).first()


def is_revoked_key(session: Session, key: str) -> bool:
    """Tell whether any certificate of a key was revoked."""
    query = sa.select(Certificate.serial).where(Certificate.key == key, Certificate.revoked_ns.is_not(None))
    return session.scalar(query.limit(1)) is not None


def live_keys(session: Session, gateway: str, now_ns: int) -> set[str]:
    """Return the keys by which a gateway still gets in, or could renew by itself."""
    query = sa.select(Certificate.key).where(
        Certificate.gateway == gateway,
        Certificate.revoked_ns.is_(None),
        Certificate.not_after_ns > now_ns - RENEWABLE_FOR_NS,
    )
    return set(session.scalars(query))


def list_of_gateway(session: Session, gateway: str) -> Sequence[Certificate]:
    """Return a gateway's certificates, newest first."""
    query = sa.select(Certificate).where(Certificate.gateway == gateway)
    return session.scalars(query.order_by(Certificate.issued_ns.desc())).all()


def revoke(session: Session, gateway: str, why: str, by: str, now_ns: int, *, keep_key: str = "") -> int:
    """Revoke all of a gateway's certificates, save those of one key. Returns how many; their keys get no others.

    Its token ends with them.

    Raises InvalidError without a reason, NotFoundError if it has none.
    """
    if not why.strip():
        raise InvalidError("say why", hint="the reason stays in the list of certificates")
    rows = [row for row in list_of_gateway(session, gateway) if row.key != keep_key]
    if not rows:
        raise NotFoundError(f"gateway '{gateway}' has no certificate to revoke")
    fresh = [row for row in rows if row.revoked_ns is None]
    for row in fresh:
        row.revoked_ns, row.revoked_why, row.revoked_by = now_ns, why, by
    gateways.void_token(session, gateway)
    if not keep_key:
        gateways.get(session, gateway).barred_ns = now_ns
    session.flush()
    return len(fresh)


def find_untold(session: Session) -> dict[str, list[str]]:
    """{gateway: serial numbers} of what was revoked and brokers were not told of."""
    query = sa.select(Certificate.gateway, Certificate.serial).where(
        Certificate.revoked_ns.is_not(None), Certificate.told_ns.is_(None)
    )
    found: dict[str, list[str]] = {}
    for gateway, serial in session.execute(query.order_by(Certificate.revoked_ns)):
        found.setdefault(gateway, []).append(serial)
    return found


def note_told(session: Session, serials: Sequence[str], now_ns: int) -> None:
    """Brokers know of these by now."""
    session.execute(sa.update(Certificate).where(Certificate.serial.in_(serials)).values(told_ns=now_ns))


def find_revoked(session: Session, serials: Sequence[str]) -> set[str]:
    """Return which of these serial numbers were revoked."""
    query = sa.select(Certificate.serial).where(Certificate.serial.in_(serials), Certificate.revoked_ns.is_not(None))
    return set(session.scalars(query))


def make_crl(session: Session, authority: Authority, now_ns: int) -> bytes:
    """Make the list of revoked certificates of gateways, as PEM."""
    query = sa.select(Certificate.serial, Certificate.revoked_ns).where(
        Certificate.revoked_ns.is_not(None), Certificate.not_after_ns > now_ns - KEPT_IN_LIST_NS
    )
    lines = [Revoked(int(serial, 16), to_datetime(at or now_ns)) for serial, at in session.execute(query)]
    return issuing.make_crl(authority.gateways, lines, to_datetime(now_ns)).public_bytes(Encoding.PEM)
