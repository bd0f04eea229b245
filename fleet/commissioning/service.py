"""Commissioning: what a technician says on site, trials of outputs, and the signature that ends it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.claims import service as claims
from fleet.claims import taking
from fleet.claims.models import Claim
from fleet.claims.service import Intended
from fleet.commands import service as commands
from fleet.commands.service import KeyLoader
from fleet.commissioning import checks
from fleet.commissioning.models import Commissioning, OutputTrial
from fleet.commissioning.photo import strip
from fleet.errors import ConflictError, InvalidError, NotFoundError
from wire.checklist import Check

KEY_PATTERN = re.compile(r"[A-Za-z0-9-]{16,64}")
NOTE_MOST = 500
NAME_MOST = 64
TRIAL_S = 5
TRIAL_LIFETIME_S = 60
"""A trial that comes later would surprise whoever stands there by then."""
POINTS_MOST = 4000
FIELD = 1000
"""A signature is drawn on a field of so many units each way."""
TRIAL = "output-test"

Stroke = list[tuple[int, int]]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What a technician sends: the code with its key if that is known, what the gateway is to be, and a photo.

    ``request_key`` is the same for what is sent again.
    """

    request_key: str
    code: str
    key: str
    intended: Intended
    photo: bytes = b""


def begin(session: Session, visit: Visit, seen: Sequence[Check], by: str, now_ns: int) -> Commissioning:
    """Take what a technician said on site. ``seen`` is what the gateway checked before its code was known here.

    Sent again it is the same. Scanned again, it is corrected until it is signed. Raises InvalidError, NotFoundError
    or ConflictError.
    """
    if not KEY_PATTERN.fullmatch(visit.request_key):
        raise InvalidError("the form has lost its number", hint="load the page again")
    sent = session.scalar(sa.select(Commissioning).where(Commissioning.request_key == visit.request_key))
    if sent is not None:
        return sent
    if len(visit.intended.note) > NOTE_MOST:
        raise InvalidError(f"the note has more than {NOTE_MOST} letters", hint="shorten it")
    photo = strip(visit.photo) if visit.photo else None
    claim = taking.take(session, visit.code, visit.key, visit.intended, by, now_ns)
    row = session.get(Commissioning, claim.id)
    if row is None:
        row = Commissioning(claim_id=claim.id, begun_ns=now_ns, checks=checks.write(seen), strokes=[])
        session.add(row)
    _check_open(row)
    row.request_key, row.technician = visit.request_key, by
    row.gateway, row.site_key, row.template = claim.gateway or "", claim.site_key or "", claim.template
    row.lat, row.lon, row.note = claim.lat, claim.lon, claim.note
    row.photo = photo or row.photo
    session.flush()
    return row


def get(session: Session, number: int) -> Commissioning:
    """Return a commissioning. Raises NotFoundError."""
    row = session.get(Commissioning, number)
    if row is None:
        raise NotFoundError(f"there is no commissioning {number}")
    return row


def list_newest(session: Session, limit: int = 20) -> Sequence[Commissioning]:
    """Return those begun last, without photos and reports."""
    query = sa.select(Commissioning).options(
        sa.orm.defer(Commissioning.photo), sa.orm.defer(Commissioning.report), sa.orm.defer(Commissioning.strokes)
    )
    return session.scalars(query.order_by(Commissioning.begun_ns.desc()).limit(limit)).all()


def try_output(session: Session, load_key: KeyLoader, number: int, output: str, by: str, now_ns: int) -> OutputTrial:
    """Have the gateway switch an output on for `TRIAL_S` s. Raises what `fleet.commands.service.issue` does.

    Only the gateway that came by this claim: its name alone, which anybody on site may type, moves no other's outputs.
    """
    row = get(session, number)
    _check_open(row)
    claim = session.get(Claim, number)
    if claim is None or not claims.is_in(session, claim, now_ns):
        raise ConflictError(f"'{row.gateway}' has not come by this claim yet", hint="wait until it has a certificate")
    arguments = {"output": output, "seconds": TRIAL_S}
    issued = commands.issue(session, load_key, row.gateway, TRIAL, arguments, by, TRIAL_LIFETIME_S, now_ns)
    trial = OutputTrial(gateway=row.gateway, output=output, command_id=issued.id, asked_ns=now_ns, asked_by=by)
    session.add(trial)
    session.flush()
    return trial


def note_seen(session: Session, number: int, trial_id: int, was_seen: bool, now_ns: int) -> OutputTrial:
    """Take whether somebody saw or heard an output. Raises NotFoundError or ConflictError."""
    row = get(session, number)
    _check_open(row)
    trial = session.get(OutputTrial, trial_id)
    if trial is None or trial.gateway != row.gateway:
        raise NotFoundError(f"there was no trial {trial_id} of this gateway")
    trial.was_seen, trial.seen_ns = was_seen, now_ns
    return trial


def read_strokes(text: str) -> list[Stroke]:
    """Read a drawn signature: JSON, a list of lines, each a list of [x, y] from 0 to `FIELD`. Raises InvalidError."""
    if not text:
        return []
    try:
        strokes = msgspec.json.decode(text, type=list[Stroke])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidError(f"the signature cannot be read: {error}", hint="draw it again") from error
    points = [point for stroke in strokes for point in stroke]
    if len(points) > POINTS_MOST or any(not 0 <= value <= FIELD for point in points for value in point):
        raise InvalidError("the signature is too large", hint="draw it again")
    return strokes


def check_name(name: str) -> str:
    """Return the name of who signs. Raises InvalidError."""
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > NAME_MOST or not cleaned.isprintable():
        raise InvalidError("who signs needs a name", hint=f"up to {NAME_MOST} letters")
    return cleaned


def sign(
    session: Session, number: int, by: str, via: str, strokes: list[Stroke], report: bytes, now_ns: int
) -> Commissioning:
    """Keep the report as it is signed; from now on nothing of it changes. Raises ConflictError if it was signed."""
    row = get(session, number)
    _check_open(row)
    kept: list[Any] = [[list(point) for point in stroke] for stroke in strokes]
    row.signed_ns, row.signed_by, row.signed_via, row.strokes = now_ns, by, via, kept
    row.report, row.report_sha256 = report, hashlib.sha256(report).hexdigest()
    session.flush()
    return row


def _check_open(row: Commissioning) -> None:
    if row.signed_ns is not None:
        raise ConflictError(f"this was signed by {row.signed_by}", hint="what is signed stays as it is")
