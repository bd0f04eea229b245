"""Tables of destinations and how far each has been served."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Destination(Base):
    """A platform that records are relayed to. ``kind``: ``http-json``.

    ``counts_url`` is where it takes the counts to reconcile by, "" for nowhere; those that changed up to ``counted_ns``
    were taken.
    """

    __tablename__ = "destination"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    url: Mapped[str]
    enabled: Mapped[bool] = mapped_column(default=True)
    created_ns: Mapped[int]
    counts_url: Mapped[str] = mapped_column(default="")
    counted_ns: Mapped[int] = mapped_column(default=0)


class RelayCursor(Base):
    """How far one destination has one lane: every `Record.id` of the lane up to ``position`` was taken.

    ``failures`` counts refusals in a row, 0 when the last delivery worked; ``last_error`` tells of the newest.
    """

    __tablename__ = "relay_cursor"

    destination_id: Mapped[int] = mapped_column(sa.ForeignKey("destination.id"), primary_key=True)
    lane: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(default=0)
    relayed: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    last_try_ns: Mapped[int | None]
    last_ok_ns: Mapped[int | None]
