"""Tables of earthquakes: what each station measured of each, the events that this belongs to, and the streets."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId

OPEN, CLOSED, REJECTED, MERGED = "open", "closed", "rejected", "merged"
"""States of an event: a station still measures, none does, no report is left, it is part of another."""


class Quake(Base):
    """An event. What is measured of it stands with its stations (`StationQuake`), and is summed up anew each time.

    ``into`` is the event that it was found to be part of. ``told_grade`` is the class that an alarm was last raised
    for, 0 for none. Times are UTC in ns.
    """

    __tablename__ = "quake"
    __table_args__ = (sa.Index("ix_quake_state", "state"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    state: Mapped[str] = mapped_column(default=OPEN)
    onset_ns: Mapped[int]
    changed_ns: Mapped[int]
    into: Mapped[int | None] = mapped_column("into_id", BigId)
    told_grade: Mapped[int] = mapped_column(default=0)


class StationQuake(Base):
    """The newest of what one station told of one earthquake (`wire.record.QuakeRecord`), by ``quake`` as it names it.

    ``onset_ns`` is the best that is known of the trigger, UTC; ``clock`` how good that is (`wire.conversation.Clock`,
    ``unset``: only by when it was received). ``mono_ns`` orders the reports of a quake. ``title``, ``lat`` and ``lon``
    are the station's as configured at that time, else its site's. ``first_ns`` and ``received_ns`` are when the fleet
    got the first and the newest report. ``quake_id`` is the event; a rejected report stays with the one it was in.
    """

    __tablename__ = "station_quake"
    __table_args__ = (
        sa.Index("ix_station_quake_onset_ns", "onset_ns"),
        sa.Index("ix_station_quake_quake_id", "quake_id"),
        sa.Index("ix_station_quake_record_id", "record_id"),
    )

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    station: Mapped[str] = mapped_column(primary_key=True)
    quake: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    quake_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("quake.id"))
    state: Mapped[str]
    clock: Mapped[str]
    onset_ns: Mapped[int]
    peak_ns: Mapped[int | None]
    at_ns: Mapped[int | None]
    mono_ns: Mapped[int]
    first_ns: Mapped[int]
    received_ns: Mapped[int]
    record_id: Mapped[int]
    duration_s: Mapped[float]
    pga_gal: Mapped[float]
    pgv_cm_s: Mapped[float]
    pgd_cm: Mapped[float]
    intensity_gb: Mapped[float]
    intensity_jma: Mapped[float]
    grade: Mapped[int]
    quality: Mapped[int]
    pd_cm: Mapped[float | None]
    tau_c_s: Mapped[float | None]
    magnitude: Mapped[float | None]
    magnitude_error: Mapped[float | None]
    spectrum: Mapped[list[float]] = mapped_column(sa.JSON(), default=list)
    reason: Mapped[str] = mapped_column(default="")
    title: Mapped[str] = mapped_column(default="")
    lat: Mapped[float | None]
    lon: Mapped[float | None]


class Street(Base):
    """A street or township (街道, 乡镇) of the district, by the position that stands for it: degrees, WGS 84.

    ``is_approximate``: whoever made the list did not measure the position.
    """

    __tablename__ = "street"

    name: Mapped[str] = mapped_column(primary_key=True)
    lat: Mapped[float]
    lon: Mapped[float]
    population: Mapped[int | None]
    is_approximate: Mapped[bool] = mapped_column(default=False)
