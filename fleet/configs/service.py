"""Desired configuration, version by version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.configs.models import DesiredConfig
from fleet.errors import ConflictError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway


def latest(session: Session, gateway: str) -> DesiredConfig | None:
    """Return the newest version, None if none was ever written."""
    query = sa.select(DesiredConfig).where(DesiredConfig.gateway == gateway)
    return session.scalar(query.order_by(DesiredConfig.version.desc()).limit(1))


def put(
    session: Session, gateway: str, config: dict[str, Any], expected: int, author: str, now_ns: int
) -> DesiredConfig:
    """Write the version after ``expected``, the newest the author has seen (0 for none).

    Raises NotFoundError for an unknown gateway, ConflictError if somebody else has written since.
    """
    gateways.get(session, gateway)
    newest = latest(session, gateway)
    version = newest.version if newest else 0
    if version != expected:
        raise ConflictError(
            f"the configuration of '{gateway}' is at version {version}, not {expected}",
            hint="read it again and repeat the change",
        )
    desired = DesiredConfig(gateway=gateway, version=version + 1, config=config, author=author, at_ns=now_ns)
    session.add(desired)
    session.flush()
    return desired


def outstanding(session: Session) -> Sequence[DesiredConfig]:
    """Return, for each gateway, the newest version if it is neither running nor was refused."""
    newest = (
        sa.select(DesiredConfig.gateway, sa.func.max(DesiredConfig.version).label("version"))
        .group_by(DesiredConfig.gateway)
        .subquery()
    )
    query = (
        sa.select(DesiredConfig, Gateway)
        .join(newest, sa.and_(DesiredConfig.gateway == newest.c.gateway, DesiredConfig.version == newest.c.version))
        .join(Gateway, Gateway.name == DesiredConfig.gateway)
        .where(DesiredConfig.version > sa.func.coalesce(Gateway.reported_version, 0))
    )
    rows = session.execute(query)
    return [desired for desired, gateway in rows if (gateway.reported or {}).get("refused") != desired.version]
