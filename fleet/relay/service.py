"""Destinations, their cursors, and what stands in the outbox for them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways.models import Cursor, Gateway, Layout, Tag
from fleet.readings.models import Record
from fleet.relay.models import Destination, RelayCursor
from wire.record import Lane

KINDS = ("http-json",)
LANES = (Lane.ALARMS, Lane.MEASUREMENTS)
"""What destinations get. Waveforms are kept here: no destination takes them."""
EPOCHS_FAR = 20
"""How many starts of a gateway, before and after, are looked through for one that knew the time."""
BEHIND_MOST = 100_000
"""Waiting records are counted up to here."""


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far one destination has one lane."""

    destination: str
    lane: Lane
    position: int
    relayed: int
    behind: int
    failures: int
    last_error: str
    last_try_ns: int | None
    last_ok_ns: int | None


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it waits for a destination, with the site of its gateway.

    ``not_before_ns`` and ``not_after_ns`` bound the time of one that was captured by a boot that never learned it.
    """

    position: int
    gateway: str
    site: str | None
    epoch: str
    lane: str
    seq: int
    received_ns: int
    captured_ns: int | None
    body: bytes
    not_before_ns: int | None = None
    not_after_ns: int | None = None


class Columns(msgspec.Struct, frozen=True):
    """The columns of a scan: group, tag names, and the unit of each."""

    group: str
    tags: tuple[str, ...]
    units: tuple[str, ...]


def add(session: Session, name: str, kind: str, url: str, now_ns: int, counts_url: str = "") -> Destination:
    """Add a destination. It gets every record that is still kept. ``counts_url`` takes the counts to reconcile by."""
    if kind not in KINDS:
        raise InvalidError(f"there is no kind of destination '{kind}'", hint=f"use one of: {', '.join(KINDS)}")
    for address in (url, counts_url or url):
        if not _is_usable(address):
            raise InvalidError(f"'{address}' is not an address to send to", hint="write https://host/path")
    if not name or len(name) > 64:
        raise InvalidError(f"'{name}' is not a destination name", hint="use 1 to 64 characters")
    if session.scalar(sa.select(Destination.id).where(Destination.name == name)) is not None:
        raise ConflictError(f"there is a destination '{name}' already")
    destination = Destination(name=name, kind=kind, url=url, enabled=True, created_ns=now_ns)
    destination.counts_url = counts_url
    session.add(destination)
    session.flush()
    return destination


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def list_enabled(session: Session) -> Sequence[Destination]:
    """Return the destinations to serve."""
    return session.scalars(sa.select(Destination).where(Destination.enabled).order_by(Destination.id)).all()


def set_enabled(session: Session, name: str, is_enabled: bool) -> Destination:
    """Serve a destination, or no longer. Raises NotFoundError.

    One that is not served keeps no record from being pruned. Served again, it gets what is still kept.
    """
    destination = session.scalar(sa.select(Destination).where(Destination.name == name))
    if destination is None:
        raise NotFoundError(f"there is no destination '{name}'")
    destination.enabled = is_enabled
    return destination


def taken_by_all(session: Session, lane: Lane) -> int | None:
    """Return the position up to which every enabled destination has a lane, None where there is no destination."""
    return min((position(session, row.id, lane) for row in list_enabled(session)), default=None)


def position(session: Session, destination_id: int, lane: Lane) -> int:
    """Return how far a destination has a lane."""
    cursor = session.get(RelayCursor, (destination_id, lane.value))
    return cursor.position if cursor else 0


def next_rows(session: Session, lane: Lane, after: int, most: int) -> list[OutboxRow]:
    """Return what comes after a position, oldest first."""
    query = (
        sa.select(
            Record.id.label("position"),
            Record.gateway,
            Gateway.site_key.label("site"),
            Record.epoch,
            Record.lane,
            Record.seq,
            Record.received_ns,
            Record.captured_ns,
            Record.body,
        )
        .join(Gateway, Gateway.name == Record.gateway)
        .where(Record.lane == lane.value, Record.id > after)
        .order_by(Record.id)
        .limit(most)
    )
    rows = [OutboxRow(**row) for row in session.execute(query).mappings()]
    undated = {(row.gateway, row.epoch) for row in rows if row.captured_ns is None}
    bounds = {place: find_bounds(session, *place) for place in undated}
    return [_bound(row, *bounds[row.gateway, row.epoch]) if row.captured_ns is None else row for row in rows]


def _bound(row: OutboxRow, earliest_ns: int | None, latest_ns: int | None) -> OutboxRow:
    """Bound a record's time. Where times of other boots contradict each other, the fleet's own clock stands."""
    after_ns = row.received_ns
    if latest_ns is not None and (earliest_ns is None or earliest_ns <= latest_ns):
        after_ns = min(after_ns, latest_ns)
    before_ns = earliest_ns if earliest_ns is not None and earliest_ns <= after_ns else None
    return msgspec.structs.replace(row, not_before_ns=before_ns, not_after_ns=after_ns)


def find_bounds(session: Session, gateway: str, epoch: str) -> tuple[int | None, int | None]:
    """Return the newest time that an earlier epoch has captured at, and the first that a later one has.

    Epochs begin with the count of the gateway's starts, so that their names sort in time. Only the ends of an epoch are
    looked at: a boot that learns the time knows it for all that it sends after that.
    """
    epochs = sa.select(Cursor.epoch).where(Cursor.gateway == gateway).distinct().limit(EPOCHS_FAR)
    earlier = session.scalars(epochs.where(Cursor.epoch < epoch).order_by(Cursor.epoch.desc())).all()
    later = session.scalars(epochs.where(Cursor.epoch > epoch).order_by(Cursor.epoch)).all()
    last = (max(known) for name in earlier if (known := _find_times(session, gateway, name, Record.seq.desc())))
    first = (min(known) for name in later if (known := _find_times(session, gateway, name, Record.seq.asc())))
    return next(last, None), next(first, None)


def _find_times(session: Session, gateway: str, epoch: str, order: sa.ColumnElement[int]) -> list[int]:
    """The known times at one end of an epoch's lanes."""
    end = sa.select(Record.captured_ns).where(Record.gateway == gateway, Record.epoch == epoch).order_by(order).limit(1)
    times = [session.scalar(end.where(Record.lane == lane.value)) for lane in LANES]
    return [at_ns for at_ns in times if at_ns is not None]


