"""The table of commands."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class GatewayCommand(Base):
    """A command as it was issued: ``signed_order`` and ``signature`` are the octets that travel (`wire.command`).

    ``answer`` is the word of the audit event that answered it, empty until then; ``detail`` what that event says, and
    ``record_id`` the record. The first answer counts.
    """

    __tablename__ = "command"
    __table_args__ = (sa.Index("ix_command_gateway_issued_ns", "gateway", "issued_ns"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    name: Mapped[str]
    arguments: Mapped[dict[str, Any]]
    author: Mapped[str]
    issued_ns: Mapped[int]
    expires_ns: Mapped[int]
    signed_order: Mapped[bytes]
    signature: Mapped[bytes]
    answer: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    answered_ns: Mapped[int | None]
    record_id: Mapped[int | None]
