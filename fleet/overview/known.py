"""The gateways in the register, with what each last said of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from fleet.gateways.models import Gateway
from fleet.overview.sources import NS, Sources
from fleet.sites.models import Site
from wire.health import Health

ONLINE_WITHIN_S = 30
"""A gateway tells its health every few seconds; after this long without a word it counts as silent."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's row without its documents, and its site."""

    name: str
    title: str
    site: str
    sector: str
    release: str
    seen_ns: int | None
    health: Health | None
    retired_ns: int | None = None

    def online(self, now_ns: int) -> bool:
        """Whether it was heard lately."""
        return self.seen_ns is not None and now_ns - self.seen_ns <= ONLINE_WITHIN_S * NS

    @property
    def pending(self) -> int:
        """Records that wait on the gateway."""
        return sum(lane.pending for lane in self.health.lanes.values()) if self.health else 0

    @property
    def tombstoned(self) -> int:
        """Records that the gateway has declared lost."""
        return sum(lane.tombstoned for lane in self.health.lanes.values()) if self.health else 0


def list_known(sources: Sources, *, with_retired: bool = False) -> list[Known]:
    """All gateways that are in service, by name, with what they last said of themselves; or also the retired ones."""
    chosen = sa.true() if with_retired else Gateway.retired_ns.is_(None)
    query = (
        sa.select(
            Gateway.name, Gateway.title, Gateway.site_key, Site.title, Site.sector, Gateway.release,
            Gateway.last_seen_ns, Gateway.health_ns, Gateway.health, Gateway.retired_ns,
        )
        .outerjoin(Site, Site.key == Gateway.site_key)
        .where(chosen)
        .order_by(Gateway.name)
    )  # fmt: skip
    known = []
    rows = sources.session.execute(query)
    for name, title, key, site, sector, release, seen, health_ns, document, retired_ns in rows:
        newest = sources.live.health(name)
        heard = [at for at in (seen, health_ns, newest.received_ns if newest else None) if at is not None]
        known.append(
            Known(
                name=name,
                title=title,
                site=site or key or "",
                sector=sector or "",
                release=release,
                seen_ns=max(heard, default=None),
                health=read_health(newest.document if newest else document),
                retired_ns=retired_ns,
            )
        )
    return known


def read_health(document: Mapping[str, Any] | None) -> Health | None:
    """Read a stored health document; None if there is none, or a newer gateway's does not fit ours."""
    if document is None:
        return None
    try:
        return msgspec.convert(document, Health)
    except msgspec.ValidationError:
        return None
