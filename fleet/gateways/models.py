"""Tables of gateways, the cursors of their records, and what they describe: layouts, devices and tags."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Gateway(Base):
    """A registered gateway: only these may speak. ``name`` is also its MQTT user name and client id.

    ``token_hash`` is the SHA-256 of its token (256 random bits, so a slow hash adds nothing). What follows
    ``last_seen_ns`` is what the gateway said of itself: in hello, reported (`wire.twin.Reported`) and health
    (`wire.health.Health`), both as plain documents. ``session`` is the one its last hello opened; it stands here and
    not beside each cursor, so that a lane that has its first record later needs no new hello. ``former`` are the boots
    and machines that said hello before, newest first; ``alternated_ns`` is when one of them last came back.
    ``template`` and ``variables`` are what its configuration was last made of; its position is in degrees, WGS 84. A
    retired gateway is out of service until a new claim brings it back; a barred one had its last identity revoked, and
    nothing of it is taken. ``replaced_by`` is the gateway that took its place last.
    """

    __tablename__ = "gateway"

    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    site_key: Mapped[str | None] = mapped_column(sa.ForeignKey("site.key"))
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    template: Mapped[str] = mapped_column(default="")
    variables: Mapped[dict[str, Any]] = mapped_column(default=dict)
    retired_ns: Mapped[int | None]
    replaced_by: Mapped[str] = mapped_column(default="", server_default="")
    barred_ns: Mapped[int | None]
    token_hash: Mapped[str]
    created_ns: Mapped[int]
    last_seen_ns: Mapped[int | None]
    release: Mapped[str] = mapped_column(default="")
    boot: Mapped[str] = mapped_column(default="")
    machine: Mapped[str] = mapped_column(default="")
    former: Mapped[list[str]] = mapped_column(default=list)
    alternated_ns: Mapped[int | None]
    clock_quality: Mapped[str] = mapped_column(default="unset")
    session: Mapped[str] = mapped_column(default="")
    reported_version: Mapped[int | None]
    reported: Mapped[dict[str, Any] | None]
    reported_ns: Mapped[int | None]
    reported_digest: Mapped[str] = mapped_column(default="")
    refused_version: Mapped[int | None]
    trial: Mapped[str] = mapped_column(default="")
    trial_version: Mapped[int | None]
    trial_ns: Mapped[int | None]
    health: Mapped[dict[str, Any] | None]
    health_ns: Mapped[int | None]


class Cursor(Base):
    """What is committed of one gateway, epoch and lane: every seq up to ``committed``. ``boot`` made the epoch."""

    __tablename__ = "cursor"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    epoch: Mapped[str] = mapped_column(primary_key=True)
    lane: Mapped[str] = mapped_column(primary_key=True)
    committed: Mapped[int]
    boot: Mapped[str] = mapped_column(default="")


class Layout(Base):
    """The columns of a group's scans (`wire.record.Layout`), by the content id that scans name."""

    __tablename__ = "layout"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    layout_id: Mapped[bytes] = mapped_column(primary_key=True)
    group: Mapped[str] = mapped_column("group_name")
    tags: Mapped[list[str]]


class Device(Base):
    """An instrument that a gateway has reported. ``gone_ns`` is when it was first missing from a report."""

    __tablename__ = "device"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    bus: Mapped[str] = mapped_column(default="")
    profile: Mapped[str] = mapped_column(default="")
    first_ns: Mapped[int]
    gone_ns: Mapped[int | None]


class Tag(Base):
    """A tag as the gateway reported it, or as first met in a record. ``listed`` is false once it is no longer reported.

    ``low``/``high`` are the instrument's range, ``limits`` is {alarm level: limit}.
    """

    __tablename__ = "tag"
    __table_args__ = (sa.UniqueConstraint("gateway", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    name: Mapped[str]
    title: Mapped[str] = mapped_column(default="")
    unit: Mapped[str] = mapped_column(default="")
    device: Mapped[str] = mapped_column(default="")
    group: Mapped[str] = mapped_column("group_name", default="")
    low: Mapped[float | None]
    high: Mapped[float | None]
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    position: Mapped[int] = mapped_column(default=0)
    listed: Mapped[bool] = mapped_column(default=True)
