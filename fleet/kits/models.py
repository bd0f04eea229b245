"""Tables of kits, and of what was done on site with them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class Kit(Base):
    """A kit that an account took along. ``claims`` are the SHA-256 of its codes; the codes are on the laptop alone."""

    __tablename__ = "kit"

    id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    laptop_key: Mapped[str]
    sites: Mapped[list[str]] = mapped_column(sa.JSON)
    claims: Mapped[list[str]] = mapped_column(sa.JSON)
    made_ns: Mapped[int]
    expires_ns: Mapped[int]


class SiteEntry(Base):
    """A line of a laptop's book. ``outcome`` says why the fleet could not act on it, "" if there was nothing to say."""

    __tablename__ = "site_entry"

    id: Mapped[str] = mapped_column(primary_key=True)
    kit: Mapped[str] = mapped_column(sa.ForeignKey("kit.id"), index=True)
    kind: Mapped[str]
    gateway: Mapped[str] = mapped_column(default="")
    at_ns: Mapped[int]
    by: Mapped[str] = mapped_column("by_whom", default="")
    detail: Mapped[dict[str, Any]]
    received_ns: Mapped[int]
    outcome: Mapped[str] = mapped_column(default="")
