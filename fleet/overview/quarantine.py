"""What could not be read of one gateway."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.gateways import service as gateways
from fleet.overview.labels import name_places
from fleet.overview.sources import Sources
from fleet.readings import service as readings
from fleet.readings.models import Quarantined

PAGE = 50
SHOWN_OCTETS = 32


class QuarantineLine(msgspec.Struct, frozen=True, kw_only=True):
    """One record or message that could not be read, with its first octets in hexadecimal and how many there are."""

    id: int
    kind: str
    epoch: str | None
    lane: str | None
    seq: int | None
    reason: str
    received_ns: int
    begin: str
    octets: int


class QuarantinePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page, newest first; ``older`` is the last number on a full page, ``total`` how many are kept."""

    gateway: str
    title: str
    rows: tuple[QuarantineLine, ...]
    total: int
    older: int | None


def find_quarantine(sources: Sources, gateway: str, before: int | None = None) -> QuarantinePage:
    """Gather it. Raises NotFoundError for a gateway that nobody registered."""
    session = sources.session
    gateways.get(session, gateway)
    rows = tuple(_line(row) for row in readings.quarantined(session, gateway, before, PAGE))
    return QuarantinePage(
        gateway=gateway,
        title=name_places(session, {gateway})[gateway][0],
        rows=rows,
        total=count_quarantined(session, gateway),
        older=rows[-1].id if len(rows) == PAGE else None,
    )


def count_quarantined(session: Session, gateway: str) -> int:
    """How much is kept of one gateway."""
    count = sa.select(sa.func.count()).select_from(Quarantined).where(Quarantined.gateway == gateway)
    return session.scalar(count) or 0


def _line(row: Quarantined) -> QuarantineLine:
    return QuarantineLine(
        id=row.id,
        kind=row.kind,
        epoch=row.epoch,
        lane=row.lane,
        seq=row.seq,
        reason=row.reason,
        received_ns=row.received_ns,
        begin=row.body[:SHOWN_OCTETS].hex(" "),
        octets=len(row.body),
    )
