"""The table of parts of files that gateways sent when they were asked."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class DiagnosisPart(Base):
    """Part ``number`` of ``of`` of what a command asked for. Its octets are in the record of lane W that brought it."""

    __tablename__ = "diagnosis_part"
    __table_args__ = (sa.Index("ix_diagnosis_part_received_ns", "received_ns"),)

    command_id: Mapped[str] = mapped_column(sa.ForeignKey("command.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    of: Mapped[int]
    octets: Mapped[int]
    record_id: Mapped[int] = mapped_column(BigId)
    received_ns: Mapped[int]
