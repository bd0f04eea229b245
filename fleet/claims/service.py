"""Claims and the queue of those who wait: made, imported, scanned, approved, refused."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.certificates import service as certificates
from fleet.claims import journal, replacing
from fleet.claims.models import Claim, Enrolment, Kind
from fleet.configs import templates
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways.models import Gateway
from fleet.sites.models import Site
from fleet.sites.service import check_position
from provisioning.codes import hash_code
from provisioning.errors import RequestError
from wire.topics import is_gateway

NS = 1_000_000_000
DAY_NS = 86_400 * NS
DAYS_MOST = 3650
IMPORT_MOST = 10_000
COLUMNS = ("secret_sha256", "gateway", "title", "site", "template")
HASH_PATTERN = re.compile(r"[0-9a-f]{64}")


class Intended(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway is to become. Without a name somebody says so when it asks.

    ``template`` and ``variables`` make its first configuration; its position is in degrees, WGS 84. It takes
    the place of the one that it ``replaces`` (`fleet.claims.replacing`).
    """

    gateway: str = ""
    title: str = ""
    site: str = ""
    template: str = ""
    variables: dict[str, Any] = {}
    lat: float | None = None
    lon: float | None = None
    note: str = ""
    replaces: str = ""


def add(
    session: Session, secret_hash: str, intended: Intended, by: str, now_ns: int, days: float | None = None
) -> Claim:
    """Add the claim of a label. Raises InvalidError, NotFoundError or ConflictError, whose text names the mistake."""
    _check(session, secret_hash, intended, now_ns)
    if days is not None and not 0 < days <= DAYS_MOST:
        raise InvalidError(f"{days:g} days is no time to live", hint=f"up to {DAYS_MOST}")
    claim = _make(Kind.LABEL, secret_hash, None, intended, by, now_ns)
    claim.expires_ns = None if days is None else now_ns + int(days * DAY_NS)
    return _keep(session, claim, now_ns)


def scan_local(session: Session, code: str, key: str, intended: Intended, by: str, now_ns: int) -> Claim:
    """Take the local code that a gateway shows, with the fingerprint of its key: it may get in by that key alone.

    Scanned again by a technician whose link was bad, it is the same claim.
    """
    if not HASH_PATTERN.fullmatch(key):
        raise InvalidError("this is no fingerprint of a key", hint="64 of 0-9 and a-f, as the gateway shows it")
    if not intended.gateway:
        raise InvalidError("a gateway needs a name", hint="use 7 to 63 of a-z, 0-9 and '-'")
    secret_hash = hash_typed(code)
    known = find(session, secret_hash)
    if known is not None and (known.kind, known.key, known.gateway) == (Kind.LOCAL, key, intended.gateway):
        return known
    _check(session, secret_hash, intended, now_ns)
    return _keep(session, _make(Kind.LOCAL, secret_hash, key, intended, by, now_ns), now_ns)


def hash_typed(code: str) -> str:
    """Return the hash of a code that somebody typed. Raises InvalidError."""
    try:
        return hash_code(code)
    except RequestError as error:
        raise InvalidError(str(error), hint=error.hint) from error


def _make(kind: Kind, secret_hash: str, key: str | None, intended: Intended, by: str, now_ns: int) -> Claim:
    return Claim(
        secret_hash=secret_hash,
        kind=kind.value,
        key=key,
        gateway=intended.gateway or None,
        title=intended.title,
        site_key=intended.site or None,
        template=intended.template,
        variables=intended.variables,
        lat=intended.lat,
        lon=intended.lon,
        note=intended.note,
        replaces=intended.replaces,
        made_ns=now_ns,
        made_by=by,
    )


def _keep(session: Session, claim: Claim, now_ns: int) -> Claim:
    session.add(claim)
    session.flush()
    journal.note(session, "claim-made", now_ns, gateway=claim.gateway or "", claim_id=claim.id, by=claim.made_by)
    return claim