def columns(session: Session, gateway: str, layout_id: bytes) -> Columns | None:
    """Return the columns of a scan with their units as the gateway reports them now."""
    layout = session.get(Layout, (gateway, layout_id))
    if layout is None:
        return None
    rows = session.execute(sa.select(Tag.name, Tag.unit).where(Tag.gateway == gateway))
    units = {name: unit for name, unit in rows}  # noqa: C416 (dict() of rows is not typed)
    return Columns(layout.group, tuple(layout.tags), tuple(units.get(tag, "") for tag in layout.tags))


def note_delivered(session: Session, destination_id: int, lane: Lane, to: int, count: int, now_ns: int) -> None:
    """Move a cursor: the destination has taken everything up to ``to``."""
    cursor = _cursor(session, destination_id, lane)
    cursor.position, cursor.relayed = to, cursor.relayed + count
    cursor.failures, cursor.last_try_ns, cursor.last_ok_ns = 0, now_ns, now_ns


def note_failed(session: Session, destination_id: int, lane: Lane, error: str, now_ns: int) -> None:
    """Write down that a delivery failed; the cursor stays."""
    cursor = _cursor(session, destination_id, lane)
    cursor.failures, cursor.last_error, cursor.last_try_ns = cursor.failures + 1, error, now_ns


def _cursor(session: Session, destination_id: int, lane: Lane) -> RelayCursor:
    cursor = session.get(RelayCursor, (destination_id, lane.value))
    if cursor is None:
        cursor = RelayCursor(destination_id=destination_id, lane=lane.value, position=0, relayed=0, failures=0)
        session.add(cursor)
    return cursor


def status(session: Session) -> list[LaneStatus]:
    """Return how far every enabled destination is, lane by lane."""
    found = []
    for destination in list_enabled(session):
        for lane in LANES:
            cursor = session.get(RelayCursor, (destination.id, lane.value))
            at = cursor.position if cursor else 0
            found.append(
                LaneStatus(
                    destination=destination.name,
                    lane=lane,
                    position=at,
                    relayed=cursor.relayed if cursor else 0,
                    behind=count_behind(session, lane, at),
                    failures=cursor.failures if cursor else 0,
                    last_error=cursor.last_error if cursor else "",
                    last_try_ns=cursor.last_try_ns if cursor else None,
                    last_ok_ns=cursor.last_ok_ns if cursor else None,
                )
            )
    return found


def count_behind(session: Session, lane: Lane, after: int) -> int:
    """Count the records that wait, `BEHIND_MOST` at most."""
    waiting = sa.select(Record.id).where(Record.lane == lane.value, Record.id > after).limit(BEHIND_MOST)
    return session.scalar(sa.select(sa.func.count()).select_from(waiting.subquery())) or 0


def waiting_since(session: Session) -> dict[str, int]:
    """{destination: since when its oldest record waits, UTC in ns}; without those that have all.

    A destination that was added later waits since then.
    """
    found: dict[str, int] = {}
    for destination in list_enabled(session):
        for lane in LANES:
            waiting = sa.select(Record.received_ns).where(Record.lane == lane.value)
            waiting = waiting.where(Record.id > position(session, destination.id, lane))
            oldest_ns = session.scalar(waiting.order_by(Record.id).limit(1))
            if oldest_ns is not None:
                since_ns = max(oldest_ns, destination.created_ns)
                found[destination.name] = min(since_ns, found.get(destination.name, since_ns))
    return found
