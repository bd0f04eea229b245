"""The table of DDI clients: what a gateway's update client said of itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class DdiClient(Base):
    """A gateway that has an update client: its attributes (``configData``), and when it asked last."""

    __tablename__ = "ddi_client"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    attributes: Mapped[dict[str, Any]]
    told_ns: Mapped[int | None]
    asked_ns: Mapped[int | None]
