"""Tables of sites, and of the devices that they are to have."""

from __future__ import annotations

import sqlalchemy as sa
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


class ExpectedDevice(Base):
    """A device that a site is to have, by the name under which its gateway will report it.

    ``tags`` is how many tags it counts for in the access rate until one of the site's gateways reports it.
    """

    __tablename__ = "expected_device"

    site_key: Mapped[str] = mapped_column(sa.ForeignKey("site.key"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    tags: Mapped[int] = mapped_column(default=1)
    note: Mapped[str] = mapped_column(default="")
    made_ns: Mapped[int]
