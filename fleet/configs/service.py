"""Desired configuration, version by version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.configs.digest import digest
from fleet.configs.models import DesiredConfig
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway


def latest(session: Session, gateway: str) -> DesiredConfig | None:
    """Return the newest version, None if none was ever written."""
    query = sa.select(DesiredConfig).where(DesiredConfig.gateway == gateway)
    return session.scalar(query.order_by(DesiredConfig.version.desc()).limit(1))


def history(session: Session, gateway: str, before: int | None = None, most: int = 50) -> Sequence[DesiredConfig]:
    """Return a gateway's versions, newest first; ``before`` only those with a smaller number."""
    query = sa.select(DesiredConfig).where(DesiredConfig.gateway == gateway)
    if before is not None:
        query = query.where(DesiredConfig.version < before)
    return session.scalars(query.order_by(DesiredConfig.version.desc()).limit(most)).all()


def get(session: Session, gateway: str, version: int) -> DesiredConfig:
    """Return one version. Raises NotFoundError."""
    desired = session.get(DesiredConfig, (gateway, version))
    if desired is None:
        raise NotFoundError(f"'{gateway}' never had a configuration of version {version}")
    return desired


def put(
    session: Session,
    gateway: str,
    config: dict[str, Any],
    expected: int,
    author: str,
    now_ns: int,
    made_of: tuple[str, int] | None = None,
) -> DesiredConfig:
    """Write the version after ``expected``, the newest the author has seen (0 for none).

    ``made_of`` is the template and its version that it was made of, if it was.

    Raises NotFoundError for an unknown gateway, InvalidError for what no message can carry, ConflictError if somebody
    else has written since.
    """
    require_plain(config)
    gateways.get(session, gateway)
    newest = latest(session, gateway)
    version = newest.version if newest else 0
    if version != expected:
        raise ConflictError(
            f"the configuration of '{gateway}' is at version {version}, not {expected}",
            hint="read it again and repeat the change",
        )
    template, template_version = made_of or ("", None)
    desired = DesiredConfig(
        gateway=gateway,
        version=version + 1,
        config=config,
        author=author,
        at_ns=now_ns,
        digest=digest(config),
        template=template,
        template_version=template_version,
    )
    session.add(desired)
    session.flush()
    return desired


def require_plain(config: dict[str, Any]) -> None:
    """Raise InvalidError if a configuration holds what neither JSON nor a database carries."""
    try:
        text = json.dumps(config, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(
            f"the configuration cannot be sent: {error}", hint="write dates as texts, no inf or nan"
        ) from error
    if "\\u0000" in text:
        raise InvalidError("the configuration has a letter U+0000", hint="remove it")


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
