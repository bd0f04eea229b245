"""Watch the gateways: what of each is amiss, from what the fleet has written down of it. `judge` is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import Alarm
from fleet.gateways.models import Gateway

NS = 1_000_000_000
SILENT_NS = 30 * NS
"""A gateway says something every few seconds; after this long without a word it is silent."""
GRACE_NS = 60 * NS
"""How long after the fleet's own start nobody counts as silent: gateways come back with pauses between their tries."""
SPOOL_FULL, SPOOL_EASED = 0.8, 0.7
"""The share of its room at which a spool is filling, and below which it no longer is."""
WATCHED = (own.SILENT, own.CLOCK, own.SPOOL)
"""The alarms that are raised and cleared here."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet knows of a gateway. ``seen_ns``: its last word; ``health`` a document (`wire.health.Health`).

    A retired gateway is out of service.
    """

    seen_ns: int | None
    clock: str
    health: Mapping[str, Any] | None
    is_retired: bool = False


def judge(seen: Seen, up: frozenset[str], watching_ns: int, now_ns: int) -> dict[own.Own, str | None]:
    """{alarm: what is amiss, for people, or None}. An alarm that cannot be judged now is left out and stays.

    ``up`` are the names of those that are active, ``watching_ns`` since when the fleet listens.
    """
    if seen.is_retired:
        return dict.fromkeys(WATCHED)  # nobody waits for it, and one alarm may have come just then
    if seen.seen_ns is None:
        return {}  # it was registered, and has never spoken
    # What was said at a time yet to come was said before the clock went back, and the watch began anew then.
    heard_ns = seen.seen_ns if seen.seen_ns <= now_ns + SILENT_NS else watching_ns
    if now_ns - max(heard_ns, watching_ns + GRACE_NS) >= SILENT_NS:
        return {own.SILENT: f"{(now_ns - heard_ns) // NS} s"}
    if now_ns - heard_ns >= SILENT_NS:
        return {}  # it may yet come back from our own start, and what it last said is old
    found: dict[own.Own, str | None] = {own.SILENT: None, own.CLOCK: "unset" if seen.clock == "unset" else None}
    share = _spool_share(seen.health)
    if share is not None:
        border = SPOOL_EASED if own.SPOOL.name in up else SPOOL_FULL
        found[own.SPOOL] = f"{share:.0%}" if share >= border else None
    return found


def _spool_share(health: Mapping[str, Any] | None) -> float | None:
    used, most = (health or {}).get("spool_bytes"), (health or {}).get("spool_max_bytes")
    if not isinstance(used, int | float) or not isinstance(most, int | float) or most <= 0:
        return None
    return used / most


def watch(session: Session, watching_ns: int, now_ns: int) -> None:
    """Raise and clear what follows from how the gateways are, and end the shelvings that are over."""
    own.end_shelvings(session, now_ns)
    up: dict[str, set[str]] = {}
    for gateway, name in session.execute(
        sa.select(Alarm.gateway, Alarm.name).where(Alarm.active, Alarm.tag == own.TAG)
    ):
        up.setdefault(gateway, set()).add(name)
    rows = sa.select(
        Gateway.name, Gateway.last_seen_ns, Gateway.clock_quality, Gateway.health, Gateway.retired_ns.is_not(None)
    )
    for name, seen_ns, clock, health, is_retired in session.execute(rows).all():
        names = frozenset(up.get(name, ()))
        seen = Seen(seen_ns=seen_ns, clock=clock, health=health, is_retired=is_retired)
        for alarm, detail in judge(seen, names, watching_ns, now_ns).items():
            if detail is not None and alarm.name not in names:
                own.raise_alarm(session, name, alarm, detail, now_ns)
            elif detail is None and alarm.name in names:
                own.clear_alarm(session, name, alarm, now_ns)
