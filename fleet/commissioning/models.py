"""Tables of commissioning."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Commissioning(Base):
    """One gateway taken into service on site; ``claim_id`` is also its number.

    ``request_key`` is the browser's word for one submission: sent again on a bad link, it is the same. Position in
    degrees, WGS 84; ``photo`` is JPEG. What follows is what became of the gateway at the door: when it asked last, what
    it had checked, why it waits (`fleet.claims.enrolment`), until when its certificate is good. ``report`` is the PDF
    as it was signed, and is never changed after that; ``strokes`` is the signature as it was drawn.
    """

    __tablename__ = "commissioning"

    claim_id: Mapped[int] = mapped_column(
        sa.BigInteger(), sa.ForeignKey("claim.id"), primary_key=True, autoincrement=False
    )
    request_key: Mapped[str] = mapped_column(unique=True)
    gateway: Mapped[str] = mapped_column(index=True)
    site_key: Mapped[str] = mapped_column(default="")
    template: Mapped[str] = mapped_column(default="")
    technician: Mapped[str]
    begun_ns: Mapped[int]
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    note: Mapped[str] = mapped_column(default="")
    photo: Mapped[bytes | None]
    asked_ns: Mapped[int | None]
    checks: Mapped[list[Any]] = mapped_column(sa.JSON(), default=list)
    waits: Mapped[str] = mapped_column(default="")
    not_after_ns: Mapped[int | None]
    signed_ns: Mapped[int | None]
    signed_by: Mapped[str] = mapped_column(default="")
    signed_via: Mapped[str] = mapped_column(default="")
    strokes: Mapped[list[Any]] = mapped_column(sa.JSON(), default=list)
    report: Mapped[bytes | None]
    report_sha256: Mapped[str] = mapped_column(default="")


class OutputTrial(Base):
    """A local output that was switched on so that somebody could see or hear it. ``was_seen`` is what they said."""

    __tablename__ = "output_trial"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(index=True)
    output: Mapped[str]
    command_id: Mapped[str]
    asked_ns: Mapped[int]
    asked_by: Mapped[str]
    was_seen: Mapped[bool | None]
    seen_ns: Mapped[int | None]


class ReportedChecks(Base):
    """What a gateway has checked of itself (`wire.checklist.Checklist`), the newest."""

    __tablename__ = "reported_checks"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    checks: Mapped[list[Any]] = mapped_column(sa.JSON())
    at_ns: Mapped[int]
