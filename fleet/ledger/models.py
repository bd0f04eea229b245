"""Tables of what was lost, and of what was committed hour by hour."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Loss(Base):
    """A line of the loss ledger: records ``first``..``last`` that the fleet lacks and the gateway no longer holds.

    ``reason`` as in `wire.conversation.Tombstone`. ``from_ns`` and ``to_ns`` are UTC, None while that is unknown.
    """

    __tablename__ = "loss"
    __table_args__ = (sa.Index("ix_loss_gateway_id", "gateway", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    epoch: Mapped[str]
    lane: Mapped[str]
    first: Mapped[int]
    last: Mapped[int]
    reason: Mapped[str]
    from_ns: Mapped[int | None]
    to_ns: Mapped[int | None]
    received_ns: Mapped[int]

    @property
    def records(self) -> int:
        """How many records that is."""
        return self.last - self.first + 1


class Tally(Base):
    """What was committed of one gateway and lane in one hour, to be compared with what others counted.

    ``hour_ns`` is the begin of the hour of UTC in which the records were captured, or received where that is unknown.
    ``changed_ns`` is when it last changed: a backlog changes hours long past.
    """

    __tablename__ = "tally"
    __table_args__ = (sa.Index("ix_tally_changed_ns", "changed_ns"),)

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    lane: Mapped[str] = mapped_column(primary_key=True)
    hour_ns: Mapped[int] = mapped_column(primary_key=True)
    records: Mapped[int] = mapped_column(default=0)
    samples: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    changed_ns: Mapped[int] = mapped_column(default=0)
