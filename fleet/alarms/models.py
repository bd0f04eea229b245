"""Tables of alarms: the present state of each, and the journal of lane A."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Alarm(Base):
    """The present state of one alarm. ``name`` is ``<tag>:<level>``; ``record_id`` the record that last changed it.

    ``standing`` is `wire.alarm.Standing`, ``until_ns`` the end of its shelving, ``occurrence`` names this raise.
    """

    __tablename__ = "alarm"
    __table_args__ = (sa.Index("ix_alarm_active", "active", "priority"),)

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str]
    level: Mapped[str]
    priority: Mapped[int]
    active: Mapped[bool]
    raised_ns: Mapped[int | None]
    cleared_ns: Mapped[int | None]
    value: Mapped[float | None]
    limit: Mapped[float | None] = mapped_column("limit_value")
    record_id: Mapped[int]
    standing: Mapped[int] = mapped_column(default=0, server_default="0")
    until_ns: Mapped[int | None]
    occurrence: Mapped[int] = mapped_column(default=0, server_default="0")


class AlarmEvent(Base):
    """One line of the journal: a record of lane A. ``id`` grows with time, so a reader can ask for what is newer.

    ``kind``: ``raised``, ``cleared``, ``action`` (an output was switched: ``output``, ``state``, ``delay_ns``),
    ``audit`` (``event``) or ``folded`` (``detail`` events of ``alarm`` found no room on the gateway each). ``alarm`` is
    the alarm's name, for an action its cause. ``detail`` is for people.
    """

    __tablename__ = "alarm_event"
    __table_args__ = (sa.Index("ix_alarm_event_gateway_id", "gateway", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    kind: Mapped[str]
    at_ns: Mapped[int | None]
    received_ns: Mapped[int]
    record_id: Mapped[int]
    alarm: Mapped[str] = mapped_column(default="")
    tag: Mapped[str] = mapped_column(default="")
    level: Mapped[str] = mapped_column(default="")
    priority: Mapped[int | None]
    value: Mapped[float | None]
    limit: Mapped[float | None] = mapped_column("limit_value")
    output: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="")
    delay_ns: Mapped[int | None]
    event: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
