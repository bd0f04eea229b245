"""Tables of alarms: the present state of each, the journal, and how much each device delivered."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Alarm(Base):
    """The present state of one alarm. ``name`` is ``<tag>:<level>``; ``record_id`` the record that last changed it.

    ``gateway`` is empty for an alarm of the fleet's own that is about none (`fleet.alarms.own.FLEET`).

    ``standing`` is how it stands (`wire.alarm.Standing`), 0 if normal; ``active`` whether its condition holds.
    ``occurrence`` names the raise, ``until_ns`` is when a shelving ends. ``change`` is what was last done with this
    occurrence (`wire.alarm.CHANGES`), empty if nothing was: at ``operated_ns``, ``by`` whom, ``where``, with what
    ``comment`` and for which ``command``. ``changed_ns`` is when the fleet took the newest record.
    """

    __tablename__ = "alarm"
    __table_args__ = (
        sa.Index("ix_alarm_active", "active", "priority"),
        sa.Index("ix_alarm_standing", "standing", "priority"),
    )

    gateway: Mapped[str] = mapped_column(primary_key=True)
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
    change: Mapped[str] = mapped_column(default="", server_default="")
    operated_ns: Mapped[int | None]
    by: Mapped[str] = mapped_column("by_name", default="", server_default="")
    where: Mapped[str] = mapped_column("made_where", default="", server_default="")
    comment: Mapped[str] = mapped_column(default="", server_default="")
    command: Mapped[str] = mapped_column(default="", server_default="")
    changed_ns: Mapped[int | None]


class AlarmEvent(Base):
    """One line of the journal: a record of lane A. ``id`` grows with time, so a reader can ask for what is newer.

    ``kind``: ``raised``, ``cleared``, one of `wire.alarm.CHANGES`, ``action`` (an output was switched: ``output``,
    ``state``, ``delay_ns``), ``audit`` (``event``), ``quake`` (``state`` of a station's) or ``folded``
    (``detail`` events of ``alarm`` found no room on the gateway each). ``alarm`` is the alarm's name, for an action its
    cause. ``detail`` is for people. ``standing`` is how the alarm stood from then on, None for what is no change of an
    alarm; ``by``, ``where`` and ``comment`` tell whose doing it was.
    """

    __tablename__ = "alarm_event"
    __table_args__ = (
        sa.Index("ix_alarm_event_gateway_id", "gateway", "id"),
        sa.Index("ix_alarm_event_gateway_alarm_id", "gateway", "alarm", "id"),
        sa.Index("ix_alarm_event_received_ns", "received_ns"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str]
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
    standing: Mapped[int | None]
    until_ns: Mapped[int | None]
    occurrence: Mapped[int] = mapped_column(default=0, server_default="0")
    by: Mapped[str] = mapped_column("by_name", default="", server_default="")
    where: Mapped[str] = mapped_column("made_where", default="", server_default="")
    comment: Mapped[str] = mapped_column(default="", server_default="")
    command: Mapped[str] = mapped_column(default="", server_default="")


class DeviceRate(Base):
    """How much one device delivered (`fleet.alarms.rates`).

    ``due`` and ``good`` are what the gateway had counted at ``since_ns``, where the present stretch began; ``last_due``
    and ``last_good`` the scans of the stretch before, 0 while there was none.
    """

    __tablename__ = "device_rate"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    since_ns: Mapped[int]
    due: Mapped[int]
    good: Mapped[int]
    last_due: Mapped[int] = mapped_column(default=0)
    last_good: Mapped[int] = mapped_column(default=0)
