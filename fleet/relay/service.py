"""Destinations, their cursors, and what stands in the outbox for them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import ConflictError, InvalidError
from fleet.gateways.models import Gateway, Layout, Tag
from fleet.readings.models import Record
from fleet.relay.models import Destination, RelayCursor
from wire.record import Lane

KINDS = ("http-json",)
LANES = (Lane.ALARMS, Lane.MEASUREMENTS)
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
    """A record as it waits for a destination, with the site of its gateway."""

    position: int
    gateway: str
    site: str | None
    epoch: str
    lane: str
    seq: int
    received_ns: int
    captured_ns: int | None
    body: bytes


class Columns(msgspec.Struct, frozen=True):
    """The columns of a scan: group, tag names, and the unit of each."""

    group: str
    tags: tuple[str, ...]
    units: tuple[str, ...]


def add(session: Session, name: str, kind: str, url: str, now_ns: int) -> Destination:
    """Add a destination. It gets every record from the first one on."""
    if kind not in KINDS:
        raise InvalidError(f"there is no kind of destination '{kind}'", hint=f"use one of: {', '.join(KINDS)}")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidError(f"'{url}' is not an address to send to", hint="write https://host/path")
    if not name or len(name) > 64:
        raise InvalidError(f"'{name}' is not a destination name", hint="use 1 to 64 characters")
    if session.scalar(sa.select(Destination.id).where(Destination.name == name)) is not None:
        raise ConflictError(f"there is a destination '{name}' already")
    destination = Destination(name=name, kind=kind, url=url, enabled=True, created_ns=now_ns)
    session.add(destination)
    session.flush()
    return destination


def list_enabled(session: Session) -> Sequence[Destination]:
    """Return the destinations to serve."""
    return session.scalars(sa.select(Destination).where(Destination.enabled).order_by(Destination.id)).all()


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
    return [OutboxRow(**row) for row in session.execute(query).mappings()]


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
