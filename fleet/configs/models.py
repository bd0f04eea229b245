"""Tables of desired configurations, and of the templates that they are made of."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class DesiredConfig(Base):
    """One version of what a gateway shall run. Versions count 1, 2, 3 ... and are never changed once written.

    ``digest`` tells it apart (`fleet.configs.digest`). ``template`` and its version are what it was made of, if it was.
    """

    __tablename__ = "desired"

    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    config: Mapped[dict[str, Any]]
    author: Mapped[str]
    at_ns: Mapped[int]
    digest: Mapped[str] = mapped_column(default="")
    template: Mapped[str] = mapped_column(default="")
    template_version: Mapped[int | None]


class ConfigTemplate(Base):
    """One version of a configuration for gateways of a kind. Versions count 1, 2, 3 ... and are never changed.

    ``document`` is TOML, as `fleet.configs.templates` reads it.
    """

    __tablename__ = "config_template"

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    sector: Mapped[str]
    document: Mapped[str]
    author: Mapped[str]
    at_ns: Mapped[int]
