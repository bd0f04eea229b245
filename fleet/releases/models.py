"""The table of artifacts: files that gateways install."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId

AGENT, PROFILES, IMAGE = "agent", "profiles", "image"
KINDS = (AGENT, PROFILES, IMAGE)
"""What is released: the agent's bundle, driver profiles, and the image of a gateway's disk."""


class Artifact(Base):
    """A file of the store, by its SHA-256, and what it is: ``kind``, ``version``, the ``hardware`` that it is made for.

    ``published_ns`` is since when gateways may be given it: for agents and profiles since the signed metadata name it.
    Images carry their own signature; ``sha1`` and ``md5`` are what clients of the DDI interface ask for.
    """

    __tablename__ = "artifact"
    __table_args__ = (sa.UniqueConstraint("kind", "filename"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    version: Mapped[str]
    hardware: Mapped[list[str]]
    filename: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    sha1: Mapped[str]
    md5: Mapped[str]
    tree_sha256: Mapped[str] = mapped_column(default="")
    notes: Mapped[str] = mapped_column(default="")
    added_ns: Mapped[int]
    added_by: Mapped[str]
    published_ns: Mapped[int | None]

    @property
    def path(self) -> str:
        """Its name in the signed metadata."""
        return f"{self.kind}/{self.filename}"
