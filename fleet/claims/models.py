"""Tables of claims, and of gateways that ask to get in and wait for somebody to say so."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Kind(StrEnum):
    """A label's code was made for the gateway beforehand; a local one the gateway made itself, for its own key."""

    LABEL = "label"
    LOCAL = "local"


class Claim(Base):
    """The right to get in once. ``secret_hash`` is the SHA-256 of its code's letters (`provisioning.codes`).

    ``gateway``, ``title``, ``site_key``, its position, and ``template`` with ``variables`` are what the gateway is to
    be; without a ``gateway`` somebody has to say so when it asks. ``key`` is the fingerprint of the only key that may
    use it: of a local code from its beginning, of a label from its first use. ``contested_ns`` is when another key
    last presented it. ``replaces`` is the gateway whose place it is to take, empty for none.
    """

    __tablename__ = "claim"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    key: Mapped[str | None]
    gateway: Mapped[str | None] = mapped_column(index=True)
    title: Mapped[str] = mapped_column(default="")
    site_key: Mapped[str | None] = mapped_column(sa.ForeignKey("site.key"))
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    template: Mapped[str] = mapped_column(default="")
    variables: Mapped[dict[str, Any]] = mapped_column(default=dict)
    replaces: Mapped[str] = mapped_column(default="", server_default="")
    note: Mapped[str] = mapped_column(default="")
    made_ns: Mapped[int]
    made_by: Mapped[str] = mapped_column(default="")
    expires_ns: Mapped[int | None]
    used_ns: Mapped[int | None]
    contested_ns: Mapped[int | None]


class Enrolment(Base):
    """A key that asks to get in and waits: one row for each key. ``reason`` is why, ``verdict`` what was decided.

    ``gateway`` is what it asks to be, empty until somebody says; ``address`` is where it asked from last.
    """

    __tablename__ = "enrolment"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    claim_id: Mapped[int | None] = mapped_column(sa.BigInteger(), sa.ForeignKey("claim.id"))
    gateway: Mapped[str] = mapped_column(default="")
    reason: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    asked_ns: Mapped[int]
    seen_ns: Mapped[int]
    verdict: Mapped[str] = mapped_column(default="")
    decided_ns: Mapped[int | None]
    decided_by: Mapped[str] = mapped_column(default="")


class EnrolmentEvent(Base):
    """What happened to claims and identities, one line each: made, used, contested, approved, renewed, revoked."""

    __tablename__ = "enrolment_event"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at_ns: Mapped[int]
    event: Mapped[str]
    gateway: Mapped[str] = mapped_column(default="", index=True)
    claim_id: Mapped[int | None]
    key: Mapped[str] = mapped_column(default="")
    by: Mapped[str] = mapped_column("by_whom", default="")
    detail: Mapped[str] = mapped_column(default="")
