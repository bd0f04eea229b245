"""The loss ledger of one gateway, with what could not be read of it."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from fleet.gateways import service as gateways
from fleet.ledger import service as ledger
from fleet.ledger.models import Loss
from fleet.overview.labels import name_places
from fleet.overview.sources import Sources
from fleet.readings import service as readings
from fleet.readings.models import Quarantined

PAGE = 100
QUARANTINE_SHOWN = 20


class LossesPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the ledger, newest first; ``older`` is the last number on a full page. ``lost``: (lane, records)."""

    gateway: str
    title: str
    rows: tuple[Loss, ...]
    lost: tuple[tuple[str, int], ...]
    older: int | None
    quarantine: tuple[Quarantined, ...]
    quarantined: int


def find_losses(sources: Sources, gateway: str, before: int | None = None) -> LossesPage:
    """Gather it. Raises NotFoundError for a gateway that nobody registered."""
    session = sources.session
    gateways.get(session, gateway)
    rows = tuple(ledger.losses(session, gateway, before, PAGE))
    count = sa.select(sa.func.count()).select_from(Quarantined).where(Quarantined.gateway == gateway)
    return LossesPage(
        gateway=gateway,
        title=name_places(session, {gateway})[gateway][0],
        rows=rows,
        lost=tuple(sorted(ledger.count_lost(session, gateway).items())),
        older=rows[-1].id if len(rows) == PAGE else None,
        quarantine=tuple(readings.quarantined(session, gateway, None, QUARANTINE_SHOWN)),
        quarantined=session.scalar(count) or 0,
    )
