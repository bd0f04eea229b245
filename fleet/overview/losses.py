"""The loss ledger of one gateway."""

from __future__ import annotations

import msgspec

from fleet.gateways import service as gateways
from fleet.ledger import service as ledger
from fleet.ledger.models import Loss
from fleet.overview.labels import name_places
from fleet.overview.quarantine import count_quarantined
from fleet.overview.sources import Sources

PAGE = 100


class LossesPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the ledger, newest first; ``older`` is the last number on a full page. ``lost``: (lane, records).

    ``quarantined`` is how much of it could not be read."""

    gateway: str
    title: str
    rows: tuple[Loss, ...]
    lost: tuple[tuple[str, int], ...]
    older: int | None
    quarantined: int


def find_losses(sources: Sources, gateway: str, before: int | None = None) -> LossesPage:
    """Gather it. Raises NotFoundError for a gateway that nobody registered."""
    session = sources.session
    gateways.get(session, gateway)
    rows = tuple(ledger.losses(session, gateway, before, PAGE))
    return LossesPage(
        gateway=gateway,
        title=name_places(session, {gateway})[gateway][0],
        rows=rows,
        lost=tuple(sorted(ledger.count_lost(session, gateway).items())),
        older=rows[-1].id if len(rows) == PAGE else None,
        quarantined=count_quarantined(session, gateway),
    )