def _check(session: Session, secret_hash: str, intended: Intended, now_ns: int) -> None:
    if not HASH_PATTERN.fullmatch(secret_hash):
        raise InvalidError(
            "the hash of the code is not a SHA-256", hint="64 of 0-9 and a-f, as the label's file has it"
        )
    check_intended(session, intended)
    if find(session, secret_hash) is not None:
        raise ConflictError("there is a claim with this code already", hint="each label is imported once")
    if intended.gateway:
        check_free(session, intended.gateway)
    if intended.replaces:
        replacing.check(session, intended.gateway, intended.replaces, now_ns)


def check_free(session: Session, gateway: str) -> None:
    """Check that no other claim for a gateway waits to be used. Raises ConflictError."""
    taken = sa.select(Claim.id).where(Claim.gateway == gateway, Claim.used_ns.is_(None))
    if session.scalar(taken.limit(1)) is not None:
        raise ConflictError(f"another claim for gateway '{gateway}' waits to be used", hint="withdraw that one first")


def check_intended(session: Session, intended: Intended) -> None:
    """Check names, position, and whether the template takes the variables. Raises InvalidError or NotFoundError."""
    if intended.gateway and not is_gateway(intended.gateway):
        raise InvalidError(
            f"'{intended.gateway}' is not a gateway name", hint="use 7 to 63 of a-z, 0-9 and '-', not '-' first"
        )
    if intended.site and session.get(Site, intended.site) is None:
        raise NotFoundError(f"there is no site '{intended.site}'", hint=f"run: fengsui-fleet site add {intended.site}")
    check_position(intended.lat, intended.lon)
    if "\0" in intended.title + intended.note:
        raise InvalidError("a letter of the title or note is NUL", hint="type it again")
    if intended.template:
        template = templates.get(session, intended.template)
        if intended.variables:  # else they are given on site
            templates.render(template, intended.variables)


def find(session: Session, secret_hash: str) -> Claim | None:
    """Find a claim by its hash. On PostgreSQL others wait until this transaction has decided about it."""
    return session.scalar(sa.select(Claim).where(Claim.secret_hash == secret_hash).with_for_update())


def is_in(session: Session, claim: Claim, now_ns: int) -> bool:
    """Tell whether the gateway of a claim's name got in by it. Who used it may still wait, as the name is in use."""
    return bool(claim.gateway) and claim.key in certificates.live_keys(session, claim.gateway or "", now_ns)


def withdraw(session: Session, claim_id: int, by: str, now_ns: int) -> None:
    """Let a claim that nobody has used expire now. Raises NotFoundError, or ConflictError if it was used."""
    claim = session.get(Claim, claim_id)
    if claim is None:
        raise NotFoundError(f"there is no claim {claim_id}")
    if claim.used_ns is not None:
        raise ConflictError("the claim was used", hint="revoke the gateway's certificates instead")
    claim.expires_ns, claim.gateway = now_ns, None
    journal.note(session, "claim-withdrawn", now_ns, claim_id=claim_id, by=by)


def import_csv(session: Session, text: str, by: str, now_ns: int, days: float | None = None) -> int:
    """Add a claim for each line of a CSV file with a heading of COLUMNS. All of it or nothing.

    Raises InvalidError that lists every wrong line.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    mistakes: list[str] = []
    added = 0
    try:
        _check_heading(rows.fieldnames)
        for row in rows:
            if added + len(mistakes) >= IMPORT_MOST:
                raise InvalidError(f"more than {IMPORT_MOST} lines", hint="split the file")
            mistake = _import_line(session, row, by, now_ns, days)
            if mistake:
                mistakes.append(f"line {rows.line_num}: {mistake}")
            else:
                added += 1
    except csv.Error as error:
        mistakes.append(f"line {rows.line_num}: not CSV: {error}")
    if mistakes:
        raise InvalidError("; ".join(mistakes[:20]), hint="nothing was imported: correct these lines and try again")
    return added


def _check_heading(found: Sequence[str] | None) -> None:
    unknown = [name for name in found or () if name not in COLUMNS]
    if not found or unknown or COLUMNS[0] not in found:
        raise InvalidError(
            f"line 1: {f'unknown column {unknown[0]!r}' if unknown else f'there is no column {COLUMNS[0]}'}",
            hint=f"the first line names the columns: {','.join(COLUMNS)}",
        )


def _import_line(session: Session, row: dict[str, str], by: str, now_ns: int, days: float | None) -> str:
    """Add one line's claim. Returns what is wrong with it, empty if nothing."""
    if None in row or None in row.values():
        return "it has not as many fields as the heading"
    field = {name: (row.get(name) or "").strip() for name in COLUMNS}
    intended = Intended(gateway=field["gateway"], title=field["title"], site=field["site"], template=field["template"])
    try:
        add(session, field["secret_sha256"].lower(), intended, by, now_ns, days)
    except (InvalidError, NotFoundError, ConflictError) as error:
        return str(error)
    return ""


