"""The audit log: writing a line, reading, and verifying the chain."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.audit.chain import Entry, Head, link, verify
from fleet.audit.models import AuditHead, AuditLine

DONE, REFUSED, FAILED = "done", "refused", "failed"
TEXT_MAX = 200
DETAIL_MAX = 4000
EXPORTED_MOST = 100_000
LOCK = 0x6665_6175
"""The lock by which writers of PostgreSQL append one after another. It is the last that a transaction takes."""


class Actor(msgspec.Struct, frozen=True):
    """Who does something: an account's name, how they came, from which address."""

    name: str
    via: str
    address: str = ""


def append(
    session: Session,
    at_ns: int,
    actor: Actor,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
    outcome: str = DONE,
) -> None:
    """Write one line in the transaction of what it tells of. ``detail`` must hold no secret."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    # The row may have changed since this session first saw it: only the lock makes it the newest.
    head = session.get(AuditHead, 1, populate_existing=True)
    if head is None:
        head = AuditHead(id=1, number=0, hash=Head().hash)
        session.add(head)
    entry = Entry(
        number=head.number + 1,
        at_ns=at_ns,
        actor=_clean(actor.name),
        via=_clean(actor.via),
        address=_clean(actor.address),
        action=action,
        target=_clean(target),
        outcome=outcome,
        detail=msgspec.json.encode(detail or {}).decode()[:DETAIL_MAX].replace("\0", ""),
    )
    head.number, head.hash = entry.number, link(head.hash, entry)
    fields = msgspec.structs.asdict(entry)
    session.add(AuditLine(id=fields.pop("number"), hash=head.hash, **fields))
    session.flush()


def find_head(session: Session) -> Head:
    """Return the newest line's number and hash."""
    row = session.get(AuditHead, 1)
    return Head(row.number, row.hash) if row else Head()


def check(session: Session, noted: Head | None = None) -> tuple[str, ...]:
    """Return what is wrong with the log, empty if nothing is (`fleet.audit.chain.verify`)."""
    return verify(_read(session), find_head(session), noted)


def list_lines(
    session: Session, actor: str = "", action: str = "", before: int | None = None, limit: int = 100
) -> Sequence[AuditLine]:
    """Return lines, newest first. ``action`` is the begin of its name."""
    query = sa.select(AuditLine).order_by(AuditLine.id.desc()).limit(limit)
    if actor:
        query = query.where(AuditLine.actor == actor)
    if action:
        query = query.where(AuditLine.action.startswith(action, autoescape=True))
    if before is not None:
        query = query.where(AuditLine.id < before)
    return session.scalars(query).all()


def write_csv(lines: Iterable[AuditLine]) -> str:
    """Write lines as CSV with a heading; a cell that a spreadsheet would take for a formula is quoted."""
    names = ("id", *Entry.__struct_fields__[1:], "hash")
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names)
    for line in lines:
        cells = (str(getattr(line, name)) for name in names)
        writer.writerow([f"'{cell}" if cell[:1] in "=+-@\t\r" and cell[:1] else cell for cell in cells])
    return buffer.getvalue()


def _read(session: Session) -> Iterator[tuple[Entry, str]]:
    columns = (AuditLine.id, *(getattr(AuditLine, name) for name in Entry.__struct_fields__[1:]), AuditLine.hash)
    for *fields, digest in session.execute(sa.select(*columns).order_by(AuditLine.id)).yield_per(1000):
        yield Entry(*fields), digest


def _clean(text: str) -> str:
    """Leave what a database and a terminal take: no control characters, not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:TEXT_MAX]
