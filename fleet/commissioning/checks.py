"""Keeps what gateways say they have checked: at the door for a claim, and afterwards for themselves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy.orm import Session

from fleet.commissioning.models import Commissioning, ReportedChecks
from fleet.readings.items import escape_text
from wire.checklist import Check


def note_asked(
    session: Session, claim_id: int, checks: Sequence[Check], waits: str, not_after_ns: int | None, now_ns: int
) -> None:
    """Take that a gateway asked by its claim, and what came of it. Nothing if no technician has scanned the claim."""
    row = session.get(Commissioning, claim_id)
    if row is None:
        return
    row.asked_ns, row.waits = now_ns, waits
    row.checks = write(checks) or row.checks
    row.not_after_ns = not_after_ns or row.not_after_ns


def note_reported(session: Session, gateway: str, checks: Sequence[Check], now_ns: int) -> None:
    """Take what a registered gateway says of itself: the newest counts."""
    row = session.get(ReportedChecks, gateway)
    if row is None:
        session.add(ReportedChecks(gateway=gateway, checks=write(checks), at_ns=now_ns))
    else:
        row.checks, row.at_ns = write(checks), now_ns
    session.flush()


def write(checks: Sequence[Check]) -> list[dict[str, str]]:
    """Write checks as a document that every database takes."""
    return [{key: escape_text(value) for key, value in msgspec.structs.asdict(check).items()} for check in checks]


def read(document: list[dict[str, str]]) -> tuple[Check, ...]:
    """Read what `write` made."""
    return tuple(Check(**row) for row in document)  # type: ignore[arg-type]  # what was checked when it came
