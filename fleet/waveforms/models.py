"""Tables over the packets of waveforms: where each is, its envelope, and how far each stream reaches."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class WaveCounter(Base):
    """One row: the next number that a packet gets. It never goes back, whatever has been pruned or restored."""

    __tablename__ = "wave_counter"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    next_seq: Mapped[int]


class WaveStream(Base):
    """One channel of one gateway. ``name`` is ``NET.STA.LOC.CHA``, ``station`` its ``NET.STA``.

    ``newest_ns`` is when the newest packet ends (UTC); rate, timing and flags are that packet's. ``untimed`` counts the
    packets that no time is known of: they are kept, but stand in no index.
    """

    __tablename__ = "wave_stream"
    __table_args__ = (sa.UniqueConstraint("gateway", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    name: Mapped[str] = mapped_column(index=True)
    station: Mapped[str] = mapped_column(index=True)
    newest_ns: Mapped[int]
    rate_hz: Mapped[float]
    timing: Mapped[int]
    flags: Mapped[int]
    untimed: Mapped[int]


class Waveform(Base):
    """One packet: ``samples`` from ``start_ns`` up to ``end_ns``, in UTC. Its samples are in the record.

    ``seq`` is the first of ``numbers`` numbers that belong to it alone, one for each miniSEED record that it may
    become (`fleet.waveforms.numbering`). ``timing`` and ``flags`` are as in `wire.record.WaveformRecord`.
    """

    __tablename__ = "waveform"
    __table_args__ = (sa.Index("ix_waveform_stream_id_start_ns", "stream_id", "start_ns"),)

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    numbers: Mapped[int]
    record_id: Mapped[int] = mapped_column(BigId, unique=True)
    stream_id: Mapped[int] = mapped_column(BigId)
    start_ns: Mapped[int]
    end_ns: Mapped[int]
    rate_hz: Mapped[float]
    samples: Mapped[int]
    least: Mapped[int]
    most: Mapped[int]
    timing: Mapped[int]
    flags: Mapped[int]


class _Envelope:
    """What the packets that begin in a stretch of time hold: how many samples, the least and the largest count.

    ``timing`` is the worst known of them, -1 if none is known; ``flags`` are those of any of them.
    """

    stream_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at_ns: Mapped[int] = mapped_column(primary_key=True)
    samples: Mapped[int]
    least: Mapped[int]
    most: Mapped[int]
    timing: Mapped[int]
    flags: Mapped[int]


class WaveMinute(_Envelope, Base):
    """One stream in one minute of UTC."""

    __tablename__ = "wave_minute"
    __table_args__ = ({"sqlite_with_rowid": False},)


class WaveHour(_Envelope, Base):
    """One stream in one hour of UTC."""

    __tablename__ = "wave_hour"
    __table_args__ = ({"sqlite_with_rowid": False},)


class WaveRun(Base):
    """A stretch in which samples follow each other without a gap, from ``start_ns`` up to ``end_ns``."""

    __tablename__ = "wave_run"
    __table_args__ = (sa.Index("ix_wave_run_stream_id_end_ns", "stream_id", "end_ns"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stream_id: Mapped[int] = mapped_column(BigId)
    start_ns: Mapped[int]
    end_ns: Mapped[int]
    rate_hz: Mapped[float]
