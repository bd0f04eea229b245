"""What happened to claims and identities: a line in the database and one in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.claims.models import EnrolmentEvent

log = logging.getLogger(__name__)


def note(
    session: Session,
    event: str,
    now_ns: int,
    *,
    gateway: str = "",
    claim_id: int | None = None,
    key: str = "",
    by: str = "",
    detail: str = "",
) -> None:
    """Take down an event. ``by`` is a person, or the address that asked."""
    session.add(
        EnrolmentEvent(
            at_ns=now_ns, event=event, gateway=gateway, claim_id=claim_id, key=key, by=by[:64], detail=detail[:500]
        )
    )
    log.info("%s: gateway '%s', key %s, by %s %s", event, gateway, key[:16], by[:64], detail)


def newest(session: Session, gateway: str = "", most: int = 100) -> Sequence[EnrolmentEvent]:
    """Return the newest events first, of one gateway or of all."""
    query = sa.select(EnrolmentEvent).order_by(EnrolmentEvent.id.desc()).limit(most)
    return session.scalars(query.where(EnrolmentEvent.gateway == gateway) if gateway else query).all()
