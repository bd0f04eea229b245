"""Gateways as the fleet knows them: registration, the session in force, cursors, what they report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.configs.digest import digest
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.gateways.models import Cursor, Device, Gateway, Layout, Tag
from fleet.sites.models import Site
from provisioning.tokens import hash_token, is_token, mint_token
from wire.conversation import Hello
from wire.health import Health
from wire.record import Lane
from wire.record import Layout as WireLayout
from wire.topics import is_gateway
from wire.twin import Reported, TagInfo

FORMER_KEPT = 8
EPOCHS_ASKED = 500
"""How many epochs one query names: more than a hello does, and fewer than any database takes."""
MAGNITUDE_MAX = 1e15
"""No instrument's range reaches further. NaN and the infinities fail the same comparison."""
WIDTH_LEAST = 1e-9
"""A narrower range, as a share of its ends, is none: drawing on it would only show how numbers are rounded."""


def register(session: Session, name: str, title: str, site_key: str | None, now_ns: int) -> tuple[Gateway, str]:
    """Register a gateway. Returns it and its token, which is shown this once and kept only as a hash."""
    if not is_gateway(name):
        raise InvalidError(f"'{name}' is not a gateway name", hint="use 7 to 63 of a-z, 0-9 and '-', not '-' first")
    if session.get(Gateway, name) is not None:
        raise ConflictError(f"gateway '{name}' is already registered")
    if site_key is not None and session.get(Site, site_key) is None:
        raise NotFoundError(f"there is no site '{site_key}'", hint=f"run: fengsui-fleet site add {site_key}")
    token = mint_token()
    gateway = Gateway(name=name, title=title, site_key=site_key, token_hash=hash_token(token), created_ns=now_ns)
    session.add(gateway)
    session.flush()
    return gateway, token


def check_token(session: Session, name: str, token: str) -> bool:
    """Tell whether a token is the gateway's."""
    stored = session.scalar(sa.select(Gateway.token_hash).where(Gateway.name == name))
    return stored is not None and is_token(token, stored)


def void_token(session: Session, name: str) -> None:
    """Let a gateway's token open nothing any more. Raises NotFoundError."""
    get(session, name).token_hash = hash_token(mint_token())


def get(session: Session, name: str) -> Gateway:
    """Return a gateway. Raises NotFoundError."""
    gateway = session.get(Gateway, name)
    if gateway is None:
        raise NotFoundError(f"there is no gateway '{name}'")
    return gateway


def list_all(session: Session) -> Sequence[Gateway]:
    """Return all gateways by name."""
    return session.scalars(sa.select(Gateway).order_by(Gateway.name)).all()


def find_to_change(session: Session, names: Iterable[str]) -> dict[str, Gateway]:
    """Return those of ``names`` that are registered, and keep others from changing them until the transaction ends.

    A worker of an ingest that was killed may still be committing when the next one begins: on PostgreSQL it would move
    a cursor that the other has moved. Rows that refer to a gateway may be added meanwhile.
    """
    query = sa.select(Gateway).where(Gateway.name.in_(sorted(set(names)))).order_by(Gateway.name)
    return {gateway.name: gateway for gateway in session.scalars(query.with_for_update(key_share=True))}


def get_to_change(session: Session, name: str) -> Gateway:
    """Return a gateway as it is once nobody else changes it any more, until the end. Raises NotFoundError."""
    get(session, name)
    gateway = find_to_change(session, [name])[name]
    session.refresh(gateway)  # who came before may have changed it while we waited
    return gateway


def tags(session: Session, gateway: str, *, listed_only: bool = True) -> Sequence[Tag]:
    """Return a gateway's tags in the order in which it reports them."""
    query = sa.select(Tag).where(Tag.gateway == gateway).order_by(Tag.position, Tag.name)
    return session.scalars(query.where(Tag.listed) if listed_only else query).all()


def get_tag(session: Session, gateway: str, name: str) -> Tag:
    """Return a tag. Raises NotFoundError."""
    tag = session.scalar(sa.select(Tag).where(Tag.gateway == gateway, Tag.name == name))
    if tag is None:
        raise NotFoundError(f"gateway '{gateway}' has no tag '{name}'")
    return tag


def note_boot(gateway: Gateway, boot: str, machine: str, now_ns: int) -> bool:
    """Take down which boot of which machine speaks. Returns whether one came back that another had followed.

    A boot that has ended never returns. If one does, two machines hold this identity: a disk was cloned, or a token
    copied.
    """
    speaks, spoke = f"{machine} {boot}", f"{gateway.machine} {gateway.boot}"
    if not gateway.boot or speaks == spoke:
        return False
    comes_back = speaks in gateway.former
    gateway.former = [spoke, *(known for known in gateway.former if known not in (spoke, speaks))][:FORMER_KEPT]
    if comes_back:
        gateway.alternated_ns = now_ns
    return comes_back


def welcome(session: Session, gateway: Gateway, hello: Hello, opened: str, now_ns: int) -> dict[str, dict[Lane, int]]:
    """Take a hello: put the new session in force and return the cursors of the epochs it named."""
    gateway.session = opened
    gateway.release, gateway.boot, gateway.machine = hello.release, hello.boot, hello.machine
    gateway.clock_quality, gateway.last_seen_ns = hello.clock.quality, now_ns
    cursors: dict[str, dict[Lane, int]] = {}
    named = sorted(hello.epochs)
    for begin in range(0, len(named), EPOCHS_ASKED):
        some = Cursor.epoch.in_(named[begin : begin + EPOCHS_ASKED])
        for cursor in session.scalars(sa.select(Cursor).where(Cursor.gateway == gateway.name, some)):
            cursors.setdefault(cursor.epoch, {})[Lane(cursor.lane)] = cursor.committed
    return cursors


