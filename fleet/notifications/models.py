"""Tables of notifications: what is watched, what is due, and the messages that carry it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId

WAITING, SENT, GIVEN_UP = "waiting", "sent", "given-up"
"""States of a message."""


class NotifyCursor(Base):
    """The journal was read up to the line ``position``. There is one row."""

    __tablename__ = "notify_cursor"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    position: Mapped[int]


class Watch(Base):
    """An alarm that is not normal, and since when the fleet knows of this occurrence: delays count from there."""

    __tablename__ = "notify_watch"

    gateway: Mapped[str] = mapped_column(primary_key=True)
    alarm: Mapped[str] = mapped_column(primary_key=True)
    occurrence: Mapped[int]
    since_ns: Mapped[int]


class MessageRow(Base):
    """A message to one contact. ``key`` goes with it each time it is sent.

    ``failing_ns`` is when the first try failed, ``tried_ns`` the last try, ``next_ns`` when it is sent next.
    ``last_error`` tells of the newest failure, also after the message has arrived.
    """

    __tablename__ = "notify_message"
    __table_args__ = (sa.Index("ix_notify_message_contact_state", "contact", "state"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    contact: Mapped[str]
    made_ns: Mapped[int]
    state: Mapped[str] = mapped_column(default=WAITING)
    tries: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    failing_ns: Mapped[int | None]
    tried_ns: Mapped[int | None]
    next_ns: Mapped[int]


class NoticeRow(Base):
    """One contact is told of one occurrence of an alarm at one step: once, for the five are unique.

    ``content`` is the alarm as it stood (`fleet.notifications.decide.AlarmNow`). Without ``message_id`` it waits for
    the contact's next message.
    """

    __tablename__ = "notice"
    __table_args__ = (
        sa.UniqueConstraint("gateway", "alarm", "occurrence", "contact", "step"),
        sa.Index("ix_notice_message_id", "message_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str]
    alarm: Mapped[str]
    occurrence: Mapped[int]
    contact: Mapped[str]
    step: Mapped[str]
    content: Mapped[dict[str, Any]]
    decided_ns: Mapped[int]
    message_id: Mapped[int | None] = mapped_column(sa.BigInteger(), sa.ForeignKey("notify_message.id"))
