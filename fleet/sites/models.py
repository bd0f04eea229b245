"""Table of sites."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class Site(Base):
    """A place that gateways watch. ``sector``: chemical, weather, earthquake ... Position in degrees, WGS 84."""

    __tablename__ = "site"

    key: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    sector: Mapped[str] = mapped_column(default="")
    lat: Mapped[float | None]
    lon: Mapped[float | None]