def committed(session: Session, gateway: str, epoch: str, lane: Lane) -> int:
    """Return a cursor, 0 where nothing is committed."""
    cursor = session.get(Cursor, (gateway, epoch, lane.value))
    return cursor.committed if cursor else 0


def advance(session: Session, gateway: str, epoch: str, lane: Lane, to: int, boot: str) -> None:
    """Move a cursor forward."""
    cursor = session.get(Cursor, (gateway, epoch, lane.value))
    if cursor is None:
        session.add(Cursor(gateway=gateway, epoch=epoch, lane=lane.value, committed=to, boot=boot))
        session.flush()
    else:
        cursor.committed = to


def find_layout(session: Session, gateway: str, layout_id: bytes) -> WireLayout | None:
    """Return the columns of a scan by their id, None if they were never sent."""
    row = session.get(Layout, (gateway, layout_id))
    return WireLayout(row.group, tuple(row.tags)) if row else None


def keep_layout(session: Session, gateway: str, layout_id: bytes, layout: WireLayout) -> None:
    """Keep the columns of a group's scans."""
    if session.get(Layout, (gateway, layout_id)) is None:
        session.add(Layout(gateway=gateway, layout_id=layout_id, group=layout.group, tags=list(layout.tags)))
        session.flush()


def tag_ids(session: Session, gateway: str, names: Iterable[str], group: str = "") -> dict[str, int]:
    """Return the ids of tags in the order of ``names``, adding those met for the first time."""
    wanted = dict.fromkeys(names)
    rows = session.execute(sa.select(Tag.name, Tag.id).where(Tag.gateway == gateway))
    ids = {name: tag_id for name, tag_id in rows if name in wanted}
    missing = [name for name in wanted if name not in ids]
    if missing:
        device = [name.rpartition(".")[0] for name in missing]
        new = [
            Tag(gateway=gateway, name=name, device=of, group=group) for name, of in zip(missing, device, strict=True)
        ]
        session.add_all(new)
        session.flush()
        ids.update({tag.name: tag.id for tag in new})
    return {name: ids[name] for name in wanted}


def note_reported(session: Session, gateway: Gateway, reported: Reported, now_ns: int) -> None:
    """Take what a gateway runs: its document, and its tags one by one."""
    gateway.reported = _document(reported)
    gateway.reported_version, gateway.reported_ns, gateway.last_seen_ns = reported.version, now_ns, now_ns
    gateway.reported_digest, gateway.refused_version = digest(gateway.reported["config"]), reported.refused
    gateway.trial, gateway.trial_version, gateway.trial_ns = reported.trial, reported.tried, reported.trial_ns
    gateway.release = reported.release
    gateway.title = gateway.title or reported.title
    tag_ids(session, gateway.name, (info.name for info in reported.tags))
    infos = {info.name: (position, info) for position, info in enumerate(reported.tags)}
    for tag in session.scalars(sa.select(Tag).where(Tag.gateway == gateway.name)):
        if tag.name in infos:
            _describe(tag, *infos[tag.name])
        else:
            tag.listed = False
    _note_devices(session, gateway.name, reported, now_ns)


def _note_devices(session: Session, gateway: str, reported: Reported, now_ns: int) -> None:
    """Keep the register of devices: what is reported stands in it, what no longer is has gone."""
    known = {device.name: device for device in session.scalars(sa.select(Device).where(Device.gateway == gateway))}
    for info in reported.devices:
        device = known.pop(info.name, None)
        if device is None:
            device = Device(gateway=gateway, name=info.name, first_ns=now_ns)
            session.add(device)
        device.title, device.bus, device.profile, device.gone_ns = info.title, info.bus, info.profile, None
    for device in known.values():
        device.gone_ns = device.gone_ns or now_ns


def _describe(tag: Tag, position: int, info: TagInfo) -> None:
    tag.title, tag.unit, tag.device, tag.group = info.title, info.unit, info.device, info.group
    tag.low, tag.high = read_range(info.low, info.high)
    tag.limits = read_limits(info.limits)
    tag.position, tag.listed = position, True


def read_limits(limits: Mapping[str, Any]) -> dict[str, float]:
    """Take those alarm limits that a value could reach."""
    return {
        level: limit
        for level, limit in limits.items()
        if isinstance(limit, int | float) and abs(limit) <= MAGNITUDE_MAX
    }


def read_range(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Take an instrument's range for what it can be: each end a number that something could measure, low below high."""
    low, high = (end if end is not None and abs(end) <= MAGNITUDE_MAX else None for end in (low, high))
    if low is not None and high is not None and high - low <= max(abs(low), abs(high), WIDTH_LEAST) * WIDTH_LEAST:
        return None, None
    return low, high


def note_health(gateway: Gateway, health: Health, now_ns: int) -> None:
    """Take how a gateway feels."""
    gateway.health, gateway.health_ns, gateway.last_seen_ns = _document(health), now_ns, now_ns
    gateway.clock_quality = health.clock


def _document(message: msgspec.Struct) -> dict[str, Any]:
    # Through JSON, because a number that is not finite must become null: PostgreSQL and browsers refuse it.
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    return document
