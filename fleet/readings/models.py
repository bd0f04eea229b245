"""Tables of committed records, the values in them, and what could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Record(Base):
    """A committed record, as it came. ``id`` is its position in the outbox of every destination.

    ``captured_ns`` is UTC, None while the boot that made it never learned the time. ``samples`` counts the values of a
    scan and is 0 for other kinds. ``body`` is the item's own bytes (`wire.record`).
    """

    __tablename__ = "record"
    __table_args__ = (
        sa.UniqueConstraint("gateway", "epoch", "lane", "seq"),
        sa.Index("ix_record_lane_id", "lane", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str]
    epoch: Mapped[str]
    lane: Mapped[str]
    seq: Mapped[int]
    kind: Mapped[str]
    samples: Mapped[int]
    received_ns: Mapped[int]
    captured_ns: Mapped[int | None]
    body: Mapped[bytes]


class Reading(Base):
    """One value at one time. ``value`` is None when there is none (``quality`` says why) or when it is a text.

    ``tag_id`` is a tag's, and the database does not check it: that cost PostgreSQL more than all the rest of a row.
    """

    __tablename__ = "reading"
    __table_args__ = ({"sqlite_with_rowid": False},)

    tag_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    text: Mapped[str | None]
    quality: Mapped[int]


class _Part:
    """What is left of a tag's usable values once their raw rows are pruned: ``last`` is the newest, of ``last_ns``."""

    tag_id: Mapped[int] = mapped_column(sa.ForeignKey("tag.id"), primary_key=True)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    low: Mapped[float]
    high: Mapped[float]
    mean: Mapped[float]
    last: Mapped[float]
    last_ns: Mapped[int]


class ReadingMinute(_Part, Base):
    """One tag in one minute of UTC."""

    __tablename__ = "reading_minute"
    __table_args__ = ({"sqlite_with_rowid": False},)


class ReadingHour(_Part, Base):
    """One tag in one hour of UTC."""

    __tablename__ = "reading_hour"
    __table_args__ = ({"sqlite_with_rowid": False},)


class LostMinute(Base):
    """What a gateway told of one tag in one minute of measurements that it had to give up."""

    __tablename__ = "lost_minute"
    __table_args__ = ({"sqlite_with_rowid": False},)

    tag_id: Mapped[int] = mapped_column(sa.ForeignKey("tag.id"), primary_key=True)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    low: Mapped[float]
    high: Mapped[float]
    mean: Mapped[float]


class Quarantined(Base):
    """A record or message that could not be read: kept, shown, and for a record counted as committed.

    ``epoch``, ``lane`` and ``seq`` are None for a whole message; ``kind`` is then the topic's.
    """

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    epoch: Mapped[str | None]
    lane: Mapped[str | None]
    seq: Mapped[int | None]
    reason: Mapped[str]
    body: Mapped[bytes]
    received_ns: Mapped[int]