def list_newest(session: Session, limit: int) -> Sequence[Claim]:
    """Return the claims that were made last, newest first."""
    return session.scalars(sa.select(Claim).order_by(Claim.id.desc()).limit(limit)).all()


def waiting(session: Session) -> Sequence[Enrolment]:
    """Return those who wait for somebody's word, oldest first."""
    return session.scalars(sa.select(Enrolment).where(Enrolment.verdict == "").order_by(Enrolment.id)).all()


def approve(session: Session, enrolment_id: int, intended: Intended, by: str, now_ns: int) -> Enrolment:
    """Let one who waits in, as the gateway it asks to be or as ``intended`` says. It gets its certificate when it asks.

    What the name's former key could do ends when the new one gets in. Raises NotFoundError, InvalidError or
    ConflictError.
    """
    row = _undecided(session, enrolment_id)
    check_intended(session, intended)
    name = row.gateway or intended.gateway
    if not name:
        raise InvalidError("a gateway needs a name", hint="use 7 to 63 of a-z, 0-9 and '-'")
    if row.gateway and intended.gateway not in {"", row.gateway}:
        raise ConflictError(f"it asks to be '{row.gateway}'", hint="refuse it, and make a claim for the other name")
    taken = session.get(Gateway, name) is not None and certificates.live_keys(session, name, now_ns) - {row.key}
    if taken and not row.gateway:
        raise ConflictError(f"'{name}' is another gateway, which is in use", hint="choose another name")
    row.gateway = name
    _describe_claim(session, row, intended)
    _decide(session, row, "approved", by, now_ns)
    return row


def _describe_claim(session: Session, row: Enrolment, intended: Intended) -> None:
    claim = session.get(Claim, row.claim_id) if row.claim_id is not None else None
    if claim is not None:
        claim.gateway = row.gateway
        describe(claim, intended)


def describe(claim: Claim, intended: Intended) -> None:
    """Add to a claim what was said later; what was left open stays as it was."""
    claim.title = intended.title or claim.title
    claim.site_key = intended.site or claim.site_key
    if intended.template:
        claim.template, claim.variables = intended.template, intended.variables
    if intended.lat is not None:
        claim.lat, claim.lon = intended.lat, intended.lon
    claim.note = intended.note or claim.note


def refuse(session: Session, enrolment_id: int, by: str, now_ns: int) -> Enrolment:
    """Keep one who waits out. Raises NotFoundError or ConflictError."""
    row = _undecided(session, enrolment_id)
    _decide(session, row, "refused", by, now_ns)
    return row


def _undecided(session: Session, enrolment_id: int) -> Enrolment:
    row = session.get(Enrolment, enrolment_id)
    if row is None:
        raise NotFoundError(f"nobody waits under the number {enrolment_id}")
    if row.verdict:
        raise ConflictError(f"it was {row.verdict} already, by {row.decided_by}")
    return row


def _decide(session: Session, row: Enrolment, verdict: str, by: str, now_ns: int) -> None:
    row.verdict, row.decided_by, row.decided_ns = verdict, by, now_ns
    journal.note(
        session, f"enrolment-{verdict}", now_ns, gateway=row.gateway, claim_id=row.claim_id, key=row.key, by=by
    )
