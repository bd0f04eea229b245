"""How much each device delivers of what its configuration promises. `measure` and `is_low` are pure.

A gateway counts for each scan group how many readings were due by its schedule and how many came well
(`wire.health.GroupHealth`). The counts go on whatever is kept of them, so report by exception lowers no rate, and they
come late, not less, over a link that was away. An instrument that sends by itself has no schedule and promises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.models import DeviceRate
from fleet.alarms.watch import SILENT_NS
from fleet.gateways.models import Gateway

NS = 1_000_000_000
STRETCH_NS = 600 * NS
"""How long a device is counted before it is judged."""
DUE_LEAST = 6
"""Nor is it judged before so many readings were due."""
LOW, EASED = 0.5, 0.8
"""The share of what was due below which a rate has dropped, and from which it no longer has."""


class Count(msgspec.Struct, frozen=True):
    """Readings that were due and that came well."""

    due: int = 0
    good: int = 0

    def __add__(self, other: Count) -> Count:
        """The readings of both."""
        return Count(self.due + other.due, self.good + other.good)


class Mark(msgspec.Struct, frozen=True):
    """What a gateway had counted at a time, UTC in ns."""

    at_ns: int
    count: Count


def count_devices(groups: Mapping[str, Any]) -> dict[str, Count]:
    """{device: its readings} from {``<device>.<group>``: a document of `wire.health.GroupHealth`}."""
    found: dict[str, Count] = {}
    for name, group in groups.items():
        device, due, good = name.partition(".")[0], group.get("due"), group.get("good")
        if isinstance(due, int) and isinstance(good, int):
            found[device] = found.get(device, Count()) + Count(due, good)
    return found


def measure(mark: Mark | None, seen: Mark, started_ns: int) -> tuple[Mark, Count | None]:
    """Return the mark to count on from, and the readings of the stretch that has ended, None if none has.

    ``started_ns`` is when the agent began to count. One that has begun anew since the mark is counted anew, and so is
    one whose counts or times go backwards.
    """
    if mark is None or started_ns > mark.at_ns or seen.at_ns < mark.at_ns:
        return seen, None
    came = Count(seen.count.due - mark.count.due, seen.count.good - mark.count.good)
    if came.due < 0 or came.good < 0:
        return seen, None
    if seen.at_ns - mark.at_ns < STRETCH_NS or came.due < DUE_LEAST:
        return mark, None
    return seen, came


def is_low(count: Count, *, was_low: bool) -> bool:
    """Tell whether too little came of what was due."""
    return count.good < count.due * (EASED if was_low else LOW)


def watch(session: Session, now_ns: int) -> None:
    """Count on, and raise and clear the alarms of devices and sites."""
    rows = {(row.gateway, row.device): row for row in session.scalars(sa.select(DeviceRate))}
    sites: dict[str, dict[tuple[str, str], Count]] = {}
    unheard: set[str] = set()
    for gateway in session.scalars(sa.select(Gateway)).all():
        if gateway.retired_ns is not None:
            _judge(session, gateway.name, own.DEVICE_RATE, {}, now_ns)
            continue
        if gateway.health is None or gateway.health_ns is None or _is_silent(gateway, now_ns):
            unheard.add(gateway.site_key or "")
            continue  # a silent gateway is an alarm by itself, and tells nothing of its devices
        judged = _count_gateway(session, gateway, rows)
        _judge(session, gateway.name, own.DEVICE_RATE, judged, now_ns)
        if gateway.site_key is not None:
            sites.setdefault(gateway.site_key, {}).update({(gateway.name, key): count for key, count in judged.items()})
    sums = {site: sum(counts.values(), Count()) for site, counts in sites.items() if len(counts) > 1}
    _judge(session, own.FLEET, own.SITE_RATE, sums, now_ns, keep=unheard - sites.keys())


def _is_silent(gateway: Gateway, now_ns: int) -> bool:
    return gateway.last_seen_ns is None or now_ns - gateway.last_seen_ns >= SILENT_NS


def _count_gateway(session: Session, gateway: Gateway, rows: dict[tuple[str, str], DeviceRate]) -> dict[str, Count]:
    """Return the newest stretch of each of a gateway's devices, and forget those that it no longer has."""
    assert gateway.health is not None
    assert gateway.health_ns is not None
    started_ns = gateway.health_ns - int(gateway.health.get("uptime_s", 0) * NS)
    judged = {}
    for device, count in count_devices(gateway.health.get("groups", {})).items():
        key, seen = (gateway.name, device), Mark(gateway.health_ns, count)
        judged[device] = _count_on(session, rows.pop(key, None), key, seen, started_ns)
    for key in [key for key in rows if key[0] == gateway.name]:
        session.delete(rows.pop(key))
    return judged


def _count_on(session: Session, row: DeviceRate | None, key: tuple[str, str], seen: Mark, started_ns: int) -> Count:
    """Write down how far a device was counted; returns the readings of its newest stretch, none where it has none."""
    mark = None if row is None else Mark(row.since_ns, Count(row.due, row.good))
    after, came = measure(mark, seen, started_ns)
    if row is None:
        row = DeviceRate(gateway=key[0], device=key[1], last_due=0, last_good=0)
        session.add(row)
    if after != mark:
        row.since_ns, row.due, row.good = after.at_ns, after.count.due, after.count.good
    if came is not None:
        row.last_due, row.last_good = came.due, came.good
    return Count(row.last_due, row.last_good)


def _judge(
    session: Session,
    gateway: str,
    kind: own.Own,
    counts: Mapping[str, Count],
    now_ns: int,
    keep: Set[str] = frozenset(),
) -> None:
    """Raise and clear; what is up of those to ``keep`` stays so, for nothing is known of them."""
    up = own.find_up(session, gateway, kind)
    amiss = dict.fromkeys(up & keep, "")
    for subject, count in counts.items():
        if is_low(count, was_low=subject in up):
            amiss[subject] = f"{count.good} / {count.due}"
    own.settle(session, gateway, kind, amiss, now_ns)
