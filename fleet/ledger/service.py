"""Write the ledger and the counts down, and read them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError
from fleet.ledger.models import Loss, Tally
from wire.conversation import Batch, Tombstone

HOUR_NS = 3_600_000_000_000
HOURS_MOST = 24 * 366
TIME_MAX = 2**63 - 1


class Count(msgspec.Struct):
    """What to add to one gateway, lane and hour."""

    records: int = 0
    samples: int = 0
    quarantined: int = 0
    lost: int = 0


class Sums:
    """Counts of one batch, hour by hour."""

    def __init__(self) -> None:
        self._by_hour: dict[int, Count] = {}

    def at(self, captured_ns: int | None, received_ns: int) -> Count:
        """Return the count of the hour in which something was captured, or received where that is unknown."""
        at_ns = received_ns if captured_ns is None else captured_ns
        return self._by_hour.setdefault(at_ns - at_ns % HOUR_NS, Count())

    def items(self) -> Iterable[tuple[int, Count]]:
        """Return (begin of the hour, count)."""
        return self._by_hour.items()


def add_counts(session: Session, gateway: str, lane: str, sums: Sums, now_ns: int) -> None:
    """Add what a batch brought, at the time of its transaction."""
    for hour_ns, count in sums.items():
        tally = session.get(Tally, (gateway, lane, hour_ns))
        if tally is None:
            tally = Tally(gateway=gateway, lane=lane, hour_ns=hour_ns, records=0, samples=0, quarantined=0, lost=0)
            tally.changed_ns = 0
            session.add(tally)
        tally.records += count.records
        tally.samples += count.samples
        tally.quarantined += count.quarantined
        tally.lost += count.lost
        tally.changed_ns = max(tally.changed_ns, now_ns)


def declare(session: Session, gateway: str, batch: Batch, tombstone: Tombstone, after: int, received_ns: int) -> Loss:
    """Write down what the fleet lacks of what a gateway no longer holds: the numbers above ``after``."""
    loss = Loss(
        gateway=gateway,
        epoch=batch.epoch,
        lane=batch.lane.value,
        first=after + 1,
        last=tombstone.last,
        reason=tombstone.reason,
        from_ns=_utc(tombstone.from_ns, batch.clock.offset_ns),
        to_ns=_utc(tombstone.to_ns, batch.clock.offset_ns),
        received_ns=received_ns,
    )
    session.add(loss)
    return loss


def _utc(mono_ns: int | None, offset_ns: int | None) -> int | None:
    if mono_ns is None or offset_ns is None:
        return None
    at_ns = mono_ns + offset_ns
    return at_ns if 0 <= at_ns <= TIME_MAX else None


def losses(session: Session, gateway: str | None, before: int | None, limit: int) -> Sequence[Loss]:
    """Return lines of the ledger, newest first; ``before`` is the id of the last one seen."""
    query = sa.select(Loss).order_by(Loss.id.desc()).limit(limit)
    if gateway is not None:
        query = query.where(Loss.gateway == gateway)
    if before is not None:
        query = query.where(Loss.id < before)
    return session.scalars(query).all()


def count_lost(session: Session, gateway: str) -> Mapping[str, int]:
    """Return {lane: records lost} of a gateway."""
    total = sa.func.sum(Loss.last - Loss.first + 1)
    query = sa.select(Loss.lane, total).where(Loss.gateway == gateway).group_by(Loss.lane)
    return {lane: int(count) for lane, count in session.execute(query)}


def changed(
    session: Session, lanes: Iterable[str], since_ns: int, to_ns: int, after: Tally | None, most: int
) -> Sequence[Tally]:
    """Return counts of these lanes that changed from ``since_ns`` up to ``to_ns``.

    These are ``most`` of those that come after ``after``. An hour that has changed again since is left to the next
    report.
    """
    key = (Tally.hour_ns, Tally.gateway, Tally.lane)
    query = sa.select(Tally).where(Tally.lane.in_(lanes), Tally.changed_ns >= since_ns, Tally.changed_ns < to_ns)
    if after is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(after.hour_ns, after.gateway, after.lane))
    return session.scalars(query.order_by(*key).limit(most)).all()


def prune_counts(session: Session, before_ns: int) -> int:
    """Delete counts of hours before ``before_ns`` that have not changed since. Returns how many."""
    old = sa.delete(Tally.__table__).where(Tally.changed_ns < before_ns, Tally.hour_ns < before_ns)  # type: ignore[arg-type]
    return len(session.execute(old.returning(Tally.hour_ns)).all())


def counts(session: Session, gateway: str | None, from_ns: int, to_ns: int) -> Sequence[Tally]:
    """Return the counts of hours from ``from_ns`` up to ``to_ns``."""
    if not 0 <= from_ns < to_ns or to_ns - from_ns > HOURS_MOST * HOUR_NS:
        raise InvalidError("'from' must lie before 'to', by a year at most")
    query = sa.select(Tally).where(Tally.hour_ns >= from_ns - from_ns % HOUR_NS, Tally.hour_ns < to_ns)
    if gateway is not None:
        query = query.where(Tally.gateway == gateway)
    return session.scalars(query.order_by(Tally.hour_ns, Tally.gateway, Tally.lane)).all()
