"""Drift: gateways that do not run what the fleet wants, why, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.configs.models import DesiredConfig
from fleet.gateways.models import Gateway

NS = 1_000_000_000
PENDING_S = 300
"""A version that is not running after so long is late."""

REFUSED, RETURNED, TRYING, LATE, LOCAL, CHANGED, AHEAD = (
    "refused", "returned", "trying", "late", "local", "changed", "ahead",
)  # fmt: skip
AMISS = (REFUSED, RETURNED, LATE, CHANGED, AHEAD)
"""What wants action. A trial ends by itself, and a gateway may well be left to its own file."""


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """Both halves of a gateway's twin, less the documents. Versions are None, digests and texts empty if unknown."""

    desired: int | None = None
    desired_ns: int | None = None
    desired_digest: str = ""
    reported: int | None = None
    reported_ns: int | None = None
    reported_digest: str = ""
    refused: int | None = None
    trial: str = ""
    trial_version: int | None = None
    trial_ns: int | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway that runs something else. ``since_ns`` is UTC, None if unknown; ``reason`` is the gateway's own."""

    gateway: str
    title: str = ""
    state: str
    since_ns: int | None
    desired: int | None
    reported: int | None
    reason: str = ""

    @property
    def wants_action(self) -> bool:
        """Whether somebody has to do something about it."""
        return self.state in AMISS


def judge(twin: Twin, now_ns: int) -> tuple[str, int | None] | None:
    """Tell how a gateway drifts and since when; None if it does not. Pure."""
    desired, reported = twin.desired, twin.reported
    if reported is not None and reported > (desired or 0):
        return AHEAD, twin.reported_ns
    if desired is None:
        return (LOCAL, twin.reported_ns) if reported is not None else None
    if twin.refused == desired:
        is_returned = twin.trial == RETURNED and twin.trial_version == desired
        return (RETURNED, twin.trial_ns) if is_returned else (REFUSED, twin.reported_ns)
    if reported is None or reported < desired:
        is_late = now_ns - (twin.desired_ns or 0) > PENDING_S * NS
        return (LATE, twin.desired_ns) if is_late else None
    if twin.desired_digest and twin.reported_digest and twin.desired_digest != twin.reported_digest:
        return CHANGED, twin.reported_ns
    return (TRYING, twin.trial_ns) if twin.trial == "on" else None


def find(session: Session, now_ns: int, gateway: str | None = None) -> list[Drift]:
    """Find all gateways that drift, what wants action first; or look at one of them."""
    found = []
    for name, title, twin in _list_twins(session, gateway):
        judged = judge(twin, now_ns)
        if judged is not None:
            state, since_ns = judged
            found.append(
                Drift(
                    gateway=name,
                    title=title,
                    state=state,
                    since_ns=since_ns,
                    desired=twin.desired,
                    reported=twin.reported,
                )
            )
    reasons = _read_reasons(session, [row.gateway for row in found if row.state in (REFUSED, RETURNED)])
    rows = [msgspec.structs.replace(row, reason=reasons.get(row.gateway, "")) for row in found]
    return sorted(rows, key=lambda row: (not row.wants_action, row.state == LOCAL, row.gateway))


def count_amiss(session: Session, now_ns: int) -> int:
    """Count the gateways whose configuration wants action."""
    judged = (judge(twin, now_ns) for _, _, twin in _list_twins(session, None))
    return sum(found is not None and found[0] in AMISS for found in judged)


def _list_twins(session: Session, gateway: str | None) -> list[tuple[str, str, Twin]]:
    newest = sa.select(DesiredConfig.gateway, sa.func.max(DesiredConfig.version).label("version")).group_by(
        DesiredConfig.gateway
    )
    top = newest.subquery()
    is_newest = sa.and_(DesiredConfig.gateway == Gateway.name, DesiredConfig.version == top.c.version)
    query = (
        sa.select(
            Gateway.name, Gateway.title, DesiredConfig.version, DesiredConfig.at_ns, DesiredConfig.digest,
            Gateway.reported_version, Gateway.reported_ns, Gateway.reported_digest, Gateway.refused_version,
            Gateway.trial, Gateway.trial_version, Gateway.trial_ns,
        )
        .outerjoin(top, top.c.gateway == Gateway.name)
        .outerjoin(DesiredConfig, is_newest)
        .where(Gateway.retired_ns.is_(None))
        .order_by(Gateway.name)
    )  # fmt: skip
    if gateway is not None:
        query = query.where(Gateway.name == gateway)
    return [(name, title, _twin(rest)) for name, title, *rest in session.execute(query)]


def _twin(columns: Sequence[Any]) -> Twin:
    values = dict(zip(Twin.__struct_fields__, columns, strict=True))
    return Twin(**{name: value for name, value in values.items() if value is not None})


def _read_reasons(session: Session, names: Sequence[str]) -> dict[str, str]:
    """What gateways said of the version that they refused."""
    query = sa.select(Gateway.name, Gateway.reported["reason"].as_string()).where(Gateway.name.in_(names))
    return {name: reason or "" for name, reason in session.execute(query)} if names else {}
